import gzip

import pytest

import object2vec_tf as o2v
from object2vec_tf.report.object_names import read_object_names
from object2vec_tf.text.tokenizer import Tokenization, Tokenizer


@pytest.fixture
def files(tmp_path):
    def write(items, labels):
        (tmp_path / "items.jsonl").write_text(items, encoding="utf-8")
        (tmp_path / "names.tsv").write_text(labels, encoding="utf-8")
        return tmp_path / "items.jsonl", tmp_path / "names.tsv"

    return write


def test_line_i_of_labels_names_item_i(files, hyperparameters):
    items, labels = files(
        '{"in1": [3]}\n{"in0": [3], "year": 1977}\n\n{"in1": []}\n{"in1": [5, 6]}\n',
        "Star  Wars\u2028IV\né\n\nbasket\n",
    )
    # Objects longer than enc1_max_seq_len=1 are truncated, as in training.
    expected = {(1, (3,)): "Star Wars IV", (0, (3,)): "é", (1, (5,)): "basket"}
    assert read_object_names(items, labels, hyperparameters) == expected
    packed = items.with_name("items.jsonl.gz")
    packed.write_bytes(gzip.compress(items.read_bytes()))
    assert read_object_names(packed, labels, hyperparameters) == expected
    assert read_object_names(None, None, hyperparameters) == {}


def test_ids_of_any_kind_are_looked_up(files, hyperparameters):
    items, labels = files(
        '{"in1": ["sku-9"]}\n{"in1": 7}\n{"in1": "new"}\n{"in0": [3]}\n', "a\nb\nc\nd"
    )
    tokenizer = Tokenizer(Tokenization("id"), b'{"[UNK]": 0, "7": 4, "sku-9": 5}')
    names = read_object_names(items, labels, hyperparameters, (None, tokenizer))
    assert names == {(1, (5,)): "a", (1, (4,)): "b", (0, (3,)): "d"}


@pytest.mark.parametrize(
    ("items", "labels", "message"),
    [
        (
            '{"in1": [3]}\n',
            "a\nb\n",
            r"names.tsv: expected 1 labels, one per item of .*, got 2\.",
        ),
        ('{"in1": ["x"]}\n', "a\n", r"items.jsonl:1: Expected `int`.*token ids"),
        (
            '{"in1": [1]}\n{"in0": [1], "in1": [1]}\n',
            "a\nb",
            r":2: expected either in0 or in1, got both",
        ),
        ('{"in2": [1]}\n', "a\n", r":1: expected either in0 or in1, got neither"),
        ("{\n", "a\n", r"items.jsonl:1: Input data was truncated"),
    ],
)
def test_invalid_files_are_rejected(files, hyperparameters, items, labels, message):
    with pytest.raises(o2v.UserError, match=message):
        read_object_names(*files(items, labels), hyperparameters)


def test_files_of_other_encodings_are_rejected(files, hyperparameters):
    items, labels = files('{"in1": [3]}\n', "")
    labels.write_bytes(b"men\xfc\n")
    with pytest.raises(
        o2v.UserError, match=r"names.tsv: expected UTF-8 text, got .* position 3\. Save"
    ):
        read_object_names(items, labels, hyperparameters)


def test_missing_files_are_reported_before_data_is_read(files, settings, tmp_path):
    items, labels = files('{"in1": [3]}\n', "a\n")
    given = {"train": "nowhere.jsonl", "model_dir": tmp_path / "run"}
    with pytest.raises(o2v.UserError, match="items: expected labels too"):
        o2v.fit(settings, **given, items=items)
    with pytest.raises(o2v.UserError, match="labels: expected items too"):
        o2v.fit(settings, **given, labels=labels)
    with pytest.raises(o2v.UserError, match=r"gone.tsv: cannot be opened: No such"):
        o2v.fit(settings, **given, items=items, labels=tmp_path / "gone.tsv")
