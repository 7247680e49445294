"""Tests of object2vec_tf/data/nearest_float32.py, against exact fractions."""

import json
import random
from decimal import Decimal, localcontext
from fractions import Fraction

import numpy as np
import pytest

import object2vec_tf as o2v
from object2vec_tf.data.nearest_float32 import rounding_once


def middles(seed, count):
    """Yields decimal texts next to the middle of two float32, and the nearest one."""
    generator = random.Random(seed)
    with localcontext(prec=400):
        for _ in range(count):
            bits = generator.choice(
                [generator.randrange(0x7F7FFFFF), generator.randrange(0x00800010)]
            )
            low, high = np.array([bits, bits + 1], np.uint32).view(np.float32)
            middle = (Decimal(float(low)) + Decimal(float(high))) / 2
            shift = generator.choice((-1, 0, 1))
            digits = generator.choice((10, 17, 20, 60))
            number = middle + shift * middle * Decimal(10) ** -digits
            even = low if bits % 2 == 0 else high
            yield str(number), float([even, high, low][shift])


def test_the_nearest_float32_is_exact():
    texts, expected = zip(*middles(3, 2000), strict=True)
    for offset in (-2, 0, 2):  # parsers may be a little wrong
        read = np.array([float(text) for text in texts])
        read = (read.view(np.int64) + offset * (read > 1e-300)).view(np.float64)
        numbers = rounding_once(read, lambda i: texts[i].encode())
        assert numbers.astype(np.float32).tolist() == list(expected)
    exact = [Fraction(Decimal(text)) for text in texts]
    nearest = [abs(Fraction(e) - x) for e, x in zip(expected, exact, strict=True)]
    twice = [np.float32(float(text)) for text in texts]
    others = [abs(Fraction(float(t)) - x) for t, x in zip(twice, exact, strict=True)]
    assert sum(a < b for a, b in zip(nearest, others, strict=True)) > 100


@pytest.mark.parametrize("extra", ["", ', "x": "a"', ', "x": 1e400'])
@pytest.mark.parametrize("in0", ["[1]", "1.0", "[1, 2.0]"])
def test_labels_and_weights_of_channels(extra, in0, tmp_path):
    texts, expected = zip(*middles(5, 50), strict=True)
    lines = [f'{{"in0": {in0}, "in1": [2], "label": {text}{extra}}}' for text in texts]
    weight = "0.500000029802322387695312500000000001"
    lines.append(f'{{"in0": {in0}, "in1": [2], "label": 1, "weight": {weight}}}')
    path = tmp_path / "train.jsonl"
    path.write_text("\n".join(lines))
    settings = {
        "enc0_vocab_size": 5,
        "enc0_max_seq_len": 2,
        "output_layer": "mean_squared_error",
    }
    pairs = o2v.read_pairs(path, settings)
    assert pairs.labels.tolist() == [*expected, 1]
    assert pairs.weights[-1] == np.nextafter(np.float32(0.5), np.float32(1))
    assert json.loads(weight) != pairs.weights[-1]
