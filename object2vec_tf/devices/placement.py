"""Where ops run: on the host, or on a GPU if one is visible."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import tensorflow as tf


def gpu_is_visible() -> bool:
    """Returns whether TensorFlow can place ops on a GPU.

    The first call starts TensorFlow's devices: `select_device` must come before it.
    """
    return bool(tf.config.list_logical_devices("GPU"))


@contextmanager
def on_host() -> Iterator[None]:
    """Places TensorFlow's ops on the CPU; a context, or a decorator of a function.

    Token ids, row splits and strings come from the host, where ops on them take
    microseconds. Many of these ops have no kernel for GPUs (``UniqueV2``, ``Pad`` of
    int64, all ops on strings), so that a GPU would have to copy their inputs back and
    wait. A saved graph keeps the placement.
    """
    with tf.device("CPU:0"):
        yield


@contextmanager
def in_full_precision() -> Iterator[None]:
    """Lets products and convolutions keep all bits of float32; a context or decorator.

    By default, TensorFlow rounds their inputs to 10 bits (TF32) on recent GPUs, which
    changes each by at most 2^-11 of its value. On a CPU this changes nothing.
    """
    before = tf.config.experimental.tensor_float_32_execution_enabled()
    tf.config.experimental.enable_tensor_float_32_execution(False)
    try:
        yield
    finally:
        tf.config.experimental.enable_tensor_float_32_execution(before)
