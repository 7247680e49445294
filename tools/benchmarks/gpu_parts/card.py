"""Measures the rates of a GPU: a large copy, and large matrix products."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tools.benchmarks.gpu_parts.child import Task, report, timed, wait_for_go

_REPETITIONS = 10


def _best_seconds(run: Callable[[], Any]) -> float:
    """Returns the seconds of a call in the best of three rounds."""

    def repeat() -> None:
        for _ in range(_REPETITIONS):
            last = run()
        last[0, 0].numpy()  # waits for the device

    repeat()
    return min(timed(repeat) for _ in range(3)) / _REPETITIONS


def main() -> None:
    """Runs the part."""
    import tensorflow as tf

    task = Task.from_arguments()
    wait_for_go()
    size = 512 if task.is_small else 8_192
    # The array is larger than all caches; a copy reads and writes it.
    numbers = size * size * (1 if task.is_small else 4)

    def copy() -> Mapping[str, Any]:
        array = tf.zeros([numbers // 1_024, 1_024])
        add = tf.function(lambda: array + 1.0, autograph=False)
        return {"per_second": 2 * 4 * numbers / _best_seconds(add)}

    def product(dtype: str, tf32: bool) -> Mapping[str, Any]:
        tf.config.experimental.enable_tensor_float_32_execution(tf32)
        matrix = tf.cast(tf.random.normal([size, size]), dtype)
        multiply = tf.function(lambda: matrix @ matrix, autograph=False)
        return {"per_second": 2 * size**3 / _best_seconds(multiply)}

    report(
        {
            "copy": copy,
            "float32": lambda: product("float32", False),
            "tf32": lambda: product("float32", True),
            "bfloat16": lambda: product("bfloat16", True),
        }
    )


if __name__ == "__main__":
    main()
