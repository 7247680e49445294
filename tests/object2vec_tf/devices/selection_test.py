import os
import re
import warnings

import pytest
import tensorflow as tf

from object2vec_tf.devices import (
    apply_tf32_override,
    describe_devices,
    prefer_library_products,
    select_device,
    selection,
)
from object2vec_tf.errors import UserError

GPU = tf.config.PhysicalDevice("/physical_device:GPU:0", "GPU")
PROBLEM = "this machine has 1 GPU, but TensorFlow cannot use any: no driver. See there."


@pytest.fixture
def visible(monkeypatch):
    """The GPUs that TensorFlow sees; the test changes the list."""
    gpus = []
    names = {"device_name": "NVIDIA H100 80GB HBM3"}
    config = tf.config
    monkeypatch.setattr(config, "get_visible_devices", lambda kind: list(gpus))
    monkeypatch.setattr(config.experimental, "get_device_details", lambda gpu: names)
    selection._warn_once.cache_clear()
    return gpus


@pytest.fixture
def unusable(monkeypatch):
    monkeypatch.setattr(selection, "why_gpus_are_unusable", lambda: PROBLEM)


@pytest.mark.parametrize("device", ["auto", "cpu"])
def test_without_a_gpu_the_cpu_is_used(device, visible):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        select_device(device)


def test_a_gpu_that_is_required_must_be_visible(visible):
    with pytest.raises(UserError, match=r"device=gpu: expected a GPU .* Leave device"):
        select_device("gpu")
    visible.append(GPU)
    select_device("gpu")


def test_an_unusable_gpu_is_reported_once(visible, unusable):
    with pytest.warns(UserWarning, match=r"no driver\. See there\. The CPU is used"):
        select_device()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        select_device()
        select_device("cpu")
    with pytest.raises(UserError, match="device=gpu: this machine has 1 GPU"):
        select_device("gpu")


def test_a_gpu_that_is_in_use_cannot_be_hidden(monkeypatch):
    def set_visible_devices(devices, kind):
        raise RuntimeError("Visible devices cannot be modified after being initialized")

    monkeypatch.setattr(tf.config, "set_visible_devices", set_visible_devices)
    with pytest.raises(UserError, match="device=cpu: TensorFlow already uses a GPU"):
        select_device("cpu")


def test_an_unknown_device_is_rejected():
    with pytest.raises(UserError, match="expected one of auto, cpu, gpu, got 'tpu'"):
        select_device("tpu")


@pytest.mark.parametrize(
    ("gpus", "used", "description"),
    [
        (0, None, r"CPU \(\d+ cores?\)"),
        (1, None, r"NVIDIA H100 80GB HBM3 \(GPU\)"),
        (2, 1, r"NVIDIA H100 80GB HBM3 \(GPU\)"),
        (2, 2, r"2 x NVIDIA H100 80GB HBM3 \(GPU\)"),
    ],
)
def test_devices_are_named(gpus, used, description, visible):
    visible.extend([GPU] * gpus)
    assert re.fullmatch(description, describe_devices(used))


@pytest.mark.parametrize(
    ("value", "enabled"), [("0", False), ("1", True), (None, True)]
)
def test_xla_computes_without_tf32_where_nvidia_libraries_do(
    value, enabled, monkeypatch
):
    """The products of XLA's program say how exact they must be."""
    if value is None:
        monkeypatch.delenv("NVIDIA_TF32_OVERRIDE", raising=False)
    else:
        monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", value)
    was_enabled = tf.config.experimental.tensor_float_32_execution_enabled()
    tf.config.experimental.enable_tensor_float_32_execution(True)
    try:
        apply_tf32_override()
        multiply = tf.function(lambda a: a @ a, jit_compile=True)
        program = multiply.experimental_get_compiler_ir(tf.ones([2, 2]))(stage="hlo")
    finally:
        tf.config.experimental.enable_tensor_float_32_execution(was_enabled)

    assert ("operand_precision={highest,highest}" in program) is not enabled


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, "--xla_gpu_enable_triton_gemm=false"),
        ("--xla_dump_to=d", "--xla_dump_to=d --xla_gpu_enable_triton_gemm=false"),
        ("--xla_gpu_autotune_level=4", "--xla_gpu_autotune_level=4"),
        ("--xla_gpu_enable_triton_gemm=true", "--xla_gpu_enable_triton_gemm=true"),
    ],
)
def test_flags_of_the_user_choose_the_kernels_of_products(given, expected, monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", given or "")

    prefer_library_products()

    assert os.environ["XLA_FLAGS"] == expected
