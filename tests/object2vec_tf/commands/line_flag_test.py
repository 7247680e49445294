"""The flag --max_line_megabytes: the commands that have it, and what it does."""

import subprocess

import pytest

from tests.command_server import python_m

LONG = '{"in0": [' + "1," * 500_000 + "1]}\n"


def run(module, *arguments):
    return subprocess.run(
        [*python_m(module), *arguments], capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    ("module", "arguments"),
    [
        ("object2vec_tf.vocabulary", ["shuffle"]),
        ("object2vec_tf.vocabulary", ["build", "--fields=in0", "--tokenizer=id"]),
    ],
)
def test_a_line_above_the_limit_is_named(tmp_path, module, arguments):
    path = tmp_path / "in.jsonl"
    path.write_text('{"in0": [1]}\n' + LONG)
    files = [f"--input={path}", f"--output={tmp_path / 'out'}"]
    done = run(module, *arguments, *files, "--max_line_megabytes=1")
    assert done.returncode == 2
    assert done.stderr == (
        f"error: {path}:2: expected a line of at most 1 MB, got a longer one. Check "
        "that lines end with \\n, or give a larger --max_line_megabytes.\n"
    )
    assert run(module, *arguments, *files).returncode == 0


@pytest.mark.long
@pytest.mark.parametrize(
    "arguments",
    [
        ["object2vec_tf.fit"],
        ["object2vec_tf.tune"],
        ["object2vec_tf.transform"],
        ["object2vec_tf.neighbors", "build"],
        ["object2vec_tf.neighbors", "add"],
        ["object2vec_tf.neighbors", "query"],
        ["object2vec_tf.neighbors", "evaluate"],
        ["object2vec_tf.vocabulary", "encode"],
        ["object2vec_tf.vocabulary", "decode"],
        ["object2vec_tf.sagemaker", "train"],
        ["export"],
    ],
    ids=" ".join,
)
def test_commands_that_read_lines_have_the_flag(arguments):
    done = run(*arguments, "--max_line_megabytes=0")
    assert done.returncode == 2
    assert "--max_line_megabytes" in done.stderr
    assert "[1, 1000000]" in done.stderr
