import re

import numpy as np
import pytest

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
    assert "principal component 1 (90% of the variance)" in chart
    assert "principal component 2 (10% of the variance)" in chart
    assert "colored by mean label" in chart
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
    assert set(fills[50:]) == {"#999999"}
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
