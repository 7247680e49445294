"""The SavedModel: its versions, written whole or not at all, and checked before."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from export.signatures import Signatures
from export.warmup import golden_requests, write_warm_up
from object2vec_tf.inference.model_store import next_version
from object2vec_tf.inference.ragged_inputs import input_limits, output_name
from object2vec_tf.inference.text_inputs import signature_inputs
from object2vec_tf.inference.warmup_requests import (
    HYPERPARAMETERS,
    INPUTS,
    read_warm_up,
)
from object2vec_tf.model.object2vec import Object2Vec

ASSETS = "assets.extra"
METRICS = f"{ASSETS}/metrics.json"
GOLDEN = f"{ASSETS}/golden.jsonl"


def export_saved_model(
    model: Object2Vec,
    directory: str | os.PathLike[str],
    *,
    metrics: Mapping[str, Any] | None = None,
) -> Path:
    """Writes a SavedModel for TF Serving.

    Signatures: ``embed_enc0`` (in0 -> embeddings), ``embed_enc1`` (in1 -> embeddings),
    ``predict_pair`` (in0, in1 -> scores; also ``serving_default``). Inputs are int64
    ``[batch, time]``, in which -1 is dropped wherever it stands; embeddings are float32
    ``[batch, enc_dim]``, scores float32 ``[batch, num_classes]`` or ``[batch, 1]``.
    ``classify_pair`` (softmax) or ``regress_pair`` takes ``tf.Example`` with in0 and
    in1 as lists, by TF Serving's Classify or Regress. A model that was trained with
    text has ``embed_enc0_text``, ``embed_enc1_text`` and ``predict_pair_text`` too, on
    strings: texts ``[batch]``, or lists of strings ``[batch, items]``, padded with
    empty ones; and ``tokenize_in0`` and ``tokenize_in1`` (-> ids ``[batch, time]``,
    padded with -1, and the number of unknown tokens, ``[batch]``). ``describe`` (rows,
    int64 ``[batch]``) answers the hyperparameters as JSON, once a row.

    ``assets.extra`` holds warm-up requests, ``hyperparameters.json`` (vocabulary sizes
    included), ``metrics.json`` where known, and ``golden.jsonl``: requests and the
    model's answers. All of them are replayed on what was written, before it appears.

    Args:
        model: The model.
        directory: Where versions are kept; the next free number is taken. A version
            appears whole, under its number, or not at all.
        metrics: What the model's run measured.

    Returns:
        The path of the version written.

    Raises:
        RuntimeError: What was written does not answer as the model does.
    """
    with next_version(Path(directory)) as (temporary, path):
        _write(model, temporary, metrics)
        _replay(temporary)
    return path


def _write(
    model: Object2Vec, directory: Path, metrics: Mapping[str, Any] | None
) -> None:
    signatures = Signatures(model)
    tf.saved_model.save(signatures, str(directory), signatures=signatures.by_name)
    _name_methods(directory, signatures.methods)
    hyperparameters = model.hyperparameters
    golden = [_golden(model, name) for name in INPUTS]
    golden += [
        _golden(model, name, text=True)
        for name in INPUTS
        if f"{name}_text" in signatures.by_name
    ]
    texts_asked = {each["signature"]: each["inputs"] for each in golden[len(INPUTS) :]}
    write_warm_up(directory, hyperparameters, signatures.methods, texts_asked)
    texts = {HYPERPARAMETERS: json.dumps(hyperparameters.to_dict(), indent=2) + "\n"}
    if metrics is not None:
        texts[METRICS] = json.dumps(metrics, indent=2) + "\n"
    texts[GOLDEN] = "".join(json.dumps(each) + "\n" for each in golden)
    for name, text in texts.items():
        (directory / name).write_text(text, encoding="utf-8")


def _name_methods(directory: Path, methods: Mapping[str, str]) -> None:
    """Writes the methods that TF Serving asks for; TensorFlow 2 only writes Predict."""
    updater = tf.compat.v1.saved_model.signature_def_utils.MethodNameUpdater(
        str(directory)
    )
    for name, method in methods.items():
        updater.replace_method_name(signature_key=name, method_name=method)
    updater.save()


def _golden(model: Object2Vec, signature: str, text: bool = False) -> dict[str, Any]:
    """Returns a request to a signature, and the Keras model's answer.

    Args:
        model: The model.
        signature: embed_enc0, embed_enc1 or predict_pair.
        text: Whether its form for text is asked, where that is what a side takes.
    """
    names = INPUTS[signature]
    rows: dict[str, Any] = golden_requests(model.hyperparameters, names)
    ids = {}
    for name in names:
        tokenizer = model.tokenizers[int(name[-1])]
        if text and tokenizer:
            rows[name] = tokenizer.examples
            tokens, _ = tokenizer.of_texts(tf.constant(rows[name]))
            ids[name] = tokens[:, : input_limits(model.hyperparameters)[name][1]]
        else:
            ids[name] = tf.ragged.constant(rows[name], dtype=tf.int64, ragged_rank=1)
    if signature == "predict_pair":
        answer = model(ids, training=False)
    else:
        encoder = model.enc0 if signature == "embed_enc0" else model.enc1
        answer = encoder(ids[names[0]], training=False)
    return {
        "signature": f"{signature}_text" if text else signature,
        "inputs": rows,
        "outputs": {output_name(rows): answer.numpy().tolist()},
    }


def _replay(directory: Path) -> None:
    """Loads what was written, and asks it all that it will be asked.

    Raises:
        RuntimeError: An answer differs from the model's.
    """
    signatures = tf.saved_model.load(str(directory)).signatures
    for name, inputs in read_warm_up(directory):
        signatures[name](**inputs)
    for line in (directory / GOLDEN).read_text(encoding="utf-8").splitlines():
        golden = json.loads(line)
        inputs = signature_inputs(golden["inputs"])
        tensors = {name: tf.constant(values) for name, values in inputs.items()}
        answers = signatures[golden["signature"]](**tensors)
        for name, expected in golden["outputs"].items():
            if not np.allclose(answers[name], expected, rtol=1e-5, atol=1e-6):
                raise RuntimeError(
                    f"{directory}: {golden['signature']} does not answer as the model "
                    f"does: {name} differ by "
                    f"{np.abs(answers[name] - np.array(expected)).max()}"
                )
