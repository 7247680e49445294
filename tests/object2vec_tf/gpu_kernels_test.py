"""Ops of every graph have a kernel for GPUs, or are placed on the host on purpose."""

import json

import pytest
import tensorflow as tf

import object2vec_tf as o2v
from export.item_catalog import item_files
from export.signatures import Signatures
from object2vec_tf.distributed.replicas import Replicas
from object2vec_tf.distributed.strategies import SingleDevice
from object2vec_tf.layers import ragged_sum, token_embedding
from object2vec_tf.text.tokenizer_loading import make_tokenizer
from object2vec_tf.training.batch_layout import make_execution
from object2vec_tf.training.static_execution import ProgramKey
from tests.gpu_kernels import OF_XLA, has_gpu_kernels, without_gpu_kernel
from tests.object2vec_tf.training.layout_cases import (
    BILSTM,
    HCNN,
    IN_BATCH,
    POOLED,
    ROW_SPARSE,
    TIED,
    built,
    hyperparameters,
    pairs_of,
)

pytestmark = pytest.mark.skipif(
    not has_gpu_kernels(),
    reason="needs a TensorFlow with CUDA: pip install tensorflow, not tensorflow-cpu",
)

# The iterator of a dataset is on the host.
STEP_HOST_OPS = ("IteratorGetNext",)
SETTINGS = {
    "enc0_network": "pooled_embedding",
    "enc0_vocab_size": 10,
    "enc0_max_seq_len": 4,
    "enc_dim": 8,
    "mlp_dim": 8,
    "mini_batch_size": 8,
}
HARD = {"negative_sampling_rate": 3, "negative_mining": "hard"}
VARIED = {"negative_sampling_rate": 3, "negative_exclude_known": False}


@pytest.fixture(autouse=True)
def a_gpu_is_visible(monkeypatch):
    """Traces the graphs that a machine with a GPU would trace."""
    for module in (ragged_sum, token_embedding):
        monkeypatch.setattr(module, "gpu_is_visible", lambda: True)


@pytest.fixture
def files(tmp_path):
    """Paths of pairs, of items and of a vocabulary."""
    pairs, items, words = (tmp_path / name for name in ("train", "items", "words"))
    rows = [{"in0": [i % 9, 1], "in1": [2, i % 7], "label": i % 2} for i in range(20)]
    pairs.write_text("".join(json.dumps(row) + "\n" for row in rows))
    items.write_text("".join(f'{{"in1": [{i}]}}\n' for i in range(9)))
    words.write_text("[UNK]\nthe\ncat\n##s\n")
    return pairs, items, words


def step_functions(hyperparameters, pairs):
    """The graphs of a training step and of an evaluation step."""
    model = o2v.Object2Vec(hyperparameters)
    model.compile(steps_per_epoch=3)
    spec = o2v.read_pairs(pairs, hyperparameters).dataset(shuffle=True).element_spec

    def repeated(step):
        @tf.function(autograph=False)
        def run(iterator):
            step(iterator.get_next())

        return run.get_concrete_function(tf.data.IteratorSpec(spec))

    return [repeated(model.train_batch), repeated(model.test_batch)]


def exported_functions(hyperparameters, files, tokenizers=(None, None)):
    """The graphs of all signatures, and those of `Object2Vec.embed` and `score`."""
    model = o2v.Object2Vec(hyperparameters, tokenizers=tokenizers)
    signatures = Signatures(model, item_files(files[1], None, 3, "cosine"))
    functions = {**signatures.by_name, **model._prediction_functions}
    return [function.get_concrete_function() for function in functions.values()]


STEPS = [
    pytest.param(SETTINGS, id="pooled"),
    pytest.param(
        {
            **SETTINGS,
            **VARIED,
            "negative_mining": "hard",
            "tied_token_embedding_weight": True,
            "token_embedding_storage_type": "dense",
            "dropout": 0.1,
            "weight_decay": 0.1,
        },
        id="hard negatives",
    ),
]
MORE_STEPS = [
    pytest.param({**SETTINGS, "enc0_network": "hcnn"}, id="hcnn"),
    pytest.param({**SETTINGS, "enc0_network": "bilstm", "dropout": 0.1}, id="bilstm"),
    pytest.param(
        {**SETTINGS, "negative_sampling_rate": 2, "optimizer": "sgd"}, id="known"
    ),
    pytest.param(
        {
            **SETTINGS,
            **VARIED,
            "negative_frequency_power": 0.5,
            "output_layer": "mean_squared_error",
            "optimizer": "adadelta",
        },
        id="frequency",
    ),
    pytest.param(
        {
            **SETTINGS,
            "objective": "in_batch_softmax",
            "popularity_correction": True,
            "optimizer": "rmsprop",
        },
        id="in-batch softmax",
    ),
    pytest.param({**SETTINGS, **VARIED, "optimizer": "adagrad"}, id="adagrad"),
]


@pytest.mark.parametrize("settings", STEPS)
def test_every_op_of_a_step_has_a_kernel(settings, files):
    functions = step_functions(o2v.Hyperparameters(**settings), files[0])

    assert not without_gpu_kernel(functions, STEP_HOST_OPS)


@pytest.mark.long
@pytest.mark.parametrize("settings", MORE_STEPS)
def test_every_op_of_other_steps_has_a_kernel(settings, files):
    functions = step_functions(o2v.Hyperparameters(**settings), files[0])

    assert not without_gpu_kernel(functions, STEP_HOST_OPS)


def static_programs(settings):
    """The graphs of training and evaluation that XLA compiles, untouched by it."""
    pairs = pairs_of(settings)
    replicas = Replicas(SingleDevice(), lambda: built(settings, pairs))
    execution = make_execution("static", replicas, print)
    group = next(iter(execution.batches(pairs, shuffle=True, seed=2, epoch=0).groups))
    vectors = tf.TensorSpec(group.vectors.shape, tf.uint32)
    number = tf.TensorSpec([], tf.int32)
    return [
        execution.program(ProgramKey(group.shape, training)).get_concrete_function(
            vectors, number, number
        )
        for training in (False, True)
    ]


@pytest.mark.parametrize(
    "groups",
    [
        pytest.param([POOLED, ROW_SPARSE, HARD], id="hard negatives"),
        pytest.param([POOLED, IN_BATCH], id="in batch", marks=pytest.mark.long),
        pytest.param([HCNN], id="hcnn", marks=pytest.mark.long),
        pytest.param([BILSTM, TIED], id="bilstm", marks=pytest.mark.long),
    ],
)
def test_xla_compiles_every_op_of_a_static_step_for_gpus(groups):
    tf.function(tf.identity, jit_compile=True)(1.0)  # XLA then registers its kernels

    for function in static_programs(hyperparameters(*groups)):
        assert not without_gpu_kernel([function], ["Placeholder"], OF_XLA)


@pytest.mark.long
@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"enc0_network": "hcnn"},
        {"enc0_network": "bilstm"},
        {"output_layer": "mean_squared_error"},
    ],
)
def test_every_op_of_a_signature_has_a_kernel(changed, files):
    hyperparameters = o2v.Hyperparameters(**SETTINGS | changed)

    assert not without_gpu_kernel(exported_functions(hyperparameters, files))


@pytest.mark.parametrize(
    "tokenizer",
    [
        "whitespace",
        pytest.param("unicode_script", marks=pytest.mark.long),
        pytest.param("wordpiece", marks=pytest.mark.long),
    ],
)
@pytest.mark.long
def test_every_op_of_a_text_signature_has_a_kernel(tokenizer, files):
    hyperparameters = o2v.Hyperparameters(
        **SETTINGS, enc0_tokenizer=tokenizer, enc0_vocab_file="words"
    )
    tokens = make_tokenizer(hyperparameters, 0, files[2].read_bytes(), "words")
    functions = exported_functions(hyperparameters, files, (tokens, tokens))

    assert not without_gpu_kernel(functions)


def test_an_op_without_a_kernel_is_found():
    @tf.function(autograph=False)
    def unplaced(rows):
        with tf.device("CPU:0"):
            rows = tf.raw_ops.UniqueV2(x=rows, axis=[0]).y
        return tf.pad(tf.raw_ops.UniqueV2(x=rows, axis=[0]).y, [[1, 1]])

    function = unplaced.get_concrete_function(tf.TensorSpec([None], tf.int64))

    assert without_gpu_kernel([function]) == {
        "UniqueV2": {"T=int64, Taxis=int32, out_idx=int32"},
        "Pad": {"T=int64, Tpaddings=int32"},
    }
