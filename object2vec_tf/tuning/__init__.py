"""The search for hyperparameters: what is searched, by what measure, and the study."""
