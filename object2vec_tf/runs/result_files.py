"""The results of a run: metrics.json and history.jsonl, with their checksums."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from object2vec_tf.errors import RunDirectoryError
from object2vec_tf.files.atomic import write_atomic
from object2vec_tf.files.digests import (
    DIGESTS,
    FILES,
    FileDigest,
    digest_of_bytes,
    digest_of_file,
    typed_digests,
    verify_bytes,
)
from object2vec_tf.files.sealed_json import parse_object, read_sealed, sealed_text

Record = dict[str, Any]

# The key in digests.json of the digests that metrics.json had before.
_FORMER = "former"
_MAX_FORMER = 8
_OVERWRITE = "or give --overwrite to start again."
RESTORE = f"Restore the file, {_OVERWRITE}"
_MEASURE_AGAIN = (
    "Restore the file; or remove it, and fit resumes the run from its newest "
    f"checkpoint; {_OVERWRITE}"
)
_REMOVE_BOTH = (
    "Restore the file; or remove it and metrics.json, and fit resumes the run from its "
    f"newest checkpoint; {_OVERWRITE}"
)
_CHANNELS = ("train", "validation", "test")
# The entries that metrics.json of every finished run has, and their types.
_RESULTS: Mapping[str, type] = {
    "epochs_run": int,
    "best_epoch": int,
    "stopped": str,
    "train": dict,
    "rows": dict,
    "seconds": float,
    "records_per_second": float,
}


@dataclasses.dataclass(frozen=True)
class ResultFiles:
    """metrics.json, history.jsonl, and digests.json, which has their checksums.

    digests.json is written before metrics.json, and has also the checksums of earlier
    contents of metrics.json. So the two files fit if the process is killed between.

    Attributes:
        directory: The run directory.
    """

    directory: Path

    @property
    def metrics(self) -> Path:
        """The results. Written last, when the run finishes or is interrupted."""
        return self.directory / "metrics.json"

    @property
    def history(self) -> Path:
        """The metrics of each epoch, one line per epoch."""
        return self.directory / "history.jsonl"

    @property
    def digests(self) -> Path:
        """The checksums of the results."""
        return self.directory / DIGESTS

    def write_metrics(self, metrics: Mapping[str, Any]) -> None:
        """Writes metrics.json, of a run that is finished or marked as resumable."""
        text = json.dumps(metrics, indent=2) + "\n"
        files = {self.metrics.name: digest_of_bytes(text.encode())}
        if self.history.exists():
            files[self.history.name] = digest_of_file(self.history)
        former = self._former_digests()
        write_atomic(self.digests, sealed_text({FILES: files, _FORMER: former}))
        write_atomic(self.metrics, text)

    def _former_digests(self) -> list[FileDigest]:
        """Returns the digests that metrics.json may have until it is replaced."""
        former = [digest_of_file(self.metrics)] if self.metrics.exists() else []
        try:
            record = self._read_digests()
        except RunDirectoryError:  # it is replaced
            return former
        if record is None:
            return former
        for digest in (record[FILES].get(self.metrics.name), *record[_FORMER]):
            if digest is not None and digest not in former:
                former.append(digest)
        return former[:_MAX_FORMER]

    def _read_digests(self) -> Record | None:
        """Returns the content of digests.json; None for a run of an older version.

        Raises:
            RunDirectoryError: It is damaged.
        """
        if not self.digests.exists():
            return None
        record = read_sealed(
            self.digests, _REMOVE_BOTH, is_sealed=True, error_class=RunDirectoryError
        )
        files = typed_digests(
            record, self.digests, _REMOVE_BOTH, error_class=RunDirectoryError
        )
        former = record.get(_FORMER)
        return {FILES: files, _FORMER: former if isinstance(former, list) else []}

    def read_metrics(self) -> Record | None:
        """Returns the content of metrics.json; None if there is no such file.

        Raises:
            RunDirectoryError: It is damaged.
        """
        if not self.metrics.exists():
            return None
        data = _read(self.metrics, _MEASURE_AGAIN)
        digests = self._read_digests()
        expected = digests[FILES].get(self.metrics.name) if digests else None
        if digests and expected and digest_of_bytes(data) not in digests[_FORMER]:
            _verify(self.metrics, data, expected, _MEASURE_AGAIN)
        try:
            record = parse_object(data)
            if not record.get("resumable"):
                _check_results(record)
        except (ValueError, RecursionError) as error:
            raise _damage(self.metrics, error, _MEASURE_AGAIN) from error
        return record

    def write_history(self, history: Sequence[Record]) -> None:
        """Writes history.jsonl."""
        lines = "".join(json.dumps(record) + "\n" for record in history)
        write_atomic(self.history, lines)

    def read_history(self) -> list[Record]:
        """Returns the record of each epoch from history.jsonl.

        Raises:
            RunDirectoryError: The file is missing or damaged.
        """
        data = _read(self.history, RESTORE)
        digests = self._read_digests()
        if digests is not None and self._is_described_by(digests):
            expected = digests[FILES].get(self.history.name)
            if expected is not None:
                _verify(self.history, data, expected, RESTORE)
        try:
            return [_epoch_record(line) for line in data.split(b"\n") if line.strip()]
        except (ValueError, RecursionError) as error:
            raise _damage(self.history, error, RESTORE) from error

    def _is_described_by(self, digests: Record) -> bool:
        """Returns whether digests are those of the current metrics.json."""
        expected = digests[FILES].get(self.metrics.name)
        return self.metrics.exists() and digest_of_file(self.metrics) == expected

    def remove(self) -> None:
        """Removes the files."""
        for path in (self.metrics, self.history, self.digests):
            path.unlink(missing_ok=True)


def _read(path: Path, fix: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise RunDirectoryError(
            f"{path}: cannot be read: {error.strerror}. {fix}"
        ) from error


def _verify(path: Path, data: bytes, expected: FileDigest, fix: str) -> None:
    verify_bytes(path, data, expected, fix, error_class=RunDirectoryError)


def _damage(path: Path, reason: object, fix: str) -> RunDirectoryError:
    return RunDirectoryError(f"{path}: is damaged: {reason}. {fix}")


def _check_results(record: Record) -> None:
    """Checks the types of the results of a finished run.

    Raises:
        ValueError: An entry is missing or has another type.
    """
    missing = [key for key in _RESULTS if key not in record]
    if missing:
        raise ValueError(f"the JSON object has no {', '.join(missing)}")
    for key, kind in _RESULTS.items():
        is_valid = (
            is_number(record[key]) if kind is float else (type(record[key]) is kind)
        )
        if not is_valid:
            raise ValueError(
                f"{key}: expected {kind.__name__}, got {record[key]!r:.40}"
            )
    _check_numbers(record, (*_CHANNELS, "rows"))


def _epoch_record(line: bytes) -> Record:
    """Parses a line of history.jsonl.

    Raises:
        ValueError: It is not the record of an epoch.
    """
    record = parse_object(line)
    check_epoch(record)
    return record


def check_epoch(record: Any) -> None:
    """Checks the types in the record of an epoch.

    Raises:
        ValueError: A type is wrong.
    """
    if not isinstance(record, dict) or type(record.get("epoch")) is not int:
        raise ValueError(f"expected the record of an epoch, got {record!r:.80}")
    _check_numbers(record, _CHANNELS)


def _check_numbers(record: Record, names: Iterable[str]) -> None:
    """Checks entries that are numbers by name, if a record has them.

    Raises:
        ValueError: An entry has another type.
    """
    for name in names:
        values = record.get(name, {})
        if not isinstance(values, dict) or not all(map(_is_float, values.values())):
            raise ValueError(f"{name}: expected numbers by name, got {values!r:.80}")


def is_number(value: Any) -> bool:
    """Returns whether a value of JSON is a number that a float can have."""
    try:
        return _is_float(value) and math.isfinite(value)
    except OverflowError:  # an integer with hundreds of digits
        return False


def _is_float(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
