"""Runs with text, vocabularies and pretrained vectors."""

import json

import numpy as np
import pytest

import object2vec_tf as o2v

WORDS = ["a", "b", "c", "d", "e"]
VECTORS = np.float32([[1, 2, 3, 4], [5, 6, 7, 8], [9, 8, 7, 6], [5, 4, 3, 2]])
SETTINGS = {
    "enc0_network": "pooled_embedding",
    "enc1_network": "pooled_embedding",
    "enc0_max_seq_len": 4,
    "enc1_max_seq_len": 4,
    "enc0_tokenizer": "whitespace",
    "enc0_vocab_file": "v.json",
    "enc1_vocab_size": 5,
    "enc_dim": 4,
    "mlp_dim": 4,
    "epochs": 2,
    "learning_rate": 0.05,
}


@pytest.fixture
def channels(tmp_path):
    return write_channels(tmp_path)


def write_channels(tmp_path):
    auxiliary = tmp_path / "auxiliary"
    auxiliary.mkdir()
    words = {word: i for i, word in enumerate(WORDS)}
    (auxiliary / "v.json").write_text(json.dumps(words))
    lines = [
        f"{word} {' '.join(map(str, row))}"
        for word, row in zip(WORDS, VECTORS, strict=False)
    ]
    (auxiliary / "glove.txt").write_text("\n".join(lines))
    generator = np.random.default_rng(0)
    train = [
        {"in0": " ".join(generator.choice([*WORDS, "zzz"], 3)), "in1": [int(i)]}
        for i in generator.integers(0, 5, 80)
    ]
    text = [json.dumps(row | {"label": row["in1"][0] % 2}) for row in train]
    (tmp_path / "train.jsonl").write_text("\n".join(text))
    unknown = sum(row["in0"].split().count("zzz") for row in train)
    return {"train": tmp_path / "train.jsonl", "auxiliary": auxiliary}, unknown


def table(model, encoder):
    network = (model.enc0, model.enc1)[encoder]
    (embedding,) = (x for x in network.layers if "token_embedding" in x.name)
    return embedding.embeddings.numpy()


def test_a_run_with_text_reports_unknown_tokens(channels, tmp_path, capsys):
    sources, unknown = channels
    run = o2v.fit(SETTINGS, **sources, model_dir=tmp_path / "run")
    assert run.model.hyperparameters.enc0_vocab_size == 5
    assert run.metrics["unknown"] == {"train": {"in0": unknown}}
    output = capsys.readouterr().out
    assert f"train: {unknown} unknown tokens in in0\n" in output
    hyperparameters = json.loads((tmp_path / "run/hyperparameters.json").read_text())
    assert hyperparameters["enc0_vocab_size"] == 5
    assert "pretrained" not in run.metrics


PRETRAINED = SETTINGS | {
    "enc0_pretrained_embedding_file": "glove.txt",
    "token_embedding_storage_type": "row_sparse",
}


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory):
    """A run with vectors that are not trained, and its channels."""
    directory = tmp_path_factory.mktemp("pretrained")
    sources, _ = write_channels(directory)
    return o2v.fit(
        PRETRAINED, **sources, model_dir=directory / "run", verbose=False
    ), sources


def test_pretrained_vectors_are_frozen(pretrained):
    run, _ = pretrained
    np.testing.assert_array_equal(table(run.model, 0)[:4], VECTORS)
    assert run.metrics["pretrained"] == {"enc0": {"found": 4, "words": 5}}


@pytest.mark.parametrize(
    ("frozen", "storage"),
    [(False, "row_sparse"), pytest.param(True, "dense", marks=pytest.mark.long)],
)
@pytest.mark.long
def test_pretrained_vectors_are_frozen_or_trained(
    channels, tmp_path, capsys, frozen, storage
):
    sources, _ = channels
    settings = PRETRAINED | {
        "enc0_freeze_pretrained_embedding": frozen,
        "token_embedding_storage_type": storage,
    }
    run = o2v.fit(settings, **sources, model_dir=tmp_path / "run")
    vectors = table(run.model, 0)[:4]
    assert np.array_equal(vectors, VECTORS) is frozen
    assert abs(vectors - VECTORS).max() < 1
    assert run.metrics["pretrained"] == {"enc0": {"found": 4, "words": 5}}
    output = capsys.readouterr().out
    assert "enc0: 4 of 5 words have a pretrained vector (80.0%); " in output


@pytest.mark.long
def test_a_tied_table_is_pretrained_once(channels, tmp_path):
    sources, _ = channels
    pretrained = {
        "enc0_pretrained_embedding_file": "glove.txt",
        "enc1_pretrained_embedding_file": "glove.txt",
        "enc1_vocab_file": "v.json",
        "tied_token_embedding_weight": True,
    }
    run = o2v.fit(SETTINGS | pretrained, **sources, model_dir=tmp_path / "run")
    np.testing.assert_array_equal(table(run.model, 1)[:4], VECTORS)
    assert list(run.metrics["pretrained"]) == ["enc0"]


@pytest.mark.parametrize(
    ("file", "content", "difference"),
    [
        ("v.json", '{"a": 1, "b": 0, "c": 2, "d": 3, "e": 4}', "vocabulary of in0"),
        ("glove.txt", "a 1 2 3 4\nb 5 6 7 9\n", "pretrained vectors of enc0"),
    ],
)
def test_a_run_directory_of_other_vocabularies_or_vectors_is_rejected(
    pretrained, file, content, difference
):
    run, sources = pretrained
    path = sources["auxiliary"] / file
    before = path.read_text()
    path.write_text(content)
    with pytest.raises(o2v.RunDirectoryError, match=f"\n  {difference}: "):
        o2v.fit(PRETRAINED, **sources, model_dir=run.model_dir)
    path.write_text(before)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"enc_dim": 8},
            "glove.txt:1: expected vectors of 8 numbers (enc_dim), got 4. Set",
        ),
        ({"enc0_vocab_size": 4}, "enc0_vocab_size: expected at least 5 for "),
        ({"enc0_pretrained_embedding_file": "g.txt"}, "expected 'g.txt' in the auxi"),
    ],
)
def test_files_that_do_not_fit_are_rejected_before_anything_is_written(
    channels, tmp_path, settings, message
):
    sources, _ = channels
    settings = SETTINGS | {"enc0_pretrained_embedding_file": "glove.txt"} | settings
    with pytest.raises(o2v.UserError) as error:
        o2v.fit(settings, **sources, model_dir=tmp_path / "run")
    assert message in str(error.value)
    assert not (tmp_path / "run").exists()
