"""Predictions for whole files, by one process or by the workers of a Ray cluster."""
