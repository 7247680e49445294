"""Answers to whole files of objects: by one process, or by the workers of a cluster."""
