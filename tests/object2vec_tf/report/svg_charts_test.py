import itertools
import re

import numpy as np
import pytest

from object2vec_tf.report.chart_colors import COLORS, GRADIENT, OTHERS_COLOR
from object2vec_tf.report.map_names import map_names
from object2vec_tf.report.svg_charts import bars, curves, principal_components, scatter


def test_principal_components_of_planar_points_keep_distances():
    random = np.random.default_rng(0)
    flat = random.normal(size=(20, 2)) @ np.linalg.qr(random.normal(size=(9, 2)))[0].T
    components = principal_components(flat.astype(np.float32))
    for one, other in ((0, 1), (3, 9), (19, 2)):
        assert np.linalg.norm(components[one] - components[other]) == pytest.approx(
            np.linalg.norm(flat[one] - flat[other]), rel=1e-4
        )
    assert components[:, 0].std() >= components[:, 1].std()
    assert principal_components(np.ones((1, 5), np.float32)).shape == (1, 2)


def test_curves_have_ticks_at_round_values():
    chart = curves("loss", {"train": [0.912, 0.741], "validation": [0.95, 0.83]}, 1)
    ticks = re.findall(r'text-anchor="end" class="axis">([^<]+)<', chart)
    assert ticks == ["0.7", "0.75", "0.8", "0.85", "0.9", "0.95"]
    assert 'class="kept"' in chart
    assert chart.count("<polyline") == 2


@pytest.mark.parametrize("value", [1.0, 0.0, -2.5, 1e-9, 1e12])
def test_charts_of_one_value_are_finite(value):
    assert "nan" not in curves("loss", {"train": [value]}, 0)
    one = scatter("x", np.ones((1, 3), np.float32), ["a&b"], np.array([2.0]), "label")
    assert "nan" not in one
    assert "a&amp;b (2)" in one
    assert 'cx="230.0"' in one
    assert "nan" not in bars("x", np.array([value]), "label")


def test_a_scatter_plot_names_its_variance_and_its_color_scale():
    vectors = np.array([[3, 0, 0], [-3, 0, 0], [0, 1, 0], [0, -1, 0]], np.float32)
    values = np.array([1.0, 2.0, 3.0, 5.0])
    chart = scatter("in0", vectors, list("abcd"), values, "mean label")
    assert "principal component 1 (90.0% of the variance)" in chart
    assert "principal component 2 (10.0% of the variance)" in chart
    assert "color: mean label" in chart
    assert ">1</text>" in chart
    assert ">5</text>" in chart
    fills = re.findall(r'r="3" fill="(#\w+)"', chart)
    assert len(set(fills)) == 4
    # SVG's y axis points down: the highest component has the lowest y.
    ys = [float(y) for y in re.findall(r'cy="([\d.]+)" r="3"', chart)]
    second = principal_components(vectors)[:, 1]
    assert np.argsort(ys).tolist() == np.argsort(-second, kind="stable").tolist()


def test_classes_have_distinct_colors_and_rare_ones_share_one():
    values = np.repeat(np.arange(14.0), [5] * 10 + [1] * 4)
    vectors = np.random.default_rng(1).normal(size=(len(values), 3)).astype(np.float32)
    chart = scatter("x", vectors, [""] * len(values), values, "class", classes=True)
    fills = re.findall(r'r="3" fill="(#\w+)"', chart)
    assert len(set(fills)) == 11
    assert len(set(fills[:50])) == 10
    assert set(fills[50:]) == {"#868686"}
    assert ">others</text>" in chart


@pytest.mark.parametrize(
    ("values", "counts"),
    [
        (np.array([0, 2, 2, 3]), [1, 0, 2, 1]),
        (np.array([1.5, 4.0, 1.5], np.float32), [2, 1]),
        (np.arange(100), [10] * 9 + [10]),
        (np.arange(100) / 100, [10] * 10),
    ],
)
def test_bars_count_values_or_ranges(values, counts):
    chart = bars("x", values, "tokens")
    assert [int(n) for n in re.findall(r"<title>(\d+)</title>", chart)] == counts


def test_equal_values_need_no_color_scale():
    vectors = np.eye(3, dtype=np.float32)
    chart = scatter("in0", vectors, list("abc"), np.ones(3), "mean label")
    assert "mean label of all: 1<" in chart
    assert chart.count("<rect") == 1  # the frame
    assert not re.search(r">1</text>", chart)


def test_names_on_a_map_do_not_overlap():
    random = np.random.default_rng(2)
    positions = random.uniform(0, 400, size=(200, 2)).tolist()
    names = [f"name {number}" for number in range(199)] + ["17"]
    placed = map_names(names, positions, 460)
    assert placed[0].text == "name 0"
    assert 5 < len(placed) <= 14
    boxes = []
    for name in placed:
        width = 5.7 * len(name.text)
        left = name.x - width if name.anchor == "end" else name.x
        assert left >= 0
        assert left + width <= 460
        boxes.append((left, name.y - 9, left + width, name.y + 2))
    for i, a in enumerate(boxes):
        for b in boxes[:i]:
            assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]
    # Numbers are ids, which say nothing.
    assert map_names(["17", "405"], [(10, 10), (90, 90)], 460) == []


def test_ticks_of_bars_do_not_overlap():
    values = np.arange(30).repeat(3) * 1_000_000
    chart = bars("x", values, "tokens")
    ticks = re.findall(
        r'x="([\d.]+)" y="224.0" text-anchor="middle" class="axis">([^<]+)', chart
    )
    assert len(ticks) > 2
    for (x, text), (following, other) in itertools.pairwise(ticks):
        assert float(following) - float(x) > 6 * (len(text) + len(other)) / 2


def luminance(color):
    """The relative luminance of WCAG 2.2."""
    channels = np.array([int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    linear = np.where(
        channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4
    )
    return float(linear @ (0.2126, 0.7152, 0.0722))


def test_colors_contrast_with_both_backgrounds():
    ends = ["#{:02x}{:02x}{:02x}".format(*rgb) for rgb in GRADIENT]
    for color in (*COLORS, OTHERS_COLOR, *ends):
        for page in ("#ffffff", "#16191d"):
            low, high = sorted([luminance(color), luminance(page)])
            assert (high + 0.05) / (low + 0.05) >= 3, (color, page)
