"""ONNX graphs that compute the same as the SavedModel's signatures.

They are built operator by operator from the weights. tf2onnx 1.17 cannot be used: it
converts the two directions of a bilstm to one LSTM over the padded row, so that the
results are wrong, without an error, for every row shorter than its batch's longest.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper
from onnx.external_data_helper import set_external_data

from object2vec_tf.inference.ragged_inputs import PADDING
from object2vec_tf.model.builders import token_embedding_of, token_weights_of
from object2vec_tf.model.object2vec import Object2Vec

# The file with the weights of all graphs, in the same directory.
WEIGHTS = "weights.bin"

# Opset 18 and its intermediate representation: onnxruntime 1.14 and later.
_OPSET = 18
_IR_VERSION = 8

# Tensors start at multiples of the page size, so that they can be memory-mapped.
_PAGE_BYTES = 4096

# Keras orders an LSTM's gates input, forget, cell, output. This is ONNX's order:
# input, output, forget, cell.
_GATE_ORDER = (0, 3, 1, 2)

_value_info = helper.make_tensor_value_info

_ACTIVATIONS = {"tanh": "Tanh", "relu": "Relu"}


class _Weights:
    """The file of weights, each of which is stored once for all graphs.

    Args:
        file: The empty file, open for writing.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._tensors: dict[str, TensorProto] = {}

    def store(self, name: str, values: npt.NDArray[np.float32]) -> TensorProto:
        """Returns the tensor of this name; the first call writes its values."""
        if name not in self._tensors:
            offset = -(-self._file.tell() // _PAGE_BYTES) * _PAGE_BYTES
            self._file.seek(offset)
            self._file.write(np.ascontiguousarray(values, "<f4").data)
            tensor = TensorProto(
                name=name, data_type=TensorProto.FLOAT, dims=values.shape, raw_data=b""
            )
            set_external_data(tensor, WEIGHTS, offset, 4 * values.size)
            tensor.ClearField("raw_data")
            self._tensors[name] = tensor
        return self._tensors[name]


class _Graph:
    """Builds a graph.

    Args:
        weights: Stores its weights.
    """

    def __init__(self, weights: _Weights) -> None:
        self._weights = weights
        self._nodes: list[onnx.NodeProto] = []
        self._initializers: dict[str, TensorProto] = {}
        self._numbers = itertools.count()

    def __call__(self, operator: str, *inputs: Any, **attributes: Any) -> str:
        """Adds a node and returns the name of its first output.

        Args:
            operator: Name of an ONNX operator.
            *inputs: Names of values; numbers and lists of numbers become int64 or
                float32 constants; "" omits an optional input.
            **attributes: The operator's attributes.
        """
        names = [x if isinstance(x, str) else self._constant(x) for x in inputs]
        output = f"{operator}_{next(self._numbers)}"
        outputs = [output] if operator != "TopK" else [output, f"{output}_indices"]
        self._nodes.append(helper.make_node(operator, names, outputs, **attributes))
        return output

    def _constant(self, value: Any) -> str:
        array = np.asarray(value)
        array = array.astype(np.float32 if array.dtype.kind == "f" else np.int64)
        name = f"constant_{next(self._numbers)}"
        self._initializers[name] = onnx.numpy_helper.from_array(array, name)
        return name

    def weight(self, name: str, values: Any) -> str:
        """Adds a weight and returns its name.

        All graphs that use the name share the values of its first use.
        """
        self._initializers[name] = self._weights.store(name, np.asarray(values))
        return name

    def save(
        self, path: Path, inputs: Iterable[str], output: str, name: str, width: int
    ) -> None:
        """Writes the graph.

        Args:
            path: The file.
            inputs: Names of the inputs, int64 ``[batch, time]``.
            output: The value to return, float32 ``[batch, width]``.
            name: The name of the output.
            width: The width of the output.
        """
        self._nodes.append(helper.make_node("Identity", [output], [name]))
        graph = helper.make_graph(
            self._nodes,
            path.stem,
            [_value_info(x, TensorProto.INT64, ["batch", f"time_{x}"]) for x in inputs],
            [_value_info(name, TensorProto.FLOAT, ["batch", width])],
            list(self._initializers.values()),
        )
        model = helper.make_model(
            graph,
            producer_name="object2vec_tf",
            ir_version=_IR_VERSION,
            opset_imports=[helper.make_opsetid("", _OPSET)],
        )
        path.write_bytes(model.SerializeToString())


def write_onnx(model: Object2Vec, directory: Path) -> None:
    """Writes embed_enc0.onnx, embed_enc1.onnx, predict_pair.onnx and their weights.

    Inputs are int64 ``[batch, time]``; -1 is dropped at any position. ``embeddings``
    are float32 ``[batch, enc_dim]``, ``scores`` float32 ``[batch, num_classes]`` or
    ``[batch, 1]``. An id out of range is an error on onnxruntime's CPU provider, unless
    it comes after the first ``max_seq_len`` ids of its row.

    Args:
        model: The model.
        directory: An existing directory, where the graphs find their weights.
    """
    hp = model.hyperparameters
    with (directory / WEIGHTS).open("wb") as file:
        weights = _Weights(file)
        for encoder in (0, 1):
            graph = _Graph(weights)
            encoding = _encoding(graph, model, encoder)
            path = directory / f"embed_enc{encoder}.onnx"
            graph.save(path, [f"in{encoder}"], encoding, "embeddings", hp.enc_dim)
        graph = _Graph(weights)
        scores = _scores(graph, model, *(_encoding(graph, model, i) for i in (0, 1)))
        path = directory / "predict_pair.onnx"
        graph.save(path, ["in0", "in1"], scores, "scores", hp.output_dim)


def _encoding(graph: _Graph, model: Object2Vec, encoder: int) -> str:
    """Adds encoder 0 or 1; returns its output, ``[batch, enc_dim]``."""
    network = (model.enc0, model.enc1)[encoder]
    kind = model.hyperparameters.network(encoder)
    max_len = model.hyperparameters.of_encoder(encoder, "max_seq_len")
    batch = graph("Shape", f"in{encoder}", end=1)
    ids = _compact(graph, f"in{encoder}", batch, max_len)
    valid = graph("Not", graph("Equal", ids, PADDING))
    table = token_embedding_of(network)
    # Gather reads negative ids from the end of the table. That is harmless for padding,
    # which is masked; all other negative ids are moved out of Gather's range.
    invalid = graph("Sub", ids, table.vocab_size)
    rows = graph("Where", graph("Less", ids, PADDING), invalid, ids)
    weights = graph.weight(f"{table.name}/embeddings", table.embeddings)
    vectors = graph("Gather", weights, rows)
    layer = network.get_layer(kind)
    if kind != "pooled_embedding":
        encoded = _ENCODERS[kind](graph, layer, f"enc{encoder}", vectors, valid)
    else:
        # A product with ones and zeros reads the vectors once, without a masked copy.
        cells = graph("Cast", valid, to=TensorProto.FLOAT)
        if layer.repeated_tokens == "log":
            cells = graph("Mul", cells, _logarithmic_factors(graph, ids))
        counted = cells
        if of_tokens := token_weights_of(network):
            values = np.exp(of_tokens.table.values())[:, 0]
            stored = graph.weight(f"{of_tokens.name}/weights", values)
            of_cells = graph("Gather", stored, rows)
            cells = counted = graph("Mul", cells, of_cells)
            if of_tokens.squares:
                counted = graph("Mul", cells, of_cells)
        encoded = _pooled(graph, layer, vectors, cells, counted)
    return graph("Slice", encoded, [0], batch, [0])


def _compact(graph: _Graph, ids: str, batch: str, max_len: int) -> str:
    """Adds the removal of padding inside rows; returns ids ``[batch, time]``.

    Each row's tokens are kept in their order, truncated at ``max_len`` and padded at
    the end. Batch and time are at least 1: onnxruntime's LSTM crashes on an empty
    batch, so one row is added to it, which the caller slices off.
    """
    missing = graph("Sub", [1], graph("Min", batch, [1]))
    ids = graph("Pad", ids, graph("Concat", [0, 0], missing, [1], axis=0), PADDING)
    is_token = graph("Not", graph("Equal", ids, PADDING))
    # Dropped ids sort after all tokens, and are read from the last column, which the
    # Pad above filled with padding.
    last = graph("Sub", graph("Shape", ids, start=1), [1])
    positions = graph("Range", 0, graph("Add", graph("Squeeze", last), 1), 1)
    lengths = graph("ReduceSum", graph("Cast", is_token, to=TensorProto.INT64), [1])
    longest = graph("ReduceMax", lengths, [0, 1], keepdims=0)
    time = graph("Max", graph("Min", longest, [max_len]), [1])
    keys = graph("Where", is_token, positions, last)
    order = graph("TopK", keys, time, largest=0)
    return graph("GatherElements", ids, order, axis=1)


def _logarithmic_factors(graph: _Graph, ids: str) -> str:
    """Adds the factors that make n equal ids of a row count 1 + log n; see the layer.

    Args:
        graph: The graph.
        ids: int64 ``[batch, time]``; the factors of padding have no meaning.

    Returns:
        float32 ``[batch, time]``.
    """
    # Comparing all pairs of tokens would take memory and time that grow with their
    # square. Equal ids of a sorted row form a run; runs are numbered over all rows.
    ordered = graph("TopK", ids, graph("Shape", ids, start=1), axis=1)
    previous = graph("Slice", ordered, [0], [-1], [1])
    previous = graph("Pad", previous, [0, 1, 0, 0], PADDING - 1)
    starts = graph("Not", graph("Equal", ordered, previous))
    starts = graph("Reshape", graph("Cast", starts, to=TensorProto.INT64), [-1])
    run = graph("Sub", graph("CumSum", starts, 0), 1)
    zeros, ones = (graph("Expand", [x], graph("Shape", run)) for x in (0.0, 1.0))
    counts = graph("ScatterElements", zeros, run, ones, reduction="add")
    count = graph("Reshape", graph("Gather", counts, run), graph("Shape", ids))
    factors = graph("Div", graph("Add", graph("Log", count), 1.0), count)
    return graph("ScatterElements", factors, f"{ordered}_indices", factors, axis=1)


def _pooled(graph: _Graph, layer: Any, vectors: str, cells: str, counted: str) -> str:
    """Adds a pooled encoder.

    Args:
        graph: The graph.
        layer: The layer.
        vectors: Vectors of the cells, float32 ``[batch, time, dim]``.
        cells: The factor of each vector, float32 ``[batch, time]``; 0 for padding.
        counted: What each cell adds to the divisor, float32 ``[batch, time]``.
    """
    steps = graph("Unsqueeze", cells, [1])
    total = graph("Squeeze", graph("MatMul", steps, vectors), [1])
    count = graph("ReduceSum", counted, [1])
    if layer.has_weights:
        # Without a token, 0 is divided by 1.
        divisor = graph("Where", graph("Equal", count, 0.0), 1.0, count)
    else:
        divisor = graph("Max", count, 1.0)
    if layer.pooling in ("sqrtn", "weighted_sqrtn"):
        divisor = graph("Sqrt", divisor)
    return graph("Div", total, divisor)


def _hcnn(graph: _Graph, layer: Any, prefix: str, vectors: str, valid: str) -> str:
    before, after = (layer.filter_width - 1) // 2, layer.filter_width // 2
    mask = graph("Unsqueeze", valid, [1])
    steps = graph("Transpose", vectors, perm=[0, 2, 1])
    maxima = []
    for convolution in layer.convolutions:
        name = f"{prefix}/{convolution.name}"
        kernel = np.asarray(convolution.kernel).transpose(2, 1, 0)
        steps = graph(
            "Conv",
            graph("Where", mask, steps, 0.0),
            graph.weight(f"{name}/kernel", kernel),
            graph.weight(f"{name}/bias", convolution.bias),
            pads=[before, after],
        )
        steps = graph("Relu", steps)
        maxima.append(graph("ReduceMax", graph("Where", mask, steps, 0.0), [2]))
    return graph("Squeeze", graph("Concat", *maxima, axis=1), [2])


def _bilstm(graph: _Graph, layer: Any, prefix: str, vectors: str, valid: str) -> str:
    ones = graph("Cast", valid, to=TensorProto.INT64)
    lengths = graph("ReduceSum", ones, [1], keepdims=0)
    sequence_lens = graph("Cast", graph("Max", lengths, [1]), to=TensorProto.INT32)
    steps = graph("Transpose", vectors, perm=[1, 0, 2])
    for pair in zip(layer.forward, layer.backward, strict=True):
        cells = [direction.cell for direction in pair]
        # ONNX has biases for the inputs and for the state; Keras has the first only.
        biases = [np.pad(_gates(x.bias), (0, 4 * x.units)) for x in cells]
        weights = {
            "kernels": [_gates(x.kernel) for x in cells],
            "recurrent_kernels": [_gates(x.recurrent_kernel) for x in cells],
            "biases": biases,
        }
        name = f"{prefix}/{pair[0].name}_{pair[1].name}"
        steps = graph(
            "LSTM",
            steps,
            *(graph.weight(f"{name}/{x}", np.stack(y)) for x, y in weights.items()),
            sequence_lens,
            direction="bidirectional",
            hidden_size=layer.dim // 2,
        )
        steps = graph("Transpose", steps, perm=[0, 2, 1, 3])
        steps = graph("Reshape", steps, [0, 0, layer.dim])
    mask = graph("Unsqueeze", graph("Transpose", valid, perm=[1, 0]), [2])
    steps = graph("Where", mask, steps, float(np.finfo(np.float32).min))
    highest = graph("ReduceMax", steps, [0], keepdims=0)
    not_empty = graph("Unsqueeze", graph("Cast", lengths, to=TensorProto.BOOL), [1])
    return graph("Where", not_empty, highest, 0.0)


_ENCODERS = {"hcnn": _hcnn, "bilstm": _bilstm}


def _gates(weight: Any) -> npt.NDArray[np.float32]:
    """Returns an LSTM's weight with the gates on the first axis, in ONNX's order."""
    parts = np.split(np.asarray(weight).T, 4)
    return np.concatenate([parts[gate] for gate in _GATE_ORDER])


def _scores(graph: _Graph, model: Object2Vec, first: str, second: str) -> str:
    """Adds the comparator; returns the scores, ``[batch, output_dim]``."""
    hyperparameters = model.hyperparameters
    parts = {
        "hadamard": lambda: [graph("Mul", first, second)],
        "concat": lambda: [first, second],
        "abs_diff": lambda: [graph("Abs", graph("Sub", first, second))],
    }
    compared = [part for name in hyperparameters.operators for part in parts[name]()]
    hidden = graph("Concat", *compared, axis=1)
    activation = _ACTIVATIONS.get(hyperparameters.mlp_activation)
    for layer in range(hyperparameters.mlp_layers):
        hidden = _dense(graph, model, f"mlp_{layer}", hidden)
        if activation:
            hidden = graph(activation, hidden)
    scores = _dense(graph, model, "output", hidden)
    softmax = hyperparameters.output_layer == "softmax"
    return graph("Softmax", scores) if softmax else scores


def _dense(graph: _Graph, model: Object2Vec, name: str, values: str) -> str:
    layer = model.comparator.get_layer(name)
    kernel = graph.weight(f"{name}/kernel", layer.kernel)
    return graph("Gemm", values, kernel, graph.weight(f"{name}/bias", layer.bias))
