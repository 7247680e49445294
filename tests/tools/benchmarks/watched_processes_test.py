import sys

import pytest

from tools.benchmarks.watched_processes import started, watch_memory

LARGE = "x = bytearray(200_000_000); import time; time.sleep(1)"


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_peaks_of_processes(tmp_path):
    programs = "import time; time.sleep(1)", LARGE
    with (
        started([sys.executable, "-c", programs[0]], [{}], tmp_path / "0") as small,
        started([sys.executable, "-c", programs[1]], [{}], tmp_path / "1") as large,
    ):
        peaks = watch_memory([*small, *large], 0)
    assert 0 < peaks[0] < 0.1 < 0.2 < peaks[1] < 0.3


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_too_little_memory_ends_the_processes(tmp_path):
    sleeping = [sys.executable, "-c", "import time; time.sleep(600)"]
    with (
        pytest.raises(RuntimeError, match="less than 5000 GB"),
        started(sleeping, [{}], tmp_path / "output") as processes,
    ):
        watch_memory(processes, 5000)
    assert processes[0].returncode == -9


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_failed_process(tmp_path):
    output = tmp_path / "output"
    program = "import os; print('ended', os.environ['NUMBER']); raise SystemExit(3)"
    environments = [{"NUMBER": "0"}, {"NUMBER": "1"}]
    with (
        pytest.raises(RuntimeError, match=r"exit codes of the processes: \[3, 3\]"),
        started([sys.executable, "-c", program], environments, output) as processes,
    ):
        watch_memory(processes, 0)
    assert sorted(output.read_text().splitlines()) == ["ended 0", "ended 1"]
