"""TensorBoard's Projector displays a run's embeddings, over HTTP and in a browser."""

import json
import shutil
import time

import numpy as np
import pytest

from tests.chromium import chromium, count_spots, open_tab
from tests.object2vec_tf.conftest import ITEMS, NAMES, fetch, tensorboard

# Finds elements by their tag, also in shadow roots and frames.
FIND = """
function find(tag, root = document) {
  for (const element of root.querySelectorAll('*')) {
    const below = element.shadowRoot ||
      (element.tagName == 'IFRAME' && element.contentDocument);
    const found = element.tagName == tag ? element : below && find(tag, below);
    if (found) return found;
  }
}
function box(element) {
  let {x, y, width, height} = element.getBoundingClientRect();
  for (let view = element.ownerDocument.defaultView; view.frameElement;
       view = view.parent) {
    const frame = view.frameElement.getBoundingClientRect();
    x += frame.x;
    y += frame.y;
  }
  return [x, y, width, height];
}
"""


@pytest.mark.parametrize("run", ["softmax"], indirect=True)
def test_tensorboard_serves_every_vector_with_its_name(run):
    with tensorboard(run.model_dir / "tensorboard") as address:
        plugin = f"{address}/data/plugin/projector"
        (name,) = json.loads(fetch(f"{plugin}/runs"))
        info = json.loads(fetch(f"{plugin}/info?run={name}"))
        raw = fetch(f"{plugin}/tensor?run={name}&name=in1")
        metadata = fetch(f"{plugin}/metadata?run={name}&name=in1").decode()
    shapes = {
        tensor["tensorName"]: tensor["tensorShape"] for tensor in info["embeddings"]
    }
    assert shapes == {"in0": [5, 4], "in1": [ITEMS, 4]}
    vectors = np.frombuffer(raw, np.float32).reshape(ITEMS, 4)
    head, *lines = metadata.splitlines()
    assert head == "name\tpairs\tshare of class 1"
    numbers = {name: number for number, name in enumerate(NAMES) if name}
    numbers |= {str(number): number for number in range(ITEMS)}
    table = run.model.enc1.get_weights()[0]
    labels = [[] for _ in range(ITEMS)]
    for row in run.rows["train"]:
        labels[row["in1"][0]].append(row["label"])
    for line, vector in zip(lines, vectors, strict=True):
        name, pairs, share = line.split("\t")
        number = numbers[name]
        np.testing.assert_allclose(vector, table[number], rtol=1e-4)
        assert int(pairs) == len(labels[number])
        assert float(share) == pytest.approx(np.mean(labels[number]), rel=1e-5)


def evaluate(tab, expression):
    """Returns the value of an expression that may call FIND's functions."""
    return tab.page.evaluate(f"() => {{ {FIND} return {expression}; }}")


def canvas(tab):
    """Returns the picture of the Projector's canvas; empty while there is none."""
    box = evaluate(tab, "find('CANVAS') && box(find('CANVAS'))")
    x, y, width, height = map(int, box or (0, 0, 0, 0))
    return tab.screenshot()[y : y + height, x : x + width]


def wait_for_points(tab, points, seconds=60):
    """Waits until the Projector draws enough spots; returns their number at the end."""
    deadline = time.monotonic() + seconds
    while True:
        picture = canvas(tab)
        spots = count_spots(picture) if picture.size else 0
        if spots >= points or time.monotonic() > deadline:
            return spots
        tab.page.wait_for_timeout(500)


@pytest.mark.long
@pytest.mark.parametrize("run", ["softmax"], indirect=True)
def test_the_projector_draws_and_colors_the_points(run, tmp_path):
    chromium()
    logs = tmp_path / "logs"
    shutil.copytree(run.model_dir / "tensorboard", logs)
    # Points may hide one another. Axes and buttons are spots too.
    enough, few = ITEMS // 2, 8
    with tensorboard(logs) as address, open_tab() as tab:
        tab.page.goto(f"{address}/#projector")
        assert enough <= wait_for_points(tab, enough) <= ITEMS + few
        assert all(request.startswith(address) for request in tab.requests)
        panel = "find('VZ-PROJECTOR-DATA-PANEL')"
        options = ["name", "pairs", "share of class 1"]
        assert evaluate(tab, f"{panel}.labelOptions") == options
        assert evaluate(tab, f"{panel}.selectedLabelOption") == "name"

        assert len(point_colors(canvas(tab))) == 1
        evaluate(tab, f"{panel}.selectedColorOptionName = 'share of class 1'")
        deadline = time.monotonic() + 30
        while len(point_colors(canvas(tab))) < 2:
            assert time.monotonic() < deadline, "all points still have one color"

    # The spots are the vectors: with two vectors, few are left.
    for path in logs.glob("*/in?*.tsv"):
        lines = path.read_text().splitlines(keepends=True)
        path.write_text("".join(lines[: 2 if "vectors" in path.name else 3]))
    with tensorboard(logs) as address, open_tab() as tab:
        tab.page.goto(f"{address}/#projector")
        deadline = time.monotonic() + 60
        while not any("projector/tensor?" in request for request in tab.requests):
            assert time.monotonic() < deadline, "the page requests no vectors"
            canvas(tab)
        assert wait_for_points(tab, enough, seconds=5) <= few


def point_colors(picture):
    """Returns the colors that many pixels have; axes are thin and buttons gray."""
    colors, counts = np.unique(picture.reshape(-1, 3), axis=0, return_counts=True)
    colorful = np.ptp(colors.astype(int), axis=1) > 60
    return [tuple(c) for c in colors[colorful & (counts > 300)].tolist()]
