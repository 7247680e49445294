"""Valid values, help and tuning range of every hyperparameter.

Names and ranges are those of Amazon SageMaker's Object2Vec. Flags, validation and the
table in docs/hyperparameters.md are generated from this table and from the defaults in
`object2vec_tf.hyperparameters.Hyperparameters`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, get_args

from object2vec_tf.hyperparameters import choices
from object2vec_tf.hyperparameters.kinds import (
    Boolean,
    Choice,
    FileName,
    Integer,
    Kind,
    LayerCount,
    Lengths,
    OrderedSubset,
    Real,
)
from object2vec_tf.hyperparameters.subwords import DEFAULT_SUBWORD_BUCKETS

MAX_OOV_BUCKETS = 1_000_000
MAX_SUBWORD_BUCKETS = 100_000_000
# The number of characters of the longest n-grams.
_MAX_NGRAM = 20
# Token ids are int32.
MAX_VOCAB_SIZE = 2**31 - 1


@dataclasses.dataclass(frozen=True)
class Specification:
    """Properties of one hyperparameter, without its name and default.

    Attributes:
        kind: Type and range of its values.
        help: Description in one line.
        tunable: Range that AWS tunes over, as ``(low, high)`` or a tuple of choices;
            None if AWS does not tune it.
        log_scale: Whether the tuner samples on a logarithmic scale.
    """

    kind: Kind
    help: str
    tunable: tuple[Any, ...] | None = None
    log_scale: bool = False


def _choice(words: Any) -> Choice:
    """Returns the kind for a ``Literal`` type."""
    return Choice(get_args(words))


def _of_encoder(help: str, encoder: int) -> str:
    return help.replace("inX", f"in{encoder}").replace("encX", f"enc{encoder}")


def _both_encoders(
    name: str, kind: Kind, help: str, **more: Any
) -> dict[str, Specification]:
    """Returns the specifications of enc0_NAME and enc1_NAME.

    Args:
        name: Name without the encoder.
        kind: See `Specification`.
        help: See `Specification`; inX and encX get the number.
        **more: Other attributes of `Specification`.
    """
    return {
        f"enc{i}_{name}": Specification(kind, _of_encoder(help, i), **more)
        for i in (0, 1)
    }


_INPUTS = {
    **_both_encoders(
        "max_seq_len",
        Integer(1, 5000),
        "maximum length of inX in tokens; longer inputs are truncated",
    ),
    **_both_encoders(
        "vocab_size",
        Integer(2, MAX_VOCAB_SIZE),
        "vocabulary size of inX; all token ids are smaller; encX_vocab_file sets it; "
        "Amazon SageMaker accepts at most 3000000",
    ),
    **_both_encoders(
        "vocab_file",
        FileName(),
        'vocabulary file, {"word": id}, in the auxiliary channel',
    ),
    **_both_encoders(
        "tokenizer",
        _choice(choices.Tokenizer),
        "tokenizer of text in inX; none: inX has token ids; id: each integer (of any "
        "size) or string in inX is one token of encX_vocab_file",
    ),
    **_both_encoders("lowercase", Boolean(), "lowercase text before tokenization"),
    **_both_encoders(
        "unicode_normalization",
        _choice(choices.UnicodeNormalization),
        "Unicode normalization form of text",
    ),
    **_both_encoders(
        "num_oov_buckets",
        Integer(0, MAX_OOV_BUCKETS),
        "number of hash buckets for out-of-vocabulary tokens; 0 disables them",
    ),
    **_both_encoders(
        "subword_ngrams",
        Lengths(_MAX_NGRAM),
        "lengths of the character n-grams of words, in characters; the embedding of a "
        "word is the mean of its own and of those of its n-grams, as in fastText; of "
        "an out-of-vocabulary word, that of its n-grams",
    ),
    **_both_encoders(
        "subword_buckets",
        Integer(0, MAX_SUBWORD_BUCKETS),
        "number of hash buckets for the n-grams of encX_subword_ngrams; 0: "
        f"{DEFAULT_SUBWORD_BUCKETS} with encX_subword_ngrams",
    ),
}

_TOKEN_EMBEDDINGS = {
    **_both_encoders(
        "token_embedding_dim",
        Integer(2, 1000),
        "dimension of token embeddings",
        tunable=(5, 300),
        log_scale=True,
    ),
    **_both_encoders(
        "pretrained_embedding_file",
        FileName(),
        "file of pretrained token embeddings in the auxiliary channel",
    ),
    **_both_encoders(
        "freeze_pretrained_embedding",
        Boolean(),
        "do not train pretrained token embeddings",
    ),
    "tied_token_embedding_weight": Specification(
        Boolean(), "share one token embedding between the encoders"
    ),
    "token_embedding_init_scale": Specification(
        Real(0.001, 1000.0),
        "factor on the scale of initial token embeddings",
        log_scale=True,
    ),
    "token_embedding_storage_type": Specification(
        _choice(choices.StorageType),
        "row_sparse updates only the token embeddings that a batch uses",
    ),
}

_ENCODERS = {
    "enc_dim": Specification(
        Integer(4, 10_000),
        "dimension of the encoders' embeddings",
        tunable=(4, 4096),
        log_scale=True,
    ),
    "enc0_network": Specification(_choice(choices.Network), "encoder network of in0"),
    "enc1_network": Specification(
        _choice(choices.Enc1Network),
        "encoder network of in1; enc0 copies enc0's network and hyperparameters",
    ),
    **_both_encoders(
        "cnn_filter_width",
        Integer(1, 9),
        "filter width of hcnn, in tokens",
        tunable=(1, 5),
    ),
    **_both_encoders(
        "layers",
        LayerCount(),
        "number of encoder layers; auto: 4 for hcnn, 1 for bilstm",
        tunable=(1, 4),
    ),
    "tied_encoders": Specification(
        Boolean(),
        "share all weights between the encoders, which then give equal objects equal "
        "embeddings; needs enc1_network=enc0 and tied_token_embedding_weight",
    ),
    "pooling": Specification(
        _choice(choices.Pooling),
        "pooled_embedding: divide the sum of n token embeddings by n (mean) or by the "
        "square root of n (sqrtn); or take their mean with a learned weight for each "
        "token, which starts at its inverse document frequency (weighted); or divide "
        "the weighted sum by the square root of the sum of the squared weights "
        "(weighted_sqrtn)",
    ),
    "repeated_tokens": Specification(
        _choice(choices.RepeatedTokens),
        "pooled_embedding: n occurrences of a token in an object count n times (count) "
        "or 1 + log n times (log)",
    ),
    "token_dropout": Specification(
        Real(0.0, 0.99),
        "pooled_embedding: fraction of the tokens of each object that is dropped in "
        "training; the sum of the others is divided by 1 - token_dropout",
    ),
}

_COMPARATOR = {
    "comparator_list": Specification(
        OrderedSubset(choices.OPERATORS),
        "operators that compare the two embeddings, in this order",
    ),
    "mlp_activation": Specification(
        _choice(choices.Activation),
        "activation of the MLP layers after the comparator",
        tunable=get_args(choices.Activation),
    ),
    "mlp_dim": Specification(
        Integer(2, 10_000),
        "units of each MLP layer after the comparator",
        tunable=(16, 1024),
        log_scale=True,
    ),
    "mlp_layers": Specification(
        Integer(0, 10), "number of MLP layers after the comparator", tunable=(1, 4)
    ),
    "num_classes": Specification(
        Integer(2, 30), "number of classes of the softmax output layer"
    ),
    "output_layer": Specification(
        _choice(choices.OutputLayer),
        "softmax: labels are class ids; mean_squared_error: labels are real numbers",
    ),
}

_TRAINING = {
    "bucket_width": Specification(
        Integer(0, 100),
        "sequence lengths in a batch differ by less than this number of tokens; 0 "
        "disables bucketing",
    ),
    "dropout": Specification(Real(0.0, 1.0), "dropout rate", tunable=(0.0, 1.0)),
    "early_stopping_patience": Specification(
        Integer(1, 5),
        "training ends after more than this number of bad epochs in a row; an epoch is "
        "bad if its validation loss (training loss without validation) is not at least "
        "early_stopping_tolerance below the lowest loss of this number of epochs "
        "before it",
        tunable=(1, 5),
    ),
    "early_stopping_tolerance": Specification(
        Real(1e-6, 0.1),
        "minimum absolute decrease of the loss that counts as an improvement; "
        "see early_stopping_patience",
        tunable=(0.001, 0.1),
        log_scale=True,
    ),
    "epochs": Specification(
        Integer(1, 100), "maximum number of training epochs", tunable=(4, 20)
    ),
    "label_smoothing": Specification(
        Real(0.0, 0.99),
        "fraction of each label's probability spread over all classes in training",
    ),
    "learning_rate": Specification(
        Real(1e-6, 1.0), "learning rate", tunable=(1e-6, 1), log_scale=True
    ),
    "learning_rate_warmup_epochs": Specification(
        Real(0.0, 100.0),
        "epochs of warmup, in which the learning rate rises linearly from 0",
    ),
    "learning_rate_decay": Specification(
        _choice(choices.Decay),
        "decay of the learning rate after warmup, to 0 at the last step",
    ),
    "mini_batch_size": Specification(
        Integer(1, 10_000), "pairs per batch", tunable=(1, 8192), log_scale=True
    ),
    "optimizer": Specification(
        _choice(choices.Optimizer),
        "optimizer; rowwise_adagrad: Adagrad with one learning rate for each token "
        "vector",
        tunable=choices.SAGEMAKER_OPTIMIZERS,
    ),
    "weight_decay": Specification(
        Real(0.0, 10_000.0),
        "L2 coefficient; weight_decay * weight is added to the gradient, except for "
        "biases",
        tunable=(0.0, 1.0),
        log_scale=True,
    ),
}

_OBJECTIVE = {
    "objective": Specification(
        _choice(choices.Objective),
        "training objective; pairs: predict the label of each pair; in_batch_softmax: "
        "find each object's partner among the objects of the batch",
    ),
    "in_batch_similarity": Specification(
        _choice(choices.Similarity),
        "in_batch_softmax: similarity function of two embeddings",
    ),
    "in_batch_direction": Specification(
        _choice(choices.Direction),
        "in_batch_softmax: find the in1 of each in0, the in0 of each in1, or both",
    ),
    "temperature": Specification(
        Real(0.001, 100.0),
        "in_batch_softmax: temperature, which divides similarities",
        log_scale=True,
    ),
    "learn_temperature": Specification(
        Boolean(), "in_batch_softmax: train the temperature"
    ),
    "popularity_correction": Specification(
        Boolean(),
        "in_batch_softmax: subtract log frequencies of objects from the logits "
        "(logQ correction)",
    ),
    "negative_sampling_rate": Specification(
        Integer(0), "negatives sampled per training pair; 0 disables negative sampling"
    ),
    "negative_mining": Specification(
        _choice(choices.NegativeMining),
        "random: sample negatives from the batch; hard: prefer objects with similar "
        "embeddings",
    ),
    "negative_frequency_power": Specification(
        Real(0.0, 1.0),
        "objects are sampled as negatives in proportion to frequency ** "
        "negative_frequency_power",
    ),
    "negative_exclude_known": Specification(
        Boolean(),
        "a negative is never a pair that the train channel has with a label above 0, "
        "nor the pair's own object; false: as AWS, any other pair's object",
    ),
    "object_key": Specification(
        _choice(choices.ObjectKey),
        "what makes two objects the same in the in-batch softmax and in negative "
        "sampling; tokens: all tokens; first_token: an id, which features may follow",
    ),
}

SPECIFICATIONS: Mapping[str, Specification] = {
    **_INPUTS,
    **_TOKEN_EMBEDDINGS,
    **_ENCODERS,
    **_COMPARATOR,
    **_TRAINING,
    **_OBJECTIVE,
}
