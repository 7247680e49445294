"""Log lines in the format that SageMaker's dashboards and tuners parse."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from typing import TextIO

from object2vec_tf.hyperparameters import IN_BATCH_LOSS
from object2vec_tf.terminal import is_interactive

HOST = "algo-1"
# The metrics of which lower is better; of all others, higher is better.
LOSSES = ("cross_entropy", "mean_squared_error", IN_BATCH_LOSS, "mean_rank")


_is_job = False


def write_always() -> None:
    """Has the lines written on a terminal too, in the rest of this process."""
    global _is_job
    _is_job = True


def are_wanted(
    stream: TextIO | None = None, environment: Mapping[str, str] = os.environ
) -> bool:
    """Returns whether the lines are written: everywhere but on a terminal.

    In SageMaker and after `write_always`, they are written on a terminal too.

    Args:
        stream: Where they would be written; None for stdout.
        environment: The environment variables.
    """
    in_sagemaker = any(
        name == "TRAINING_JOB_NAME" or name.startswith(("SM_", "SAGEMAKER_"))
        for name in environment
    )
    return (
        _is_job or in_sagemaker or not is_interactive(stream or sys.stdout, environment)
    )


def quality_lines(
    channel: str, metrics: Mapping[str, float], epoch: int | None = None
) -> Iterator[str]:
    """Yields a line for each metric of a channel.

    For example ``#quality_metric: host=algo-1, epoch=0, validation cross_entropy
    <loss>=0.227112250687``.

    Args:
        channel: The channel.
        metrics: The values by name.
        epoch: The epoch, counted from 0; None for the metrics of the final model.
    """
    when = "" if epoch is None else f" epoch={epoch},"
    for name, value in metrics.items():
        role = "loss" if name in LOSSES else "score"
        metric = f"{channel} {name} <{role}>={value:.12g}"
        yield f"#quality_metric: host={HOST},{when} {metric}"


def progress_line(completed: int, epochs: int) -> str:
    """Returns the line on the share of the epochs that are completed."""
    return f"#progress_metric: host={HOST}, completed {100 * completed // epochs} %"


def throughput_line(records_per_second: float) -> str:
    """Returns the line on the speed of the training."""
    return (
        f"#throughput_metric: host={HOST}, "
        f"train throughput={records_per_second:.12g} records/second"
    )
