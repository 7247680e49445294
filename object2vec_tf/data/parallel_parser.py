"""Parses blocks of lines in two processes if there is much to read.

awkward's reader keeps Python's lock, so that threads could not share the work. The
second process is started by hand and communicates over a socket: multiprocessing would
run the user's main module again and import TensorFlow, or fork a program with threads.
"""

from __future__ import annotations

import collections
import dataclasses
import os
import subprocess
import sys
from collections.abc import Generator, Iterable, Mapping, Sequence
from multiprocessing import Pipe
from pathlib import Path
from typing import Any, Literal

from object2vec_tf.data.block_parser import Parsed, parse_block
from object2vec_tf.ragged.column import RaggedColumn

# The second process, which takes a second to start, starts after this many bytes.
_SERIAL_BYTES = 1 << 26
# Blocks to keep at a time, so that neither process waits for the other.
_MAX_WAITING_BLOCKS = 4
_PROGRAM = Path(__file__).with_name("_parser_process.py")


@dataclasses.dataclass(eq=False)
class _WaitingBlock:
    text: bytes
    parsed: Parsed = None
    is_taken: bool = False  # parsed, or sent to the second process
    is_parsed: bool = False


class ParallelParser:
    """Parses blocks as `parse_block` does.

    Args:
        vocab_sizes: The fields to read, with their vocabulary sizes; see `parse_block`.
        label: The type of the label.
        processes: The maximum number of processes, 1 or 2; by default the number of
            cores.
        serial_bytes: Bytes to parse before the second process is started.

    Attributes:
        unknown: Always empty: unlike tokens, ids are in the vocabulary or invalid.
    """

    def __init__(
        self,
        vocab_sizes: Mapping[str, int | None],
        label: Literal["integer", "number"],
        processes: int | None = None,
        *,
        serial_bytes: int = _SERIAL_BYTES,
    ) -> None:
        self._format = (dict(vocab_sizes), label)
        self._is_serial = (processes or len(os.sched_getaffinity(0))) == 1
        self._serial_bytes = serial_bytes
        self.unknown: dict[str, int] = {}
        self._parsed_bytes = 0
        self._second: _SecondProcess | None = None

    def read(self, blocks: Iterable[bytes]) -> Generator[Parsed]:
        """Yields the content of each block in order; None if a line may be invalid."""
        blocks = iter(blocks)
        waiting: collections.deque[_WaitingBlock] = collections.deque()
        while True:
            while len(waiting) < (_MAX_WAITING_BLOCKS if self._second else 1):
                text = next(blocks, None)
                if text is None:
                    break
                waiting.append(_WaitingBlock(text))
            if not waiting:
                return
            self._parse_one(waiting)
            while waiting and waiting[0].is_parsed:
                yield waiting.popleft().parsed

    def _parse_one(self, waiting: collections.deque[_WaitingBlock]) -> None:
        """Parses one of the blocks here, while the other process parses another."""
        if self._second:
            self._second.exchange(waiting)
        if waiting[0].is_parsed:
            return
        block = next((block for block in waiting if not block.is_taken), None)
        if block is not None:
            block.parsed = parse_block(block.text, *self._format)
            block.is_taken = block.is_parsed = True
            self._parsed_bytes += len(block.text)
        elif self._second:
            self._second.wait()
        if (
            not (self._second or self._is_serial)
            and self._parsed_bytes >= self._serial_bytes
        ):
            self._second = _SecondProcess(self._format)

    def column(self, name: str, rows: Sequence[Any]) -> RaggedColumn:
        """Returns rows of ids as a column."""
        return RaggedColumn.from_rows(rows)

    def looked_up(self, name: str, column: RaggedColumn) -> RaggedColumn:
        """Returns a column of ids as it is."""
        return column

    def close(self) -> None:
        """Ends the second process."""
        if self._second:
            self._second.close()
            self._second = None


class _SecondProcess:
    """A process that parses a block while this one parses another."""

    def __init__(self, format_: tuple[dict[str, int | None], str]) -> None:
        self._format = format_
        self._connection, other_end = Pipe()
        with other_end:
            handle = other_end.fileno()
            self.process = subprocess.Popen(
                [sys.executable, "-P", str(_PROGRAM), str(handle)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[handle],
                # Ctrl-C in a terminal is for this process, which ends the other one.
                start_new_session=True,
            )
        # The block of its next message; the first message says that it is ready.
        self._awaited: _WaitingBlock | None = _WaitingBlock(b"")
        self._is_gone = False

    def exchange(self, waiting: Iterable[_WaitingBlock]) -> None:
        """Receives a parsed block, and sends the second of the blocks not yet taken."""
        try:
            if self._awaited is not None and self._connection.poll():
                self._receive()
            free = [block for block in waiting if not block.is_taken]
            if self._awaited is None and len(free) > 1 and not self._is_gone:
                free[1].is_taken, self._awaited = True, free[1]
                self._connection.send((free[1].text, *self._format))
        except (EOFError, OSError):
            self._give_up()

    def wait(self) -> None:
        """Waits until the block that was sent is parsed."""
        try:
            self._receive()
        except (EOFError, OSError):
            self._give_up()

    def _receive(self) -> None:
        message: Any = self._connection.recv()
        if self._awaited is not None:
            self._awaited.parsed, self._awaited.is_parsed = message, True
        self._awaited = None

    def _give_up(self) -> None:
        """Takes the sent block back: the process was killed, or cannot be started."""
        if self._awaited is not None:
            self._awaited.is_taken = False
        self._awaited, self._is_gone = None, True

    def close(self) -> None:
        """Ends the process."""
        self._connection.close()
        self.process.kill()
        self.process.wait()
