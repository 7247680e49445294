"""Log lines in the format that SageMaker's dashboards and tuners parse."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from object2vec_tf.hyperparameters import IN_BATCH_LOSS

HOST = "algo-1"
# The metrics of which lower is better; of all others, higher is better.
LOSSES = ("cross_entropy", "mean_squared_error", IN_BATCH_LOSS, "mean_rank")


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
