import json
import os
import zipfile

import keras
import numpy as np
import pytest
import tensorflow as tf

import object2vec_tf as o2v
from object2vec_tf.training.checkpoints import Checkpoints

EPOCH = {"epoch": 0, "train": {"loss": 0.5}}


@pytest.fixture
def model(hyperparameters):
    model = o2v.Object2Vec(hyperparameters, seed=1)
    model.compile()
    model.optimizer.build(model.trainable_variables)
    return model


def step(model):
    ids = tf.ragged.constant([[1], [2]], dtype=tf.int32)
    labels = tf.constant([1.0, 5.0])
    data = tf.data.Dataset.from_tensors(({"in0": ids, "in1": ids}, labels))
    model.fit(data, verbose=0)


def state_of(model):
    variables = [*model.trainable_variables, *model.optimizer.variables]
    return [variable.numpy().copy() for variable in variables]


def same(a, b):
    return all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def test_restores_weights_slots_and_random_state_in_another_model(
    model, hyperparameters, tmp_path
):
    step(model)
    keras.random.uniform((1,), seed=model.negative_seeds)
    Checkpoints(tmp_path, model).save(1, {"history": [EPOCH]})
    other = o2v.Object2Vec(hyperparameters, seed=2)
    other.compile()
    other.optimizer.build(other.trainable_variables)
    assert not same(state_of(model), state_of(other))
    assert Checkpoints(tmp_path, other).restore() == {"history": [EPOCH]}
    assert same(state_of(model), state_of(other))
    np.testing.assert_array_equal(
        keras.random.uniform((3,), seed=model.negative_seeds),
        keras.random.uniform((3,), seed=other.negative_seeds),
    )


@pytest.mark.parametrize("name", [b"run[1]", b"back\\slash", b"bad\xff*"])
def test_a_directory_of_any_name_has_checkpoints(model, tmp_path, name):
    (tmp_path / "run1").mkdir()  # which run[1] matches as a pattern
    directory = tmp_path / os.fsdecode(name)
    directory.mkdir()
    checkpoints = Checkpoints(directory, model)
    step(model)
    saved = state_of(model)
    checkpoints.save(1, {"history": [EPOCH]})
    step(model)
    assert not same(state_of(model), saved)
    assert checkpoints.restore() == {"history": [EPOCH]}
    assert same(state_of(model), saved)


def test_checkpoints_are_written_next_to_files_of_other_programs(model, tmp_path):
    checkpoints = Checkpoints(tmp_path, model)
    (tmp_path / "epoch-0003").touch()
    (tmp_path / ".epoch-0001").touch()
    (tmp_path / ".best-epoch-0001").mkdir()
    assert checkpoints.restore() is None
    for epoch in (1, 2, 3):
        checkpoints.save(epoch, {"batches": epoch, "metrics": []})
    assert {path.name for path in tmp_path.iterdir()} == {"epoch-0002", "epoch-0003"}
    assert checkpoints.restore() == {"batches": 3, "metrics": []}


def test_restores_the_scale_of_the_loss(hyperparameters, tmp_path):
    scaled, other = (
        o2v.Object2Vec(hyperparameters, seed=seed, dtype="mixed_float16")
        for seed in (1, 2)
    )
    for model in (scaled, other):
        model.compile()
        model.optimizer.build(model.trainable_variables)
    scaled.optimizer.dynamic_scale.assign(64.0)
    scaled.optimizer.step_counter.assign(5)
    Checkpoints(tmp_path, scaled).save(1, {})

    Checkpoints(tmp_path, other).restore()

    assert float(other.optimizer.dynamic_scale) == 64
    assert int(other.optimizer.step_counter) == 5
    assert same(state_of(scaled), state_of(other))


def test_restores_nothing_without_a_checkpoint(model, tmp_path):
    before = state_of(model)
    assert Checkpoints(tmp_path, model).restore() is None
    assert same(before, state_of(model))


def test_keeps_the_two_newest_checkpoints(model, tmp_path):
    checkpoints = Checkpoints(tmp_path, model)
    for epochs in (1, 2, 10):
        checkpoints.save(epochs, {})
    names = sorted(entry.name for entry in tmp_path.iterdir())
    assert names == ["epoch-0002", "epoch-0010"]


def damage(path):
    data = next(path.glob("variables.data*"))
    data.write_bytes(data.read_bytes()[:100])


def test_skips_a_damaged_checkpoint(model, tmp_path):
    checkpoints = Checkpoints(tmp_path, model)
    checkpoints.save(1, {"epochs": 1})
    kept = state_of(model)
    step(model)
    checkpoints.save(2, {"epochs": 2})
    damage(tmp_path / "epoch-0002")
    with pytest.warns(UserWarning, match="epoch-0002: damaged checkpoint skipped"):
        assert checkpoints.restore() == {"epochs": 1}
    assert same(kept, state_of(model))


def test_unreadable_checkpoints_are_an_error(model, tmp_path):
    checkpoints = Checkpoints(tmp_path, model)
    checkpoints.save(1, {})
    (tmp_path / "epoch-0001/state.json").write_text("{")
    with (
        pytest.warns(UserWarning, match="damaged"),
        pytest.raises(
            o2v.RunDirectoryError,
            match=r"all checkpoints are damaged\..* or use --overwrite to start",
        ),
    ):
        checkpoints.restore()


def best_file(path, epoch):
    path.parent.mkdir(exist_ok=True)
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("epoch", str(epoch))
    return path


def test_a_checkpoint_needs_the_model_of_its_best_epoch(model, tmp_path):
    (tmp_path / "copy").mkdir()
    checkpoints, best = Checkpoints(tmp_path / "copy", model), tmp_path / "model.keras"
    for epoch in (0, 1):
        checkpoints.keep_best(epoch, best_file(tmp_path / f"run/{epoch}.keras", epoch))
        checkpoints.save(epoch + 1, {"best_epoch": epoch})
    assert checkpoints.restore(best) == {"best_epoch": 1}
    assert zipfile.ZipFile(best).read("epoch") == b"1"

    file = tmp_path / "copy/best-epoch-0001.keras"
    content = file.read_bytes()
    file.unlink()
    file.write_bytes(content[:50])
    with pytest.warns(
        UserWarning, match="epoch-0002: damaged .* best-epoch-0001.keras"
    ):
        assert checkpoints.restore(best) == {"best_epoch": 0}
    assert zipfile.ZipFile(best).read("epoch") == b"0"


def test_models_that_no_checkpoint_needs_are_deleted(model, tmp_path):
    (tmp_path / "copy").mkdir()
    checkpoints = Checkpoints(tmp_path / "copy", model)
    for epochs, best in ((1, 0), (2, 0), (3, 2), (4, 2)):
        if best == epochs - 1:
            file = best_file(tmp_path / f"run/{best}.keras", best)
            checkpoints.keep_best(best, file)
        checkpoints.save(epochs, {"best_epoch": best})
        kept = sorted(path.name for path in (tmp_path / "copy").glob("best-*"))
        # The two newest checkpoints, and the epochs that were their best.
        expected = {1: [0], 2: [0], 3: [0, 2], 4: [2]}[epochs]
        assert kept == [f"best-epoch-{epoch:04d}.keras" for epoch in expected]


def replace(path, old, new):
    data = path.read_bytes()
    assert data.count(old) == 1
    path.write_bytes(data.replace(old, new))


def test_a_flip_of_a_bit_never_changes_what_a_run_resumes_from(model, tmp_path):
    checkpoints = Checkpoints(tmp_path, model)
    record = EPOCH | {"validation": {"loss": 0.25}}
    state = {"history": [record], "batches": 5, "metrics": [[0.5]], "best_epoch": 0}
    checkpoints.keep_best(0, best_file(tmp_path / "run/0.keras", 0))
    checkpoints.save(1, state)
    path = tmp_path / "epoch-0001"
    flips = [
        (path / "state.json", b'"batches": 5', b'"batches": 4'),
        (path / "state.json", b"0.25", b"0.24"),
        (path / "variables.index", b"optimizer/0", b"optimizer/1"),
        (tmp_path / "best-epoch-0000.keras", b"epoch0", b"epoch1"),
    ]
    for file, old, new in flips:
        content = file.read_bytes()
        replace(file, old, new)
        with (
            pytest.warns(UserWarning, match="epoch-0001: damaged checkpoint skipped"),
            pytest.raises(o2v.RunDirectoryError, match="all checkpoints are damaged"),
        ):
            checkpoints.restore()
        file.write_bytes(content)
    assert checkpoints.restore() == state


def test_a_checkpoint_for_which_memory_is_too_small_is_not_damaged(
    model, tmp_path, monkeypatch
):
    checkpoints = Checkpoints(tmp_path, model)
    checkpoints.save(1, {})

    def fail(*_):
        raise MemoryError

    monkeypatch.setattr("object2vec_tf.training.checkpoints.verify_content", fail)
    with pytest.raises(MemoryError):
        checkpoints.restore()


def test_a_damaged_checkpoint_is_removed_when_the_next_one_is_written(model, tmp_path):
    checkpoints = Checkpoints(tmp_path, model)
    for epochs in (1, 4):
        checkpoints.save(epochs, {})
    damage(tmp_path / "epoch-0004")
    with pytest.warns(UserWarning, match="epoch-0004: damaged checkpoint skipped"):
        checkpoints.restore()
    checkpoints.save(2, {})
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "epoch-0001",
        "epoch-0002",
    ]


def test_a_checkpoint_of_an_older_version_is_restored(model, tmp_path):
    checkpoints = Checkpoints(tmp_path, model)
    checkpoints.save(1, {"history": [EPOCH]})
    (tmp_path / "epoch-0001/state.json").write_text(json.dumps({"history": [EPOCH]}))
    assert checkpoints.restore() == {"history": [EPOCH]}
