"""Reads the labels of items: text files with one line per item."""

from __future__ import annotations

from pathlib import Path

from object2vec_tf.errors import DataError, UserError
from object2vec_tf.files.line_blocks import open_line_blocks


def read_labels(path: Path, items: int) -> list[bytes]:
    r"""Returns the labels in a text file, UTF-8 without line ends.

    Args:
        path: The file; ``.gz`` and ``.zst`` are decompressed, and a byte order mark is
            dropped.
        items: The number of items.

    Raises:
        DataError: The file cannot be read, or is not UTF-8.
        UserError: It has another number of lines.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as directory:
        ...     path = Path(directory) / "names.txt"
        ...     _ = path.write_text("Heat (1995)\nAlien (1979)\n")
        ...     read_labels(path, 2)
        [b'Heat (1995)', b'Alien (1979)']
    """
    labels: list[bytes] = []
    count = 0
    with open_line_blocks(path) as blocks:
        for block in blocks:
            count += block.count(b"\n") + (not block.endswith(b"\n"))
            if count <= items:  # else they are only counted
                lines = block.removesuffix(b"\n").split(b"\n")
                labels += [line.removesuffix(b"\r") for line in lines]
    text = b"\n".join(labels)
    try:
        text.decode()
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: labels cannot be read: {error}.") from error
    if b"\0" in text:
        line = text[: text.index(b"\0")].count(b"\n") + 1
        raise DataError(
            f"{path}:{line}: expected text, got a NUL byte. The file is damaged. Write "
            "it again."
        )
    if count != items:
        raise UserError(
            f"{path}: expected {items:,} labels, one line per item in their order, got "
            f"{count:,}."
        )
    return labels
