"""Tests of object2vec_tf/data/cache.py: entries, their reuse and their limit."""

import gzip
import hashlib
import os
import shutil
import subprocess
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from object2vec_tf.data.channel_reader import read_pairs
from object2vec_tf.data.pairs import Pairs
from object2vec_tf.errors import DataError, UserError
from object2vec_tf.hyperparameters import Hyperparameters
from tests.bit_flips import flipped
from tests.command_server import python_c

SETTINGS: dict[str, Any] = {
    "enc0_max_seq_len": 4,
    "enc0_vocab_size": 100,
    "enc1_network": "hcnn",
    "enc1_max_seq_len": 2,
    "enc1_vocab_size": 100,
    "mini_batch_size": 4,
}
HYPERPARAMETERS = Hyperparameters(**SETTINGS)
LONG_AGO = time.time() - 60


def write(path: Path, rows: int, seed: int = 0, old: bool = True) -> Path:
    generator = np.random.default_rng(seed)
    lines = [
        f'{{"in0": {generator.integers(0, 100, i % 6).tolist()}, '
        f'"in1": {generator.integers(0, 100, 2).tolist()}, "label": {i % 2}}}\n'
        for i in range(rows)
    ]
    path.write_text("".join(lines))
    return aged(path) if old else path


def aged(path: Path) -> Path:
    """The file with old time stamps, except for ctime, which cannot be set."""
    os.utime(path, (LONG_AGO, LONG_AGO))
    return path


@pytest.fixture(autouse=True)
def _no_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes the time stamps of new files count as reliable."""
    monkeypatch.setattr("object2vec_tf.data.cache._STAMP_SECONDS", -1)


@pytest.fixture
def blocks(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files whose lines were parsed, one entry per pass over a file."""
    import object2vec_tf.data.channel_reader as module

    real, seen = module.read_file, []

    def read_file(path: Path, *rest: Any) -> Any:
        seen.append(path)
        return real(path, *rest)

    monkeypatch.setattr(module, "read_file", read_file)
    return seen


def content(pairs: Pairs) -> list[Any]:
    rows = np.arange(len(pairs))
    return [
        *(pairs.columns[side].take(rows).values.tolist() for side in ("in0", "in1")),
        *(pairs.columns[side].lengths.tolist() for side in ("in0", "in1")),
        np.asarray(pairs.labels).tolist(),
        None if pairs.weights is None else np.asarray(pairs.weights).tolist(),
    ]


def cached(source: Any, cache: Path, **more: Any) -> Pairs:
    return read_pairs(source, HYPERPARAMETERS, cache_dir=cache, **more)


def entries(cache: Path) -> list[Path]:
    return sorted(path for path in cache.iterdir() if path.is_dir())


def test_pairs_from_the_cache_are_those_in_memory(tmp_path: Path):
    path = write(tmp_path / "x.jsonl", 50)
    memory = read_pairs(path, HYPERPARAMETERS)
    first, second = (cached(path, tmp_path / "cache") for _ in range(2))
    assert content(first) == content(second) == content(memory)
    assert (first.report.cached, second.report.cached) == (False, True)
    for pairs in (first, second):
        assert pairs.report.truncated == memory.report.truncated == {"in0": 8, "in1": 0}
        assert pairs.report.empty == memory.report.empty
        assert pairs.report.fingerprint == memory.report.fingerprint
    for shuffle in (False, True):
        for (one, one_label), (two, two_label) in zip(
            memory.dataset(shuffle=shuffle, bucket_width=2),
            second.dataset(shuffle=shuffle, bucket_width=2),
            strict=True,
        ):
            assert one["in0"].to_list() == two["in0"].to_list()
            assert one["in1"].to_list() == two["in1"].to_list()
            assert one_label.numpy().tolist() == two_label.numpy().tolist()


@pytest.mark.parametrize("weighted", ["all", "second"])
def test_weights_are_cached_too(tmp_path: Path, weighted: str):
    source = tmp_path / "x.jsonl"
    first = '{"in0": [1], "in1": [2], "label": 0}\n'
    second = first.replace("}", ', "weight": 2.5}')
    source.write_text((second if weighted == "all" else first) * 3 + second)
    cold, warm = (cached(source, tmp_path / "cache") for _ in range(2))
    assert warm.report.cached
    expected = [2.5 if weighted == "all" else 1.0] * 3 + [2.5]
    assert content(cold)[-1] == content(warm)[-1] == expected


def test_files_seen_before_are_not_read_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path = write(tmp_path / "x.jsonl", 50)
    cached(path, tmp_path / "cache")
    monkeypatch.setattr(
        "object2vec_tf.files.line_blocks.open_file",
        lambda path: pytest.fail(f"{path} was opened"),
    )
    assert cached(path, tmp_path / "cache").report.cached


def test_the_same_content_in_another_file_is_hashed_and_not_parsed(
    tmp_path: Path, blocks: list[Path]
):
    path = write(tmp_path / "x.jsonl", 50)
    cached(path, tmp_path / "cache")
    packed = tmp_path / "y.jsonl.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert blocks == [path]
    assert cached(packed, tmp_path / "cache").report.cached
    assert blocks == [path]


@pytest.mark.parametrize("stamps", ["new", "restored"])
def test_changed_content_is_read_again(tmp_path: Path, stamps: str):
    path = write(tmp_path / "x.jsonl", 50)
    before = path.stat()
    old = content(cached(path, tmp_path / "cache"))
    text = path.read_text()
    path.write_text(text.replace('"label": 0', '"label": 1', 1))
    if stamps == "restored":  # same size and mtime, but another ctime
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    changed = cached(path, tmp_path / "cache")
    assert not changed.report.cached
    assert content(changed) != old
    assert content(changed) == content(read_pairs(path, HYPERPARAMETERS))


def test_a_file_just_written_is_not_trusted_by_its_time_stamps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, blocks: list[Path]
):
    monkeypatch.setattr("object2vec_tf.data.cache._STAMP_SECONDS", 2)
    path = write(tmp_path / "x.jsonl", 50, old=False)
    for _ in range(2):
        cached(path, tmp_path / "cache")
    assert not list((tmp_path / "cache").glob("*.source"))
    assert blocks == [path]  # the second time it was hashed


@pytest.mark.parametrize(
    "changed",
    [
        {"enc0_max_seq_len": 3},
        {"enc1_vocab_size": 300},
        {"num_classes": 3},
        {"output_layer": "mean_squared_error"},
    ],
)
def test_settings_that_matter_have_separate_entries(
    tmp_path: Path, changed: dict[str, Any]
):
    path = write(tmp_path / "x.jsonl", 50)
    cached(path, tmp_path / "cache")
    other = Hyperparameters(**{**SETTINGS, **changed})
    pairs = read_pairs(path, other, cache_dir=tmp_path / "cache")
    assert not pairs.report.cached
    assert content(pairs) == content(read_pairs(path, other))
    assert len(entries(tmp_path / "cache")) == 2


def test_settings_that_do_not_matter_share_an_entry(tmp_path: Path):
    path = write(tmp_path / "x.jsonl", 50)
    cached(path, tmp_path / "cache")
    other = Hyperparameters(**SETTINGS, enc_dim=8, learning_rate=0.5)
    assert read_pairs(path, other, cache_dir=tmp_path / "cache").report.cached


@pytest.mark.parametrize("at", [0, 100, 1000, -300, -1])
@pytest.mark.parametrize("name", ["columns.arrow", "report.json"])
def test_a_damaged_byte_is_reported_and_the_entry_rebuilt(
    tmp_path: Path, name: str, at: int
):
    path = write(tmp_path / "x.jsonl", 500)
    whole = content(cached(path, tmp_path / "cache"))
    [entry] = entries(tmp_path / "cache")
    data = bytearray((entry / name).read_bytes())
    data[at % len(data)] ^= 0x55
    (entry / name).write_bytes(data)
    with pytest.warns(UserWarning, match="cannot be used.*read again"):
        pairs = cached(path, tmp_path / "cache")
    assert content(pairs) == whole
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert cached(path, tmp_path / "cache").report.cached


@pytest.mark.parametrize("keep", [0, 1, 5000])
def test_a_truncated_entry_is_rebuilt(tmp_path: Path, keep: int):
    path = write(tmp_path / "x.jsonl", 500)
    whole = content(cached(path, tmp_path / "cache"))
    [entry] = entries(tmp_path / "cache")
    os.truncate(entry / "columns.arrow", keep)
    with pytest.warns(UserWarning, match="cannot be used"):
        pairs = cached(path, tmp_path / "cache")
    assert content(pairs) == whole


@pytest.mark.parametrize("text", ["[]", "null", "[" * 100_000, '{"digest": 1}'])
def test_an_entry_with_another_report_is_rebuilt(tmp_path: Path, text: str):
    path = write(tmp_path / "x.jsonl", 50)
    whole = content(cached(path, tmp_path / "cache"))
    (entries(tmp_path / "cache")[0] / "report.json").write_text(text)
    with pytest.warns(UserWarning, match="cannot be used"):
        assert content(cached(path, tmp_path / "cache")) == whole


@pytest.mark.filterwarnings("ignore:.*cannot be used")
@pytest.mark.parametrize("flips", [15, pytest.param(1000, marks=pytest.mark.long)])
def test_flipped_bits_do_not_change_pairs(tmp_path: Path, flips: int):
    generator = np.random.default_rng(23)
    path = write(tmp_path / "x.jsonl", 50)
    whole = content(cached(path, tmp_path / "intact"))
    files = [f for f in (tmp_path / "intact").rglob("*") if f.is_file()]
    assert len(files) == 3
    for number in range(flips):
        file = files[number % 3].relative_to(tmp_path / "intact")
        cache = shutil.copytree(tmp_path / "intact", tmp_path / f"cache{number}")
        data = (cache / file).read_bytes()
        bit = int(generator.integers(8 * len(data)))
        (cache / file).write_bytes(flipped(data, bit))
        assert content(cached(path, cache)) == whole, (file, bit)
        shutil.rmtree(cache)


@pytest.mark.parametrize("name", ["columns.arrow", "report.json"])
def test_an_entry_that_lacks_a_file_is_rebuilt(tmp_path: Path, name: str):
    path = write(tmp_path / "x.jsonl", 50)
    whole = content(cached(path, tmp_path / "cache"))
    (entries(tmp_path / "cache")[0] / name).unlink()
    with pytest.warns(UserWarning, match="cannot be used"):
        assert content(cached(path, tmp_path / "cache")) == whole


def test_cached_bad_lines_are_reported_and_their_budget_applies(tmp_path: Path):
    path = write(tmp_path / "x.jsonl", 20)
    path.write_text(path.read_text() + "{\n{\n")
    first = cached(path, tmp_path / "cache", max_bad_lines=2)
    second = cached(path, tmp_path / "cache", max_bad_lines=2)
    assert second.report.cached
    assert second.report.bad_lines == first.report.bad_lines
    assert f"{path}:21" in first.report.bad_lines[0]
    with pytest.raises(DataError, match="bad line 2"):
        cached(path, tmp_path / "cache", max_bad_lines=1)
    with pytest.raises(DataError, match=r"x.jsonl:21"):
        cached(path, tmp_path / "cache")
    moved = path.rename(tmp_path / "y.jsonl")
    third = cached(moved, tmp_path / "cache", max_bad_lines=2)
    assert f"{moved}:21" in third.report.bad_lines[0]


def test_a_failed_read_leaves_no_entry(tmp_path: Path):
    path = write(tmp_path / "a.jsonl", 50)
    (tmp_path / "b.jsonl").write_text("{")
    with pytest.raises(DataError):
        cached([path, tmp_path / "b.jsonl"], tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_unfinished_entries_of_killed_runs_are_removed(tmp_path: Path):
    (tmp_path / "cache/.object2vec-new-abc").mkdir(parents=True)
    (tmp_path / "cache/.object2vec-new-abc/columns.arrow").write_bytes(b"half")
    cached(write(tmp_path / "x.jsonl", 50), tmp_path / "cache")
    assert not list((tmp_path / "cache").glob(".*"))


def test_the_least_recently_used_entry_is_removed(tmp_path: Path):
    cache = tmp_path / "cache"
    paths = [write(tmp_path / f"{i}.jsonl", 2000, i) for i in range(4)]
    for path in paths[:3]:
        cached(path, cache)
        time.sleep(0.01)
    size = sum(f.stat().st_size for f in cache.rglob("*.*")) / 1e9
    assert cached(paths[0], cache).report.cached  # so 1 is the least recently used
    cached(paths[3], cache, cache_limit=size * 1.01)
    assert len(entries(cache)) == 3
    assert [cached(p, cache).report.cached for p in (paths[0], *paths[2:])] == [
        True
    ] * 3
    assert not cached(paths[1], cache).report.cached


def test_entries_in_use_are_not_removed_and_the_limit_is_an_error(tmp_path: Path):
    cache = tmp_path / "cache"
    first = cached(write(tmp_path / "a.jsonl", 2000), cache)
    size = sum(f.stat().st_size for f in cache.rglob("*.*")) / 1e9
    other = write(tmp_path / "b.jsonl", 2000, 1)
    with pytest.raises(UserError, match=r"more than --cache_limit="):
        cached(other, cache, cache_limit=size * 1.5)
    assert len(first) == len(content(first)[4]) == 2000
    assert len(entries(cache)) == 1
    del first
    cached(other, cache, cache_limit=size * 1.5)
    assert len(entries(cache)) == 1
    with pytest.raises(UserError, match="cache_limit"):
        cached(write(tmp_path / "c.jsonl", 40_000), cache, cache_limit=1e-5)
    for limit in (0, -1, float("nan")):
        with pytest.raises(UserError, match=r"cache_limit: .*above 0"):
            cached(other, cache, cache_limit=limit)


def test_open_columns_stay_readable_after_removal(tmp_path: Path):
    pairs = cached(write(tmp_path / "a.jsonl", 2000), tmp_path / "cache")
    before = content(pairs)
    shutil.rmtree(tmp_path / "cache")
    assert content(pairs) == before


def test_a_removed_source_does_not_affect_pairs_that_were_read(tmp_path: Path):
    path = write(tmp_path / "a.jsonl", 2000)
    pairs = cached(path, tmp_path / "cache")
    path.unlink()
    assert len(content(pairs)[4]) == 2000
    with pytest.raises(DataError, match="no such file"):
        cached(path, tmp_path / "cache")


def test_simultaneous_runs_share_a_cache(tmp_path: Path):
    path = write(tmp_path / "a.jsonl", 20_000)
    whole = content(read_pairs(path, HYPERPARAMETERS))
    found: list[Any] = []

    def read() -> None:
        found.append(content(cached(path, tmp_path / "cache")))

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [whole] * 4
    assert len(entries(tmp_path / "cache")) == 1


def test_a_file_that_changes_while_it_is_read_is_an_error(tmp_path: Path):
    path = write(tmp_path / "a.jsonl", 2000)

    def grow(size: int) -> None:
        if size > 1000:  # once: the lines added are read too
            with path.open("a") as file:
                file.write('{"in0": [1], "in1": [1], "label": 1}\n')

    with pytest.raises(DataError, match=r"a.jsonl: changed while it was read"):
        cached(path, tmp_path / "cache", after_block=grow)
    assert list((tmp_path / "cache").iterdir()) == []
    with pytest.raises(DataError, match=r"a.jsonl: changed while it was read"):
        read_pairs(path, HYPERPARAMETERS, after_block=grow)


def test_a_file_that_disappears_while_it_is_read_is_an_error(tmp_path: Path):
    path = write(tmp_path / "a.jsonl", 2000)
    with pytest.raises(DataError, match=r"a.jsonl: disappeared while it was read"):
        cached(path, tmp_path / "cache", after_block=lambda size: path.unlink())


def test_a_pipe_is_read_once_and_cached(tmp_path: Path):
    path, pipe = write(tmp_path / "a.jsonl", 50), tmp_path / "pipe"
    os.mkfifo(pipe)
    cached(path, tmp_path / "cache")
    writer = threading.Thread(target=lambda: pipe.write_bytes(path.read_bytes()))
    writer.start()
    pairs = cached(pipe, tmp_path / "cache")
    writer.join()
    assert content(pairs) == content(read_pairs(path, HYPERPARAMETERS))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 256 kB, of which a quarter is free."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(disk)]
    if os.getuid() or subprocess.run(mount, check=False).returncode:
        pytest.skip("needs the right to mount a disk")
    (disk / "full").write_bytes(bytes(192 << 10))
    yield disk
    subprocess.run(["umount", disk], check=True)


def test_a_full_disk_is_an_error_and_leaves_other_entries(
    small_disk: Path, tmp_path: Path
):
    small = write(tmp_path / "a.jsonl", 50)
    whole = content(cached(small, small_disk / "cache"))
    large = write(tmp_path / "b.jsonl", 20_000, 1)
    with pytest.raises(UserError, match=r"cache_dir cannot be written: No space left"):
        cached(large, small_disk / "cache")
    assert not list(small_disk.rglob(".object2vec-new*"))
    assert cached(small, small_disk / "cache").report.cached
    (small_disk / "full").unlink()
    subprocess.run(["mount", "-o", "remount,size=8m", small_disk], check=True)
    assert len(cached(large, small_disk / "cache")) == 20_000
    assert content(cached(small, small_disk / "cache")) == whole


_AS_NOBODY = """
import os, sys, warnings
warnings.simplefilter("ignore")
import object2vec_tf as o2v
o2v.read_pairs(sys.argv[1], {settings!r})  # imports what only root may read
if os.getuid() == 0:
    os.setgid(65534); os.setuid(65534)
try:
    pairs = o2v.read_pairs(sys.argv[1], {settings!r}, cache_dir=sys.argv[2])
    print("read", len(pairs), pairs.report.cached)
except o2v.UserError as error:
    print(type(error).__name__, error)
"""


# How the names of pytest's nested directories start.
_PYTEST_DIRECTORIES = ("pytest-", "popen-", "test_")


def as_nobody(source: Path, cache: Path) -> str:
    """The output of reading as a user without write permission."""
    return subprocess.run(
        [*python_c(_AS_NOBODY.format(settings=SETTINGS)), source, cache],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout


def test_a_read_only_cache_serves_its_entries_and_reports_new_ones(tmp_path: Path):
    for parent in (tmp_path, *tmp_path.parents):
        if parent.stat().st_uid == os.getuid() and parent.name.startswith(
            _PYTEST_DIRECTORIES
        ):
            parent.chmod(0o755)
    cache = tmp_path / "cache"
    path, other = write(tmp_path / "a.jsonl", 50), write(tmp_path / "b.jsonl", 50, 1)
    cached(path, cache)
    for entry in [cache, *cache.rglob("*")]:
        entry.chmod(0o555 if entry.is_dir() else 0o444)
    try:
        assert as_nobody(path, cache) == "read 50 True\n"
        output = as_nobody(other, cache)
        assert output.startswith(f"UserError {cache}: cache_dir cannot be written: ")
        assert "Permission denied" in output
    finally:
        for entry in [cache, *cache.rglob("*")]:
            entry.chmod(0o755)


def test_other_directories_next_to_the_entries_stay(tmp_path: Path):
    cache = tmp_path / "cache"
    others = [cache / name for name in (".new-mine", "my-project", "0" * 16 + "-mine")]
    for other in others:
        other.mkdir(parents=True)
        (other / "report.json").write_text("{}")
    for number in range(3):
        source = write(tmp_path / f"{number}.jsonl", 2_000, seed=number)
        cached(source, cache, cache_limit=0.0001)
    assert all((other / "report.json").read_text() == "{}" for other in others)


def test_the_names_of_entries_do_not_change_between_versions(tmp_path: Path):
    """Entries that earlier versions wrote are still found.

    The name is blake2b of the JSON list of the format, the vocabulary sizes, the
    maximum lengths, the output layer and the number of classes.
    """
    cached(write(tmp_path / "x.jsonl", 5), tmp_path / "cache")
    settings = b'[4, 100, 100, 4, 2, "softmax", 2]'
    digest = hashlib.blake2b(settings, digest_size=8).hexdigest()
    [entry] = entries(tmp_path / "cache")
    assert entry.name.startswith(f"{digest}-")
