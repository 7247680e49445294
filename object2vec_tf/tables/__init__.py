"""Token tables outside of a model: rows that are read in slices, or from files."""
