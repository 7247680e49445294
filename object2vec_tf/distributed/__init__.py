"""Training on several devices and several workers."""
