"""Tests of object2vec_tf/inference/model_store.py."""

from object2vec_tf.inference.model_store import exported_models, versions


def test_versions_are_ordered_as_numbers_whatever_their_zeros(tmp_path):
    for name in ("9", "010", "11", "12", "latest", ".13"):
        (tmp_path / name).mkdir()
        if name != "12":  # a version that is being copied
            (tmp_path / name / "saved_model.pb").touch()
    names = [path.name for path in exported_models(tmp_path)]
    assert names == ["11", "010", "9"]
    assert sorted(versions(tmp_path)) == [9, 10, 11, 12]
