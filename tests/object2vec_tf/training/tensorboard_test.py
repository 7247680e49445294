"""What a run's logs show in TensorBoard's Projector, over HTTP and in a browser."""

import json
import shutil
import time

import numpy as np
import pytest

from tests.chromium import browser, chromium, spots
from tests.object2vec_tf.conftest import ITEMS, NAMES, fetch, tensorboard

# Finds elements below shadow roots and frames, too.
FIND = """
function find(name, root = document) {
  for (const element of root.querySelectorAll('*')) {
    const below = element.shadowRoot ||
      (element.tagName == 'IFRAME' && element.contentDocument);
    const found = element.tagName == name ? element : below && find(name, below);
    if (found) return found;
  }
}
function place(element) {
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
PANEL = "find('VZ-PROJECTOR-DATA-PANEL')"


@pytest.mark.parametrize("run", ["softmax"], indirect=True)
def test_the_projector_is_served_every_vector_and_its_name(run):
    with tensorboard(run.model_dir / "tensorboard") as address:
        plugin = f"{address}/data/plugin/projector"
        (name,) = json.loads(fetch(f"{plugin}/runs"))
        info = json.loads(fetch(f"{plugin}/info?run={name}"))
        raw = fetch(f"{plugin}/tensor?run={name}&name=in1")
        metadata = fetch(f"{plugin}/metadata?run={name}&name=in1").decode()
    shapes = {each["tensorName"]: each["tensorShape"] for each in info["embeddings"]}
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


def canvas(tab):
    """The picture of the Projector's canvas; of nothing as long as it has none."""
    found = tab.value(f"{FIND}; find('CANVAS') && place(find('CANVAS'))")
    x, y, width, height = map(int, found or (0, 0, 0, 0))
    return tab.screenshot()[y : y + height, x : x + width]


def wait_for_points(tab, points, seconds=60):
    """How many spots the Projector draws: as soon as there are enough, or at last."""
    deadline = time.monotonic() + seconds
    while True:
        picture = canvas(tab)
        found = spots(picture) if picture.size else 0
        if found >= points or time.monotonic() > deadline:
            return found
        time.sleep(0.5)


def is_asked_for(tab, path):
    return any(path in address for address in tab.requests)


@pytest.mark.long
@pytest.mark.parametrize("run", ["softmax"], indirect=True)
def test_the_projector_draws_the_points_and_colours_them(run, tmp_path):
    chromium()
    logs = tmp_path / "logs"
    shutil.copytree(run.model_dir / "tensorboard", logs)
    # Points may hide behind each other; axes and buttons are spots too.
    enough, few = ITEMS // 2, 8
    with tensorboard(logs) as address, browser(tmp_path / "profile") as tab:
        tab.open(f"{address}/#projector")
        assert enough <= wait_for_points(tab, enough) <= ITEMS + few
        assert all(asked.startswith(address) for asked in tab.requests)
        panel = f"{FIND}; const panel = find('VZ-PROJECTOR-DATA-PANEL'); panel"
        options = ["name", "pairs", "share of class 1"]
        assert tab.value(f"{{ {panel}.labelOptions }}") == options
        assert tab.value(f"{{ {panel}.selectedLabelOption }}") == "name"

        plain = points_by_color(canvas(tab))
        assert len(plain) == 1
        tab.value(f"{{ {panel}.selectedColorOptionName = 'share of class 1' }}")
        deadline = time.monotonic() + 30
        while len(points_by_color(canvas(tab))) < 2:
            assert time.monotonic() < deadline, "the points have one colour still"

    # It is the vectors that were counted: with two of them there is little to see.
    for path in logs.glob("*/in?*.tsv"):
        lines = path.read_text().splitlines(keepends=True)
        path.write_text("".join(lines[: 2 if "vectors" in path.name else 3]))
    with tensorboard(logs) as address, browser(tmp_path / "profile") as tab:
        tab.open(f"{address}/#projector")
        deadline = time.monotonic() + 60
        while not any("projector/tensor?" in asked for asked in tab.requests):
            assert time.monotonic() < deadline, "no vector is asked for"
            canvas(tab)
        assert wait_for_points(tab, enough, seconds=5) <= few


def points_by_color(picture):
    """The colours that many pixels of points have; axes are thin, buttons are grey."""
    found, counts = np.unique(picture.reshape(-1, 3), axis=0, return_counts=True)
    colorful = np.ptp(found.astype(int), axis=1) > 60
    return [tuple(c) for c in found[colorful & (counts > 300)].tolist()]
