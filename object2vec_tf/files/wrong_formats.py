"""Files in formats that cannot be read as text, recognized by their first bytes."""

from __future__ import annotations

from pathlib import Path

from object2vec_tf.errors import DataError

# Source: the Amazon SageMaker developer guide, "Common Data Formats for Training":
# each record starts with the integer 0xced7230a, little-endian.
RECORD_IO = (0xCED7230A).to_bytes(4, "little")
# SageMaker's algorithms read both; Object2Vec reads only JSON Lines.
_JSON_LINES = 'Write JSON Lines, one object such as {"in0": [1], "in1": [2]} per line'
_FORMATS = {
    RECORD_IO: ("RecordIO (application/x-recordio-protobuf)", _JSON_LINES),
    b"PAR1": ("Parquet", "Give its name the suffix .parquet"),
    b"ARROW1": ("Arrow", "Give its name the suffix .arrow"),
    b"Obj\x01": ("Avro", _JSON_LINES),
    b"PK\x03\x04": ("a zip archive, such as .xlsx or .npz", _JSON_LINES),
    b"\x93NUMPY": ("a numpy array", _JSON_LINES),
    b"\x89HDF\r\n": ("HDF5", _JSON_LINES),
    b"SQLite format 3\0": ("SQLite", _JSON_LINES),
    b"\x1f\x8b": ("gzip", "Give its name the suffix .gz"),
    b"\x28\xb5\x2f\xfd": ("zstd", "Give its name the suffix .zst"),
    b"BZh91AY&SY": ("bzip2", "Decompress it"),
    b"\xff\xfe": ("UTF-16", "Convert it to UTF-8"),
    b"\xfe\xff": ("UTF-16", "Convert it to UTF-8"),
}


def reject_wrong_format(path: Path, start: bytes) -> None:
    """Checks that a file which is read as lines of text is not in another format.

    Args:
        path: The file, for the message.
        start: Its first bytes, decompressed.

    Raises:
        DataError: It is, for example, RecordIO or Parquet.

    Example:
        >>> from pathlib import Path
        >>> from object2vec_tf.files.wrong_formats import reject_wrong_format
        >>> reject_wrong_format(Path("train.jsonl"), b'{"in0": [1]}')
        >>> reject_wrong_format(Path("train.rec"), bytes.fromhex("0a23d7ce"))
        Traceback (most recent call last):
            ...
        object2vec_tf.errors.DataError: train.rec: expected lines of text, got ...
    """
    for magic, (name, remedy) in _FORMATS.items():
        if start.startswith(magic):
            raise DataError(f"{path}: expected lines of text, got {name}. {remedy}.")
