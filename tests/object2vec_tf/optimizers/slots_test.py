import keras
import numpy as np
import pytest

import object2vec_tf as o2v
from object2vec_tf.optimizers.slots import slots_of

SLOTS = {"adam": 2, "adadelta": 2, "adagrad": 1, "rmsprop": 1, "sgd": 0}


@pytest.mark.parametrize("optimizer", [*SLOTS, "rowwise_adagrad"])
@pytest.mark.parametrize("storage", ["dense", "row_sparse"])
@pytest.mark.parametrize("dtype", ["float32", "mixed_float16"])
def test_every_table_has_its_slots(optimizer, storage, dtype):
    model = o2v.Object2Vec(
        {
            "enc0_network": "pooled_embedding",
            "enc0_vocab_size": 5,
            "enc0_max_seq_len": 2,
            "enc1_network": "pooled_embedding",
            "enc1_vocab_size": 7,
            "enc1_max_seq_len": 2,
            "enc_dim": 4,
            "optimizer": optimizer,
            "token_embedding_storage_type": storage,
        },
        dtype=dtype,
    )
    model.compile()
    model.optimizer.build(model.trainable_variables)

    for table in model.tables:
        slots = slots_of(model.optimizer, table.variable)
        assert len(slots) == SLOTS.get(optimizer, 1)
        assert {slot.shape[0] for slot in slots} <= {table.rows}


def test_names_with_a_common_beginning_are_distinguished():
    variables = [keras.Variable(np.zeros(i + 1), name="ab"[: i + 1]) for i in range(2)]
    adam = keras.optimizers.Adam()
    adam.build(variables)

    assert [slot.shape for slot in slots_of(adam, variables[0])] == [(1,)] * 2
