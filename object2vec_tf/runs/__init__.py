"""The run directory: the files that a training run leaves."""
