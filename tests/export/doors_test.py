"""One rule for objects at every door: -1 is dropped, then they are cut."""

import numpy as np
import pytest
import tensorflow as tf

import object2vec_tf as o2v
from tests.export.doors import Doors, check, random_model

NETWORKS = ("pooled_embedding", "hcnn", "bilstm")


def test_every_door_gives_the_numbers_of_numpy(exported, tmp_path):
    saved = exported("pooled_embedding", "softmax")
    doors = Doors(saved.model, tmp_path, saved.path, everything=False)
    random = np.random.default_rng(8)
    for _ in range(2):
        check(doors, random)


@pytest.mark.long
@pytest.mark.parametrize("number", range(12))
def test_every_door_gives_the_same_numbers(number, tmp_path):
    random = np.random.default_rng(1000 + number)
    doors = Doors(random_model(random, NETWORKS[number % 3]), tmp_path)
    for _ in range(42):  # 504 models in all
        doors.set_weights(random)
        check(doors, random)


def test_no_door_reads_an_invalid_id(exported):
    saved = exported("pooled_embedding", "softmax")
    model = saved.model
    graph = tf.function(
        model.enc0.__call__,
        input_signature=[tf.TensorSpec([None, None], tf.int64)],
        autograph=False,
    )
    signature = tf.saved_model.load(str(saved.path)).signatures["embed_enc0"]
    in_graph = tf.errors.InvalidArgumentError
    for invalid in (-2, 50, 2**40):
        row = [1, -1, invalid]
        ids = tf.constant([row], tf.int64)
        doors = [
            (o2v.DataError, lambda row=row: model.enc0([row])),
            (o2v.DataError, lambda row=row: model(([row], [[1]]))),
            (o2v.DataError, lambda row=row: model.predict((np.array([row]), [[1]]))),
            (in_graph, lambda ids=ids: graph(ids)),
            (in_graph, lambda ids=ids: signature(in0=ids)),
        ]
        for error, door in doors:
            message = f"in0.*expected an? (token )?id in .0, 50.*got {invalid}"
            with pytest.raises(error, match=message):
                door()
