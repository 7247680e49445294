"""Runs: preparation, training loop, checkpoints, results."""
