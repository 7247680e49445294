"""Sizes and hints of collectives; strategies_test.py tests their results."""

import pytest
import tensorflow as tf

from object2vec_tf.distributed.collectives import (
    Collectives,
    communication_hint,
    message_size,
    padded_size,
)
from tests.gpu_kernels import nodes_of

PREFIX = "/job:localhost/replica:0/task:0/device:"


@pytest.mark.parametrize("rows", [1, 2, 3, 31, 32, 33, 1000, 123_457, 3_000_000])
def test_padding_adds_less_than_a_fifth(rows):
    assert rows <= padded_size(rows) < 1.2 * rows + 1


@pytest.mark.parametrize(
    ("devices", "replicas", "expected"),
    [
        (["GPU:0", "GPU:1"], 2, "nccl"),
        (["CPU:0", "CPU:1"], 2, "auto"),
        (["GPU:0", "CPU:0"], 2, "auto"),
        (["GPU:0", "GPU:1"], 4, "auto"),  # another process has the others
        (["GPU:0"], 1, "auto"),
    ],
)
def test_nccl_is_for_the_gpus_of_one_process(devices, replicas, expected):
    names = [PREFIX + device for device in devices]

    assert communication_hint(names, replicas) == expected


@pytest.mark.parametrize("hint", ["auto", "nccl"])
def test_every_collective_op_has_the_hint(hint):
    collectives = Collectives(0, 2, "CPU:0", hint)

    @tf.function(autograph=False)
    def exchange(values):
        rows = collectives.all_reduce_rows(values)
        size = message_size(collectives.maximum(tf.constant(1)))
        return (
            collectives.all_reduce(values),
            collectives.all_gather_batch(rows, 4),
            collectives.all_to_all(values, size),
        )

    function = exchange.get_concrete_function(tf.TensorSpec([2, 3]))
    hints = [
        (node.op, node.attr["communication_hint"].s.decode())
        for node in nodes_of(function)
        if node.op.startswith("Collective")
    ]

    assert sorted(hints) == [
        ("CollectiveAllToAllV2", hint),
        ("CollectiveGatherV2", hint),
        *[("CollectiveReduceV2", hint)] * 3,
    ]
