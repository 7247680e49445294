"""Both executions of training steps give the same results."""

import itertools

import numpy as np
import pytest

from object2vec_tf.training import static_execution
from object2vec_tf.training.static_execution import ProgramKey
from tests.object2vec_tf.training.layout_cases import (
    BILSTM,
    HCNN,
    IN_BATCH,
    MIXED,
    ONE_ID,
    OPTIMIZERS,
    POOLED,
    ROW_SPARSE,
    TIED,
    assert_layouts_agree,
    assert_same,
    built,
    hyperparameters,
    pairs_of,
    train,
    train_model,
    training_loop,
)

ENCODERS = {
    "one_id": ONE_ID,
    "pooled": POOLED,
    "hcnn": HCNN,
    "bilstm": BILSTM,
    "mixed": MIXED,
}
NEGATIVES = {"negative_sampling_rate": 3}
# More than a batch has other objects.
MANY = {"negative_sampling_rate": 14}
HARD = {"negative_mining": "hard"}
FREQUENT = {"negative_frequency_power": 0.5}
ALL_KNOWN = {"negative_exclude_known": False}
OBJECTIVES = {
    "classes": {"label_smoothing": 0.1},
    "two_classes": {"num_classes": 2, "weight_decay": 0.01},
    "values": {"output_layer": "mean_squared_error"},
    "uniform": MANY,
    "frequent": NEGATIVES | FREQUENT,
    "hard": NEGATIVES | HARD,
    "uniform_with_known": {"negative_sampling_rate": 20} | ALL_KNOWN,
    "frequent_with_known": MANY | FREQUENT | ALL_KNOWN,
    "hard_with_known": MANY | HARD | ALL_KNOWN,
    "in_batch": IN_BATCH | {"popularity_correction": True},
    "in_batch_with_known": IN_BATCH
    | ALL_KNOWN
    | {"in_batch_similarity": "inner_product", "in_batch_direction": "in0_to_in1"},
    "in_batch_and_negatives": IN_BATCH | NEGATIVES,
}
# Adam divides by the root of squared gradients, which amplifies rounding in gradients
# near 0, as those of the biases of objects without tokens.
STORAGES = {"dense": {}, "row_sparse": ROW_SPARSE}
SCHEDULE = {"learning_rate_warmup_epochs": 1, "learning_rate_decay": "cosine"}


@pytest.mark.long
def test_layouts_agree_and_a_resumed_epoch_has_the_same_bits():
    settings = hyperparameters(
        POOLED,
        ROW_SPARSE,
        num_classes=2,
        negative_sampling_rate=2,
        optimizer="adagrad",
        mlp_layers=0,
    )
    pairs = pairs_of(settings, weighted=True)
    loop = training_loop("static", built(settings, pairs))

    trained = train_model(loop, pairs)

    assert_same(train("ragged", settings, weighted=True), trained)
    # The programs are compiled now.
    assert_resumes(loop, pairs)


@pytest.mark.long
def test_a_batch_that_is_a_group_of_its_own_trains_the_same(monkeypatch):
    monkeypatch.setattr(static_execution, "_MAX_GROUP", 1)
    settings = hyperparameters(ONE_ID)

    assert_layouts_agree(settings, epochs=1)


@pytest.mark.long
def test_programs_that_are_compiled_ahead_train_the_same(monkeypatch):
    monkeypatch.setattr(static_execution, "_MAX_GROUP", 1)
    settings = hyperparameters(POOLED, bucket_width=4)
    pairs = pairs_of(settings)
    loop = training_loop("static", built(settings, pairs))
    loop.execution._compiles_ahead = True
    batches = loop.execution.batches(pairs, shuffle=True, seed=2)
    shapes = batches.groups.menu.shapes

    with loop.execution.training_steps(batches):
        programs = {
            shape: loop.execution.program(ProgramKey(shape, training=True))
            for shape in shapes
        }
        counts = [p.experimental_get_tracing_count() for p in programs.values()]
    trained = train_model(loop, pairs)

    assert len(shapes) > 1
    assert counts == [1] * len(shapes)
    assert counts == [p.experimental_get_tracing_count() for p in programs.values()]
    assert_same(train("ragged", settings), trained)


def assert_resumes(loop, pairs):
    """Checks that an epoch, stopped after 2 of its 5 batches, continues as it was."""
    model = loop.replicas.model
    variables = [*model.variables, *model.optimizer.variables]
    start = [variable.numpy() for variable in variables]

    def train(first, steps):
        batches = loop.execution.batches(
            pairs, shuffle=True, seed=2, epoch=1, first_batch=first
        )
        with loop.execution.training_steps(batches) as run:
            for count in steps:
                assert run(count) == count
        return [variable.numpy() for variable in variables]

    expected = train(0, [5])
    for variable, value in zip(variables, start, strict=True):
        variable.assign(value)
    train(0, [1, 1])
    resumed = train(2, [1, 2])

    assert not np.array_equal(expected[1], start[1])
    for one, other in zip(resumed, expected, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.long
def test_a_resumed_epoch_has_the_same_bits_with_random_negatives_of_the_step():
    settings = hyperparameters(ONE_ID, IN_BATCH, NEGATIVES, HARD, optimizer="adam")
    pairs = pairs_of(settings)

    assert_resumes(training_loop("static", built(settings, pairs)), pairs)


@pytest.mark.long
@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("encoder", ENCODERS)
def test_layouts_agree_for_each_encoder_and_objective(encoder, objective):
    number = list(OBJECTIVES).index(objective) + list(ENCODERS).index(encoder)
    settings = hyperparameters(
        ENCODERS[encoder],
        OBJECTIVES[objective],
        (STORAGES["dense"], STORAGES["row_sparse"])[number % 2],
        TIED if number % 3 == 0 else {},
        {"bucket_width": 3} if number % 4 < 2 else {},
    )
    print(assert_layouts_agree(settings, weighted=number % 5 < 2))


@pytest.mark.long
@pytest.mark.parametrize(
    ("encoder", "optimizer", "storage"),
    list(itertools.product(["one_id", "pooled", "hcnn"], OPTIMIZERS, STORAGES)),
)
def test_layouts_agree_for_each_optimizer(encoder, optimizer, storage):
    settings = hyperparameters(
        ENCODERS[encoder],
        STORAGES[storage],
        SCHEDULE,
        optimizer=optimizer,
        tied_token_embedding_weight=optimizer in ("adam", "sgd"),
    )
    print(assert_layouts_agree(settings))


@pytest.mark.long
@pytest.mark.parametrize("encoder", ["hcnn", "bilstm"])
def test_layouts_agree_for_tied_encoders(encoder):
    settings = hyperparameters(ENCODERS[encoder], TIED, ROW_SPARSE, tied_encoders=True)
    print(assert_layouts_agree(settings))


@pytest.mark.long
@pytest.mark.parametrize("part", ["enc0", "enc1", "comparator"])
def test_layouts_agree_for_frozen_parts(part):
    settings = hyperparameters(POOLED, ROW_SPARSE, NEGATIVES, weight_decay=0.01)
    print(assert_layouts_agree(settings, frozen=[part]))


@pytest.mark.long
def test_dropout_gives_similar_losses():
    settings = hyperparameters(POOLED, ROW_SPARSE, dropout=0.3, mlp_layers=2)
    losses = {}
    for layout in ("ragged", "static"):
        pairs = pairs_of(settings, rows=800)
        loop = training_loop(layout, built(settings, pairs))
        results = [
            loop.train(loop.execution.batches(pairs, shuffle=True, seed=2, epoch=epoch))
            for epoch in range(6)
        ]
        losses[layout] = [result.metrics["cross_entropy"] for result in results]

    assert losses["static"] != losses["ragged"]
    np.testing.assert_allclose(losses["static"], losses["ragged"], rtol=0.05)
