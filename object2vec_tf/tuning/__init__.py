"""Hyperparameter tuning: the search space, the objective, trials and the study."""
