import ast
import importlib.metadata
import json
import re
import sys
from pathlib import Path

from tools.dependencies import lowest, report, requirements

ROOT = Path(__file__).parents[2]
# Distributions whose names differ from those of their modules.
NAMES = {
    "absl": "absl-py",
    "faiss": "faiss-cpu",
    "google.protobuf": "protobuf",
    "grpc": "grpcio",
    "prometheus_client": "prometheus-client",
    "tensorflow_serving": "tensorflow-serving-api",
    "tensorflow_text": "tensorflow-text",
}
# Required, but not imported by name: parts of uvicorn, file systems of fsspec, and the
# package that TensorFlow's summaries need.
INDIRECT = {"uvloop", "gcsfs", "s3fs", "huggingface_hub", "tensorboard", "httptools"}
OWN = {"object2vec_tf", "export"}


def _modules():
    """Yields the modules that our packages import, of others than Python's own."""
    for package in OWN:
        for path in (ROOT / package).rglob("*.py"):
            if "clients" in path.parts:  # programs that users copy
                continue
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Import):
                    names = [alias.name for alias in node.names]
                elif isinstance(node, ast.ImportFrom) and not node.level:
                    names = [node.module]
                elif (
                    isinstance(node, ast.Call)
                    and getattr(node.func, "id", "") == "import_extra"
                ):
                    names = [node.args[0].value]
                else:
                    continue
                for name in names:
                    top = name.partition(".")[0]
                    if top not in OWN and top not in sys.stdlib_module_names:
                        yield name if top == "google" else top


def _distributions():
    return {
        NAMES.get(".".join(name.split(".")[:2]), name).lower() for name in _modules()
    }


def _names(members):
    return {re.match(r"[\w.-]+", member)[0].lower() for member in members}


def test_every_imported_package_is_declared():
    groups = requirements()
    declared = set().union(
        *(_names(m) for name, m in groups.items() if not name.startswith("test"))
    )
    imported = _distributions()
    assert {"grpcio", "protobuf", "numpy", "sqlalchemy"} <= imported
    assert imported - declared == set()
    extras = {"datasets", "distributed", "docs"}  # for tools, and as ray[data]
    base = _names(groups[""])
    assert base - imported - INDIRECT == set()
    for name, members in groups.items():
        if name and not name.startswith("test") and name not in extras:
            assert _names(members) - imported - INDIRECT == set(), name


def test_installed_versions_are_within_the_bounds():
    from packaging.requirements import Requirement

    for members in requirements().values():
        for requirement in map(Requirement, members):
            try:
                version = importlib.metadata.version(requirement.name)
            except importlib.metadata.PackageNotFoundError:
                continue
            assert requirement.specifier.contains(version), requirement


def test_constraints_are_the_lower_bounds():
    constraints = lowest(("neighbors",))
    assert "tensorflow==2.20" in constraints
    assert "faiss-cpu==1.9" in constraints
    assert not any(line.startswith("optuna") for line in constraints)
    assert {line.partition("==")[0] for line in lowest()} >= _names(
        requirements()["test"]
    )


def test_an_audit_says_when_nothing_was_checked():
    found = {"id": "CVE-1", "fix_versions": ["2.0"]}
    bad = {"name": "a", "version": "1.0", "vulns": [found]}
    good = {"name": "b", "version": "1.0", "vulns": []}
    skipped = {"name": "c", "skip_reason": "not found"}

    def of(*packages):
        return report(json.dumps({"dependencies": packages}), "")

    assert of(bad, good, skipped) == (
        "a 1.0: CVE-1, fixed in 2.0\naudit: 2 of 3 packages were checked, 1 advisories",
        1,
    )
    assert of(good)[1] == 0
    message, status = of(skipped)
    assert "none of 1 packages" in message
    assert status == 0
    message, status = report("", "Traceback\nConnectionError: no route")
    assert message.endswith("nothing was checked: ConnectionError: no route")
    assert status == 0
