"""The name under which our classes are registered for serialization with Keras."""

PACKAGE = "object2vec_tf"
