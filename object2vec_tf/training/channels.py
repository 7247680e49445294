"""Reads the channels of a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from object2vec_tf.commands.signals import StopRequest
from object2vec_tf.data.channel_reader import PairSource, read_pairs
from object2vec_tf.data.pairs import Pairs
from object2vec_tf.data.table_sources import is_given
from object2vec_tf.distributed.joining import check_workers
from object2vec_tf.errors import Interrupted
from object2vec_tf.files.channels import Source
from object2vec_tf.hyperparameters import Hyperparameters
from object2vec_tf.text.tokenizer_loading import Tokenizers
from object2vec_tf.training.console import RunConsole
from object2vec_tf.training.options import RunOptions


def sources_by_channel(
    train: PairSource,
    validation: PairSource | None,
    test: PairSource | None,
    auxiliary: Source | None,
) -> dict[str, Any]:
    """Returns the sources of the channels by name."""
    return {
        "train": train,
        "validation": validation,
        "test": test,
        "auxiliary": auxiliary,
    }


def read_channels(
    sources: Mapping[str, Any],
    hyperparameters: Hyperparameters,
    console: RunConsole,
    stop_request: StopRequest,
    *,
    tokenizers: Tokenizers,
    options: RunOptions,
) -> dict[str, Pairs]:
    """Reads the channels of pairs of a run.

    Args:
        sources: The channels, by name; None for one that is not given.
        hyperparameters: The hyperparameters that the pairs are checked against.
        console: Shows progress, and what was read.
        stop_request: Whether to stop.
        tokenizers: Tokenizers of in0 and in1.
        options: Cache and number of tolerated lines.

    Raises:
        DataError: A line is invalid.
        Interrupted: The process received SIGTERM.
        WorkerLost: Another worker ended.
    """
    channels = {}
    for name in ("train", "validation", "test"):
        source = sources.get(name)
        if not is_given(source):
            continue
        with console.reading(name) as show_progress:

            def after_block(
                size: int, show_progress: Callable[[int], None] = show_progress
            ) -> None:
                if stop_request.asked:
                    raise Interrupted(
                        "stopped while reading data. The same command starts again."
                    )
                check_workers()
                show_progress(size)

            channels[name] = read_pairs(
                source,
                hyperparameters,
                channel=name,
                tokenizers=tokenizers,
                max_bad_lines=options.max_bad_lines,
                cache_dir=options.cache_dir,
                cache_limit=options.cache_limit,
                after_block=after_block,
            )
        console.channel(name, channels[name])
    return channels
