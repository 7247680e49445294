"""Keras layers over ragged batches, and the kernels they run."""
