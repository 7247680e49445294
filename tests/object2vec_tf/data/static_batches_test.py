"""Batches in the static layout, against loops in Python over the ragged batches."""

import dataclasses
import itertools
import threading

import numpy as np
import pytest

import object2vec_tf as o2v
from object2vec_tf.data import static_menu
from object2vec_tf.data.batch_negatives import NegativeTally
from object2vec_tf.data.layout_choice import layout_of
from object2vec_tf.data.pairs import Pairs, Report
from object2vec_tf.data.static_groups import GroupMaker
from object2vec_tf.ragged.column import RaggedColumn
from object2vec_tf.ragged.static_layout import BatchShape

SETTINGS = {
    "enc0_network": "hcnn",
    "enc0_vocab_size": 30,
    "enc0_max_seq_len": 30,
    "enc0_cnn_filter_width": 5,
    "enc1_network": "pooled_embedding",
    "enc1_vocab_size": 20,
    "enc1_max_seq_len": 9,
    "enc_dim": 8,
    "mini_batch_size": 8,
}
TIED = {"tied_token_embedding_weight": True, "enc1_vocab_size": 30}
FREQUENT = {"negative_sampling_rate": 3, "negative_frequency_power": 0.5}
TIED |= {"enc0_max_seq_len": 1, "enc0_network": "pooled_embedding"}


def make_pairs(rows=45, weights=False, **settings):
    hyperparameters = o2v.Hyperparameters(**SETTINGS | settings)
    random = np.random.default_rng(4)
    sides = [
        [
            random.integers(0, hyperparameters.of_encoder(i, "vocab_size"), n).tolist()
            for n in random.integers(
                0, hyperparameters.of_encoder(i, "max_seq_len") + 1, rows
            )
        ]
        for i in (0, 1)
    ]
    # Every third pair has the objects of an earlier one.
    for side, i in itertools.product(sides, range(3, rows, 3)):
        side[i] = side[random.integers(0, i)]
    labels = random.integers(0, 2, rows)
    if hyperparameters.output_layer != "softmax":
        labels = random.random(rows).astype(np.float32)
    return Pairs(
        RaggedColumn.from_rows(sides[0]),
        RaggedColumn.from_rows(sides[1]),
        labels,
        hyperparameters,
        Report((), {}, {}, (), {}, ""),
        random.random(rows).astype(np.float32) if weights else None,
    )


def expected_arrays(shape: BatchShape, batch, replica=0) -> dict[str, list]:
    """Returns the arrays of a batch that `Pairs.dataset` made, row by row."""
    inputs, labels, *weights = batch
    rows = [inputs[name].to_list() for name in ("in0", "in1")]
    batch_rows = shape.rows * shape.layout.replicas
    count, padding = len(labels), batch_rows - len(labels)
    arrays = {
        "labels": [*labels.numpy(), *[0] * padding],
        "weights": [*(weights[0].numpy() if weights else [1] * count), *[0] * padding],
        "count": [count],
    }
    tables = [rows[0] + rows[1]] if shape.layout.tied else rows
    for table, objects in enumerate(tables):
        unique = sorted(set(itertools.chain.from_iterable(objects)))
        filler = shape.layout.vocab_sizes[table]
        arrays[f"unique{table}"] = padded(unique, shape.unique[table], filler)
    for side in (0, 1):
        table, width = shape.table(side), shape.layout.sides[side].width
        position = arrays[f"unique{table}"].index
        cells, chunk_rows, starts = [], [], []
        own = rows[side][replica * shape.rows : (replica + 1) * shape.rows]
        for i, tokens in enumerate(own):
            starts.append(len(cells))
            gap = shape.layout.sides[side].gap
            used = [position(t) for t in tokens] + [shape.unique[table]] * gap
            for j in range(0, len(used) if tokens else 0, width):
                cells.append(padded(used[j : j + width], width, shape.unique[table]))
                chunk_rows.append(i)
            assert len(cells) - starts[-1] <= shape.row_chunks[side]
        starts += [len(cells)] * (shape.rows - len(own) + 1)
        empty = [shape.unique[table]] * width
        arrays[f"cells{side}"] = padded(cells, shape.chunks[side], empty)
        arrays[f"chunk_rows{side}"] = padded(chunk_rows, shape.chunks[side], shape.rows)
        arrays[f"starts{side}"] = starts
        arrays[f"lengths{side}"] = padded(map(len, own), shape.rows, 0)
        # At least one padding element each.
        assert len(cells) < shape.chunks[side]
        assert arrays[f"unique{table}"][-1] == shape.layout.vocab_sizes[table]
    for name in ("negatives", "log_frequencies"):
        if name in inputs:
            values = inputs[name].numpy()
            filler = [-1 if name == "negatives" else 0] * values.shape[1]
            arrays[name] = padded(values.tolist(), batch_rows, filler)
    return arrays


def padded(values, size, filler):
    values = list(values)
    return values + [filler] * (size - len(values))


def read_arrays(shape: BatchShape, vector) -> dict[str, np.ndarray]:
    return {
        name: vector[field.start : field.stop]
        .view(np.float32 if field.is_float else np.int32)
        .reshape(field.shape)
        for name, field in shape.fields().items()
    }


def check(pairs, batch_size=None, steps=3, replicas=1, **arguments):
    """Compares all batches, and returns their arrays."""
    layout = layout_of(pairs.settings, shuffle=arguments.get("shuffle", False))
    layout = dataclasses.replace(layout, replicas=replicas)
    groups = pairs.static_groups(
        layout, steps=steps, batch_size=batch_size, **arguments
    )
    first_batch = arguments.pop("first_batch", 0)
    dataset = list(pairs.dataset(batch_size, **arguments))
    assert groups.batches == len(dataset) - first_batch
    # Groups begin at multiples of the number of steps.
    first = first_batch - first_batch % steps
    made, group_count = [], len(groups)
    for group in groups:
        assert group.first == first + len(made)
        assert group.vectors.shape == (steps * replicas, group.shape.size)
        assert group.count == min(steps, len(dataset) - group.first)
        for i, vector in enumerate(group.vectors[: group.count * replicas]):
            arrays = read_arrays(group.shape, vector)
            batch = dataset[first + len(made)]
            expected = expected_arrays(group.shape, batch, i % replicas)
            for name, array in expected.items():
                np.testing.assert_array_equal(
                    arrays[name], np.reshape(array, arrays[name].shape), name
                )
            if i % replicas == replicas - 1:
                made.append((arrays, batch))
        group_count -= 1
    assert group_count == 0
    assert len(made) == len(dataset) - first
    return made


@pytest.mark.parametrize(
    ("settings", "arguments"),
    [
        ({}, {}),
        ({"output_layer": "mean_squared_error"}, {"shuffle": True, "seed": 5}),
        (TIED, {"shuffle": True, "epoch": 2}),
        ({}, {"shuffle": True, "bucket_width": 4, "steps": 2}),
        ({"enc1_network": "bilstm"}, {"shuffle": True, "first_batch": 4}),
        ({}, {"batch_size": 1, "steps": 50}),
        ({}, {"batch_size": 100, "steps": 1}),
        ({}, {"shuffle": True, "replicas": 3}),
        (TIED, {"batch_size": 7, "replicas": 2, "steps": 50}),
        ({}, {"shuffle": True, "bucket_width": 4, "replicas": 4}),
        ({}, {"batch_size": 1, "replicas": 2}),
    ],
    ids=str,
)
def test_arrays_are_those_of_loops_over_the_ragged_batches(settings, arguments):
    check(make_pairs(**settings), epoch=arguments.pop("epoch", 0), **arguments)


def test_pairs_have_their_weights():
    check(make_pairs(weights=True), shuffle=True, epoch=0)


@pytest.mark.parametrize(
    "settings",
    [
        FREQUENT,
        FREQUENT | {"negative_exclude_known": False},
        {"negative_sampling_rate": 2, "negative_mining": "hard"},
        {
            "negative_sampling_rate": 2,
            "negative_mining": "hard",
            "negative_exclude_known": False,
        },
        {"objective": "in_batch_softmax", "object_key": "first_token"},
    ],
    ids=str,
)
def test_batches_have_the_negatives_and_tallies_of_ragged_batches(settings):
    check_negatives(settings)


def test_replicas_have_the_negatives_of_the_batch():
    check_negatives(FREQUENT, replicas=3)
    check_negatives({"objective": "in_batch_softmax"}, replicas=2)


def check_negatives(settings, replicas=1):
    pairs = make_pairs(**{"negative_exclude_known": True, **settings}, **TIED)
    tallies = NegativeTally(), NegativeTally()
    arguments = {"shuffle": True, "seed": 3, "epoch": 1}
    for _ in pairs.dataset(**arguments, tally=tallies[0]):
        pass
    arguments |= {"tally": tallies[1], "replicas": replicas}
    for arrays, (inputs, labels, *_) in check(pairs, **arguments):
        assert ("objects" in arrays) == ("negative_frequency_power" not in settings)
        if "objects" not in arrays:
            continue
        check_objects(pairs, arrays, inputs, labels, pairs.settings)
    assert tallies[0].totals() == tallies[1].totals()


def test_evaluation_lists_the_positive_pairs_of_the_batch():
    pairs = make_pairs(objective="in_batch_softmax", negative_exclude_known=True)
    for arrays, (inputs, labels) in check(pairs, epoch=0):
        check_objects(pairs, arrays, inputs, labels, None)


def check_objects(pairs, arrays, inputs, labels, settings):
    """Checks numbers and known pairs against sets of the objects themselves."""
    first = slice(1 if pairs.settings.object_key == "first_token" else None)
    objects = [
        [tuple(tokens[first]) for tokens in inputs[name].to_list()]
        for name in ("in0", "in1")
    ]
    known = {
        (a, b) for a, b, label in zip(*objects, labels.numpy(), strict=True) if label
    }
    if settings is not None and settings.negative_exclude_known:
        columns = [
            [
                tuple(c.values[i:j][first].tolist())
                for i, j in itertools.pairwise(c.row_splits)
            ]
            for c in (pairs.in0, pairs.in1)
        ]
        known = {
            (a, b) for a, b, label in zip(*columns, pairs.labels, strict=True) if label
        }
    rows, count = len(arrays["labels"]), len(labels)
    numbers, listed = arrays["objects"], arrays["known"].tolist()
    assert np.all(numbers[count:] == rows - 1)
    for i in range(count):
        for j in range(count):
            for side in (0, 1):
                is_same = numbers[i, side] == numbers[j, side]
                assert is_same == (objects[side][i] == objects[side][j])
            is_known = (objects[0][i], objects[1][j]) in known
            assert (numbers[i, 0] * rows + numbers[j, 1] in listed) == is_known
    assert numbers[:count].max() < count
    assert {n for n in listed if n >= rows * rows} <= {rows * rows}


def test_batches_that_are_larger_than_the_sample_fit_too(monkeypatch):
    # Only the first batch is in the sample, and it is the smallest.
    monkeypatch.setattr(static_menu, "_SAMPLED_ROWS", 1)
    pairs = make_pairs()
    pairs.in0.row_splits[:9] = 0
    pairs.in0.row_splits[9] = pairs.in0.row_splits[10] = 7
    assert len(check(pairs, epoch=0)) == 6


def test_a_token_outside_the_vocabulary_is_an_error():
    pairs = make_pairs()
    pairs.in1.values[7] = -1
    groups = pairs.static_groups(layout_of(pairs.settings, shuffle=False), steps=2)
    with pytest.raises(o2v.DataError, match="from 0 to 19, got -1"):
        list(groups)


def test_batches_whose_objects_cannot_be_numbered_are_an_error():
    rows = 46_341
    column = RaggedColumn.from_rows([[1]] * rows)
    pairs = make_pairs(objective="in_batch_softmax")
    pairs = dataclasses.replace(
        pairs, in0=column, in1=column, labels=np.ones(rows, int)
    )
    layout = layout_of(pairs.settings, shuffle=True)
    with pytest.raises(o2v.UserError, match="at most 46340 where"):
        pairs.static_groups(layout, steps=1, batch_size=rows)


def test_started_batches_are_those_of_the_next_iteration():
    pairs = make_pairs()
    layout = layout_of(pairs.settings, shuffle=True)
    groups = pairs.static_groups(layout, steps=2, shuffle=True)
    assert groups.start() is groups
    for _ in range(2):
        assert [group.first for group in groups] == [0, 2, 4]


@pytest.mark.parametrize("steps", [1, 50])
def test_the_next_epoch_begins_in_advance(steps, monkeypatch):
    made = []
    original = GroupMaker.__init__

    def make(self, reader, epoch, *arguments):
        made.append(epoch)
        original(self, reader, epoch, *arguments)

    monkeypatch.setattr(GroupMaker, "__init__", make)
    pairs = make_pairs(negative_sampling_rate=2, negative_exclude_known=True)
    layout = layout_of(pairs.settings, shuffle=True)

    def groups(epoch, **more):
        tally = NegativeTally()
        batches = pairs.static_groups(
            layout, steps=steps, shuffle=True, epoch=epoch, tally=tally, **more
        )
        return [group.vectors.tolist() for group in batches], tally.totals()

    expected = [groups(epoch) for epoch in range(4)]
    made.clear()
    assert [groups(epoch, prepare_next=True) for epoch in range(2)] == expected[:2]
    # Another epoch than the next one does not get its groups.
    assert groups(3, prepare_next=True) == expected[3]
    assert groups(2) == expected[2]
    assert made == [0, 1, 2, 3, 4, 2]


@pytest.mark.parametrize("is_iterated", [False, True])
def test_threads_end_when_batches_are_abandoned(is_iterated):
    pairs = make_pairs()
    layout = layout_of(pairs.settings, shuffle=True)
    before = set(threading.enumerate())
    groups = pairs.static_groups(layout, steps=1, shuffle=True).start()
    started = set(threading.enumerate()) - before
    assert started
    if is_iterated:
        next(iter(groups))
    del groups
    for thread in started:
        thread.join(timeout=10)
        assert not thread.is_alive()


def test_counts_of_skipped_batches_are_not_recorded():
    pairs = make_pairs(negative_sampling_rate=2, negative_exclude_known=True)
    layout = layout_of(pairs.settings, shuffle=True)
    tallies = NegativeTally(), NegativeTally()
    for _ in pairs.dataset(shuffle=True, epoch=0, first_batch=4, tally=tallies[0]):
        pass
    groups = pairs.static_groups(
        layout, steps=3, shuffle=True, first_batch=4, tally=tallies[1]
    )
    assert [group.first for group in groups] == [3]
    assert tallies[0].totals() == tallies[1].totals()
