"""Reading channels and writing files atomically."""
