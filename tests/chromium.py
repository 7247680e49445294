"""A real browser for tests: headless Chromium, driven by Playwright.

Tests that use it are skipped where no Chromium is installed.
"""

import contextlib
import os
import shutil

import numpy as np
import pytest
import tensorflow as tf
from playwright.sync_api import sync_playwright

TIMEOUT = 120  # seconds
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    # WebGL on the CPU, so that no graphics card is needed.
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
)


def chromium():
    """Returns the path of Chromium, or skips the test.

    The environment variable CHROMIUM, if set, names the program. Otherwise it is looked
    up on PATH under its usual names.
    """
    names = (
        [os.environ["CHROMIUM"]]
        if "CHROMIUM" in os.environ
        else ["chromium", "chromium-browser", "google-chrome", "chrome"]
    )
    for path in filter(None, map(shutil.which, names)):
        return path
    pytest.skip(f"no {' or '.join(names)} found; set CHROMIUM=PATH")


@contextlib.contextmanager
def open_tab(width=1280, height=900):
    """Starts a browser and yields its `Tab`.

    Args:
        width: The width of the window, in pixels.
        height: The height of the window, in pixels.
    """
    path = chromium()
    with (
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=path, args=FLAGS) as browser,
        browser.new_context(viewport={"width": width, "height": height}) as context,
    ):
        context.set_default_timeout(TIMEOUT * 1000)
        yield Tab(context.new_page())


class Tab:
    """A page in a browser.

    Attributes:
        page: The Playwright page.
        requests: The addresses that the page requested, in order.
        problems: The errors and warnings of the console, and uncaught exceptions.
    """

    def __init__(self, page):
        self.page = page
        self.requests, self.problems = [], []
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        page.on("console", self._note)

    def _note(self, message):
        if message.type in ("error", "warning"):
            self.problems.append(message.text)

    def screenshot(self, full_page=False):
        """Returns a picture of the window or the full page, uint8 ``[y, x, rgb]``."""
        data = self.page.screenshot(full_page=full_page)
        return tf.io.decode_png(data, channels=3).numpy()


def count_spots(picture, min_pixels=3):
    """Counts the separate spots of a picture that differ from its background.

    Args:
        picture: uint8 ``[y, x, rgb]``. Its most common color is the background.
        min_pixels: The fewest pixels of a spot.
    """
    colors = picture.astype(np.int32) @ (1 << 16, 1 << 8, 1)
    values, counts = np.unique(colors, return_counts=True)
    background = picture[colors == values[counts.argmax()]][0].astype(int)
    drawn = np.abs(picture.astype(int) - background).max(axis=2) > 48
    left = set(zip(*map(np.ndarray.tolist, np.nonzero(drawn)), strict=True))
    spots = 0
    while left:
        size, edge = 0, [left.pop()]
        while edge:
            y, x = edge.pop()
            size += 1
            around = {(y + i, x + j) for i in (-1, 0, 1) for j in (-1, 0, 1)} & left
            left -= around
            edge += around
        spots += size >= min_pixels
    return spots
