"""Predictions with a trained model: inputs, requests, loaded models."""
