"""Why TensorFlow does not use a GPU that is in this machine."""

from __future__ import annotations

import functools
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import tensorflow as tf

from object2vec_tf.native_logging import silenced_text

# A directory for each GPU of NVIDIA's driver, and files that programs open to use it.
_DRIVER_GPUS = "proc/driver/nvidia/gpus/*"
_DEVICE_FILES = "dev/nvidia[0-9]*"
# Values of CUDA_VISIBLE_DEVICES that hide all GPUs on purpose.
_HIDDEN = ("", "-1", "NoDevFiles", "none", "void")
_PROBE = "import tensorflow; tensorflow.config.list_physical_devices('GPU')"
_PROBE_SECONDS = 60
# Lines of TensorFlow's log that say why, the most specific first.
_REASONS = (
    re.compile(r"(Could not load dynamic library .*)"),
    re.compile(r"(Cannot dlopen some GPU libraries.*)"),
    re.compile(r"(failed call to cuInit.*)"),
    re.compile(r"(.*driver version is insufficient.*)"),
    re.compile(r"(Could not find cuda drivers.*)"),
)
_FIXES = "See https://www.tensorflow.org/install/pip, and compare with nvidia-smi."


def why_gpus_are_unusable(
    root: Path = Path("/"), environment: Mapping[str, str] = os.environ
) -> str:
    """Returns why TensorFlow sees no GPU though this machine has one.

    Args:
        root: The root of the file system.
        environment: The environment variables.

    Returns:
        A sentence with the reason and one with the fix. Empty if there is no GPU, or if
        CUDA_VISIBLE_DEVICES hides it.
    """
    gpus = len([*root.glob(_DRIVER_GPUS)] or [*root.glob(_DEVICE_FILES)])
    if not gpus or environment.get("CUDA_VISIBLE_DEVICES") in _HIDDEN:
        return ""
    have = f"{gpus} GPU{'s' * (gpus > 1)}"
    if not tf.test.is_built_with_cuda():
        return (
            f"this machine has {have}, but this TensorFlow is built without CUDA. "
            "Install the package tensorflow[and-cuda] instead."
        )
    reason = reason_in(silenced_text()) or reason_in(_log_of_new_process())
    return (
        f"this machine has {have}, but TensorFlow cannot use any: "
        f"{reason or 'it does not say why'}. {_FIXES}"
    )


def reason_in(log: str) -> str:
    """Returns the line of TensorFlow's log that says why it uses no GPU, or nothing.

    Args:
        log: The log, whose lines begin with a level, a time and a place in the source.
    """
    for pattern in _REASONS:
        for line in log.splitlines():
            found = pattern.search(re.sub(r"^.*?\.cc:\d+\] ", "", line))
            if found:
                return found.group(1).partition(". ")[0].strip(" .")
    return ""


@functools.cache
def _log_of_new_process() -> str:
    """Returns what TensorFlow logs when it looks for GPUs.

    This process keeps warnings out of its output, so another one looks for them.
    """
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "0"}
    try:
        process = subprocess.run(
            [sys.executable, "-P", "-c", _PROBE],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_PROBE_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return process.stderr.decode(errors="replace")
