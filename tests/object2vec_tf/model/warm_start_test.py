import numpy as np
import pytest

import object2vec_tf as o2v
from object2vec_tf.layers.table_placement import (
    TablePlacement,
    WholeTable,
    table_weight,
)
from object2vec_tf.model.warm_start import WarmStart
from object2vec_tf.text.tokenizer import Tokenization, Tokenizer

SETTINGS = {
    "enc0_network": "pooled_embedding",
    "enc0_max_seq_len": 2,
    "enc0_vocab_size": 5,
    "enc1_network": "bilstm",
    "enc1_max_seq_len": 2,
    "enc1_vocab_size": 6,
    "enc1_token_embedding_dim": 3,
    "enc_dim": 4,
    "mlp_dim": 4,
    "mlp_layers": 1,
}
TEXT = {"enc0_tokenizer": "whitespace", "enc0_vocab_file": "words"}


class Half(WholeTable):
    """The second of two shards."""

    shard = (1, 2)


class Halves(TablePlacement):
    """Tables of which the model has the rows 1, 3, 5, ..."""

    def add_table(self, layer, spec):
        return Half(*spec.shape, table_weight(layer, spec, spec.shape[0] // 2))


def model(seed, words=None, **changes):
    """A model whose biases are not zero."""
    tokenizer = None
    if words is not None:
        data = "\n".join(words).encode()
        tokenizer = Tokenizer(Tokenization("whitespace"), data)
        changes |= TEXT | {"enc0_vocab_size": len(words)}
    built = o2v.Object2Vec(
        {**SETTINGS, **changes}, seed=seed, tokenizers=(tokenizer, None)
    )
    generator = np.random.default_rng(seed)
    for weight in built.weights:
        if weight.path.endswith("bias"):
            weight.assign(generator.normal(size=weight.shape))
    return built


def weights(built):
    """Weights by part and path."""
    return {
        f"{part}/{weight.path}": weight.numpy()
        for part in ("enc0", "enc1", "comparator")
        for weight in getattr(built, part).weights
    }


def start(earlier, new):
    """Applies a warm start; returns it with the weights of new before and after."""
    before = weights(new)
    warm_start = WarmStart(new.hyperparameters, new.tokenizers, earlier)
    warm_start.apply(new)
    return warm_start, before, weights(new)


def test_a_shard_takes_its_own_rows():
    earlier = model(1, ["x", "b", "c", "a"])
    new = model(2, ["a", "b", "x", "y", "c"])
    shard = o2v.Object2Vec(
        new.hyperparameters, seed=3, tokenizers=new.tokenizers, placement=Halves()
    )
    before = weights(shard)
    WarmStart(new.hyperparameters, new.tokenizers, earlier).apply(shard)
    table = earlier.enc0.weights[0].numpy()
    path = f"enc0/{shard.enc0.weights[0].path}"
    expected = [table[1], before[path][1]]  # b is taken, y is new
    np.testing.assert_array_equal(weights(shard)[path], expected)


def test_the_same_architecture_takes_all_weights():
    earlier, new = model(1), model(2)
    warm_start, before, after = start(earlier, new)
    expected = weights(earlier)
    assert before.keys() == after.keys() == expected.keys()
    for name, values in expected.items():
        assert not np.array_equal(before[name], values)
        np.testing.assert_array_equal(after[name], values, err_msg=name)
    summary = warm_start.summary()
    assert summary["enc0_rows"] == {"taken": 5, "new": 0}
    assert summary["enc1_rows"] == {"taken": 6, "new": 0}
    assert summary["matched_by"] == {"enc0": "id", "enc1": "id"}
    assert summary["fresh"] == []
    assert warm_start.takes("comparator/output")


def test_rows_of_new_ids_stay_fresh():
    earlier = model(1)
    new = model(2, enc0_vocab_size=7, enc1_vocab_size=4)
    warm_start, before, after = start(earlier, new)
    tables = weights(earlier)
    table = "enc0/token_embedding0/embeddings"
    expected = np.concatenate([tables[table], before[table][5:]])
    np.testing.assert_array_equal(after[table], expected)
    table = "enc1/token_embedding1/embeddings"
    np.testing.assert_array_equal(after[table], tables[table][:4])
    assert warm_start.summary()["enc0_rows"] == {"taken": 5, "new": 2}
    assert warm_start.summary()["enc1_rows"] == {"taken": 4, "new": 0}


def test_rows_of_words_follow_the_words():
    earlier = model(1, ["[UNK]", "cat", "dog", "gone"])
    new = model(2, ["dog", "new", "<unk>", "cat", "newer"])
    warm_start, before, after = start(earlier, new)
    table = "enc0/token_embedding0/embeddings"
    old, fresh = weights(earlier)[table], before[table]
    expected = [old[2], fresh[1], old[0], old[1], fresh[4]]
    np.testing.assert_array_equal(after[table], expected)
    assert warm_start.summary()["enc0_rows"] == {"taken": 3, "new": 2}
    assert warm_start.summary()["matched_by"] == {"enc0": "word", "enc1": "id"}


def test_rows_of_ids_follow_the_words_of_their_vocabulary_files(tmp_path):
    earlier = o2v.Object2Vec(
        SETTINGS, seed=1, id_words=(None, b"a b c d e f".replace(b" ", b"\n"))
    )
    earlier.save(tmp_path / "model.keras")
    earlier = o2v.load(tmp_path / "model.keras")
    changes = {"enc1_vocab_size": 3}
    new = o2v.Object2Vec(SETTINGS | changes, seed=2)
    words = (None, b'{"d": 0, "x": 1, "a": 2}')
    fresh = weights(new)["enc1/token_embedding1/embeddings"]
    WarmStart(new.hyperparameters, new.tokenizers, earlier, words).apply(new)
    old = weights(earlier)["enc1/token_embedding1/embeddings"]
    after = weights(new)["enc1/token_embedding1/embeddings"]
    np.testing.assert_array_equal(after, [old[3], fresh[1], old[0]])


def test_other_shapes_and_meanings_stay_fresh_and_are_listed():
    earlier = model(1, mlp_layers=2)
    changes = {
        "enc1_token_embedding_dim": 2,
        "comparator_list": "abs_diff, hadamard, concat",
    }
    new = model(2, mlp_layers=2, output_layer="mean_squared_error", **changes)
    warm_start, before, after = start(earlier, new)
    lstms = [f"enc1/bilstm/{way}_0/lstm_cell" for way in ("forward", "backward")]
    mlp = [f"comparator/{layer}" for layer in ("mlp_0", "mlp_1", "output")]
    assert warm_start.summary()["fresh"] == ["enc1/token_embedding", *lstms, *mlp]
    assert warm_start.summary()["enc1_rows"] == {"taken": 0, "new": 6}
    table = "enc0/token_embedding0/embeddings"
    np.testing.assert_array_equal(after.pop(table), weights(earlier)[table])
    for name, values in after.items():
        np.testing.assert_array_equal(values, before[name], err_msg=name)


def test_output_of_another_kind_stays_fresh():
    earlier, new = model(1), model(2, output_layer="mean_squared_error")
    warm_start, before, after = start(earlier, new)
    assert warm_start.summary()["fresh"] == ["comparator/output"]
    kernel = "comparator/mlp_0/kernel"
    np.testing.assert_array_equal(after[kernel], weights(earlier)[kernel])
    kernel = "comparator/output/kernel"
    np.testing.assert_array_equal(after[kernel], before[kernel])


def test_tables_become_shared_and_separate():
    changes = {"enc1_network": "pooled_embedding", "enc1_token_embedding_dim": 4}
    text = {"enc1_tokenizer": "whitespace", "enc1_vocab_file": "words"}

    def build(seed, first, second, **more):
        tokenizers = [
            Tokenizer(Tokenization("whitespace"), "\n".join(words).encode())
            for words in (first, second)
        ]
        sizes = {"enc0_vocab_size": len(first), "enc1_vocab_size": len(second)}
        settings = {**SETTINGS, **changes, **TEXT, **text, **sizes, **more}
        return o2v.Object2Vec(settings, seed=seed, tokenizers=tuple(tokenizers))

    separate = build(1, ["a", "b"], ["b", "c"])
    words = ["c", "b", "a", "d"]
    shared = build(2, words, words, tied_token_embedding_weight=True)
    table = shared.enc0.weights[0].numpy()
    first, second = (e.weights[0].numpy() for e in (separate.enc0, separate.enc1))
    start(separate, shared)
    # A word that both tables have is taken from that of enc0.
    expected = [second[1], first[1], first[0], table[3]]
    np.testing.assert_array_equal(shared.enc0.weights[0].numpy(), expected)
    np.testing.assert_array_equal(shared.enc1.weights[0].numpy(), expected)

    again = build(3, ["b", "a"], ["c", "e"])
    fresh = again.enc1.weights[0].numpy()
    start(shared, again)
    np.testing.assert_array_equal(again.enc0.weights[0].numpy(), [first[1], first[0]])
    np.testing.assert_array_equal(again.enc1.weights[0].numpy(), [second[1], fresh[1]])


@pytest.mark.parametrize("is_learned", [True, False])
def test_only_a_learned_temperature_is_taken(is_learned):
    changes = {"objective": "in_batch_softmax", "learn_temperature": is_learned}
    earlier = model(1, **changes, temperature=0.5)
    new = model(2, **changes, temperature=0.1)
    start(earlier, new)
    expected = 0.5 if is_learned else 0.1
    temperature = np.exp(new.in_batch_softmax.log_temperature.numpy())
    assert temperature == pytest.approx(expected)


def test_a_model_of_another_width_is_an_error():
    with pytest.raises(o2v.UserError) as raised:
        WarmStart(
            model(2).hyperparameters,
            (None, None),
            model(1, enc_dim=8, enc1_token_embedding_dim=5),
        )
    message = str(raised.value)
    assert message.startswith(
        "initial_model: expected a model with weights that fit, got one with enc_dim=8,"
    )
    assert "word" not in message  # there is no vocabulary
