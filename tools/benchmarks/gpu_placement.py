"""Where TensorFlow would place the ops of a graph on a machine with one GPU.

Works without a GPU: TensorFlow registers the kernels for GPUs at import, with the
arguments that they expect in host memory. An op without a matching kernel runs on the
CPU. The rules are those of TensorFlow's placer (placer.cc, memory_types.cc), except
that colocation constraints are ignored.
"""

from __future__ import annotations

import collections
import dataclasses
import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

# Kernels of these device types can run on a GPU.
_GPU_TYPES = ("GPU", "DEFAULT")
# Iterators of input pipelines are on the CPU, although the ops have GPU kernels.
_CPU_OPS = frozenset({"IteratorGetNext", "IteratorV2", "MakeIterator"})
# Placed with their input, since they read its shape only.
_METADATA_OPS = frozenset({"Shape", "ShapeN", "Size", "Rank"})
# Joined ops, which TensorFlow makes on a CPU only, and an op with the same types.
_JOINED_ON_CPU = {"_UnaryOpsComposition": "Tanh"}
# Always in host memory.
_HOST_TYPES = frozenset({"string", "resource"})
# Ops of the graph that launch no kernel.
_WITHOUT_LAUNCH = frozenset(
    {
        *("_Arg", "_Retval", "Const", "Identity", "IdentityN", "NoOp", "VarHandleOp"),
        *("ReadVariableOp", "Reshape", "ExpandDims", "Squeeze", "StopGradient"),
        *("Switch", "Merge", "Enter", "Exit", "NextIteration", "LoopCond"),
        *("EnsureShape", "Bitcast", "PreventGradient", "DestroyResourceOp", "Assert"),
        *("ControlTrigger", "Snapshot", "PlaceholderWithDefault", "Placeholder"),
    }
)


@dataclasses.dataclass(frozen=True)
class Placement:
    """What a graph would do on a machine with one GPU.

    Attributes:
        nodes: Number of nodes.
        launches: Nodes that start at least one kernel on the GPU.
        without_kernel: Number of nodes by op that run on the CPU, because the op has no
            GPU kernel for its types.
        to_host: Tensors that are copied from the GPU to the host. Each makes the host
            wait for the GPU.
        to_device: Tensors that are copied from the host to the GPU; constants, which
            are copied once, are not counted.
    """

    nodes: int
    launches: int
    without_kernel: Mapping[str, int]
    to_host: int
    to_device: int


@functools.cache
def _kernels(op: str) -> tuple[Any, ...]:
    from tensorflow.python.framework import kernels

    found = kernels.get_registered_kernels_for_op(op).kernel
    return tuple(k for k in found if k.device_type in _GPU_TYPES and not k.label)


def _attribute_types(node: Any, name: str) -> list[int]:
    value = node.attr[name]
    return list(value.list.type) if value.HasField("list") else [value.type]


def gpu_kernel(node: Any) -> Any:
    """Returns the kernel that runs a node on a GPU, or None.

    Args:
        node: A ``NodeDef`` with all attributes that kernels depend on.
    """
    for kernel in sorted(_kernels(node.op), key=lambda k: k.device_type != "GPU"):
        if all(
            wanted in constraint.allowed_values.list.type
            for constraint in kernel.constraint
            for wanted in _attribute_types(node, constraint.name)
        ):
            return kernel
    return None


@functools.cache
def _definition(op: str) -> Any:
    from tensorflow.python.framework import op_def_registry

    return op_def_registry.get(op)


def _arguments(node: Any, outputs: bool) -> list[tuple[str, str]]:
    """Returns the argument name and the type of each input or output of a node."""
    import tensorflow as tf

    definition = _definition(node.op)
    found = []
    for argument in definition.output_arg if outputs else definition.input_arg:
        if argument.type_list_attr:
            types = _attribute_types(node, argument.type_list_attr)
        else:
            one = argument.type or node.attr[argument.type_attr].type
            count = node.attr[argument.number_attr].i if argument.number_attr else 1
            types = [one] * count
        found += [(argument.name, tf.dtypes.as_dtype(type_).name) for type_ in types]
    return found


def _on_host(node: Any, kernel: Any, outputs: bool) -> list[bool]:
    """Returns which inputs or outputs of a node are in host memory."""
    arguments = _arguments(node, outputs)
    if kernel is None:
        return [True] * len(arguments)
    host = set(kernel.host_memory_arg)
    return [name in host or type_ in _HOST_TYPES for name, type_ in arguments]


def _inputs(node: Any) -> Iterator[tuple[str, int]]:
    for text in node.input:
        if not text.startswith("^"):
            name, _, index = text.partition(":")
            yield name, int(index or 0)


def place(nodes: Sequence[Any]) -> Placement:
    """Returns what a graph would do on a machine with one GPU.

    Args:
        nodes: The ``NodeDef`` of a graph without function calls, such as a partition
            graph that TensorFlow ran.

    Example:
        >>> import tensorflow as tf
        >>> graph = tf.Graph()
        >>> with graph.as_default():
        ...     x = tf.compat.v1.placeholder(tf.float32, [9])
        ...     y = tf.raw_ops.UniqueV2(x=x * 2, axis=[0]).y + 1
        >>> placement = place(graph.as_graph_def().node)
        >>> placement.without_kernel, placement.to_host, placement.to_device
        ({'UniqueV2': 1}, 1, 1)
    """
    nodes = [_as_on_gpu(node) for node in nodes]
    by_name = {node.name: node for node in nodes}
    kernels = {node.name: _kernel_of(node) for node in nodes}
    for node in nodes:
        if node.op in _METADATA_OPS and kernels[node.name] is not None:
            read = [kernels.get(name) for name, _ in _inputs(node)]
            if read and read[0] is None:
                kernels[node.name] = None
    to_host: set[tuple[str, int]] = set()
    to_device: set[tuple[str, int]] = set()
    hosts = {
        node.name: _on_host(node, kernels[node.name], outputs=True) for node in nodes
    }
    for node in nodes:
        wanted = _on_host(node, kernels[node.name], outputs=False)
        for (source, index), host in zip(_inputs(node), wanted, strict=True):
            if by_name[source].op == "Const" or hosts[source][index] == host:
                continue
            (to_host if host else to_device).add((source, index))
    without = collections.Counter(
        node.op
        for node in nodes
        if kernels[node.name] is None
        and _kernel_of(node) is None
        and node.op not in _CPU_OPS
    )
    launches = sum(
        kernels[node.name] is not None
        and node.op not in _WITHOUT_LAUNCH
        and not (hosts[node.name] and all(hosts[node.name]))
        for node in nodes
    )
    return Placement(
        len(nodes), launches, dict(without.most_common()), len(to_host), len(to_device)
    )


def _as_on_gpu(node: Any) -> Any:
    """Returns the node that a GPU would get instead of a node for the CPU."""
    if node.op not in _JOINED_ON_CPU:
        return node
    copy = type(node)()
    copy.CopyFrom(node)
    copy.op = _JOINED_ON_CPU[node.op]
    return copy


def _kernel_of(node: Any) -> Any:
    return None if node.op in _CPU_OPS else gpu_kernel(node)
