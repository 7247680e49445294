"""Lists the lowest allowed versions of dependencies, and audits those installed.

    python tools/dependencies.py lowest > constraints.txt
    python tools/dependencies.py audit --python=.venv/bin/python

``lowest`` prints a constraint for pip, ``NAME==LOWER_BOUND``, for each direct
dependency in pyproject.toml. ``audit`` runs pip-audit, which must be installed next to
this program's Python, on the packages of another Python. Its exit status is 1 if a
package has a known vulnerability, and 0 with a warning if no advisories could be read.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
_REQUIREMENT = re.compile(
    r"(?P<name>[A-Za-z0-9._-]+)(\[[^]]*\])?>=(?P<version>[0-9.]+)"
)
_SECONDS = 20


def requirements(extras: tuple[str, ...] = ()) -> dict[str, list[str]]:
    """Returns the requirements in pyproject.toml by group.

    Args:
        extras: The names of the extras; none for all.

    Returns:
        The requirements of each extra, and under an empty name those of the package.
    """
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    groups: dict[str, list[str]] = {"": project["dependencies"]}
    for name, members in project["optional-dependencies"].items():
        if not extras or name in extras:
            groups[name] = members
    return groups


def lowest(extras: tuple[str, ...] = ()) -> list[str]:
    """Returns a constraint for each direct dependency: its lowest allowed version.

    Raises:
        ValueError: A requirement has no lower bound, or two differ in theirs.
    """
    versions: dict[str, str] = {}
    for members in requirements(extras).values():
        for requirement in members:
            match = _REQUIREMENT.match(requirement)
            if match is None:
                raise ValueError(f"{requirement}: expected NAME>=VERSION")
            name, version = match["name"], match["version"]
            if versions.setdefault(name, version) != version:
                raise ValueError(f"{name}: expected one lower bound in all groups")
    return [f"{name}=={version}" for name, version in sorted(versions.items())]


def audit(python: str) -> int:
    """Runs pip-audit on the packages of a Python, and returns the exit status."""
    program = "import sysconfig; print(sysconfig.get_path('purelib'))"
    packages = subprocess.run(
        [python, "-c", program], check=True, capture_output=True, text=True
    ).stdout.strip()
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pip_audit", "--format=json"),
            *(f"--timeout={_SECONDS}", "--progress-spinner=off", f"--path={packages}"),
        ],
        check=False,
        capture_output=True,
        text=True,
    )
    message, status = report(done.stdout, done.stderr)
    print(message)
    return status


def report(output: str, errors: str) -> tuple[str, int]:
    """Returns a summary of what pip-audit wrote, and the exit status.

    Args:
        output: Its output in JSON.
        errors: What it wrote to stderr.
    """
    try:
        packages: list[dict[str, Any]] = json.loads(output)["dependencies"]
    except (ValueError, KeyError, TypeError):
        reason = (errors.strip().splitlines() or ["no output"])[-1]
        return f"audit: not possible, nothing was checked: {reason}", 0
    checked = [package for package in packages if "skip_reason" not in package]
    if not checked:
        return (
            f"audit: not possible: the advisories of none of {len(packages)} packages "
            "could be read. Is the advisory service reachable?",
            0,
        )
    lines = [
        f"{package['name']} {package['version']}: {found['id']}, fixed in "
        f"{', '.join(found['fix_versions']) or 'no version'}"
        for package in checked
        for found in package["vulns"]
    ]
    summary = f"audit: {len(checked)} of {len(packages)} packages were checked"
    return "\n".join([*lines, f"{summary}, {len(lines)} advisories"]), int(bool(lines))


def main() -> int:
    """Runs a verb of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("lowest").add_argument("--extras", default="", help="NAME,NAME")
    verbs.add_parser("audit").add_argument("--python", default=sys.executable)
    arguments = parser.parse_args()
    if arguments.verb == "audit":
        return audit(arguments.python)
    extras = tuple(filter(None, arguments.extras.split(",")))
    print("\n".join(lowest(extras)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
