"""Prediction with a trained model: inputs, requests, and loaded models."""
