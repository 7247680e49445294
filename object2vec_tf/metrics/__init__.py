"""Ranking metrics in numpy, and the area under the ROC curve in Keras."""
