"""Counts what a training step does, for both layouts of batches.

    python -m tools.benchmarks.step_graphs

Needs no GPU. For the ragged layout, the graph is the one that TensorFlow runs after its
own optimizations, and `tools.benchmarks.gpu_placement` places its ops on a machine with
a GPU. For the static layout, the program is the one that XLA compiles for this CPU. On
a GPU, XLA makes other fusions, mostly fewer.
"""

from __future__ import annotations

import os
from typing import Any

if __name__ == "__main__":  # before TensorFlow is imported
    # oneDNN replaces ops by ones that run on a CPU only.
    os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"

import numpy as np
from absl import flags

from object2vec_tf.commands import runner
from object2vec_tf.data.pairs import Pairs, Report
from object2vec_tf.distributed.replicas import Replicas
from object2vec_tf.distributed.strategies import SingleDevice
from object2vec_tf.hyperparameters import Hyperparameters
from object2vec_tf.ragged.column import RaggedColumn
from object2vec_tf.training.static_execution import ProgramKey, StaticExecution
from tools.benchmarks import gpu_placement, hlo_counts
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


def static_counts(pairs: Pairs) -> hlo_counts.HloCounts:
    """Returns what a step of the program does that XLA compiles for static batches."""
    import tensorflow as tf

    model = compiled_model(pairs.hyperparameters)
    execution = StaticExecution(Replicas(SingleDevice(), lambda: model))
    epoch = execution.batches(pairs, shuffle=True, seed=0, epoch=0)
    group = next(iter(epoch.groups))
    steps, size = group.vectors.shape
    program = execution.program(ProgramKey(group.shape, True, steps))
    compiled: Any = tf.function(lambda v: program(v), jit_compile=True, autograph=False)
    vectors = tf.zeros([steps, size], tf.uint32)
    hlo = compiled.experimental_get_compiler_ir(vectors)(stage="optimized_hlo")
    return hlo_counts.count(hlo)


def _ragged_cells(found: gpu_placement.Placement) -> list[str]:
    without = [
        op if number == 1 else f"{number} {op}"
        for op, number in found.without_kernel.items()
    ]
    numbers = [found.nodes, found.launches, found.to_host, found.to_device]
    return [*(f"{number:,}" for number in numbers), ", ".join(without) or "none"]


def _static_cells(found: hlo_counts.HloCounts) -> list[str]:
    numbers = [found.instructions, found.fusions, found.library_calls, found.loops]
    unknown = found.unknown_loops
    cells = [f"{number:,}" for number in numbers]
    return [*cells[:3], f"{cells[3]}, {unknown} unknown" if unknown else cells[3]]


def print_table() -> None:
    """Prints the table."""
    ragged = ["nodes", "kernels", "to host", "to GPU", "ops on the CPU"]
    static = ["instructions", "fusions", "products", "loops"]
    columns = [f"ragged: {c}" for c in ragged] + [f"static: {c}" for c in static]
    print(f"\n| step | {' | '.join(columns)} |\n|{'---|' * (len(columns) + 1)}")
    for name, hyperparameters in configurations().items():
        if ONLY.value in name:
            pairs = make_pairs(hyperparameters)
            cells = _ragged_cells(ragged_placement(pairs))
            cells += _static_cells(static_counts(pairs))
            print(f"| {name} | {' | '.join(cells)} |", flush=True)


def main() -> None:
    """Runs the command."""
    import tensorflow as tf

    tf.get_logger().setLevel("ERROR")  # each model is traced once, in a loop
    # Fusions of these optimizers differ between devices.
    tf.config.optimizer.set_experimental_options(
        {"remapping": False, "layout_optimizer": False}
    )
    print_table()


if __name__ == "__main__":
    runner.run(main)
