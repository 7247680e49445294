import json
import os
import subprocess
import sys

import pytest

# The flag --device of other commands exists in the processes of tests.command_server.
COMMAND = [sys.executable, "-m", "tools.benchmarks.gpu"]


@pytest.mark.long
def test_all_parts_of_a_work_but_torch_run_on_a_cpu(tmp_path):
    output = tmp_path / "gpu.json"
    command = [
        *COMMAND,
        *("--device=cpu", "--small", "--works=small, batch 64", "--seconds=0.05"),
        *("--parts=card,ours,ragged,keras,torch", "--torch_python=/nonexistent"),
        f"--output={output}",
    ]
    result = subprocess.run(command, capture_output=True, text=True, timeout=500)
    assert result.returncode == 0, result.stderr
    works = json.loads(output.read_text())["works"]
    card = {r["variant"]: r.get("per_second", 0) for r in works["card"]}
    assert card.keys() == {"copy", "float32", "tf32", "bfloat16"}
    assert all(rate > 0 for rate in card.values())
    found = {r["variant"]: r for r in works["small, batch 64"]}
    variants = ["ours", "ours, bfloat16", "ours, ragged", "Keras fit", "Keras fit, XLA"]
    for name in variants:
        assert found[name]["pairs_per_second"] > 0
        assert 0 < found[name]["limit_milliseconds"] < found[name]["milliseconds"]
    assert found["ours"]["ratio"] > 0
    assert "No such file" in found["torch"]["error"]
    assert "| small, batch 64 | ours |" in result.stdout


@pytest.mark.long
def test_a_machine_without_a_gpu_is_an_error_at_once():
    command = [*COMMAND, "--minutes=0.1"]
    hidden = os.environ | {"CUDA_VISIBLE_DEVICES": "-1"}
    result = subprocess.run(
        command, capture_output=True, text=True, timeout=60, env=hidden
    )
    assert result.returncode == 2
    assert "expected a GPU that TensorFlow can use, got none" in result.stderr
    assert result.stdout == ""
