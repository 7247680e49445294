"""Ranking metrics, in numpy."""
