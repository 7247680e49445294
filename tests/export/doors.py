"""The doors of a model: all ways in which it takes objects, with their results.

Each door of `Doors` takes objects as JSON has them, with -1, single ids, too many ids
or none, and returns embeddings of one side or scores of pairs.
"""

import asyncio
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import tensorflow as tf

import object2vec_tf as o2v
from export import export_saved_model
from export.onnx_model import export_onnx
from export.serving.http_app import Gateway
from export.serving.local_backend import LocalBackend
from object2vec_tf.bulk.answer_options import PLAIN
from object2vec_tf.bulk.file_jobs import writer_for
from object2vec_tf.bulk.predict_split import write_predictions
from object2vec_tf.inference.file_splits import FileSplit
from object2vec_tf.inference.onnx_predictor import OnnxPredictor
from object2vec_tf.inference.predictor import SavedModelPredictor
from object2vec_tf.search.embedding_lines import embed_file

NAMES = ("in0", "in1")
SIGNATURES = {"in0": "embed_enc0", "in1": "embed_enc1"}


# The rule, as the documentation states it.


def clean(row, max_len):
    """An object without padding, cut at its maximum length."""
    ids = row if isinstance(row, list) else [row]
    return [int(i) for i in ids if i != -1][:max_len]


def expected(model, rows):
    """Embeddings and scores: in numpy, or by Keras from each clean object alone."""
    hp = model.hyperparameters
    max_lens = (hp.enc0_max_seq_len, hp.of_encoder(1, "max_seq_len"))
    cleaned = [
        [clean(r, n) for r in rows[x]] for x, n in zip(NAMES, max_lens, strict=True)
    ]
    if all(hp.network(i) == "pooled_embedding" for i in (0, 1)):
        embeddings = [
            np.stack([pooled(model, side, row) for row in cleaned[side]])
            for side in (0, 1)
        ]
        return {
            **dict(zip(NAMES, embeddings, strict=True)),
            "scores": mlp(model, *embeddings),
        }
    embeddings = [
        np.concatenate([encoder(ragged([row])) for row in cleaned[side]])
        for side, encoder in enumerate((model.enc0, model.enc1))
    ]
    scores = [
        model.comparator([e0[None], e1[None]])
        for e0, e1 in zip(*embeddings, strict=True)
    ]
    return {
        **dict(zip(NAMES, embeddings, strict=True)),
        "scores": np.concatenate(scores),
    }


def pooled(model, side, row):
    hp = model.hyperparameters
    name = (
        "token_embedding"
        if hp.tied_token_embedding_weight
        else f"token_embedding{side}"
    )
    table = (model.enc0, model.enc1)[side].get_layer(name).embeddings.numpy()
    tokens, counts = np.unique(np.array(row, np.int64), return_counts=True)
    if hp.repeated_tokens == "log":
        counts = 1 + np.log(counts)
    total = counts @ table[tokens].astype(np.float64)
    if hp.pooling in ("weighted", "weighted_sqrtn"):
        weights = np.float64(model.token_weights(side)[tokens])
        total = (counts * weights) @ table[tokens]
        if hp.pooling == "weighted":
            return total / (counts @ weights or 1)
        return total / (np.sqrt(counts @ weights**2) or 1)
    count = max(counts.sum(), 1)
    return total / (np.sqrt(count) if hp.pooling == "sqrtn" else count)


def mlp(model, first, second):
    hp = model.hyperparameters
    parts = {
        "hadamard": [first * second],
        "concat": [first, second],
        "abs_diff": [np.abs(first - second)],
    }
    hidden = np.concatenate([p for o in hp.operators for p in parts[o]], axis=1)
    activations = {
        "tanh": np.tanh,
        "relu": lambda x: np.maximum(x, 0),
        "linear": lambda x: x,
    }
    for i in range(hp.mlp_layers):
        layer = model.comparator.get_layer(f"mlp_{i}")
        hidden = activations[hp.mlp_activation](
            hidden @ layer.kernel.numpy() + layer.bias.numpy()
        )
    layer = model.comparator.get_layer("output")
    logits = hidden @ layer.kernel.numpy() + layer.bias.numpy()
    if hp.output_layer != "softmax":
        return logits
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


# Forms of the objects of one side.


def lists(rows):
    return [row if isinstance(row, list) else [row] for row in rows]


def padded(rows, dtype=np.int64):
    rows = lists(rows)
    dense = np.full((len(rows), max(1, *map(len, rows))), -1, dtype)
    for number, row in enumerate(rows):
        dense[number, : len(row)] = row
    return dense


def ragged(rows, dtype=tf.int64, splits=tf.int64):
    lengths = tf.constant([len(row) for row in lists(rows)], splits)
    values = tf.constant([i for row in lists(rows) for i in row], dtype)
    return tf.RaggedTensor.from_row_lengths(values, lengths)


def objects(rows):
    array = np.empty(len(rows), object)
    array[:] = [np.array(row, np.float64) for row in lists(rows)]
    return array


FORMS = {
    "rows": list,
    "tuples": lambda rows: tuple(map(tuple, lists(rows))),
    "floats": lambda rows: [[float(i) for i in row] for row in lists(rows)],
    "array": padded,
    "float array": lambda rows: padded(rows, np.float32),
    "object array": objects,
    "tensor": lambda rows: tf.constant(padded(rows, np.int32)),
    "ragged": ragged,
    "ragged int32": lambda rows: ragged(rows, tf.int32, tf.int32),
}


GRAPHS = {
    "array": tf.TensorSpec([None, None], tf.int64),
    "float array": tf.TensorSpec([None, None], tf.float32),
    "ragged int32": tf.RaggedTensorSpec([None, None], tf.int32, 1, tf.int32),
}


class Doors:
    """The doors of a model, which is exported once.

    Args:
        model: The model.
        directory: An empty directory.
        path: The exported model; by default, the model gets random weights and is
            exported.
        everything: Whether to use all forms of objects at the doors that are slow.
    """

    def __init__(self, model, directory, path=None, everything=True):
        self.model = model
        self.directory = directory
        self.everything = everything
        if path is None:
            draw_weights(model, np.random.default_rng(0))
            path = export_saved_model(model, directory / "saved")
        self.predictor = SavedModelPredictor(path)
        self.session = Session(path, floats(self.predictor._module._model_variables))
        graphs = GRAPHS if everything else {"ragged int32": GRAPHS["ragged int32"]}
        self._graphs = {form: self._graph(spec) for form, spec in graphs.items()}
        self._number = 0

    def set_weights(self, random):
        """Draws all weights, those of the exported model too."""
        draw_weights(self.model, random)
        exported = self.predictor._module._model_variables
        for ours, theirs in zip(self.model.variables, exported, strict=True):
            theirs.assign(ours.numpy())
        self.session.assign(floats(exported))

    def results(self, rows):
        """Yields (door, kind, values): kind is in0, in1 or scores."""
        yield from self.keras(rows)
        yield from self.signatures(rows)
        yield from self.files(rows)
        yield from self.gateway(rows)
        yield from self.onnx_graphs(rows)

    def _graph(self, spec):
        model = self.model

        @tf.function(input_signature=[spec, spec], autograph=False)
        def graph(in0, in1):
            return model((in0, in1)), model.enc0(in0), model.enc1(in1)

        return graph

    def keras(self, rows):
        model, (in0, in1) = self.model, (rows[name] for name in NAMES)
        for form, convert in FORMS.items():
            pair = convert(in0), convert(in1)
            yield f"call, {form}", "scores", model(pair)
            if self.everything:
                values = model.predict_on_batch([*pair])
                yield f"predict_on_batch, {form}", "scores", values
            for name, encoder, side in zip(
                NAMES, (model.enc0, model.enc1), pair, strict=True
            ):
                yield f"encoder, {form}", name, encoder(side)
        for form, graph in self._graphs.items():
            pair = FORMS[form](in0), FORMS[form](in1)
            scores, *embeddings = graph(*pair)
            yield f"graph, {form}", "scores", scores
            for name, values in zip(NAMES, embeddings, strict=True):
                yield f"encoder in a graph, {form}", name, values
        if self.everything:
            data = tf.data.Dataset.from_tensor_slices(((padded(in0), ragged(in1)),))
            data = data.batch(2)
            data = data.map(lambda pair: (pair,))
            yield "predict, dataset", "scores", model.predict(data, verbose=0)
            table = [{"in0": a, "in1": b} for a, b in zip(in0, in1, strict=True)]
            yield "predict, table", "scores", model.predict(table, verbose=0)
        yield "predict, mapping", "scores", model.predict(rows, batch_size=3, verbose=0)
        for form in ("rows", "array", "ragged"):
            sides = {name: FORMS[form](rows[name]) for name in NAMES}
            yield f"score, {form}", "scores", model.score(sides)
            for encoder, name in enumerate(NAMES):
                yield f"embed, {form}", name, model.embed(sides[name], encoder)

    def signatures(self, rows):
        dense = {name: padded(rows[name]) for name in NAMES}
        signatures = self.predictor._signatures
        for name, signature in SIGNATURES.items():
            ids = {name: dense[name]}
            tensors = {name: tf.constant(dense[name])}
            yield "signature", name, signatures[signature](**tensors)["embeddings"]
            yield "session", name, self.session.run(signature, ids)["embeddings"]
        pair = {name: tf.constant(dense[name]) for name in NAMES}
        yield "signature", "scores", signatures["predict_pair"](**pair)["scores"]
        yield "session", "scores", self.session.run("predict_pair", dense)["scores"]
        examples = [
            example(a, b) for a, b in zip(*(lists(rows[n]) for n in NAMES), strict=True)
        ]
        softmax = self.model.hyperparameters.output_layer == "softmax"
        signature, output = (
            ("classify_pair", "scores") if softmax else ("regress_pair", "outputs")
        )
        values = signatures[signature](inputs=tf.constant(examples))[output]
        yield "tf.Example", "scores", values

    def files(self, rows):
        self._number += 1
        for kind, names in (("scores", NAMES), ("in0", ("in0",)), ("in1", ("in1",))):
            stem = f"{self._number}-{kind}"
            lines = self.directory / f"{stem}.jsonl"
            instances = [
                dict(zip(names, row, strict=True))
                for row in zip(*(rows[n] for n in names), strict=True)
            ]
            lines.write_text("".join(json.dumps(row) + "\n" for row in instances))
            yield "transform, JSON Lines", kind, self.transform(lines)
            if kind != "scores":
                yield (
                    "neighbors",
                    kind,
                    np.concatenate([*embed_file(lines, self.predictor)]),
                )
            table = self.directory / f"{stem}.parquet"
            pq.write_table(pa.table({n: lists(rows[n]) for n in names}), table)
            yield "transform, Parquet", kind, self.transform(table)

    def transform(self, path):
        output = self.directory / "output.jsonl"
        for _ in write_predictions(
            self.predictor, FileSplit(path), output, writer_for(path, "jsonl"), PLAIN
        ):
            pass
        answers = [json.loads(line) for line in output.read_text().splitlines()]
        return np.array([*(next(iter(answer.values())) for answer in answers)])

    def gateway(self, rows):
        app = Gateway(LocalBackend(self.predictor)).application()
        for kind, names in (("scores", NAMES), ("in0", ("in0",)), ("in1", ("in1",))):
            instances = [
                dict(zip(names, row, strict=True))
                for row in zip(*(rows[n] for n in names), strict=True)
            ]
            body = json.dumps({"instances": instances})
            answers = json.loads(post(app, "/invocations", body))["predictions"]
            yield "gateway", kind, np.array([next(iter(a.values())) for a in answers])

    def onnx_graphs(self, rows):
        self._number += 1
        predictor = OnnxPredictor(
            export_onnx(self.model, self.directory / f"onnx{self._number}")
        )
        dense = {name: padded(rows[name]) for name in NAMES}
        for name, signature in SIGNATURES.items():
            session = predictor._sessions[signature]
            yield "ONNX graph", name, session.run(None, {name: dense[name]})[0]
        yield (
            "ONNX graph",
            "scores",
            predictor._sessions["predict_pair"].run(None, dense)[0],
        )


class Session:
    """A v1 session, which is what TF Serving runs.

    Args:
        path: A SavedModel.
        variables: Its variables, whose values are all different.
    """

    def __init__(self, path, variables):
        known = [variable.numpy() for variable in variables]
        self._graph = tf.Graph()
        self._session = tf.compat.v1.Session(graph=self._graph)
        with self._graph.as_default():
            meta = tf.compat.v1.saved_model.load(self._session, ["serve"], str(path))
            handles = [
                op.outputs[0]
                for op in self._graph.get_operations()
                if op.type == "VarHandleOp"
            ]
            kinds = [op.op.get_attr("dtype") for op in handles]
            stored = self._session.run(
                [
                    tf.raw_ops.ReadVariableOp(resource=h, dtype=t)
                    for h, t in zip(handles, kinds, strict=True)
                ]
            )
            self._assignments = []
            for values in known:
                (handle,) = (
                    h
                    for h, value in zip(handles, stored, strict=True)
                    if np.array_equal(value, values)
                )
                value = tf.compat.v1.placeholder(tf.float32, values.shape)
                assign = tf.raw_ops.AssignVariableOp(resource=handle, value=value)
                self._assignments.append((value, assign))
        self._signatures = meta.signature_def

    def run(self, signature, inputs):
        definition = self._signatures[signature]
        feeds = {definition.inputs[n].name: ids for n, ids in inputs.items()}
        fetches = {n: tensor.name for n, tensor in definition.outputs.items()}
        return self._session.run(fetches, feeds)

    def assign(self, variables):
        for (value, assign), variable in zip(self._assignments, variables, strict=True):
            self._session.run(assign, {value: variable.numpy()})


def example(in0, in1):
    features = {
        name: tf.train.Feature(
            int64_list=tf.train.Int64List(value=[int(i) for i in row])
        )
        for name, row in zip(NAMES, (in0, in1), strict=True)
    }
    return tf.train.Example(
        features=tf.train.Features(feature=features)
    ).SerializeToString()


def post(app, path, body):
    """The body of the response of an ASGI application."""
    sent = []

    async def receive():
        return {"type": "http.request", "body": body.encode(), "more_body": False}

    async def send(message):
        sent.append(message)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(b"content-type", b"application/json")],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
        "scheme": "http",
    }
    asyncio.run(app(scope, receive, send))
    assert sent[0]["status"] == 200, sent
    return b"".join(message.get("body", b"") for message in sent[1:])


# Random models and objects.


def random_model(random, network):
    """A model of random settings with one kind of encoder."""
    tied = bool(random.integers(2))
    sizes = random.integers(2, 12, 2)
    settings = {
        "enc0_max_seq_len": int(random.integers(1, 6)),
        "enc1_max_seq_len": int(random.integers(1, 6)),
        "enc0_vocab_size": int(sizes[0]),
        "enc1_vocab_size": int(sizes[0] if tied else sizes[1]),
        "enc0_network": network,
        "enc1_network": network,
        "enc_dim": int(random.choice([4, 8])),
        "tied_token_embedding_weight": tied,
        "mlp_layers": int(random.integers(3)),
        "mlp_dim": 3,
        "mlp_activation": str(random.choice(["tanh", "relu", "linear"])),
        "output_layer": str(random.choice(["softmax", "mean_squared_error"])),
        "num_classes": int(random.integers(2, 5)),
        "comparator_list": str(
            random.choice(
                ["hadamard, concat, abs_diff", "hadamard", "abs_diff, concat"]
            )
        ),
    }
    if network == "pooled_embedding":
        settings["pooling"] = str(
            random.choice(["mean", "sqrtn", "weighted", "weighted_sqrtn"])
        )
        settings["repeated_tokens"] = str(random.choice(["count", "log"]))
    else:
        for side in (0, 1):
            settings[f"enc{side}_token_embedding_dim"] = 3
            settings[f"enc{side}_layers"] = int(random.integers(1, 3))
    if network == "hcnn":
        for side in (0, 1):
            settings[f"enc{side}_cnn_filter_width"] = int(random.integers(1, 5))
    return o2v.Object2Vec(settings, seed=int(random.integers(1000)))


def floats(variables):
    return [v for v in variables if v.dtype == tf.float32]


def draw_weights(model, random):
    for variable in model.variables:
        if variable.dtype == "float32":
            variable.assign(random.normal(0, 0.7, variable.shape).astype(np.float32))


def random_rows(random, model):
    """Pairs of objects: empty, single, padded anywhere, and too long ones."""
    hp = model.hyperparameters
    count = int(random.integers(1, 7))
    return {
        f"in{i}": [
            random_row(
                random, hp.of_encoder(i, "vocab_size"), hp.of_encoder(i, "max_seq_len")
            )
            for _ in range(count)
        ]
        for i in (0, 1)
    }


def random_row(random, vocab_size, max_len):
    if random.random() < 0.1:
        return int(random.integers(-1, vocab_size))
    row = random.integers(0, vocab_size, random.integers(0, 2 * max_len + 2))
    return np.where(random.random(len(row)) < 0.3, -1, row).tolist()


def check(doors, random):
    """Compares all doors for random objects; returns the largest difference."""
    rows = random_rows(random, doors.model)
    wanted = expected(doors.model, rows)
    largest = 0.0
    for door, kind, values in doors.results(rows):
        values = np.asarray(values, np.float64).reshape(wanted[kind].shape)
        difference = np.abs(values - wanted[kind]).max()
        scale = max(1.0, np.abs(wanted[kind]).max())
        assert difference <= 1e-6 * scale, (door, kind, difference, rows)
        largest = max(largest, difference / scale)
    return largest
