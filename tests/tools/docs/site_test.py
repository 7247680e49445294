"""The built site: strict, without broken links, and without requests to other hosts."""

import functools
import html.parser
import http.server
import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from tests.chromium import open_tab

ROOT = Path(__file__).parents[3]
# Elements that a browser loads, or follows as a link, by the attribute of the address.
LOADED = {"img": "src", "script": "src", "source": "src", "iframe": "src"}
LOADED_LINKS = {
    "stylesheet",
    "icon",
    "preconnect",
    "prefetch",
    "preload",
    "modulepreload",
}

pytestmark = pytest.mark.long


class Document(html.parser.HTMLParser):
    """The links, the loaded files and the anchors of a page."""

    def __init__(self, text):
        super().__init__()
        self.links, self.loaded, self.anchors = [], [], set()
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.anchors.update(
            filter(None, (attributes.get("id"), attributes.get("name")))
        )
        if tag in LOADED and attributes.get(LOADED[tag]):
            self.loaded.append(attributes[LOADED[tag]])
        elif tag == "link" and set(attributes["rel"].split()) & LOADED_LINKS:
            self.loaded.append(attributes["href"])
        elif tag == "a" and attributes.get("href"):
            self.links.append(attributes["href"])


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    pytest.importorskip("mkdocs_jupyter")
    directory = tmp_path_factory.mktemp("site")
    quiet = {"NO_MKDOCS_2_WARNING": "1", "DISABLE_MKDOCS_2_WARNING": "true"}
    command = [sys.executable, "-m", "mkdocs", "build", "--strict"]
    done = subprocess.run(
        [*command, f"--site-dir={directory}"],
        cwd=ROOT,
        env=os.environ | quiet,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return directory


@pytest.fixture(scope="module")
def documents(site):
    return {
        path: Document(path.read_text("utf-8")) for path in sorted(site.rglob("*.html"))
    }


@pytest.fixture(scope="module")
def address(site):
    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    handler = functools.partial(Handler, directory=site)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_every_page_of_docs_is_on_the_site(site):
    docs = ROOT / "docs"
    for path in [*docs.glob("*.md"), *docs.glob("*/*.md"), *docs.glob("*/*.ipynb")]:
        page = path.relative_to(docs).with_suffix(".html")
        assert (site / page).is_file(), page


def test_links_and_images(site, documents):
    def exists(link, path):
        parts = urlsplit(link)
        target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
        if target.is_dir():
            target /= "index.html"
        anchor = unquote(parts.fragment)
        if anchor and target in documents:
            return anchor in documents[target].anchors
        return target.is_file()

    broken = [
        (path.relative_to(site).as_posix(), link)
        for path, document in documents.items()
        if path.name != "404.html"  # its links are absolute
        for link in document.links + document.loaded
        if not (urlsplit(link).scheme or urlsplit(link).netloc or exists(link, path))
    ]
    assert broken == []


def test_examples_of_docstrings_are_code(site):
    pages = [page.read_text("utf-8") for page in (site / "api").glob("*.html")]
    assert sum(page.count("&gt;&gt;&gt;") for page in pages) > 50
    assert not any("<blockquote>" in page for page in pages)


def test_no_page_loads_from_another_host(documents):
    for path, document in documents.items():
        loaded = [link for link in document.loaded if urlsplit(link).netloc]
        assert loaded == [], path


def test_pages_on_a_phone(site, documents, address):
    """No page is wider than the window, asks another host, or has errors."""
    wide = []
    with open_tab(400, 800) as tab:
        for path in documents:
            if path.name == "404.html":
                continue
            name = path.relative_to(site).as_posix()
            tab.page.goto(f"{address}/{name}")
            if tab.page.evaluate("document.documentElement.scrollWidth") > 400:
                wide.append(name)
    others = [each for each in tab.requests if not each.startswith((address, "data:"))]
    assert (wide, others, tab.problems) == ([], [], [])


def test_search(address):
    with open_tab() as tab:
        tab.page.goto(f"{address}/data.html")
        tab.page.fill("[data-md-component=search-query]", "early_stopping_patience")
        tab.page.wait_for_selector(".md-search-result__item a")
        links = tab.page.eval_on_selector_all(
            ".md-search-result__item a", "all => all.map(each => each.href)"
        )
    assert any("hyperparameters.html" in link for link in links)
    assert tab.problems == []


def test_source_code_is_not_searched(site):
    index = json.loads((site / "search" / "search_index.json").read_text("utf-8"))
    places = {entry["location"] for entry in index["docs"]}
    assert "data.html" in places
    assert not any(place.startswith("repository/") for place in places)
