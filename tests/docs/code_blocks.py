"""The code blocks of a Markdown page, and the program that runs them.

    python -m tests.docs.code_blocks docs/data.md

runs a page's blocks in a temporary directory, in their order:

* ``python`` blocks share one namespace with the ``pycon`` blocks, whose outputs are
  compared as in a doctest;
* ``bash`` blocks run with ``bash -e -o pipefail``. An HTTP error in their output is a
  failure, unless the next block shows it;
* other blocks are not run.

Comments directly before a block control it:

* ``<!-- skip: next "REASON" -->``: the block is not run;
* ``<!-- server: PORT -->``: the bash block is a server. It runs in the background until
  the end of the page, or until the next server with its port. The runner replaces the
  port in all blocks of the page by a free one;
* ``<!-- output -->``: the text is what the block before it prints, as in a doctest with
  ELLIPSIS.

The shell script ``tests/docs/setups/PAGE.sh``, if there is one, runs first. It makes
the files that a reader of the page has.
"""

import argparse
import contextlib
import dataclasses
import doctest
import io
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from markdown_it import MarkdownIt

ROOT = Path(__file__).parents[2]
RUNNABLE = ("python", "pycon", "bash")
TIMEOUT = 120  # seconds that a server may need to start
LINKED = ("data", "docs", "examples", "results")
_HTTP_ERROR = re.compile(r'\{\s*"error"')  # as the gateway and TF Serving answer
_COMMENT = re.compile(
    r'<!-- (?:skip: next "(?P<skip>[^"]+)"|'
    r"server: (?P<port>\d+)|(?P<output>output)) -->"
)


@dataclasses.dataclass
class Block:
    """A code block.

    Attributes:
        line: The line of its first line of code, from 1.
        language: Its language; None for an indented block.
        source: Its code.
        skip: Why it is not run, if it is not.
        port: The port of a server.
        is_output: Whether it is the output of the block before it.
    """

    line: int
    language: str | None
    source: str
    skip: str | None = None
    port: int | None = None
    is_output: bool = False

    @property
    def runs(self) -> bool:
        """Whether the block is run."""
        return self.language in RUNNABLE and self.skip is None


def blocks_of(path: Path) -> list[Block]:
    """Returns the code blocks of a page, in their order."""
    blocks = []
    comment = None
    for token in MarkdownIt().parse(path.read_text(encoding="utf-8")):
        if token.type in ("fence", "code_block"):
            language = token.info or "" if token.type == "fence" else None
            line = token.map[0] + (2 if token.type == "fence" else 1)
            block = Block(line, language, token.content)
            if comment:
                block.skip = comment["skip"]
                block.port = int(comment["port"]) if comment["port"] else None
                block.is_output = bool(comment["output"])
            blocks.append(block)
        comment = (
            _COMMENT.fullmatch(token.content.strip())
            if token.type == "html_block"
            else None
        )
    return blocks


def setup_of(path: Path) -> Path:
    """Returns the path of a page's setup, which may not exist."""
    name = path.relative_to(ROOT).with_suffix("").as_posix().removeprefix("docs/")
    return ROOT / "tests" / "docs" / "setups" / f"{name.replace('/', '_')}.sh"


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


class _Tee(io.StringIO):
    """Keeps what is written, and writes it to the real stdout too."""

    def write(self, text: str) -> int:
        sys.__stdout__.write(text)
        return super().write(text)


class PageRunner:
    """Runs the blocks of a page in the current directory."""

    def __init__(self, path: Path, blocks: list[Block]):
        self.name = path.relative_to(ROOT).as_posix()
        self.blocks = blocks
        self.ports = {b.port: _free_port() for b in blocks if b.port}
        self.namespace: dict[str, object] = {"__name__": "__main__"}
        self.servers: dict[int, subprocess.Popen[bytes]] = {}

    def run(self) -> int:
        """Runs all blocks; returns how many ran.

        Raises:
            Exception: A block failed, or printed something else than the page says.
        """
        output = None
        count = 0
        try:
            for block, following in zip(
                self.blocks, [*self.blocks[1:], None], strict=True
            ):
                place = f"{self.name}:{block.line}"
                if block.is_output:
                    assert output is not None, f"{place}: no block before this output"
                    _compare(self._source(block), output, place)
                elif block.runs:
                    began = time.monotonic()
                    print(f"--- {place} ({block.language})", flush=True)
                    output = self._run_block(block, place)
                    if block.language == "bash" and _HTTP_ERROR.search(output):
                        shown = following and _HTTP_ERROR.search(following.source)
                        assert shown, f"{place}: {output}"
                    count += 1
                    print(f"--- {time.monotonic() - began:.1f} s", flush=True)
                else:
                    output = None
        finally:
            for port in list(self.servers):
                self._stop(port)
        return count

    def _source(self, block: Block) -> str:
        source = block.source
        for port, free in self.ports.items():
            source = re.sub(rf"\b{port}\b", str(free), source)
        return source

    def _run_block(self, block: Block, place: str) -> str:
        source = self._source(block)
        if block.language == "bash":
            if block.port:
                self._start(block.port, source)
                return ""
            return _bash(source, place)
        if block.language == "python":
            code = compile("\n" * (block.line - 1) + source, self.name, "exec")
            with contextlib.redirect_stdout(_Tee()) as output:
                exec(code, self.namespace)
            return output.getvalue()
        test = doctest.DocTestParser().get_doctest(
            source, self.namespace, place, self.name, block.line - 1
        )
        runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
        assert not runner.run(test, clear_globs=False).failed, place
        self.namespace.update(test.globs)  # get_doctest copied them
        return ""

    def _start(self, port: int, source: str) -> None:
        self._stop(port)
        command = ["bash", "-e", "-o", "pipefail", "-c", source]
        process = subprocess.Popen(command, start_new_session=True)
        self.servers[port] = process
        deadline = time.monotonic() + TIMEOUT
        while True:
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", self.ports[port]), 1).close()
                return
            assert process.poll() is None, f"the server has ended:\n{source}"
            assert time.monotonic() < deadline, f"the server does not listen:\n{source}"
            time.sleep(0.1)

    def _stop(self, port: int) -> None:
        if port in self.servers:
            process = self.servers.pop(port)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def _bash(source: str, place: str) -> str:
    command = ["bash", "-e", "-o", "pipefail", "-c", source]
    lines = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        for line in process.stdout:
            print(line, end="", flush=True)
            lines.append(line)
    assert process.returncode == 0, f"{place}: status {process.returncode}:\n{source}"
    return "".join(lines)


def _compare(expected: str, actual: str, place: str) -> None:
    checker = doctest.OutputChecker()
    if not checker.check_output(expected, actual, doctest.ELLIPSIS):
        example = doctest.Example("", expected)
        difference = checker.output_difference(example, actual, doctest.REPORT_NDIFF)
        raise AssertionError(f"{place}: {difference}")


@contextlib.contextmanager
def page_directory() -> Iterator[Path]:
    """Makes a temporary directory with links to directories of the repository."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        for linked in LINKED:
            if (ROOT / linked).exists():
                Path(name, linked).symlink_to(ROOT / linked)
        yield Path(name)


def main(arguments: Sequence[str]) -> None:
    """Runs the blocks of a page.

    Args:
        arguments: The command line: the path of the page.
    """
    parser = argparse.ArgumentParser(description="Runs the code blocks of a page.")
    parser.add_argument("page", type=Path, help="a Markdown file, such as README.md")
    path = parser.parse_args(arguments).page.resolve()
    if not path.is_file():
        parser.error(f"{path}: no such file")
    os.environ["PYTHONPATH"] = str(ROOT)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    scripts = str(Path(sys.executable).parent)
    os.environ["PATH"] = scripts + os.pathsep + os.environ["PATH"]
    sys.path.insert(0, str(ROOT))
    began = time.monotonic()
    with page_directory() as directory:
        os.chdir(directory)
        if setup_of(path).exists():
            _bash(setup_of(path).read_text(encoding="utf-8"), setup_of(path).name)
        count = PageRunner(path, blocks_of(path)).run()
        os.chdir(ROOT)
    print(f"{count} blocks in {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main(sys.argv[1:])
