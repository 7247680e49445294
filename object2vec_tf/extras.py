"""Optional dependencies: imports that a plain install of the package may lack."""

from __future__ import annotations

import importlib
import importlib.metadata
from types import ModuleType

from object2vec_tf.errors import UserError


def import_extra(module: str, extra: str, purpose: str) -> ModuleType:
    """Imports a module that one of the package's extras installs.

    Args:
        module: Name of the module, such as ``faiss`` or ``ray.data``.
        extra: Extra of object2vec_tf that installs it, such as ``neighbors``.
        purpose: What needs the module: the subject of the error message.

    Returns:
        The module named; for ``ray.data`` it is the submodule.

    Raises:
        UserError: The module cannot be imported. The message has the pip command.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        reason = str(error) or "it cannot be imported"
        raise UserError(
            f"{purpose} needs {module}: {reason}. Run: pip install {_packages(extra)}"
        ) from error


def _packages(extra: str) -> str:
    """Returns the packages of an extra, as arguments of ``pip install``.

    They are named, rather than the extra, since a package installed from a checkout
    cannot be found in an index.
    """
    try:
        requirements = importlib.metadata.requires("object2vec_tf") or []
    except importlib.metadata.PackageNotFoundError:  # used from a plain checkout
        return f"'.[{extra}]'"
    parts = (requirement.partition(";") for requirement in requirements)
    packages = [
        package.strip()
        for package, _, marker in parts
        if marker.replace("'", '"').strip() == f'extra == "{extra}"'
    ]
    return " ".join(f"'{package}'" for package in packages)
