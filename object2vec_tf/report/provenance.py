"""Where a run comes from: its command, its date and the versions of its software."""

from __future__ import annotations

import dataclasses
import datetime
import importlib.metadata
import os
import platform
import re
import shlex
import sys
from collections.abc import Mapping

from object2vec_tf.report.next_steps import Step, printable

# The commands that train. Others, such as a notebook's, do not repeat a run.
_COMMANDS = tuple(
    f"object2vec_tf.{name}" for name in ("fit", "tune", "sagemaker", "__main__")
)
_PACKAGES: Mapping[str, str] = {"TensorFlow": "tensorflow", "Keras": "keras"}
# A user name or key before the host of a URL.
_URL_CREDENTIALS = re.compile(r"(?<=://)[^/@\s]+@")


@dataclasses.dataclass(frozen=True)
class Provenance:
    """The circumstances of a run, which its report shows.

    Attributes:
        finished: When the run finished, in UTC; None if it is not known.
        command: The command line; empty if none of this package's commands ran it.
        versions: The version of each software by its name.
        steps: What to do next.
    """

    finished: datetime.datetime | None = None
    command: str = ""
    versions: Mapping[str, str] = dataclasses.field(default_factory=dict)
    steps: tuple[Step, ...] = ()

    @property
    def date(self) -> str:
        """The time at which the run finished, to the minute."""
        return f"{self.finished:%Y-%m-%d %H:%M} UTC" if self.finished else ""


def current_provenance(steps: tuple[Step, ...] = ()) -> Provenance:
    """Returns the circumstances of this process.

    The environment variable SOURCE_DATE_EPOCH, in seconds, replaces the time, as in
    other programs whose output is to be reproducible.

    Args:
        steps: What to do next.
    """
    return Provenance(_now(), command_line(), software_versions(), steps)


def _now() -> datetime.datetime:
    given = os.environ.get("SOURCE_DATE_EPOCH", "")
    if given.isascii() and given.isdigit():
        return datetime.datetime.fromtimestamp(int(given), datetime.UTC)
    return datetime.datetime.now(datetime.UTC)


def software_versions() -> dict[str, str]:
    """Returns the versions of this package, of its main libraries and of Python."""
    package = sys.modules["object2vec_tf"]
    versions = {"object2vec_tf": str(package.__version__)}
    versions |= {
        title: importlib.metadata.version(name) for title, name in _PACKAGES.items()
    }
    return versions | {"Python": platform.python_version()}


def command_line() -> str:
    """Returns the command that started this process, if it is one of this package.

    Credentials in URLs are replaced by asterisks.
    """
    spec = getattr(sys.modules.get("__main__"), "__spec__", None)
    name = "" if spec is None else str(spec.name)
    if name not in _COMMANDS:
        return ""
    words = ["python", "-m", name.removesuffix(".__main__"), *sys.argv[1:]]
    return _URL_CREDENTIALS.sub("***@", printable(shlex.join(words)))
