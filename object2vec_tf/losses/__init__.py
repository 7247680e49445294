"""Training objectives and negative sampling."""
