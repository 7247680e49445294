"""Checks of the channels that a training job configures in inputdataconfig.json."""

from __future__ import annotations

from email.message import Message
from pathlib import Path
from typing import Any

from object2vec_tf.errors import UserError
from object2vec_tf.jobs.job_config import read_config

CHANNELS = ("train", "validation", "test", "auxiliary")
JSON_LINES = "application/jsonlines"
_PARQUET = "application/x-parquet"
# Types of pairs: as the Object2Vec pages of the developer guide name them, and as other
# programs do.
_PAIR_TYPES = (
    JSON_LINES,
    "application/x-jsonlines",
    "application/x-ndjson",
    _PARQUET,
    "application/vnd.apache.parquet",
    "application/parquet",
)


def check_channels(path: Path, hosts: int) -> None:
    """Rejects channels, input modes and formats that cannot be read.

    Keys that are not known are ignored.

    Args:
        path: inputdataconfig.json.
        hosts: Number of hosts of the job.

    Raises:
        UserError: A channel cannot be read. The message names the channel.
    """
    for name, channel in read_config(path).items():
        if name not in CHANNELS:
            raise UserError(
                f"channel {name}: expected one of {', '.join(CHANNELS)}. Rename the "
                "channel."
            )
        if not isinstance(channel, dict):
            raise UserError(
                f"{path}: {name}: expected a JSON object, got {channel!r:.40}."
            )
        _check_delivery(name, channel, hosts)
        if name != "auxiliary":
            _check_content_type(name, channel.get("ContentType"))


def _check_delivery(name: str, channel: dict[str, Any], hosts: int) -> None:
    """Checks how SageMaker delivers the files of a channel."""
    if channel.get("TrainingInputMode") == "Pipe":
        raise UserError(
            f"channel {name}: expected input mode File, got Pipe. Epochs read rows in "
            "random order: choose File, or FastFile."
        )
    if channel.get("RecordWrapperType") == "RecordIO":
        raise UserError(
            f"channel {name}: expected RecordWrapperType None, got RecordIO. Give the "
            "channel files of JSON Lines or Parquet without a wrapper."
        )
    if channel.get("S3DistributionType") == "ShardedByS3Key" and hosts > 1:
        raise UserError(
            f"channel {name}: expected S3DistributionType FullyReplicated, got "
            f"ShardedByS3Key on {hosts} hosts. Each host trains on its rows of every "
            "batch and must be able to read all files: choose FullyReplicated, or one "
            "host."
        )


def _check_content_type(name: str, value: Any) -> None:
    """Checks a content type, which may have parameters; upper case is allowed."""
    if not value:
        return
    header = Message()
    header["Content-Type"] = str(value)
    content_type, charset = header.get_content_type(), header.get_content_charset()
    # The parser turns an invalid type into text/plain.
    if content_type not in _PAIR_TYPES:
        raise UserError(
            f"channel {name}: expected content type {JSON_LINES} or {_PARQUET}, got "
            f"{value}. Convert the files, or correct the ContentType of the channel."
        )
    if charset not in (None, "utf-8", "utf8", "us-ascii"):
        raise UserError(
            f"channel {name}: expected charset utf-8, got {charset}. Convert the files "
            "to UTF-8."
        )
