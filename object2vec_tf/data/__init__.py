"""Reads pairs from JSON Lines into shuffled, bucketed batches of ragged token ids."""
