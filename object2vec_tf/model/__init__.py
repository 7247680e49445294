"""The network: two encoders, a comparator, and the Keras model that joins them."""
