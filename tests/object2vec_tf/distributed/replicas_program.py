"""Trains small models under a strategy, for tests that start it several times.

    python -m tests.object2vec_tf.distributed.replicas_program STRATEGY OUT [CASE ...]

STRATEGY is one, mirrored:N for N logical CPUs, or multi_worker with TF_CONFIG. The
latter two may be followed by :static for batches in the static layout, or by :sharded
for sharded token tables. OUT is the .npz file of each case's metrics and weights after
two epochs. Of a sharded table, it has the rows that this process has, with NaN for
others.
"""

import sys

import keras
import numpy as np
import tensorflow as tf

import object2vec_tf as o2v
from object2vec_tf.data.pairs import Pairs, Report
from object2vec_tf.distributed.replicas import Replicas, sharded_tables
from object2vec_tf.distributed.selection import (
    choose_strategy,
    choose_table_placement,
)
from object2vec_tf.layers.table_placement import WHOLE_TABLES
from object2vec_tf.ragged.column import RaggedColumn
from object2vec_tf.training.batch_layout import make_execution
from object2vec_tf.training.loop import TrainingLoop

VOCABULARY = 40
# The last batch has 3 of 67 rows, so that one of several replicas may get none.
ROWS, BATCH, EPOCHS = 67, 16, 2
ROW_SPARSE = {"token_embedding_storage_type": "row_sparse"}
IN_BATCH = {"objective": "in_batch_softmax", "learn_temperature": True}
CASES = {
    "pooled": ROW_SPARSE | {"weight_decay": 0.01},
    "dense": {"optimizer": "adagrad", "num_classes": 2},
    "tied": ROW_SPARSE
    | {"tied_token_embedding_weight": True, "optimizer": "rowwise_adagrad"},
    # Adam would amplify the rounding of gradients that are 0, those of lone tokens.
    "token_weights": ROW_SPARSE
    | {"pooling": "weighted", "optimizer": "adagrad", "weight_decay": 0.01},
    "token_weights_tied": {
        "pooling": "weighted",
        "optimizer": "sgd",
        "tied_token_embedding_weight": True,
    },
    "negatives": ROW_SPARSE | {"negative_sampling_rate": 2},
    # A batch has fewer distinct objects, and not every pair as many as the others.
    "few_negatives": ROW_SPARSE | {"negative_sampling_rate": 14},
    "few_hard": {"negative_sampling_rate": 14, "negative_mining": "hard"},
    "known_negatives": ROW_SPARSE
    | {"negative_sampling_rate": 2, "negative_exclude_known": False},
    "hard": ROW_SPARSE | {"negative_sampling_rate": 2, "negative_mining": "hard"},
    "frequent": {"negative_sampling_rate": 3, "negative_frequency_power": 0.5},
    "in_batch": ROW_SPARSE
    | IN_BATCH
    | {"popularity_correction": True, "negative_sampling_rate": 1},
    "adam": ROW_SPARSE | {"optimizer": "adam", "learning_rate": 0.01},
    "adadelta": ROW_SPARSE | {"optimizer": "adadelta", "learning_rate": 1.0},
    "dense_adam": {"optimizer": "adam", "learning_rate": 0.01},
    "values": {"output_layer": "mean_squared_error", "optimizer": "rmsprop"},
    "small": {
        "output_layer": "mean_squared_error",
        "mlp_layers": 0,
        "negative_sampling_rate": 1,
    },
    "hcnn": {"enc0_network": "hcnn", "bucket_width": 2},
    "bilstm": ROW_SPARSE | {"enc0_network": "bilstm", "bucket_width": 3},
    "hcnn_tied": ROW_SPARSE
    | {"enc0_network": "hcnn", "tied_token_embedding_weight": True},
    "hcnn_tied_encoders": ROW_SPARSE
    | {
        "enc0_network": "hcnn",
        "tied_token_embedding_weight": True,
        "tied_encoders": True,
    },
    "mixed": ROW_SPARSE
    | {
        "enc0_network": "hcnn",
        "enc1_network": "pooled_embedding",
        "enc1_vocab_size": 40,
    }
    | {"enc1_max_seq_len": 5, "negative_sampling_rate": 2, "negative_mining": "hard"},
    "in_batch_tied": IN_BATCH | {"tied_token_embedding_weight": True},
    "frozen": {
        "enc0_pretrained_embedding_file": "any",  # the files are not read here
        "enc0_vocab_file": "any",
        "enc1_vocab_file": "any",
        "enc0_freeze_pretrained_embedding": True,
        "negative_sampling_rate": 1,
    },
    "frozen_part": ROW_SPARSE | {"negative_sampling_rate": 2, "weight_decay": 0.01},
    "pooled_dropout": ROW_SPARSE | {"dropout": 0.3, "mlp_layers": 0},
    "dropout": ROW_SPARSE | {"dropout": 0.3},
    # Without an MLP all layers are float32, so that only the scale of the loss differs.
    "loss_scaling": ROW_SPARSE | {"mlp_layers": 0, "weight_decay": 0.01},
    # Only the gradient of a single row overflows, so that the step is skipped.
    "overflow": ROW_SPARSE | {"mlp_layers": 0, "tied_token_embedding_weight": False},
    "weighted": ROW_SPARSE | IN_BATCH | {"negative_sampling_rate": 2},
}


def hyperparameters(case):
    return o2v.Hyperparameters(
        **{
            "enc0_network": "pooled_embedding",
            "enc0_max_seq_len": 5,
            "enc0_vocab_size": VOCABULARY,
            "enc0_token_embedding_dim": 8,
            "enc_dim": 8,
            "mlp_dim": 6,
            "mlp_activation": "tanh",
            "num_classes": 3,
            "mini_batch_size": BATCH,
            # Adam divides by the root of squared gradients, which amplifies rounding in
            # gradients near 0. With SGD, differences are real.
            "optimizer": "sgd",
            "learning_rate": 0.1,
            **CASES[case],
        }
    )


# Parts of the model that are frozen.
FROZEN = {"frozen_part": ["enc0"], "overflow": ["enc1", "comparator"]}


def pairs_of(settings, weighted, overflows=False):
    generator = np.random.default_rng(3)
    columns = [
        RaggedColumn.from_rows(
            [
                generator.integers(0, VOCABULARY, length).tolist()
                for length in generator.integers(0, 5, ROWS)
            ]
        )
        for _ in range(2)
    ]
    labels = generator.integers(0, 3, ROWS) % settings.num_classes
    if settings.output_layer == "mean_squared_error":
        labels = labels.astype(np.float32)
    weights = generator.uniform(0, 2, ROWS).astype(np.float32) if weighted else None
    if overflows:
        weights = np.ones(ROWS, np.float32)
        weights[np.flatnonzero(columns[0].lengths == 1)[0]] = 1e37
    report = Report((), {}, {}, (), {}, "")
    return Pairs(*columns, labels, settings, report, weights)


def weights_of(replicas):
    """Returns the trained variables of each replica, by name."""
    weights = {}
    for replica, model in enumerate(replicas.models):
        sharded = {id(table.variable): table for table in sharded_tables(model)}
        for variable in model.trainable_variables:
            values, name = variable.numpy(), variable.path
            if table := sharded.get(id(variable)):
                missing = np.full([table.rows, table.width], np.nan, np.float32)
                whole = weights.setdefault(f"replica 0 {name}", missing)
                whole[table.replica :: table.replicas] = values
            else:
                weights[f"replica {replica} {name}"] = values
    return weights


def train_case(case, strategy, layout="ragged"):
    """Trains a case; returns its metrics and weights by name."""
    settings = hyperparameters(case)
    pairs = pairs_of(settings, case in ("weighted", "few_hard"), case == "overflow")

    def build():
        frozen = FROZEN.get(case, [])
        is_scaled = case in ("loss_scaling", "overflow")
        dtype = "mixed_float16" if is_scaled else "float32"
        placement = WHOLE_TABLES
        if layout == "sharded":
            placement = choose_table_placement("sharded", strategy)
        model = o2v.Object2Vec(
            settings, seed=5, frozen=frozen, dtype=dtype, placement=placement
        )
        model.compile(steps_per_epoch=len(pairs.dataset(shuffle=True)))
        model.optimizer.build(model.trainable_variables)
        return model

    batches = "static" if layout == "static" else "ragged"
    replicas = Replicas(strategy, build, batches)
    execution = make_execution(batches, replicas, print)
    loop = TrainingLoop(execution, keras.callbacks.CallbackList([], model=None))
    results = {}
    for epoch in range(EPOCHS):
        shuffled = execution.batches(pairs, shuffle=True, seed=2, epoch=epoch)
        result = loop.train(shuffled)
        for name, value in result.metrics.items():
            results[f"train {epoch} {name}"] = value
    for name, value in loop.evaluate(execution.batches(pairs, 10)).items():
        results[f"validation {name}"] = value
    return results | weights_of(replicas)


def main(name, output, *cases):
    name, *options = name.split(":")
    layout = options.pop() if options and not options[-1].isdigit() else "ragged"
    if name == "mirrored":
        (count,) = options
        tf.config.set_logical_device_configuration(
            tf.config.list_physical_devices("CPU")[0],
            [tf.config.LogicalDeviceConfiguration()] * int(count),
        )
    strategy = choose_strategy(name)
    results = {}
    for case in cases or CASES:
        for key, value in train_case(case, strategy, layout).items():
            results[f"{case}: {key}"] = value
    if strategy.is_chief:
        np.savez(output, **results)
    strategy.barrier()


if __name__ == "__main__":
    main(*sys.argv[1:])
