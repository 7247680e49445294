"""Learn embeddings from pairs of objects, with TensorFlow and Keras 3."""

from object2vec_tf.data.pairs import Pairs, read_pairs
from object2vec_tf.errors import DataError, HyperparameterError, UserError
from object2vec_tf.hyperparameters import Hyperparameters
from object2vec_tf.model.object2vec import Object2Vec

__version__ = "0.1.0"
