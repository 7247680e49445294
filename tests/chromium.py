"""A real browser for tests: headless Chromium, driven by its DevTools protocol.

Messages go through a pair of pipes (``--remote-debugging-pipe``): JSON, ended by a zero
byte. WebGL is drawn by the processor, so that no graphics card is needed.
"""

import base64
import contextlib
import fcntl
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import tensorflow as tf

PATIENCE = 120  # seconds, then something is taken to hang
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
)
# Chromium reads messages from descriptor 3 and writes them to 4.
_LAUNCHER = (
    "import os, sys; given = sys.argv[1:]; os.dup2(int(given[0]), 3); "
    "os.dup2(int(given[1]), 4); os.execvp(given[2], given[2:])"
)


def chromium():
    """The path of a Chromium, which the variable CHROMIUM may name; skips without."""
    names = (
        [os.environ["CHROMIUM"]]
        if "CHROMIUM" in os.environ
        else ["chromium", "chromium-browser", "google-chrome", "chrome"]
    )
    for path in filter(None, map(shutil.which, names)):
        return path
    pytest.skip(f"no {' nor '.join(names)} found; CHROMIUM=PATH names one")


@contextlib.contextmanager
def browser(profile, width=1280, height=900):
    """Yields a `Tab` of a browser of its own.

    Args:
        profile: A directory for what the browser keeps.
        width: Of the window, in pixels.
        height: Of the window.
    """
    inputs, outputs = os.pipe(), os.pipe()
    # Out of the way of 3 and 4.
    ours = [fcntl.fcntl(fd, fcntl.F_DUPFD, 10) for fd in (inputs[0], outputs[1])]
    for fd in (inputs[0], outputs[1]):
        os.close(fd)
    line = [sys.executable, "-c", _LAUNCHER, *map(str, ours), chromium(), *FLAGS]
    process = subprocess.Popen(
        [*line, f"--user-data-dir={profile}", f"--window-size={width},{height}"],
        pass_fds=ours,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    for fd in ours:
        os.close(fd)
    try:
        yield Tab(inputs[1], outputs[0], width, height)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for fd in (inputs[1], outputs[0]):
            os.close(fd)


class Tab:
    """A page in a browser.

    Attributes:
        requests: The addresses that pages asked for, in order.
        complaints: What stands in the console as error or warning, and exceptions.
    """

    def __init__(self, to, of, width, height):
        self._to, self._of, self._held, self._number = to, of, b"", 0
        self.requests, self.complaints, self._loaded = [], [], 0
        self._session = None
        target = self.do("Target.createTarget", url="about:blank")["targetId"]
        told = self.do("Target.attachToTarget", targetId=target, flatten=True)
        self._session = told["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.do(f"{domain}.enable")
        self.resize(width, height)

    def do(self, method, **params):
        """What the browser answers to a command of its protocol."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + PATIENCE
        while True:
            told = self._receive(deadline)
            if told.get("id") == self._number:
                assert "error" not in told, (method, told["error"])
                return told["result"]

    def resize(self, width, height):
        """Gives the page another size, in pixels."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1}
        self.do("Emulation.setDeviceMetricsOverride", **size, mobile=False)

    def open(self, address):
        """Loads a page, with all that it asks for at once."""
        before = self._loaded
        told = self.do("Page.navigate", url=address)
        assert "errorText" not in told, told
        deadline = time.monotonic() + PATIENCE
        while self._loaded == before:
            self._receive(deadline)

    def value(self, expression):
        """The value of a JavaScript expression."""
        told = self.do("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in told, told["exceptionDetails"]
        return told["result"].get("value")

    def wait_for(self, expression):
        """The value of an expression as soon as it is true."""
        deadline = time.monotonic() + PATIENCE
        while not (value := self.value(expression)):
            assert time.monotonic() < deadline, f"{expression} is still {value}"
            time.sleep(0.2)
        return value

    def screenshot(self, path=None, whole=False):
        """The picture of the window, or of the whole page, uint8 ``[y, x, rgb]``.

        Args:
            path: Where to write it as PNG, too.
            whole: Whether to go beyond the window.
        """
        told = self.do("Page.captureScreenshot", captureBeyondViewport=whole)
        data = base64.b64decode(told["data"])
        if path is not None:
            path.write_bytes(data)
        return tf.io.decode_png(data, channels=3).numpy()

    def _receive(self, deadline):
        """The next message; events are noted."""
        while b"\0" not in self._held:
            ready, _, _ = select.select([self._of], [], [], deadline - time.monotonic())
            assert ready, "the browser is silent"
            data = os.read(self._of, 1 << 20)
            assert data, "the browser ended"
            self._held += data
        message, _, self._held = self._held.partition(b"\0")
        told = json.loads(message)
        match told.get("method"), told.get("params"):
            case "Page.loadEventFired", _:
                self._loaded += 1
            case "Network.requestWillBeSent", params:
                self.requests.append(params["request"]["url"])
            case "Runtime.exceptionThrown", params:
                self.complaints.append(params["exceptionDetails"])
            case "Runtime.consoleAPICalled", {"type": "error" | "warning"} as params:
                self.complaints.append(params["args"])
            case "Log.entryAdded", {"entry": {"level": "error" | "warning"} as entry}:
                self.complaints.append(entry)
        return told


def spots(picture, least=3):
    """How many separate spots a picture has that differ from its background.

    Args:
        picture: uint8 ``[y, x, rgb]``; its most common colour is the background.
        least: Pixels a spot has at least.
    """
    colors = picture.astype(np.int32) @ (1 << 16, 1 << 8, 1)
    found, counts = np.unique(colors, return_counts=True)
    background = picture[colors == found[counts.argmax()]][0].astype(int)
    drawn = np.abs(picture.astype(int) - background).max(axis=2) > 48
    left = set(zip(*map(np.ndarray.tolist, np.nonzero(drawn)), strict=True))
    told = 0
    while left:
        size, edge = 0, [left.pop()]
        while edge:
            y, x = edge.pop()
            size += 1
            around = {(y + i, x + j) for i in (-1, 0, 1) for j in (-1, 0, 1)} & left
            left -= around
            edge += around
        told += size >= least
    return told
