"""The HTTP gateway and its backends."""
