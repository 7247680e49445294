"""Tests of object2vec_tf/files/file_content.py."""

import gzip

import pytest
import zstandard

from object2vec_tf.errors import DataError
from object2vec_tf.files import file_content
from object2vec_tf.files.file_content import read_content
from object2vec_tf.hyperparameters import Hyperparameters
from object2vec_tf.text.tokenizer_loading import read_tokenizers
from tests.bit_flips import flipped

WORDS = b'{"[UNK]": 0, "cat": 1, "dog": 2}'
GZIP = gzip.compress(WORDS)
ZSTD = zstandard.ZstdCompressor().compress(WORDS)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("cut.gz", GZIP[:-3]),
        ("flipped.gz", flipped(GZIP, 8 * (len(GZIP) - 6))),  # of the checksum
        ("plain.gz", WORDS),
        ("extra.gz", GZIP + b"more"),
        ("cut.json", GZIP[:-3]),  # gzip by its first bytes
        ("cut.zst", ZSTD[:-3]),
        ("plain.zst", WORDS),
        ("extra.zst", ZSTD + b"more"),
    ],
)
def test_damaged_and_cut_files_are_user_errors(tmp_path, name, data):
    path = tmp_path / name
    path.write_bytes(data)
    hyperparameters = Hyperparameters(
        enc0_network="pooled_embedding",
        enc0_max_seq_len=10,
        enc0_vocab_size=3,
        enc0_tokenizer="whitespace",
        enc0_vocab_file=name,
    )
    message = f"{name}: cannot be read to its end: .* Download or compress it again"
    with pytest.raises(DataError, match=message):
        read_content(path)
    with pytest.raises(DataError, match=message):
        read_tokenizers(hyperparameters, str(path))


def test_complete_files_are_decompressed(tmp_path):
    for name, data in (("w.gz", GZIP), ("w", GZIP), ("w.zst", ZSTD), ("w.json", WORDS)):
        (tmp_path / name).write_bytes(data)
        assert read_content(tmp_path / name) == WORDS


@pytest.mark.parametrize("content", [b"\0", b"a\n"])
@pytest.mark.parametrize("suffix", ["gz", "zst"])
def test_content_that_is_far_larger_than_its_file_is_an_error(
    tmp_path, suffix, content, monkeypatch
):
    monkeypatch.setattr(file_content, "_CONTENT_BYTES", 2 * 10**6)
    path = tmp_path / f"words.{suffix}"
    data = content * (3 * 10**6 // len(content))
    compressed = zstandard.compress(data) if suffix == "zst" else gzip.compress(data, 1)
    path.write_bytes(compressed)
    with pytest.raises(DataError, match=r"at most 2,000,000 bytes .* decompress it"):
        read_content(path)
    plain = tmp_path / "words"
    plain.write_bytes(data)
    assert len(read_content(plain)) == 3 * 10**6
