"""Keras layers over ragged batches, and their kernels."""
