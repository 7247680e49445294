"""What embeddings are for: finding the objects that belong to one."""
