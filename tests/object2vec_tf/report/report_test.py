"""The report shows the run's true results, and a browser displays it offline."""

import html.parser
import json
import re
import shlex
import shutil

import numpy as np
import pytest
import tensorflow as tf

import object2vec_tf as o2v
from tests.chromium import count_spots, open_tab
from tests.object2vec_tf.conftest import ITEMS, NAMES, TEXTS

VOID = ("meta", "br")


class Page(html.parser.HTMLParser):
    """The content of a page.

    Attributes:
        tags: The names of all elements.
        open: The names of the elements that are not closed.
        addresses: The addresses that elements refer to, without those in the page.
        links: The ids of elements of the page that links lead to.
        ids: The ids of elements.
        tables: Rows of cells, by heading.
        charts: Lines, names of points, and texts with their positions, by title.
        text: The text of all elements.
    """

    def __init__(self, path):
        super().__init__()
        self.tags, self.addresses, self.open = [], [], []
        self.links, self.ids = [], []
        self.tables, self.charts, self.text = {}, {}, ""
        self._chart = self._cell = None
        self._heading = ""
        self.feed(path.read_text(encoding="utf-8").removeprefix("<!doctype html>"))

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        attrs = dict(attrs)
        for address in (attrs[k] for k in ("src", "href", "data") if k in attrs):
            links = self.links if address.startswith("#") else self.addresses
            links.append(address.removeprefix("#"))
        if "id" in attrs:
            self.ids.append(attrs["id"])
        assert not any(name.startswith("on") for name in attrs)
        if tag not in VOID:
            self.open.append(tag)
        match tag:
            case "h2":
                self._heading = ""
            case "table":
                self.tables[self._heading] = []
            case "tr":
                self.tables[self._heading].append([])
            case "td" | "th":
                self._cell = ""
            case "br":
                self._cell += "\n"
            case "svg":
                self._chart = {"lines": [], "names": [], "texts": []}
            case "polyline":
                points = [
                    tuple(map(float, p.split(","))) for p in attrs["points"].split()
                ]
                self._chart["lines"].append(points)
            case "text":
                position = float(attrs["x"]), float(attrs["y"])
                self._chart["texts"].append((*position, attrs.get("class"), ""))

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag
        if tag in ("td", "th"):
            self.tables[self._heading][-1].append(self._cell)
            self._cell = None
        if tag == "svg":
            title = next(t for *_, kind, t in self._chart["texts"] if kind == "title")
            self.charts[title] = self._chart
            self._chart = None

    def handle_data(self, data):
        self.text += data
        if self._cell is not None:
            self._cell += data
        if self.open and self.open[-1] == "h2":
            self._heading += data
        if self._chart and self.open[-1] == "text":
            x, y, kind, text = self._chart["texts"].pop()
            self._chart["texts"].append((x, y, kind, text + data))
        if self._chart and self.open[-1] == "title":
            self._chart["names"].append(data)


@pytest.fixture(scope="module")
def page(run):
    return Page(run.model_dir / "report.html")


def read_json(run, name):
    return json.loads((run.model_dir / name).read_text(encoding="utf-8"))


def test_the_page_is_well_formed_and_loads_nothing(run, page):
    assert page.open == []
    assert page.addresses == []
    assert "url(" not in (run.model_dir / "report.html").read_text()
    assert not {"script", "img", "link", "iframe"} & set(page.tags)
    assert len(page.links) > 8
    assert set(page.links) <= set(page.ids)
    assert len(set(page.ids)) == len(page.ids)
    assert "<my> run" in page.text
    for name in filter(None, NAMES):
        assert name in page.text
    assert "<b> a|b bird" in page.text  # the vocabulary lacks "bird"


def test_results_are_compared_with_the_baselines(run, page):
    metrics = read_json(run, "metrics.json")
    titles = {
        "constant": "mean label",
        "biases": "object biases",
        "token_biases": "token biases",
        "prior": "class frequencies",
    }
    channels = ["train", "validation", "test"]
    expected = [["metric", "model", *channels]]
    for name in metrics["train"]:
        models = [("this model", metrics)]
        models += [
            (titles[key], scores) for key, scores in metrics["baselines"].items()
        ]
        expected += [
            [name, title, *(shown(scores[channel][name]) for channel in channels)]
            for title, scores in models
            if name in scores["train"]
        ]
    assert page.tables["Results"] == expected
    assert f"for 3 epochs ({metrics['stopped']})" in page.text
    assert f"best epoch, number {metrics['best_epoch'] + 1}." in page.text


def shown(score):
    """Returns a score with four significant digits."""
    return f"{score:#.4g}" if score else "0"


def test_the_page_says_how_it_was_made(run, page):
    for text in (
        f"object2vec_tf {o2v.__version__}",
        f"TensorFlow {tf.__version__}",
        "train 200, validation 49, test 25",
        read_json(run, "metrics.json")["device"],
        "Random seed",
    ):
        assert text in page.text
    assert re.search(r"Finished\s*20\d\d-\d\d-\d\d \d\d:\d\d UTC", page.text)
    steps = page.text.partition("Next steps\n")[2].rpartition("Next steps")[2]
    path = shlex.quote(str(run.model_dir))
    for module in (
        "export.gateway",
        "object2vec_tf.neighbors",
        "object2vec_tf.transform",
    ):
        assert f"python -m {module} " in steps
    assert f"--model={path} " in steps
    card = (run.model_dir / "report.md").read_text()
    assert f"--model={path} " in card


def test_curves_are_the_history(run, page):
    lines = (run.model_dir / "history.jsonl").read_text().splitlines()
    history = [json.loads(line) for line in lines]
    for name in history[0]["train"]:
        chart = page.charts[name]
        # The y axis: each value is written 4 pixels below its grid line.
        ticks = [
            (y - 4, float(text.replace(",", "")))
            for x, y, _, text in chart["texts"]
            if x < 60 and re.fullmatch(r"[\d.,]+", text)
        ]
        (top, high), (bottom, low) = min(ticks), max(ticks)
        slope = (low - high) / (bottom - top)
        drawn = [[high + (y - top) * slope for _, y in line] for line in chart["lines"]]
        expected = [
            [r[channel][name] for r in history] for channel in ("train", "validation")
        ]
        np.testing.assert_allclose(drawn, expected, atol=abs(slope) * 0.11)
        texts = [text for *_, text in chart["texts"]]
        assert {"train", "validation", "epoch", "1", "2", "3"} <= set(texts)


def test_all_settings_are_listed(run, page):
    expected = {
        name: value if isinstance(value, str) else json.dumps(value)
        for name, value in read_json(run, "hyperparameters.json").items()
    }
    changed = dict(page.tables["Settings"][1:])
    default = dict(page.tables["Default settings"][1:])
    assert changed | default == expected
    assert not changed.keys() & default.keys()
    assert changed["enc1_vocab_size"] == str(ITEMS)
    assert default["weight_decay"] == "0.0"


def test_lengths_are_counted(run, page):
    metrics = read_json(run, "metrics.json")
    head, *rows = page.tables["Data"]
    table = {
        (row[0], row[1]): dict(zip(head[2:], row[2:], strict=True)) for row in rows
    }
    assert len(table) == 6
    known = {"cat", "dog", "<b>", "a|b", "</script>"}
    for (channel, side), cells in table.items():
        texts = [row["in0"].split() for row in run.rows[channel]]
        if side == "in1":
            texts = [["cat"]] * len(texts)
        counts = [min(len(words), 3) for words in texts]
        assert cells == {
            "pairs": str(len(texts)),
            "mean": f"{np.mean(counts):.1f}",
            "median": f"{np.median(counts):.0f}",
            "95%": f"{np.quantile(counts, 0.95):.0f}",
            "max": str(max(counts)),
            "truncated": str(sum(len(words) > 3 for words in texts)),
            "empty": str(counts.count(0)),
            "unknown tokens": str(sum(w not in known for t in texts for w in t[:3])),
        }
        assert cells["truncated"] == str(metrics["truncated"][channel][side])
        assert cells["empty"] == str(metrics["empty"][channel][side])
    assert "lengths of in0 (train)" in page.charts
    assert "lengths of in1 (train)" not in page.charts
    ((_, message),) = page.tables["Bad lines"][1:]
    assert "train.jsonl:201: in1[0]: expected an id below 40, got 99" in message


def test_labels_are_counted(run, page):
    labels = {
        name: np.array([row["label"] for row in rows])
        for name, rows in run.rows.items()
    }
    head, *rows = page.tables["Labels"]
    if run.model.hyperparameters.output_layer == "softmax":
        assert head == ["class", "train", "validation", "test"]
        for number, row in enumerate(rows):
            counts = [(np.sum(v == number), len(v)) for v in labels.values()]
            assert row == [str(number), *(f"{n} ({n / of:.1%})" for n, of in counts)]
    else:
        for name, *cells in rows:
            values = labels[name]
            quartiles = np.quantile(values, [0, 0.25, 0.5, 0.75, 1])
            expected = [values.mean(), values.std(), *quartiles]
            np.testing.assert_allclose(list(map(float, cells)), expected, rtol=1e-3)
    counts = [int(np.sum(labels["train"] == number)) for number in (0, 1)]
    assert page.charts["labels (train)"]["names"] == list(map(str, counts))


def test_scatter_plots_and_neighbors_show_the_embeddings(run, page):
    maps = [chart for title, chart in page.charts.items() if title.startswith("in")]
    # The side with given names comes first.
    assert [len(chart["names"]) for chart in maps] == [ITEMS, len(TEXTS)]
    tables = [title for title in page.tables if title.startswith("Nearest")]
    assert tables == ["Nearest neighbors, in1", "Nearest neighbors, in0"]
    table = run.model.enc1.get_weights()[0]
    unit = table / np.linalg.norm(table, axis=1, keepdims=True)
    names = [*NAMES, *map(str, range(len(NAMES), ITEMS))]
    names[NAMES.index("")] = str(NAMES.index(""))
    labels = {name: [] for name in names}
    for row in run.rows["train"]:
        labels[names[row["in1"][0]]].append(row["label"])
    expected = {f"{name} ({np.mean(values):.3g})" for name, values in labels.items()}
    assert set(maps[0]["names"]) == expected

    rows = page.tables["Nearest neighbors, in1"][1:]
    assert len(rows) > 3
    for name, pairs, neighbors in rows:
        assert pairs == "5"
        cosines = unit @ unit[names.index(name)]
        order = [i for i in np.argsort(-cosines) if names[i] != name][:5]
        assert neighbors.split("\n") == [
            f"{names[i]} ({cosines[i]:.2f})" for i in order
        ]
    # The embedding of an empty text is zero: it has no neighbors.
    assert "(empty)" not in str(page.tables["Nearest neighbors, in0"])


def test_the_model_card_has_the_same_tables(run, page):
    text = (run.model_dir / "report.md").read_text(encoding="utf-8")
    assert text.startswith("---\nlibrary_name: keras\n")
    assert "\n# &lt;my&gt; run\n" in text
    tables = {}
    for title, table in re.findall(r"## (.+)\n\n(?:[^|#].*\n\n)?((?:\|.*\n)+)", text):
        rows = [re.split(r"(?<!\\) ?\| ?", row)[1:-1] for row in table.splitlines()]
        assert set("".join(rows.pop(1))) <= {"-", ":"}
        tables[title] = [[displayed(cell) for cell in row] for row in rows]
    epochs = tables["Epochs"]
    assert tables == page.tables
    lines = (run.model_dir / "history.jsonl").read_text().splitlines()
    for line, row in zip(lines, epochs[1:], strict=True):
        record = json.loads(line)
        scores = [*record["train"].values(), *record["validation"].values()]
        assert row == [str(record["epoch"] + 1), *map(shown, scores)]


def displayed(cell):
    """Returns the text that a cell of Markdown displays."""
    cell = re.sub(r"^\*\*(.*)\*\*$", r"\1", cell).replace("<br>", "\n")
    return html.unescape(re.sub(r"\\([\\`*\[\]|~#_])", r"\1", cell))


# Finds a chart by the beginning of its title; returns its position and size.
CHART_BOX = """title => {
  const chart = [...document.querySelectorAll('svg')].find(
    svg => svg.querySelector('.title').textContent.startsWith(title));
  const box = chart.getBoundingClientRect();
  return [box.x, box.y + scrollY, box.width, box.height];
}"""


# The distance between the leftmost and the rightmost edge of links, tables and charts.
USED_WIDTH = """() => {
  const boxes = [...document.querySelectorAll('nav a, .wide, svg, .verdict')]
    .map(element => element.getBoundingClientRect());
  return Math.max(...boxes.map(box => box.right)) -
    Math.min(...boxes.map(box => box.left));
}"""


@pytest.mark.parametrize("run", ["softmax"], indirect=True)
def test_a_browser_draws_the_page_and_requests_nothing_else(run, tmp_path):
    # The copy is alone in its directory: the page must be self-contained.
    shutil.copy(run.model_dir / "report.html", tmp_path / "copy.html")
    address = (tmp_path / "copy.html").as_uri()
    with open_tab() as tab:

        def chart_picture(title):
            x, y, width, height = map(int, tab.page.evaluate(CHART_BOX, title))
            return tab.screenshot(full_page=True)[y : y + height, x : x + width]

        tab.page.goto(address)
        assert tab.problems == []
        assert tab.requests == [address]
        spots = count_spots(chart_picture("in1"))
        assert spots > ITEMS
        for title in ("cross_entropy", "accuracy", "lengths of in0", "labels"):
            assert chart_picture(title).std() > 3
        # The page is no wider than the window, also on a phone.
        for width in (1600, 1200, 800, 400):
            tab.page.set_viewport_size({"width": width, "height": 900})
            page_width = "document.documentElement.scrollWidth"
            assert tab.page.evaluate(page_width) <= width
            # The content reaches from edge to edge.
            assert tab.page.evaluate(USED_WIDTH) >= 0.85 * min(width, 1440)
        tab.page.set_viewport_size({"width": 1280, "height": 900})
        # The page is light, or dark if the reader prefers that.
        assert tab.screenshot()[-1, -1].min() > 240
        tab.page.emulate_media(color_scheme="dark")
        assert tab.screenshot()[-1, -1].max() < 40

        # The spots are the points: without them, few are left.
        tab.page.emulate_media(color_scheme="light")
        tab.page.evaluate(
            "document.querySelectorAll('svg circle').forEach(c => c.remove())"
        )
        assert count_spots(chart_picture("in1")) < spots - ITEMS // 2
