"""Training jobs in the directory layout of a SageMaker container."""
