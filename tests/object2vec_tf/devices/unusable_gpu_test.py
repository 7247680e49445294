import pytest
import tensorflow as tf

from object2vec_tf.devices import unusable_gpu
from object2vec_tf.devices.unusable_gpu import reason_in, why_gpus_are_unusable

LOG = """\
WARNING: All log messages before absl::InitializeLog() is called are written to STDERR
I0000 00:00:1795774220.536687    3208 port.cc:153] oneDNN custom operations are on.
I0000 00:00:1795774220.542766    3208 cudart_stub.cc:31] Could not find cuda drivers \
on your machine, GPU will not be used.
W0000 00:00:1795774220.6  3208 gpu_device.cc:2342] Cannot dlopen some GPU libraries. \
Please make sure the missing libraries mentioned above are installed properly.
"""
INIT = "E0000 00:00:1.5 12 cuda_platform.cc:52] failed call to cuInit: UNKNOWN ERROR"


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """The root of a machine with two GPUs and a TensorFlow with CUDA."""
    for gpu in ("0000:01:00.0", "0000:02:00.0"):
        (tmp_path / "proc/driver/nvidia/gpus" / gpu).mkdir(parents=True)
    monkeypatch.setattr(tf.test, "is_built_with_cuda", lambda: True)
    monkeypatch.setattr(unusable_gpu, "silenced_text", lambda: LOG)
    return tmp_path


def test_the_reason_is_the_most_specific_line_of_the_log():
    assert reason_in(LOG) == "Cannot dlopen some GPU libraries"
    assert reason_in(INIT) == "failed call to cuInit: UNKNOWN ERROR"
    assert reason_in("I0000 00:00:1.5 12 port.cc:153] oneDNN is on.") == ""


def test_a_machine_without_a_gpu_has_no_problem(tmp_path):
    assert why_gpus_are_unusable(tmp_path, {}) == ""


@pytest.mark.parametrize("value", ["", "-1"])
def test_gpus_that_are_hidden_on_purpose_are_no_problem(value, machine):
    assert why_gpus_are_unusable(machine, {"CUDA_VISIBLE_DEVICES": value}) == ""


@pytest.mark.parametrize("environment", [{}, {"CUDA_VISIBLE_DEVICES": "0"}])
def test_the_message_has_tensorflows_reason(environment, machine):
    assert why_gpus_are_unusable(machine, environment) == (
        "this machine has 2 GPUs, but TensorFlow cannot use any: Cannot dlopen some "
        "GPU libraries. See https://www.tensorflow.org/install/pip, and compare with "
        "nvidia-smi."
    )


def test_without_a_reason_in_the_log_another_process_is_asked(machine, monkeypatch):
    monkeypatch.setattr(unusable_gpu, "silenced_text", lambda: "")
    monkeypatch.setattr(unusable_gpu, "_log_of_new_process", lambda: INIT)

    assert "any: failed call to cuInit: UNKNOWN ERROR. See" in why_gpus_are_unusable(
        machine, {}
    )


def test_in_a_container_the_device_files_count(tmp_path, monkeypatch):
    monkeypatch.setattr(tf.test, "is_built_with_cuda", lambda: False)
    (tmp_path / "dev").mkdir()
    for name in ("nvidia0", "nvidiactl", "nvidia-uvm"):
        (tmp_path / "dev" / name).touch()

    assert why_gpus_are_unusable(tmp_path, {}) == (
        "this machine has 1 GPU, but this TensorFlow is built without CUDA. Install "
        "the package tensorflow[and-cuda] instead."
    )
