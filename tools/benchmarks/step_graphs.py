"""Counts what a training step does, for both layouts of batches.

    python -m tools.benchmarks.step_graphs

Needs no GPU. For the ragged layout, the graph is the one that TensorFlow runs after its
own optimizations, and `tools.benchmarks.gpu_placement` places its ops on a machine with
a GPU. For the static layout, the program is the one that XLA compiles for this CPU. On
a GPU, XLA makes other fusions, but about as many.
"""

from __future__ import annotations

import os
from typing import Any

# Replaces ops by ones that run on a CPU only.
os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"

import numpy as np
from absl import flags

from object2vec_tf.commands import runner
from object2vec_tf.data.pairs import Pairs, Report
from object2vec_tf.hyperparameters import Hyperparameters
from object2vec_tf.ragged.column import RaggedColumn
from tools.benchmarks import gpu_placement
from tools.benchmarks.training import compiled_model

ONLY = flags.DEFINE_string("only", "", "only configurations whose name contains this")

_BATCH = 16
_ROWS = 64
_NETWORKS: dict[str, dict[str, Any]] = {
    "pooled_embedding": {
        "enc0_network": "pooled_embedding",
        "token_embedding_storage_type": "row_sparse",
        "tied_token_embedding_weight": True,
    },
    "hcnn": {
        "enc0_network": "hcnn",
        "enc0_layers": 4,
        "enc0_token_embedding_dim": 16,
    },
    "bilstm": {"enc0_network": "bilstm", "enc0_token_embedding_dim": 16},
}
_OBJECTIVES: dict[str, dict[str, Any]] = {
    "softmax": {},
    "softmax, 5 negatives": {"negative_sampling_rate": 5},
    "mean_squared_error": {"output_layer": "mean_squared_error"},
    "in_batch_softmax": {"objective": "in_batch_softmax"},
}


def configurations() -> dict[str, Hyperparameters]:
    """Returns the hyperparameters of each row of the table."""
    return {
        f"{network}, {objective}": Hyperparameters(
            enc0_vocab_size=1_000,
            enc0_max_seq_len=20,
            enc_dim=32,
            mlp_dim=32,
            mini_batch_size=_BATCH,
            **settings,
            **more,
        )
        for network, settings in _NETWORKS.items()
        for objective, more in _OBJECTIVES.items()
    }


def make_pairs(hyperparameters: Hyperparameters) -> Pairs:
    """Returns random pairs."""
    generator = np.random.default_rng(0)

    def column() -> RaggedColumn:
        lengths = generator.integers(1, hyperparameters.enc0_max_seq_len + 1, _ROWS)
        values = generator.integers(0, 1_000, lengths.sum(), np.int32)
        return RaggedColumn(values, np.concatenate([[0], np.cumsum(lengths)]))

    real = hyperparameters.output_layer == "mean_squared_error"
    labels = generator.random(_ROWS, np.float32) if real else np.arange(_ROWS) % 2
    in0, in1 = column(), column()
    report = Report((), {}, {}, (), {}, "")
    return Pairs(in0, in1, labels, hyperparameters, report)


def ragged_placement(pairs: Pairs) -> gpu_placement.Placement:
    """Returns what the ragged step would do on a machine with a GPU."""
    import tensorflow as tf
    from tensorflow.python.eager import context

    model = compiled_model(pairs.hyperparameters)

    @tf.function(autograph=False)
    def step(iterator: Any) -> None:
        model.train_batch(iterator.get_next())

    context.context().enable_run_metadata()
    context.context().export_run_metadata()
    step(iter(pairs.dataset(shuffle=True)))
    metadata = context.context().export_run_metadata()
    context.context().disable_run_metadata()
    graphs = [g for f in metadata.function_graphs for g in f.partition_graphs]
    return gpu_placement.place(max(graphs, key=lambda graph: len(graph.node)).node)


def print_ragged() -> None:
    """Prints the table of the ragged layout."""
    columns = ["nodes", "kernels", "to host", "to GPU", "ops without a GPU kernel"]
    print(f"\n| ragged step | {' | '.join(columns)} |\n|---|---|---|---|---|---|")
    for name, hyperparameters in configurations().items():
        if ONLY.value in name:
            found = ragged_placement(make_pairs(hyperparameters))
            without = ", ".join(
                op if number == 1 else f"{number} {op}"
                for op, number in found.without_kernel.items()
            )
            print(
                f"| {name} | {found.nodes:,} | {found.launches} | {found.to_host} "
                f"| {found.to_device} | {without or 'none'} |",
                flush=True,
            )


def main() -> None:
    """Runs the command."""
    import tensorflow as tf

    tf.get_logger().setLevel("ERROR")  # each model is traced once, in a loop
    # Fusions of these optimizers differ between devices.
    tf.config.optimizer.set_experimental_options(
        {"remapping": False, "layout_optimizer": False}
    )
    print_ragged()


if __name__ == "__main__":
    runner.run(main)
