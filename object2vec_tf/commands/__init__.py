"""Flags, exit status and signals, which the commands share."""
