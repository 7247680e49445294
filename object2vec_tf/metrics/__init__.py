"""Metrics of ranking, in numpy."""
