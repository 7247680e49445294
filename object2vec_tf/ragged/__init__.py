"""Ragged columns of token ids, and hashes of their rows."""
