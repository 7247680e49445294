"""Neighbor search: indexes of embeddings, and the evaluation of retrieval."""
