import tensorflow as tf

import object2vec_tf as o2v
from export import export_saved_model, saved_model
from object2vec_tf.devices import in_full_precision, on_host

tf32_enabled = tf.config.experimental.tensor_float_32_execution_enabled


def test_ops_of_a_decorated_function_are_on_the_host():
    @tf.function
    @on_host()
    def double(values):
        return 2 * values

    function = double.get_concrete_function(tf.TensorSpec([]))
    products = [op for op in function.graph.get_operations() if op.type == "Mul"]

    assert [op.device for op in products] == ["/device:CPU:0"]


def test_full_precision_ends_with_its_context():
    before = tf32_enabled()
    with in_full_precision():
        assert not tf32_enabled()
    assert tf32_enabled() == before


def test_an_export_computes_its_golden_answers_in_full_precision(tmp_path, monkeypatch):
    enabled = []
    for step in ("_write_requests", "replay"):
        monkeypatch.setattr(
            saved_model, step, lambda *_, **__: enabled.append(tf32_enabled())
        )
    model = o2v.Object2Vec(
        {
            "enc0_network": "pooled_embedding",
            "enc0_vocab_size": 3,
            "enc0_max_seq_len": 2,
            "enc_dim": 4,
        }
    )
    before = tf32_enabled()
    tf.config.experimental.enable_tensor_float_32_execution(True)
    try:
        export_saved_model(model, tmp_path)
    finally:
        tf.config.experimental.enable_tensor_float_32_execution(before)

    assert enabled == [False, False]
