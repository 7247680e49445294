"""Tests of object2vec_tf/commands/flag_uses.py, with the flags of all commands."""

import re
import subprocess

import pytest
from absl import flags

from object2vec_tf.commands.flag_uses import check_complete
from tests.command_server import python_m


def run(module, *arguments):
    return subprocess.run(
        [*python_m(module), *arguments], capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    ("module", "mode", "flag", "others"),
    [
        ("object2vec_tf.neighbors", "query", "--labels=names.tsv", "build and add"),
        # The default, but given.
        ("object2vec_tf.neighbors", "evaluate", "--metric=cosine", "build"),
        ("object2vec_tf.neighbors", "add", "-k=3", "query"),
        ("object2vec_tf.neighbors", "build", "--exclude=x", "query and evaluate"),
        ("object2vec_tf.neighbors", "evaluate", "--index=x", "build and add and query"),
        ("object2vec_tf.vocabulary", "build", "--seed=1", "shuffle"),
        ("object2vec_tf.vocabulary", "decode", "--noenc0_lowercase", "encode"),
        ("object2vec_tf.vocabulary", "shuffle", "--min_count=2", "build"),
        ("object2vec_tf.vocabulary", "build", "--enc1_vocab_file=x", "encode and deco"),
        ("object2vec_tf.sagemaker", "train", "--host=::1", "serve"),
        ("object2vec_tf.transform", "--runner=local", "--workers=2", "--runner=ray"),
        ("export.gateway", "--tf_serving=x", "--noreload", "--model"),
        ("export.gateway", "--model=x", "--timeout=3", "--tf_serving"),
        ("export", "--format=onnx", "--labels=x", "--format=saved_model"),
    ],
)
def test_a_flag_of_other_verbs_or_modes_is_an_error(module, mode, flag, others):
    name = re.match("-+(no(?=re|enc))?([a-z0-9_]+)", flag)[2]
    done = run(module, mode, flag)
    shown = mode.removesuffix("=x")
    message = f"error: --{name}: expected a flag of {shown}, got a flag of {others}"
    assert done.returncode == 2
    assert done.stderr.startswith(message)
    assert done.stderr.endswith(". Remove it.\n")


def test_flags_of_the_verb_are_accepted():
    done = run("object2vec_tf.neighbors", "build", "--labels=x", "--metric=cosine")
    assert done.returncode == 2
    assert "--input is required" in done.stderr


def test_flags_in_a_flagfile_count(tmp_path):
    path = tmp_path / "shared.flags"
    path.write_text("--index=index\n--metric=euclidean\n")
    done = run("object2vec_tf.neighbors", "query", f"--flagfile={path}")
    assert done.returncode == 2
    assert "--metric: expected a flag of query, got a flag of build" in done.stderr


def shown_flags(text):
    return set(re.findall(r"(?m)^  (?:-k,)?--(?:\[no\])?([a-z0-9_]+):", text))


def test_the_help_of_a_verb_has_only_its_flags():
    done = run("object2vec_tf.neighbors", "query", "--helpfull")
    assert done.returncode == 0
    own = done.stdout.partition("Flags of all commands")[0]
    assert shown_flags(own) == {
        *("model", "input", "index", "output", "exclude", "exclude_self", "rescore"),
        *("k", "device", "max_line_megabytes"),
    }


def test_the_help_of_the_command_names_the_verbs_of_its_flags():
    text = run("object2vec_tf.neighbors", "--helpfull").stdout
    assert shown_flags(text) >= {"model", "index", "k", "pool", "metric", "device"}
    words = " ".join(text.split())
    assert "--index: build, add, query: directory of the index" in words
    assert "--pool: evaluate: " in words
    assert "--input: JSON Lines" in words  # a flag of all verbs


def test_the_help_of_the_command_names_the_modes_of_its_flags():
    words = " ".join(run("export.gateway", "--helpfull").stdout.split())
    assert "--timeout: with --tf_serving: timeout" in words
    assert "--model: run directory" in words  # its own mode


@pytest.mark.parametrize(
    "module", ["object2vec_tf.vocabulary", "object2vec_tf.sagemaker", "export.gateway"]
)
def test_every_flag_has_a_verb_or_mode(module):
    # A flag that the table lacks is a ValueError, with status 1, at each start.
    assert run(module, "--helpfull").returncode == 0


def test_a_forgotten_flag_is_an_error():
    values = flags.FlagValues()
    known = flags.DEFINE_bool("known", False, "", flag_values=values)
    flags.DEFINE_bool("forgotten", False, "", flag_values=values)
    check_complete({"build": (known,)}, [values["known"]])
    with pytest.raises(ValueError, match="forgotten: expected flags with a verb or m"):
        check_complete({"build": (known,)}, [values["known"], values["forgotten"]])
