"""Which ops of a graph have a kernel for GPUs, by the registry of TensorFlow's ops.

A wheel of TensorFlow with CUDA registers its kernels on machines without a GPU too.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from typing import Any

import tensorflow as tf
from tensorflow.core.framework import kernel_def_pb2, node_def_pb2
from tensorflow.python.framework import kernels

OF_GPUS = frozenset({"GPU", "DEFAULT"})
# Ops that XLA compiles for GPUs; TensorFlow registers them when it first uses XLA.
OF_XLA = frozenset({"XLA_GPU_JIT"})


def has_gpu_kernels() -> bool:
    """Returns whether this TensorFlow has kernels for GPUs at all."""
    return bool(_kernels("MatMul", OF_GPUS))


def nodes_of(function: Any) -> Iterator[node_def_pb2.NodeDef]:
    """Yields the nodes of a concrete function and of all functions that it calls."""
    graph = function.graph.as_graph_def(add_shapes=False)
    yield from graph.node
    for library_function in graph.library.function:
        yield from library_function.node_def


def without_gpu_kernel(
    functions: Iterable[Any],
    host_ops: Iterable[str] = (),
    devices: frozenset[str] = OF_GPUS,
) -> dict[str, set[str]]:
    """Returns the ops that have to run on the host though nothing places them there.

    Args:
        functions: Concrete functions.
        host_ops: Ops that may run on the host.
        devices: The types of devices whose kernels count.

    Returns:
        The values of each op's attributes that no kernel for GPUs has.
    """
    missing: dict[str, set[str]] = {}
    allowed = set(host_ops)
    for function in functions:
        for node in nodes_of(function):
            if node.op in allowed or "CPU" in node.device:
                continue
            if not any(_fits(node, kernel) for kernel in _kernels(node.op, devices)):
                missing.setdefault(node.op, set()).add(_types(node))
    return missing


@functools.cache
def _kernels(op: str, devices: frozenset[str]) -> list[kernel_def_pb2.KernelDef]:
    registered = kernels.get_registered_kernels_for_op(op).kernel
    return [kernel for kernel in registered if kernel.device_type in devices]


def _fits(node: node_def_pb2.NodeDef, kernel: kernel_def_pb2.KernelDef) -> bool:
    return all(
        _is_allowed(node.attr[constraint.name], constraint.allowed_values.list)
        for constraint in kernel.constraint
    )


def _is_allowed(value: Any, allowed: Any) -> bool:
    if value.HasField("s"):
        return value.s in allowed.s
    types = value.list.type if value.HasField("list") else [value.type]
    return set(types) <= set(allowed.type)


def _types(node: node_def_pb2.NodeDef) -> str:
    return ", ".join(
        f"{name}={tf.dtypes.as_dtype(value.type).name}"
        for name, value in sorted(node.attr.items())
        if value.HasField("type")
    )
