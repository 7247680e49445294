"""Compressed files: all their frames, damage, and no more memory than is read."""

import gzip
import io
import resource
import tracemalloc
import zlib
from pathlib import Path

import pytest
import zstandard

from object2vec_tf.errors import DataError
from object2vec_tf.files.compressed import open_gzip, open_zstd
from object2vec_tf.files.line_blocks import open_line_blocks

TEXT = b"".join(b'{"in0": [%d]}\n' % i for i in range(1000))
FRAME = zstandard.compress(TEXT)
WITH_SUM = zstandard.ZstdCompressor(write_checksum=True).compress(TEXT)
MEMBER = gzip.compress(TEXT)
# A frame that decoders skip, with four bytes.
SKIPPED = b"\x50\x2a\x4d\x18\x04\x00\x00\x00abcd"


def large_window():
    parameters = zstandard.ZstdCompressionParameters(window_log=30)
    compressor = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    return compressor.compress(TEXT) + compressor.flush()


RIGHT = {
    "one.zst": (FRAME, TEXT),
    "many.zst": (FRAME * 50, TEXT * 50),
    "empty.zst": (b"", b""),
    "skipped.zst": (SKIPPED + FRAME + SKIPPED, TEXT),
    "no content.zst": (zstandard.compress(b"") + FRAME, TEXT),
    "one.gz": (MEMBER, TEXT),
    "many.gz": (MEMBER * 50, TEXT * 50),
    "padded.gz": (MEMBER + bytes(1000), TEXT),
    "other name": (MEMBER * 2, TEXT * 2),
}
WRONG = {
    "cut.zst": FRAME[:-3],
    "cut second.zst": FRAME + FRAME[:-3],
    "cut header.zst": FRAME + FRAME[:3],
    "cut skipped.zst": FRAME + SKIPPED[:-1],
    "garbage.zst": FRAME + b"garbage",
    "zeros.zst": FRAME + bytes(4),
    "sum.zst": WITH_SUM[:-4] + bytes(4),
    "window.zst": large_window(),
    "cut.gz": MEMBER[:-3],
    "cut second.gz": MEMBER + MEMBER[:-3],
    "garbage.gz": MEMBER + b"garbage",
    "sum.gz": MEMBER[:-8] + bytes(4) + MEMBER[-4:],
}


def content(path):
    with open_line_blocks(path) as blocks:
        return b"".join(blocks)


@pytest.mark.parametrize("name", RIGHT)
def test_all_frames_are_read(tmp_path: Path, name: str):
    path = tmp_path / name
    path.write_bytes(RIGHT[name][0])
    assert content(path) == RIGHT[name][1]


@pytest.mark.parametrize("name", WRONG)
def test_damage_is_an_error_of_the_user(tmp_path: Path, name: str):
    path = tmp_path / name
    path.write_bytes(WRONG[name])
    with pytest.raises(DataError, match=f"{name}: cannot be read to its end"):
        content(path)


def test_a_bomb_takes_no_memory():
    """256 MB of zeros in 8 KB of zstd, and 64 MB in 280 KB of gzip."""
    compressor = zstandard.ZstdCompressor(level=19).compressobj()
    zeros = bytes(1 << 24)
    bomb = b"".join(compressor.compress(zeros) for _ in range(16)) + compressor.flush()
    packer = zlib.compressobj(1, wbits=31)
    zipped = b"".join(packer.compress(zeros) for _ in range(4)) + packer.flush()
    assert len(bomb) < 10_000
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for stream, size in (
        (open_zstd(io.BytesIO(bomb)), 1 << 28),
        (open_gzip(io.BytesIO(zipped)), 1 << 26),
    ):
        tracemalloc.start()
        read = 0
        while part := stream.read(1 << 20):
            read += len(part)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert read == size
        assert peak < 20 << 20
    # In kilobytes; includes what native code takes.
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000
