"""The report of a training run: tables, charts and baselines."""
