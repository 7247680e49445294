"""Tests of object2vec_tf/model/keras_archive.py."""

import random

import numpy as np
import pytest

import object2vec_tf as o2v
from object2vec_tf.model.keras_archive import verify_archive
from object2vec_tf.model.loading import load_object2vec
from tests.bit_flips import flipped


def test_no_flip_of_a_bit_in_a_model_is_silent(hyperparameters, tmp_path):
    # With Python 3.12, Keras reads damaged weights again, without their checksum.
    model, path = o2v.Object2Vec(hyperparameters, seed=3), tmp_path / "model.keras"
    model.save(path)
    data = path.read_bytes()
    verify_archive(path, "Fix.")
    generator, unharmed = random.Random(1), []
    for bit in generator.sample(range(8 * len(data)), 100):
        path.write_bytes(flipped(data, bit))
        try:
            verify_archive(path, "Fix.")
        except o2v.UserError:
            continue
        unharmed.append(bit)
    assert len(unharmed) < 20  # bits of times and permissions
    for bit in unharmed[:2]:
        path.write_bytes(flipped(data, bit))
        for x, y in zip(model.variables, load_object2vec(path).variables, strict=True):
            np.testing.assert_array_equal(x.numpy(), y.numpy())


@pytest.mark.parametrize("content", [b"", b"PK", b"junk" * 100])
def test_other_files_are_user_errors(content, tmp_path):
    (tmp_path / "x.keras").write_bytes(content)
    with pytest.raises(
        o2v.UserError, match=r"x\.keras: expected a Keras model, .*Fix\."
    ):
        verify_archive(tmp_path / "x.keras", "Fix.")
