import numpy as np
import pytest

import object2vec_tf as o2v
from object2vec_tf.report.embedding_sample import sample_embeddings
from object2vec_tf.report.map_names import map_names
from object2vec_tf.report.neighbor_table import neighbor_table
from tests.conftest import lines

ROWS = [([1], [2], 2), ([1], [3], 2), ([1], [3], 0), ([4], [3], 1), ([], [3], 1)]


@pytest.mark.parametrize(
    ("output", "classes", "label_title", "labels"),
    [
        ("softmax", 3, "most frequent class", [2, 1, 1]),
        ("mean_squared_error", 2, "mean label", [4 / 3, 1, 1]),
    ],
)
def test_the_most_frequent_objects_come_first(
    settings, tmp_path, output, classes, label_title, labels
):
    chosen = settings | {"output_layer": output, "num_classes": classes}
    hyperparameters = o2v.Hyperparameters(**chosen)
    (tmp_path / "train.jsonl").write_text(lines(ROWS))
    pairs = o2v.read_pairs(tmp_path / "train.jsonl", hyperparameters)
    model = o2v.Object2Vec(hyperparameters, seed=1)
    left, right = sample_embeddings(model, pairs, {(1, (3,)): "three"})
    assert left.names == ["1", "4", "(empty)"]
    assert left.counts.tolist() == [3, 1, 1]
    assert left.labels.tolist() == pytest.approx(labels)
    assert left.label_title == label_title
    assert left.labels_are_classes == (output == "softmax")
    assert right.names == ["three", "2"]
    assert right.counts.tolist() == [4, 1]
    np.testing.assert_allclose(right.vectors, model.enc1.get_weights()[0][[3, 2]])
    assert not left.vectors[2].any()


def test_the_number_of_objects_is_limited(settings, tmp_path):
    hyperparameters = o2v.Hyperparameters(**settings)
    (tmp_path / "train.jsonl").write_text(lines(ROWS))
    pairs = o2v.read_pairs(tmp_path / "train.jsonl", hyperparameters)
    model = o2v.Object2Vec(hyperparameters)
    left, _ = sample_embeddings(model, pairs, {}, max_objects=2)
    assert left.names == ["1", "4"]


def test_names_cannot_change_the_text_around_them(settings, tmp_path):
    hyperparameters = o2v.Hyperparameters(**settings)
    (tmp_path / "train.jsonl").write_text(lines(ROWS))
    pairs = o2v.read_pairs(tmp_path / "train.jsonl", hyperparameters)
    model = o2v.Object2Vec(hyperparameters)
    shalom = "\u05e9\u05dc\u05d5\u05dd"
    names = {(1, (3,)): "a\x1b[31m \u202etxt\x07", (1, (2,)): shalom}
    _, right = sample_embeddings(model, pairs, names)
    assert right.names == ["a[31m txt", shalom]
    _, table = neighbor_table(right)
    assert table.rows[0][-1].startswith(f"\u2068{shalom}\u2069 (")


def test_names_on_a_map_end_inside_it():
    for name in ("<svg onload=WWW>", "MMMMMMMM", "\u6620\u753b\u306e\u984c\u540d"):
        (placed,) = map_names([name], [(245.0, 50.0)], 300.0)
        assert placed.anchor == "end"
    (placed,) = map_names(["lilli"], [(245.0, 50.0)], 300.0)
    assert placed.anchor == "start"
