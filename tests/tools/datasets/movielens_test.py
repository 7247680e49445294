import hashlib
import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.tools.datasets.movielens_data import (
    DIGESTS,
    FIRST_ITEM,
    FOLD_TESTS,
    LAST_ITEM,
    U1_BASE,
    UA_BASE,
    UA_TEST,
    UB_BASE,
    UB_TEST,
    make_rating,
    ratings_in_file_order,
    u_item,
)
from tools.datasets import movielens
from tools.datasets.movielens_raw import Rating
from tools.datasets.sources import DatasetError


def run_script(*flags: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        (sys.executable, movielens.__file__, *flags),
        capture_output=True,
        text=True,
        check=False,
    )


def read_rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def row(user: int, item: int, label: int) -> dict[str, Any]:
    return {"in0": [user], "in1": [item], "label": label}


@pytest.fixture
def prepared(unpacked: Path, tmp_path: Path) -> Path:
    output = tmp_path / "prepared"
    movielens.prepare(output, unpacked, DIGESTS)
    return output


@pytest.mark.parametrize(
    ("split", "pairs"),
    [
        ("ua.test", UA_TEST),
        ("ub.test", UB_TEST),
        ("ua.base", UA_BASE),
        ("ub.base", UB_BASE),
        ("u1.base", U1_BASE),
        *((f"{fold}.test", pairs) for fold, pairs in FOLD_TESTS.items()),
    ],
)
def test_split_selects_by_file_order_and_sorts_by_user_and_item(
    split: str, pairs: list[tuple[int, int]]
) -> None:
    splits = movielens.rebuild_splits(ratings_in_file_order())

    assert splits[split] == [make_rating(*pair) for pair in pairs]


def test_split_sorts_ids_numerically() -> None:
    rows = [Rating(user, item, 3, 0) for user in (10, 9) for item in (100, 20)]

    splits = movielens.rebuild_splits(rows)

    assert [row[:2] for row in splits["ua.test"]] == [
        (9, 20),
        (9, 100),
        (10, 20),
        (10, 100),
    ]


def test_original_format_is_tab_separated_lines() -> None:
    rows = [Rating(196, 242, 3, 881250949), Rating(186, 302, 3, 891717742)]

    assert movielens.as_original(rows) == (
        b"196\t242\t3\t881250949\n186\t302\t3\t891717742\n"
    )


def test_expected_md5s_are_those_of_the_published_splits() -> None:
    assert {name: md5[:8] for name, md5 in movielens.SPLIT_MD5.items()} == {
        "ua.base": "346eb46a",
        "ua.test": "52e5d035",
        "ub.base": "e4ce94f6",
        "ub.test": "5292d1e3",
        "u1.base": "4325f442",
        "u1.test": "62d5d837",
        "u2.base": "79541afe",
        "u2.test": "1951a71b",
        "u3.base": "55c67a63",
        "u3.test": "cb3e4d0a",
        "u4.base": "66f64a75",
        "u4.test": "328acfca",
        "u5.base": "0becb339",
        "u5.test": "bec898f7",
    }


def test_labels_of_rating_files_are_the_ratings(prepared: Path) -> None:
    rows = read_rows(prepared / "rating/ua.test.jsonl")

    assert rows[:10] == [
        row(1, item, label)
        for item, label in zip(
            range(31, 41), (5, 4, 3, 2, 1, 5, 4, 3, 2, 1), strict=True
        )
    ]


def test_labels_of_recommendation_files_are_ratings_above_three(prepared: Path) -> None:
    rows = read_rows(prepared / "recommendation/ua.test.jsonl")

    assert rows[:10] == [
        row(1, item, label)
        for item, label in zip(
            range(31, 41), (1, 1, 0, 0, 0, 1, 1, 0, 0, 0), strict=True
        )
    ]


def test_pairs_are_compact_json_lines(prepared: Path) -> None:
    content = (prepared / "rating/ub.test.jsonl").read_bytes()

    assert content.startswith(b'{"in0": [1], "in1": [21], "label": 5}\n')
    assert content.endswith(b'{"in0": [3], "in1": [30], "label": 1}\n')


def test_items_titles_and_genres_are_ordered_by_id(prepared: Path) -> None:
    items = range(FIRST_ITEM, LAST_ITEM + 1)

    assert read_rows(prepared / "items.jsonl") == [{"in1": [item]} for item in items]
    assert (prepared / "titles.tsv").read_text("utf-8").splitlines() == [
        f"Café {item} (1993)" for item in items
    ]
    genres = (prepared / "genres.tsv").read_text("utf-8")
    assert genres == "Comedy|Drama\n" * len(items)


def test_fit_and_held_out_partition_base_and_keep_its_order() -> None:
    rows = [Rating(user, item, 3, 0) for user in range(10) for item in range(100)]

    fit, held_out = movielens.hold_out(rows)

    assert len(held_out) == 50
    assert sorted(fit + held_out) == rows
    assert fit == sorted(fit)
    assert held_out == sorted(held_out)
    assert len({row.user for row in held_out}) > 1


def test_held_out_rows_are_deterministic(unpacked: Path, tmp_path: Path) -> None:
    outputs = tmp_path / "one", tmp_path / "two"
    for output in outputs:
        movielens.prepare(output, unpacked, DIGESTS)

    one, two = ((out / "rating/ua.base.held_out.jsonl").read_bytes() for out in outputs)

    assert one == two
    assert one.count(b"\n") == 2  # 5% of the 34 rows of ua.base


def test_held_out_users_lose_a_share_of_their_ratings_as_in_u1() -> None:
    tested = [Rating(user, 1, 3, 0) for user in range(50)]
    base = [Rating(user, item, 3, 0) for user in range(250) for item in range(2, 22)]

    fit, held_out = movielens.hold_out_users(base, tested)

    assert sorted(fit + held_out) == base
    assert fit == sorted(fit)
    assert held_out == sorted(held_out)
    # 160 users with 20 ratings each, none of them in the test part
    assert len(held_out) == 0.45 * 160 * 20
    users = {row.user for row in held_out}
    assert len(users) == 160
    assert min(users) >= 50
    assert {row.user for row in fit} == set(range(250))


def test_only_ratings_have_folds(prepared: Path) -> None:
    assert (prepared / "rating/u1.base.fit.jsonl").exists()
    assert not list((prepared / "recommendation").glob("u1.*"))


def test_both_tasks_hold_out_the_same_rows(prepared: Path) -> None:
    rating, recommendation = (
        [(row["in0"], row["in1"]) for row in read_rows(prepared / task / name)]
        for name in ["ua.base.held_out.jsonl"]
        for task in ("rating", "recommendation")
    )

    assert rating == recommendation


def test_second_run_prints_a_note_and_changes_nothing(
    prepared: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.stat().st_mtime_ns for path in prepared.rglob("*")}
    capsys.readouterr()

    movielens.prepare(prepared, source=prepared / "no such source")

    assert "nothing to do" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in prepared.rglob("*")} == before


@pytest.mark.parametrize("name", [*movielens.FILES, "manifest.json"])
def test_missing_file_is_written_again(
    prepared: Path, unpacked: Path, name: str
) -> None:
    before = (prepared / name).read_bytes()
    (prepared / name).unlink()

    movielens.prepare(prepared, unpacked, DIGESTS)

    assert (prepared / name).read_bytes() == before


def test_changed_file_is_written_again(prepared: Path, unpacked: Path) -> None:
    path = prepared / "titles.tsv"
    before = path.read_bytes()
    path.write_bytes(before[:-5])

    movielens.prepare(prepared, unpacked, DIGESTS)

    assert path.read_bytes() == before


def test_no_partial_file_remains(prepared: Path) -> None:
    files = {
        path.relative_to(prepared).as_posix()
        for path in prepared.rglob("*")
        if path.is_file()
    }

    assert files == {*movielens.FILES, "manifest.json"}


def test_interrupted_write_keeps_the_old_file(
    prepared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = (prepared / "titles.tsv").read_bytes()

    def write_half(path: Path, content: bytes) -> None:
        with path.open("wb") as file:
            file.write(content[: len(content) // 2])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", write_half)

    with pytest.raises(DatasetError, match="No space left on device"):
        movielens.write_files(prepared, {"titles.tsv": b"Other titles"})

    assert (prepared / "titles.tsv").read_bytes() == before
    assert not list(prepared.rglob("*.partial"))


def test_run_prints_the_terms_and_a_table_of_rows(
    unpacked: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    movielens.prepare(tmp_path / "output", unpacked, DIGESTS)

    shown = capsys.readouterr().out
    for words in ("no redistribution", "README", "Harper", "2015"):
        assert words in shown
    table = dict(line.split() for line in shown.splitlines()[-len(movielens.FILES) :])
    assert table["rating/ua.base.jsonl"] == "34"
    assert table["recommendation/ua.base.fit.jsonl"] == "32"
    assert table["rating/ub.test.jsonl"] == "30"
    assert table["titles.tsv"] == "23"


def test_error_names_only_the_split_that_differs() -> None:
    splits = movielens.rebuild_splits(ratings_in_file_order())

    with pytest.raises(DatasetError) as caught:
        movielens.check_splits(splits, DIGESTS | {"ub.base": "0" * 32}, "u.zip")

    message = str(caught.value)
    assert f"ub.base has md5 {DIGESTS['ub.base']} instead of 000" in message
    assert "u.zip" in message
    assert "ua." not in message
    assert "ub.test" not in message


def test_wrong_ratings_end_the_script_before_it_writes(
    unpacked: Path, tmp_path: Path
) -> None:
    output = tmp_path / "output"

    done = run_script(f"--output={output}", f"--source={unpacked}")

    assert done.returncode == 2
    assert "ua.base has md5" in done.stderr
    assert "Traceback" not in done.stderr
    assert not output.exists()


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("missing.zip", "No such file or directory"),
        ("text.zip", "expected a directory or a complete zip archive"),
        ("other.zip", "expected u.data and u.item"),
        ("empty", "expected u.data and u.item"),
    ],
)
def test_bad_source_ends_the_script_with_a_one_line_message(
    tmp_path: Path, name: str, reason: str
) -> None:
    (tmp_path / "text.zip").write_text("not a zip")
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as other:
        other.writestr("README", "")
    (tmp_path / "empty").mkdir()
    source = tmp_path / name

    done = run_script(f"--output={tmp_path / 'output'}", f"--source={source}")

    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert str(source) in done.stderr
    assert reason in done.stderr
    assert "Use an ml-100k.zip" in done.stderr


def test_unexpected_argument_ends_the_script() -> None:
    done = run_script("ml-100k.zip")

    assert done.returncode == 2
    assert "unexpected argument 'ml-100k.zip'" in done.stderr


def test_error_names_the_output_that_cannot_be_written(
    unpacked: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(DatasetError, match=r"cannot write .*file.* another --output"):
        movielens.prepare(tmp_path / "file" / "output", unpacked, DIGESTS)


def test_rated_item_without_a_title_is_an_error(unpacked: Path, tmp_path: Path) -> None:
    (unpacked / "u.item").write_bytes(u_item().split(b"\n18|")[0])

    with pytest.raises(DatasetError, match=r"no title for 1 .* item 18"):
        movielens.prepare(tmp_path / "output", unpacked, DIGESTS)


@pytest.mark.network
def test_real_data_is_downloaded_split_and_checked(tmp_path: Path) -> None:
    done = run_script(f"--output={tmp_path}")

    assert done.returncode == 0, done.stderr
    counts = {
        name: (tmp_path / name).read_bytes().count(b"\n") for name in movielens.FILES
    }
    for task in ("rating", "recommendation"):
        for half in ("ua", "ub"):
            assert counts[f"{task}/{half}.base.jsonl"] == 90_570
            assert counts[f"{task}/{half}.test.jsonl"] == 9_430
        assert counts[f"{task}/ua.base.fit.jsonl"] == 86_042
        assert counts[f"{task}/ua.base.held_out.jsonl"] == 4_528
    for fold in range(1, 6):
        assert counts[f"rating/u{fold}.base.jsonl"] == 80_000
        assert counts[f"rating/u{fold}.test.jsonl"] == 20_000
    assert counts["rating/u1.base.fit.jsonl"] == 72_750
    assert counts["rating/u1.base.held_out.jsonl"] == 7_250
    tested = {row["in0"][0] for row in read_rows(tmp_path / "rating/u1.test.jsonl")}
    assert len(tested) == 459
    assert max(tested) == 462
    titles = (tmp_path / "titles.tsv").read_text("utf-8").splitlines()
    assert len(titles) == counts["items.jsonl"] == 1_682
    assert titles[49] == "Star Wars (1977)"
    assert titles[266] == "unknown"
    genres = (tmp_path / "genres.tsv").read_text("utf-8").splitlines()
    assert genres[49] == "Action|Adventure|Romance|Sci-Fi|War"
    assert genres[266] == "unknown"

    manifest = json.loads((tmp_path / "manifest.json").read_text())
    for name, md5 in manifest.items():
        assert hashlib.md5((tmp_path / name).read_bytes()).hexdigest() == md5
    # A different md5 means that NumPy's generator changed: the hyperparameters of the
    # examples were then chosen on other rows.
    assert (
        manifest["rating/ua.base.held_out.jsonl"] == "5eb1136e6893f51e557315d2d308d060"
    )
    assert (
        manifest["rating/u1.base.held_out.jsonl"] == "7b3cd6c6bd306657f31df1e15d7b98d1"
    )
