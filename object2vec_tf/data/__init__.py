"""JSON Lines in, shuffled and bucketed batches of ragged token ids out."""
