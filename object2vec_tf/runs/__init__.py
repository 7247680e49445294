"""The run directory: the files of a training run."""
