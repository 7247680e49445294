"""The lines SageMaker's dashboards and tuners parse, in their exact shapes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from object2vec_tf.hyperparameters import IN_BATCH_LOSS

HOST = "algo-1"
# The metrics that are the better the lower they are; of the others, the higher.
LOSSES = ("cross_entropy", "mean_squared_error", IN_BATCH_LOSS)


def quality_lines(
    channel: str, metrics: Mapping[str, float], epoch: int | None = None
) -> Iterator[str]:
    """Yields a line for each metric of a channel, after an epoch or of the final model.

    For example ``#quality_metric: host=algo-1, epoch=0, validation cross_entropy
    <loss>=0.227112250687``.
    """
    when = "" if epoch is None else f" epoch={epoch},"
    for name, value in metrics.items():
        role = "loss" if name in LOSSES else "score"
        what = f"{channel} {name} <{role}>={value:.12g}"
        yield f"#quality_metric: host={HOST},{when} {what}"


def progress_line(completed: int, epochs: int) -> str:
    """Returns the line that says how much of the training is done."""
    return f"#progress_metric: host={HOST}, completed {100 * completed // epochs} %"


def throughput_line(records_per_second: float) -> str:
    """Returns the line that says how fast the training goes."""
    return (
        f"#throughput_metric: host={HOST}, "
        f"train throughput={records_per_second:.12g} records/second"
    )
