"""Pretrained token vectors of a vocabulary, read from files of any size."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from object2vec_tf.files.channels import open_file
from object2vec_tf.text.vector_table import PretrainedVectors, VectorTable
from object2vec_tf.text.vector_text import read_text_vectors
from object2vec_tf.text.word2vec_binary import read_binary_vectors

_BLOCK_BYTES = 1 << 23


def read_vectors(
    path: Path,
    vocabulary: Mapping[str, int],
    vocab_size: int,
    dim: int,
    *,
    setting: str = "dim",
    seed: int = 0,
    block_bytes: int = _BLOCK_BYTES,
) -> PretrainedVectors:
    """Reads the vectors of a vocabulary's words.

    Memory holds these vectors and a few blocks of the file. Words without a vector and
    unused ids get random rows: each column is drawn from a normal distribution with the
    mean and variance of that column in the file, because the columns of word vectors
    differ in both. If a word occurs twice, its first vector is used.

    Args:
        path: One of these formats; ``.gz`` and ``.zst`` are decompressed:

            * GloVe: text, one word and its numbers per line.
            * word2vec's text and fastText's ``.vec``: the same, after a header of two
              numbers.
            * word2vec's binary format, ``.bin``.
        vocabulary: Ids by word.
        vocab_size: The number of rows.
        dim: Width of a vector.
        setting: The hyperparameter that sets the width, for messages.
        seed: Seed of the random rows.
        block_bytes: Bytes to read at a time.

    Raises:
        DataError: The file cannot be read or has another format, its vectors have
            another width or are not finite, or no word has a vector.
    """
    table = VectorTable(path, vocabulary, vocab_size, dim, setting)
    suffix = Path(path.name.removesuffix(".gz").removesuffix(".zst")).suffix
    if suffix == ".bin":
        with open_file(path) as file:
            read_binary_vectors(file, table, block_bytes)
    else:
        read_text_vectors(table, block_bytes)
    return table.complete(seed)
