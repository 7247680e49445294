import os
import sys
import time

from tools.benchmarks.gpu_parts.processes import Part, run_parts

READY = "import sys, time; print('ready', flush=True); sys.stdin.readline(); "


def part(program, work="work"):
    return Part(work, "side", lambda: [sys.executable, "-S", "-c", program], os.environ)


def run(*parts, limit=10.0, minutes=1.0):
    deadline = time.monotonic() + 60 * minutes
    found = run_parts(parts, deadline=deadline, limit=limit, ahead=1)
    return [results for _, results in found]


def test_results_of_parts_in_order():
    programs = [
        READY + f"print('log'); print('{{\"variant\": \"{name}\"}}')" for name in "abc"
    ]
    assert run(*map(part, programs)) == [[{"variant": name}] for name in "abc"]


def test_a_part_that_takes_too_long_keeps_its_first_results():
    program = READY + 'print(\'{"variant": "a"}\', flush=True); time.sleep(60)'
    [results] = run(part(program), limit=0.5)
    assert results == [
        {"variant": "a"},
        {"variant": "side, the rest", "error": "no result after 0.5 s"},
    ]


def test_a_failure_reports_the_last_line_and_stops_nothing():
    failing, complete = "import missing_module", READY + "print('{\"variant\": 1}')"
    first, second = run(part(failing), part(complete))
    assert second == [{"variant": 1}]
    assert first == [
        {
            "variant": "side",
            "error": "exit status 1: "
            "ModuleNotFoundError: No module named 'missing_module'",
        }
    ]


def test_a_program_that_is_missing():
    missing = Part("work", "side", lambda: ["/nonexistent/python"], os.environ)
    [[result]] = run(missing)
    assert "No such file" in result["error"]


def test_nothing_starts_after_the_time():
    [[result]] = run(part(READY), minutes=0)
    assert result == {"variant": "side", "error": "not started: the time was over"}
