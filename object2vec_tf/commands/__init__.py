"""Flags, exit status and signal handling that the commands share."""
