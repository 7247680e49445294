import subprocess
import sys
from types import ModuleType

import pytest

from tools.datasets import debian, movielens, snli, stsb, wikipedia


@pytest.mark.parametrize("script", [debian, movielens, snli, stsb, wikipedia])
def test_help_shows_the_flags(script: ModuleType) -> None:
    done = subprocess.run(
        (sys.executable, script.__file__, "--help"),
        capture_output=True,
        text=True,
        check=False,
    )

    for words in ("--output", "--source", "data/", script.__doc__.split("\n")[0]):
        assert words in done.stdout


@pytest.mark.parametrize("argument", ["data", "--sorce=x"])
def test_invalid_argument_ends_the_script_without_a_traceback(argument: str) -> None:
    done = subprocess.run(
        (sys.executable, snli.__file__, argument),
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode not in (0, None)
    assert argument.removesuffix("=x").lstrip("-") in done.stderr
    assert "Traceback" not in done.stderr
