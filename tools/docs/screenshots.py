r"""Takes pictures of a report and of TensorBoard, for the documentation.

    python -m object2vec_tf.fit --flagfile=examples/movielens_rating.flags \
        --items=data/movielens/items.jsonl --labels=data/movielens/titles.tsv \
        --model_dir=runs/movielens
    python -m object2vec_tf.tune --flagfile=examples/movielens_tune.flags \\
        --model_dir=runs/study
    python -m tools.docs.screenshots --run=runs/movielens --study=runs/study

Writes docs/images/report_light.png, report_dark.png, tensorboard_scalars.png,
tensorboard_hparams.png and tensorboard_projector.png. Needs Chromium on PATH, and the
extras docs and test. The pictures have a palette, so that each takes less than 120 KB.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from PIL import Image
from playwright.sync_api import Browser, sync_playwright

IMAGES: Final = Path(__file__).parents[2] / "docs" / "images"
MAX_BYTES: Final = 120_000
_COLORS: Final = (256, 128, 64, 32, 16)
_SECONDS: Final = 90
_SIZE: Final = (1200, 760)
_CHROMIUM: Final = ("chromium", "chromium-browser", "google-chrome", "chrome")
# WebGL on the CPU, for the Projector.
_FLAGS: Final = (
    "--no-sandbox",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
)


def write_picture(data: bytes, path: Path) -> None:
    """Writes a picture as a PNG with a palette.

    Args:
        data: The picture, as a PNG in full color.
        path: The file.

    Raises:
        ValueError: The file would be too large.
    """
    with Image.open(io.BytesIO(data)) as opened:
        picture = opened.convert("RGB")
    for colors in _COLORS:
        reduced = picture.quantize(colors, dither=Image.Dither.NONE)
        content = io.BytesIO()
        reduced.save(content, "PNG", optimize=True)
        if len(content.getbuffer()) < MAX_BYTES:
            path.write_bytes(content.getvalue())
            print(f"{path}: {len(content.getbuffer()):,} bytes, {colors} colors")
            return
    raise ValueError(f"{path}: expected less than {MAX_BYTES:,} bytes.")


@contextlib.contextmanager
def tensorboard(logs: Path) -> Iterator[str]:
    """Yields the address of a TensorBoard that has loaded the runs in a directory."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "tensorboard.main", f"--logdir={logs}"]
    server = subprocess.Popen(
        [*command, "--host=127.0.0.1", f"--port={port}"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait_for_runs(address)
        yield address
    finally:
        server.kill()
        server.wait()


def _wait_for_runs(address: str) -> None:
    deadline = time.monotonic() + _SECONDS
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            url = f"{address}/data/plugin/scalars/tags"
            with urllib.request.urlopen(url, timeout=10) as response:
                if json.load(response):
                    time.sleep(3)  # the rest of the runs
                    return
        time.sleep(0.5)
    raise TimeoutError(f"{address}: TensorBoard has no runs after {_SECONDS} seconds.")


def _picture(
    browser: Browser, address: str, wait: float = 0.0, **context: Any
) -> bytes:
    """Returns a picture of the window, some seconds after the page was loaded."""
    viewport = {"width": _SIZE[0], "height": _SIZE[1]}
    with browser.new_context(**{"viewport": viewport, **context}) as opened:
        page = opened.new_page()
        page.goto(address)
        page.wait_for_timeout(1000 * wait)
        return page.screenshot()


def take_pictures(run: Path, study: Path, output: Path) -> None:
    """Takes the pictures of a run and of a study.

    Args:
        run: The run directory. Its objects should have names.
        study: The directory of a study.
        output: The directory of the pictures.
    """
    program = next(filter(None, map(shutil.which, _CHROMIUM)))
    with (
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=program, args=_FLAGS) as browser,
    ):
        report = (run / "report.html").absolute().as_uri()
        window: Any = {"viewport": {"width": _SIZE[0], "height": 1400}}
        for scheme in ("light", "dark"):
            data = _picture(browser, report, color_scheme=scheme, **window)
            write_picture(data, output / f"report_{scheme}.png")
        with tensorboard(run / "tensorboard") as address:
            for page, wait in (("scalars", 10.0), ("projector", 15.0)):
                data = _picture(browser, f"{address}/?darkMode=false#{page}", wait)
                write_picture(data, output / f"tensorboard_{page}.png")
        with tensorboard(study) as address:
            data = _picture(browser, f"{address}/#hparams", 8.0)
            write_picture(data, output / "tensorboard_hparams.png")


def main() -> None:
    """Parses the arguments and takes the pictures."""
    parser = argparse.ArgumentParser(description="Takes the pictures of the docs.")
    parser.add_argument("--run", type=Path, required=True, help="run directory")
    parser.add_argument("--study", type=Path, required=True, help="study of tune")
    parser.add_argument("--output", type=Path, default=IMAGES, help="directory")
    arguments = parser.parse_args()
    take_pictures(arguments.run, arguments.study, arguments.output)


if __name__ == "__main__":
    main()
