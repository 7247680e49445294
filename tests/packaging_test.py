"""The wheel, installed outside the checkout."""

import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

import export
import object2vec_tf

ROOT = Path(__file__).parents[1]

SCRIPT = """
import object2vec_tf as o2v, export, pathlib, sys
here = pathlib.Path(o2v.__file__).resolve()
assert pathlib.Path(sys.prefix).resolve() in here.parents, here
hyperparameters = o2v.Hyperparameters(
    enc0_network="pooled_embedding", enc0_max_seq_len=2, enc0_vocab_size=5, enc_dim=4,
    mlp_dim=4, epochs=1,
)
pathlib.Path("train.jsonl").write_text('{"in0": [1], "in1": [2, 3], "label": 1}\\n' * 9)
run = o2v.fit(hyperparameters, train="train.jsonl", model_dir="run", verbose=False)
print(run.metrics["rows"], export.export_saved_model(run.model, "served").name)
"""


def run(command, cwd):
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    out = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--quiet"]
    run([*pip, "--disable-pip-version-check", "--wheel-dir", out, ROOT], out)
    (path,) = out.glob("*.whl")
    return path


def fresh_environment(path):
    venv.create(path, with_pip=True)
    return path / "bin" / "python"


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """The Python of an environment that has the wheel installed.

    The libraries come from the environment that runs the tests;
    `test_the_wheel_brings_all_it_needs` installs them.
    """
    path = tmp_path_factory.mktemp("environment") / "venv"
    python = fresh_environment(path)
    install = [python, "-m", "pip", "install", "--no-deps", "--quiet"]
    run([*install, "--disable-pip-version-check", wheel], path)
    site = next(path.glob("lib/*/site-packages"))
    (site / "libraries.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    return python


def test_the_wheel_carries_both_packages_and_nothing_else_at_top_level(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names if ".dist-info" not in name}
    assert tops == {"object2vec_tf", "export"}
    assert {"object2vec_tf/py.typed", "export/py.typed"} <= {*names}
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_the_wheel_has_the_version_of_the_package(wheel):
    assert wheel.name.split("-")[:2] == ["object2vec_tf", object2vec_tf.__version__]


def test_the_citation_has_the_version_of_the_package():
    lines = (ROOT / "CITATION.cff").read_text(encoding="utf-8").splitlines()
    assert f"version: {object2vec_tf.__version__}" in lines


def test_the_wheel_carries_every_data_file_of_the_packages(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    for package in ("object2vec_tf", "export"):
        files = [
            path.relative_to(ROOT).as_posix()
            for path in (ROOT / package).rglob("*")
            if path.is_file() and "__pycache__" not in path.parts
        ]
        assert {*files} <= names


def test_the_wheel_trains_and_exports_outside_the_checkout(installed, tmp_path):
    assert run([installed, "-c", SCRIPT], tmp_path) == "{'train': 9} 1\n"


def test_the_wheel_installs_the_commands(installed):
    scripts = {path.name for path in installed.parent.glob("object2vec-*")}
    assert scripts == {
        "object2vec-export",
        "object2vec-fit",
        "object2vec-gateway",
        "object2vec-neighbors",
        "object2vec-sagemaker",
        "object2vec-transform",
        "object2vec-tune",
        "object2vec-vocabulary",
    }


def test_a_command_shows_its_help_outside_the_checkout(installed, tmp_path):
    shown = run([installed.with_name("object2vec-fit"), "--help"], tmp_path)
    assert "--train" in shown
    assert "--enc0_vocab_size" in shown
    assert "Usage: object2vec-fit " in shown
    assert "python -m" not in shown


@pytest.mark.long
@pytest.mark.parametrize(
    ("command", "flag"),
    [
        ("object2vec-export", "--export_dir"),
        ("object2vec-gateway", "--max_request_bytes"),
        ("object2vec-neighbors", "--index"),
        ("object2vec-sagemaker", "--prefix"),
        ("object2vec-transform", "--runner"),
        ("object2vec-tune", "--trials"),
        ("object2vec-vocabulary", "--tokenizer"),
    ],
)
def test_every_command_shows_its_help(installed, tmp_path, command, flag):
    assert flag in run([installed.with_name(command), "--help"], tmp_path)


@pytest.mark.long
@pytest.mark.network
def test_the_wheel_brings_all_it_needs(wheel, tmp_path):
    python = fresh_environment(tmp_path / "venv")
    run([python, "-m", "pip", "install", "--quiet", wheel], tmp_path)
    assert run([python, "-c", SCRIPT], tmp_path) == "{'train': 9} 1\n"


@pytest.mark.parametrize("package", [object2vec_tf, export], ids=lambda p: p.__name__)
def test_every_public_name_has_an_example(package):
    for name in package.__all__:
        assert ">>> " in getattr(package, name).__doc__, name
