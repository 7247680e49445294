"""The choice between CPU and GPU, and the devices' names."""

from __future__ import annotations

import functools
import os
import warnings
from typing import Final

import tensorflow as tf

from object2vec_tf.devices.unusable_gpu import why_gpus_are_unusable
from object2vec_tf.errors import UserError

DEVICES: Final = ("auto", "cpu", "gpu")


def select_device(device: str = "auto") -> None:
    """Selects the devices that TensorFlow uses in this process.

    Call it before TensorFlow runs anything. Warns if this machine has a GPU that
    TensorFlow cannot use, unless the CPU is selected or CUDA_VISIBLE_DEVICES hides the
    GPU.

    Args:
        device: cpu hides all GPUs; gpu requires one; auto uses what there is.

    Raises:
        UserError: The name is unknown, there is no GPU for ``gpu``, or TensorFlow
            already uses a GPU that ``cpu`` would hide.

    Example:
        >>> from object2vec_tf.devices import describe_devices, select_device
        >>> select_device("cpu")
        >>> describe_devices().startswith("CPU (")
        True
    """
    check_device(device)
    if device == "cpu":
        _hide_gpus()
    elif not tf.config.get_visible_devices("GPU"):
        problem = why_gpus_are_unusable()
        if device == "gpu":
            raise UserError(f"device=gpu: {problem or _NO_GPU}")
        if problem:
            _warn_once(problem)


def check_device(device: str) -> None:
    """Checks the name of a device.

    Raises:
        UserError: It is unknown.
    """
    if device not in DEVICES:
        raise UserError(
            f"device: expected one of {', '.join(DEVICES)}, got {device!r}."
        )


_NO_GPU = (
    "expected a GPU that TensorFlow can use, and it sees none. Leave device out, or "
    "check nvidia-smi and the environment variable CUDA_VISIBLE_DEVICES."
)


@functools.cache
def _warn_once(problem: str) -> None:
    warnings.warn(
        f"{problem} The CPU is used; device=cpu hides this warning.", stacklevel=3
    )


def _hide_gpus() -> None:
    try:
        tf.config.set_visible_devices([], "GPU")
    except RuntimeError as error:
        raise UserError(
            "device=cpu: TensorFlow already uses a GPU in this process. Start a new "
            "process, or call object2vec_tf.devices.select_device('cpu') first."
        ) from error


def describe_devices(gpus: int | None = None) -> str:
    """Returns the name of the device on which models run, and its kind.

    Args:
        gpus: Maximum number of GPUs that are used; None for all.
    """
    visible = tf.config.get_visible_devices("GPU")[:gpus]
    if not visible:
        cores = len(os.sched_getaffinity(0))
        return f"CPU ({cores} core{'s' * (cores != 1)})"
    details = tf.config.experimental.get_device_details(visible[0])
    name = details.get("device_name", "GPU")
    return f"{f'{len(visible)} x ' * (len(visible) > 1)}{name} (GPU)"


# XLA's flags that choose the kernels of products.
_PRODUCT_FLAGS = ("xla_gpu_enable_triton_gemm", "xla_gpu_autotune_level")


def apply_tf32_override() -> None:
    """Makes XLA respect ``NVIDIA_TF32_OVERRIDE=0``, which NVIDIA's libraries do.

    XLA computes some products by kernels of its own, which do not read the variable.
    """
    if os.environ.get("NVIDIA_TF32_OVERRIDE") == "0":
        tf.config.experimental.enable_tensor_float_32_execution(False)


def prefer_library_products() -> None:
    """Makes XLA for GPUs compute products by cuBLAS, unless ``XLA_FLAGS`` decides.

    XLA otherwise also compiles and times many kernels of its own for each product. One
    step of the hcnn encoder of `tools.benchmarks.gpu` then took more than 60 s to
    compile on an H100, and 17 s without them. It must be called before XLA compiles
    anything.
    """
    flags = os.environ.get("XLA_FLAGS", "")
    if not any(name in flags for name in _PRODUCT_FLAGS):
        flag = f"--{_PRODUCT_FLAGS[0]}=false"
        os.environ["XLA_FLAGS"] = f"{flags} {flag}".strip()


def make_deterministic(seed: int) -> None:
    """Makes TensorFlow's ops deterministic for the rest of this process.

    Args:
        seed: Seed of random ops that have none of their own; without one they fail.
    """
    tf.random.set_seed(seed)
    tf.config.experimental.enable_op_determinism()
