"""Tests of all flags of all commands that take a path: none makes a directory "s3:"."""

import json
import re
import subprocess

import pytest

from tests.command_server import python_m

TIMEOUT = 120  # seconds
FIT = (
    *("train", "validation", "test", "auxiliary", "items", "labels", "model_dir"),
    *("hyperparameters", "export_dir", "cache_dir", "initial_model", "retrieval_pool"),
)
# The flags that take a path, by the start of the command line.
PATH_FLAGS = {
    ("object2vec_tf.fit",): FIT,
    ("object2vec_tf.tune",): FIT,
    ("object2vec_tf.transform",): ("model", "input", "output"),
    ("object2vec_tf.neighbors", "build"): ("model", "input", "index", "labels"),
    ("object2vec_tf.neighbors", "add"): ("model", "input", "index", "labels"),
    ("object2vec_tf.neighbors", "query"): (
        *("model", "input", "index", "output", "exclude"),
    ),
    ("object2vec_tf.neighbors", "evaluate"): ("model", "input", "exclude", "pool"),
    ("object2vec_tf.vocabulary", "build"): ("input", "output"),
    ("object2vec_tf.vocabulary", "encode"): (
        *("input", "output", "enc0_vocab_file", "enc1_vocab_file"),
    ),
    ("object2vec_tf.vocabulary", "decode"): (
        *("input", "output", "enc0_vocab_file", "enc1_vocab_file"),
    ),
    ("object2vec_tf.vocabulary", "shuffle"): ("input", "output"),
    ("object2vec_tf.sagemaker", "train"): ("prefix",),
    ("object2vec_tf.sagemaker", "serve"): ("prefix",),
    ("export",): ("model_dir", "export_dir", "items", "labels"),
    ("export.gateway",): ("model",),
}
# Flags whose help mentions files, but whose values are no paths. Vocabularies and
# vectors of fit are names of files in --auxiliary.
NO_PATHS = {
    *("flagfile", "max_bad_lines", "overwrite", "cache_limit", "format", "runner"),
    *("precision", "hits", "on_error", "keep", "k", "reload", "reload_seconds"),
    *("search", "tune", "max_size", "objective", "fields", "port", "rescore"),
    *("score", "batch_layout", "deterministic", "metric", "seed", "workers"),
    *("pretrained_embedding_file", "vocab_file", "tokenizer", "lowercase"),
    *("freeze", "exclude_self", "strategy", "checkpoint_seconds", "host"),
    *("max_line_megabytes", "max_header_bytes", "table", "table_limit"),
    *(
        "model_name",
        "vocab_size",
        "subword_ngrams",
        "min_count",
        "reserved_tokens",
        "runtime",
    ),
}
SMALL = {
    **{"enc0_network": "pooled_embedding", "enc1_network": "pooled_embedding"},
    **{"enc0_max_seq_len": 1, "enc1_max_seq_len": 1, "enc_dim": 4, "epochs": 1},
    **{"enc0_vocab_size": 20, "enc1_vocab_size": 20},
}


@pytest.fixture
def valid(tmp_path):
    """Values of the other flags, valid as far as they are read."""
    lines = '{"in0": [1], "in1": [2], "label": 1}\n' * 2
    (tmp_path / "pairs.jsonl").write_text(lines)
    (tmp_path / "vectors.jsonl").write_text('{"embeddings": [1.0, 2.0]}\n' * 2)
    (tmp_path / "items.jsonl").write_text('{"in1": [2]}\n' * 2)
    (tmp_path / "labels.txt").write_text("a\nb\n")
    (tmp_path / "words.json").write_text('{"[UNK]": 0, "a": 1}')
    return tmp_path


def other_flags(command, name):
    """Returns the flags beside the one with the URL."""
    if command[0] in ("object2vec_tf.fit", "object2vec_tf.tune"):
        flags = SMALL | {"train": "pairs.jsonl", "model_dir": "run"}
        if name in ("items", "labels"):
            flags |= {"items": "items.jsonl", "labels": "labels.txt"}
        if name == "retrieval_pool" or command[0].endswith("tune"):
            flags |= {"validation": "pairs.jsonl"}
        if command[0].endswith("tune") and name in ("items", "labels"):
            return None  # an error of its own: they only apply to fit
        return flags
    return {
        "object2vec_tf.transform": {"model": "run", "input": "pairs.jsonl"},
        "object2vec_tf.neighbors": {
            "build": {"input": "vectors.jsonl", "index": "index"},
            "add": {"input": "vectors.jsonl", "index": "index"},
            "query": {"input": "vectors.jsonl", "index": "index"},
            "evaluate": {"input": "pairs.jsonl", "model": "run"},
        },
        "object2vec_tf.vocabulary": {
            "build": {"input": "pairs.jsonl", "output": "out"},
            "encode": {
                **{"input": "pairs.jsonl", "output": "out"},
                **{"enc0_tokenizer": "whitespace", "enc0_vocab_file": "words.json"},
            },
            "decode": {
                **{"input": "pairs.jsonl", "output": "out"},
                "enc0_vocab_file": "words.json",
            },
            "shuffle": {"input": "pairs.jsonl", "output": "out"},
        },
        "object2vec_tf.sagemaker": {"train": {}, "serve": {}},
        "export": {"model_dir": "run", "items": "pairs.jsonl"},
        "export.gateway": {},
    }[command[0]]


def start(directory, *arguments):
    return subprocess.run(
        [*python_m(arguments[0]), *arguments[1:]],
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
    )


# One that writes of each command; the others are long tests.
WRITTEN = {
    *("object2vec_tf.fit model_dir", "object2vec_tf.fit export_dir"),
    *("object2vec_tf.tune model_dir", "object2vec_tf.transform output"),
    *("object2vec_tf.neighbors build index", "object2vec_tf.vocabulary build output"),
    "export export_dir",
}
CASES = [
    pytest.param(
        *(command, name),
        marks=[] if " ".join((*command, name)) in WRITTEN else [pytest.mark.long],
        id=" ".join((*command, name)),
    )
    for command, names in PATH_FLAGS.items()
    for name in names
]


@pytest.mark.parametrize(("command", "name"), CASES)
def test_a_url_that_cannot_be_used_is_an_error_and_writes_nothing(valid, command, name):
    flags = other_flags(command, name)
    if flags is None:
        pytest.skip("the command rejects the flag")
    if len(command) > 1:
        flags = flags[command[1]]
    if command[:2] == ("object2vec_tf.neighbors", "build") and name == "model":
        flags = flags | {"input": "pairs.jsonl"}
    flags = flags | {name: "nosuch://bucket/x"}
    before = {path.name for path in valid.iterdir()}
    done = start(valid, *command, *(f"--{n}={v}" for n, v in flags.items()))
    assert done.returncode == 2, done.stdout + done.stderr
    new = {path.name for path in valid.iterdir()} - before
    assert new <= {"run"}, new  # a run directory that exists before data is read
    if command[1:] not in (("add",), ("query",)) or name in ("input", "index"):
        assert "nosuch://bucket/x" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.long
@pytest.mark.parametrize("command", PATH_FLAGS, ids=" ".join)
def test_the_table_has_all_flags_that_take_a_path(valid, command):
    text = start(valid, *command, "--helpfull").stdout.partition("Flags of all")[0]
    found = re.findall(r"^ +--(?:\[no\])?(\w+): (.*?)(?=^ +--|\Z)", text, re.M | re.S)
    assert len(found) > 1 or command[0] == "object2vec_tf.sagemaker"
    paths = {
        name
        for name, help in found
        if re.search(r"\b(director(y|ies)|files?|paths?|JSON Lines)\b", help)
    }
    unknown = {
        name
        for name in paths - set(PATH_FLAGS[command])
        if re.sub("^enc[01]_", "", name) not in NO_PATHS
    }
    assert not unknown, json.dumps(sorted(unknown))
