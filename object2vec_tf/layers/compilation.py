"""Whether the ops that are being created will be compiled by XLA."""

from __future__ import annotations

import tensorflow as tf
from tensorflow.python.ops import control_flow_util


def under_xla() -> bool:
    """Returns whether ops are created in a function with ``jit_compile=True``.

    Example:
        >>> under_xla()
        False
        >>> bool(tf.function(lambda: under_xla(), jit_compile=True)())
        True
    """
    graph = tf.compat.v1.get_default_graph()
    return bool(control_flow_util.GraphOrParentsInXlaContext(graph))
