"""A run's report: what it shows is what was measured, and a browser draws it."""

import html.parser
import json
import re
import shutil

import numpy as np
import pytest

from tests.chromium import browser, chromium, spots
from tests.object2vec_tf.conftest import ITEMS, NAMES, TEXTS

VOID = ("meta", "br")


class Page(html.parser.HTMLParser):
    """What a page holds.

    Attributes:
        tags: All that are opened.
        open: Those that are not closed.
        addresses: What it refers to.
        tables: Rows of cells by heading.
        figures: By title, the lines, points and texts in each.
    """

    def __init__(self, path):
        super().__init__()
        self.tags, self.addresses, self.open = [], [], []
        self.tables, self.figures, self.words = {}, {}, ""
        self._figure = self._cell = None
        self._heading = ""
        self.feed(path.read_text(encoding="utf-8").removeprefix("<!doctype html>"))

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        attrs = dict(attrs)
        self.addresses += [attrs[k] for k in ("src", "href", "data") if k in attrs]
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
                self._figure = {"lines": [], "names": [], "texts": []}
            case "polyline":
                points = [
                    tuple(map(float, p.split(","))) for p in attrs["points"].split()
                ]
                self._figure["lines"].append(points)
            case "text":
                place = float(attrs["x"]), float(attrs["y"])
                self._figure["texts"].append((*place, attrs.get("class"), ""))

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag
        if tag in ("td", "th"):
            self.tables[self._heading][-1].append(self._cell)
            self._cell = None
        if tag == "svg":
            title = next(t for *_, kind, t in self._figure["texts"] if kind == "title")
            self.figures[title] = self._figure
            self._figure = None

    def handle_data(self, data):
        self.words += data
        if self._cell is not None:
            self._cell += data
        if self.open and self.open[-1] == "h2":
            self._heading += data
        if self._figure and self.open[-1] == "text":
            x, y, kind, text = self._figure["texts"].pop()
            self._figure["texts"].append((x, y, kind, text + data))
        if self._figure and self.open[-1] == "title":
            self._figure["names"].append(data)


@pytest.fixture(scope="module")
def page(run):
    return Page(run.model_dir / "report.html")


def held(run, name):
    return json.loads((run.model_dir / name).read_text(encoding="utf-8"))


def test_the_page_is_whole_and_loads_nothing(run, page):
    assert page.open == []
    assert page.addresses == []
    assert "url(" not in (run.model_dir / "report.html").read_text()
    assert not {"script", "img", "link", "iframe", "a"} & set(page.tags)
    assert "<my> run" in page.words
    for name in filter(None, NAMES):
        assert name in page.words
    assert "<b> a|b <unk>" in page.words


def test_results_stand_beside_the_baselines(run, page):
    metrics = held(run, "metrics.json")
    titles = {
        "constant": "the mean label",
        "biases": "biases of objects",
        "prior": "shares of classes",
    }
    channels = ["train", "validation", "test"]
    expected = [["metric", "by", *channels]]
    for name in metrics["train"]:
        by = [("this model", metrics)]
        by += [(titles[key], told) for key, told in metrics["baselines"].items()]
        expected += [
            [name, title, *(f"{told[channel][name]:.4f}" for channel in channels)]
            for title, told in by
            if name in told["train"]
        ]
    assert page.tables["Results"] == expected
    loss = run.model.hyperparameters.loss_name
    best = min(told["test"][loss] for told in metrics["baselines"].values())
    assert f"on test is {metrics['test'][loss]:.4f}; the best" in page.words
    assert f" has {best:.4f} (less is better)" in page.words
    assert f"for 3 epochs ({metrics['stopped']})" in page.words
    assert f"that of epoch {metrics['best_epoch'] + 1}, with seed 0" in page.words


def test_curves_are_the_history(run, page):
    lines = (run.model_dir / "history.jsonl").read_text().splitlines()
    history = [json.loads(line) for line in lines]
    for name in history[0]["train"]:
        figure = page.figures[name]
        # What the rules' numbers say of heights; they stand 4 below their rules.
        rules = [
            (y - 4, float(text.replace(",", "")))
            for x, y, _, text in figure["texts"]
            if x < 60 and re.fullmatch(r"[\d.,]+", text)
        ]
        (high, most), (low, least) = min(rules), max(rules)
        slope = (least - most) / (low - high)
        drawn = [
            [most + (y - high) * slope for _, y in line] for line in figure["lines"]
        ]
        told = [
            [r[channel][name] for r in history] for channel in ("train", "validation")
        ]
        np.testing.assert_allclose(drawn, told, atol=abs(slope) * 0.11)
        texts = [text for *_, text in figure["texts"]]
        assert {"train", "validation", "epoch", "1", "2", "3"} <= set(texts)


def test_settings_are_all_there(run, page):
    expected = {
        name: value if isinstance(value, str) else json.dumps(value)
        for name, value in held(run, "hyperparameters.json").items()
    }
    chosen = dict(page.tables["Settings"][1:])
    rest = dict(page.tables["Settings as by default"][1:])
    assert chosen | rest == expected
    assert not chosen.keys() & rest.keys()
    assert chosen["enc1_vocab_size"] == str(ITEMS)
    assert rest["weight_decay"] == "0.0"


def test_data_is_counted(run, page):
    metrics = held(run, "metrics.json")
    head, *rows = page.tables["Data"]
    table = {
        (row[0], row[1]): dict(zip(head[2:], row[2:], strict=True)) for row in rows
    }
    assert len(table) == 6
    known = {"cat", "dog", "<b>", "a|b", "</script>"}
    for (channel, side), told in table.items():
        texts = [row["in0"].split() for row in run.rows[channel]]
        if side == "in1":
            texts = [["cat"]] * len(texts)
        counts = [min(len(words), 3) for words in texts]
        assert told == {
            "pairs": str(len(texts)),
            "mean": f"{np.mean(counts):.1f}",
            "median": f"{np.median(counts):.0f}",
            "95 %": f"{np.quantile(counts, 0.95):.0f}",
            "longest": str(max(counts)),
            "cut": str(sum(len(words) > 3 for words in texts)),
            "empty": str(counts.count(0)),
            "unknown tokens": str(sum(w not in known for t in texts for w in t[:3])),
        }
        assert told["cut"] == str(metrics["truncated"][channel][side])
        assert told["empty"] == str(metrics["empty"][channel][side])
    assert "lengths of in0 (train)" in page.figures
    assert "lengths of in1 (train)" not in page.figures
    ((_, message),) = page.tables["Bad lines"][1:]
    assert "train.jsonl:201: in1[0] is 99" in message


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
        for name, *told in rows:
            values = labels[name]
            quartiles = np.quantile(values, [0, 0.25, 0.5, 0.75, 1])
            expected = [values.mean(), values.std(), *quartiles]
            np.testing.assert_allclose([float(t) for t in told], expected, rtol=1e-3)
    counts = [int(np.sum(labels["train"] == number)) for number in (0, 1)]
    assert page.figures["labels (train)"]["names"] == list(map(str, counts))


def test_maps_and_neighbours_are_of_the_embeddings(run, page):
    maps = [figure for title, figure in page.figures.items() if title.startswith("in")]
    assert [len(figure["names"]) for figure in maps] == [len(TEXTS), ITEMS]
    table = run.model.enc1.get_weights()[0]
    unit = table / np.linalg.norm(table, axis=1, keepdims=True)
    names = [*NAMES, *map(str, range(len(NAMES), ITEMS))]
    names[NAMES.index("")] = str(NAMES.index(""))
    sums = {name: [] for name in names}
    for row in run.rows["train"]:
        sums[names[row["in1"][0]]].append(row["label"])
    told = {f"{name} ({np.mean(values):.3g})" for name, values in sums.items()}
    assert set(maps[1]["names"]) == told

    rows = page.tables["Nearest neighbours, in1"][1:]
    assert len(rows) > 3
    for name, pairs, found in rows:
        assert pairs == "5"
        cosines = unit @ unit[names.index(name)]
        order = [i for i in np.argsort(-cosines) if names[i] != name][:5]
        assert found.split("\n") == [f"{names[i]} ({cosines[i]:.2f})" for i in order]
    # Nothing is near to an empty text, whose embedding is zero.
    assert "(empty)" not in str(page.tables["Nearest neighbours, in0"])


def test_the_model_card_has_the_same_tables(run, page):
    text = (run.model_dir / "report.md").read_text(encoding="utf-8")
    assert text.startswith("---\nlibrary_name: keras\n")
    assert "\n# &lt;my&gt; run\n" in text
    tables = {}
    for title, table in re.findall(r"## (.+)\n\n(?:[^|#].*\n\n)?((?:\|.*\n)+)", text):
        rows = [re.split(r"(?<!\\) ?\| ?", row)[1:-1] for row in table.splitlines()]
        assert set("".join(rows.pop(1))) <= {"-", ":"}
        tables[title] = [[unmarked(cell) for cell in row] for row in rows]
    epochs = tables.pop("Epochs")
    assert tables == page.tables
    lines = (run.model_dir / "history.jsonl").read_text().splitlines()
    for line, row in zip(lines, epochs[1:], strict=True):
        record = json.loads(line)
        scores = [*record["train"].values(), *record["validation"].values()]
        assert row == [str(record["epoch"] + 1), *(f"{score:.4f}" for score in scores)]


def unmarked(cell):
    """What a cell of Markdown shows."""
    cell = re.sub(r"^\*\*(.*)\*\*$", r"\1", cell).replace("<br>", "\n")
    return html.unescape(re.sub(r"\\([\\`*\[\]|~#_])", r"\1", cell))


@pytest.mark.parametrize("run", ["softmax"], indirect=True)
def test_a_browser_draws_the_page_and_asks_for_nothing_else(run, tmp_path):
    chromium()
    # A page that was mailed stands alone.
    shutil.copy(run.model_dir / "report.html", tmp_path / "mailed.html")
    address = (tmp_path / "mailed.html").as_uri()
    place = (
        "(title => { const svg = [...document.querySelectorAll('svg')].find(s => "
        "s.querySelector('.title').textContent.startsWith(title)); "
        "const box = svg.getBoundingClientRect(); "
        "return [box.x, box.y + scrollY, box.width, box.height]; })"
    )
    with browser(tmp_path / "profile") as tab:

        def drawn(title):
            x, y, width, height = map(int, tab.value(f"{place}('{title}')"))
            return tab.screenshot(whole=True)[y : y + height, x : x + width]

        tab.open(address)
        assert tab.complaints == []
        assert tab.requests == [address]
        maps = drawn("in1")
        assert spots(maps) > ITEMS
        for title in ("cross_entropy", "accuracy", "lengths of in0", "labels"):
            assert drawn(title).std() > 3
        # The whole page fits its window, and a telephone's.
        for width in (1280, 400):
            tab.resize(width, 900)
            assert tab.value("document.documentElement.scrollWidth") <= width
        tab.resize(1280, 900)
        # Bright text on a dark page for those who want that.
        assert tab.screenshot()[-1, -1].min() > 240
        dark = {"name": "prefers-color-scheme", "value": "dark"}
        tab.do("Emulation.setEmulatedMedia", features=[dark])
        assert tab.screenshot()[-1, -1].max() < 40

        # It is the points that were counted.
        tab.do("Emulation.setEmulatedMedia", features=[])
        tab.value("document.querySelectorAll('svg circle').forEach(c => c.remove())")
        assert spots(drawn("in1")) < spots(maps) - ITEMS // 2
