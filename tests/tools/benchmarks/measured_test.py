"""Tests of what a measurement records about its settings and data."""

from tools.benchmarks.measured import data_digests, settings, settings_digest


def test_settings_include_those_of_other_flagfiles_and_no_comments(tmp_path):
    (tmp_path / "base.flags").write_text("--epochs=2\n", encoding="utf-8")
    recipe = tmp_path / "recipe.flags"
    recipe.write_text(
        f"# About.\n\n--flagfile={tmp_path}/base.flags\n--enc_dim=8\n", encoding="utf-8"
    )
    assert settings(recipe) == ["--epochs=2", "--enc_dim=8"]


def test_digest_changes_with_flags_and_not_with_comments(tmp_path):
    recipe = tmp_path / "recipe.flags"
    digests = []
    for text in ("--epochs=2\n", "# Expect: 0.8\n--epochs=2\n", "--epochs=3\n"):
        recipe.write_text(text, encoding="utf-8")
        digests.append(settings_digest(recipe))
    assert digests[0] == digests[1] != digests[2]
    assert settings_digest(recipe, "--seed=1") != digests[2]


def test_digests_of_the_files_of_channels(tmp_path):
    train, test = tmp_path / "train.jsonl", tmp_path / "test.jsonl"
    train.write_bytes(b"abc")
    test.write_bytes(b"")
    recipe = tmp_path / "recipe.flags"
    recipe.write_text(f"--train={train}\n--test={test},{tmp_path}/missing\n", "utf-8")
    # echo -n abc | sha256sum
    assert data_digests(recipe, "--test=") == {train.as_posix(): "ba7816bf8f01cfea"}
    assert list(data_digests(recipe)) == [train.as_posix(), test.as_posix()]
