"""The words that hyperparameters take as values, as types and as tuples."""

from __future__ import annotations

from typing import Literal, get_args

Network = Literal["hcnn", "bilstm", "pooled_embedding"]
Enc1Network = Literal["enc0", Network]
Tokenizer = Literal[
    "none", "whitespace", "unicode_script", "wordpiece", "sentencepiece", "id"
]
UnicodeNormalization = Literal["none", "NFC", "NFKC", "NFD", "NFKD"]
Activation = Literal["tanh", "relu", "linear"]
# The optimizers of Amazon SageMaker's Object2Vec, and ours.
SageMakerOptimizer = Literal["adadelta", "adagrad", "adam", "sgd", "rmsprop"]
Optimizer = Literal[SageMakerOptimizer, "rowwise_adagrad"]
OutputLayer = Literal["softmax", "mean_squared_error"]
StorageType = Literal["dense", "row_sparse"]
Objective = Literal["pairs", "in_batch_softmax"]
Similarity = Literal["cosine", "inner_product"]
Direction = Literal["both", "in0_to_in1", "in1_to_in0"]
NegativeMining = Literal["random", "hard"]
ObjectKey = Literal["tokens", "first_token"]
Pooling = Literal["mean", "sqrtn", "weighted", "weighted_sqrtn"]
RepeatedTokens = Literal["count", "log"]
Decay = Literal["none", "linear", "cosine"]

# The poolings with a learned weight for each token.
WEIGHTED: tuple[str, ...] = ("weighted", "weighted_sqrtn")
OPERATORS: tuple[str, ...] = ("hadamard", "concat", "abs_diff")
TOKENIZERS: tuple[str, ...] = get_args(Tokenizer)
UNICODE_NORMALIZATIONS: tuple[str, ...] = get_args(UnicodeNormalization)
SAGEMAKER_OPTIMIZERS: tuple[str, ...] = get_args(SageMakerOptimizer)
OPTIMIZERS: tuple[str, ...] = get_args(Optimizer)
OBJECTIVES: tuple[str, ...] = get_args(Objective)
# Tokenizers whose tokens, words or ids, are looked up in a vocabulary table.
LOOKUP_TOKENIZERS: tuple[str, ...] = ("whitespace", "unicode_script", "id")
