"""Blocks of lines to columns, by two processes where there is much to read.

awkward's reader keeps Python's lock, so that threads could not share the work. The
second process is started by hand and speaks over a socket: multiprocessing's own would
run the user's main module again and import TensorFlow, or fork a program with threads.
"""

from __future__ import annotations

import collections
import dataclasses
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from multiprocessing import Pipe
from pathlib import Path
from typing import Any, Literal

from object2vec_tf.data.block_parser import Parsed, parse_block
from object2vec_tf.ragged.column import RaggedColumn

# So many bytes are read before a second process is started: it takes a second to.
_MUCH = 1 << 26
# Blocks held at a time, so that neither process waits for the other.
_HELD = 4
_PROGRAM = Path(__file__).with_name("_parser_process.py")


@dataclasses.dataclass(eq=False)
class _Block:
    text: bytes
    parsed: Parsed = None
    is_taken: bool = False  # read, or with the second process
    is_read: bool = False


class ParallelParser:
    """Reads blocks as `parse_block` does.

    Args:
        vocab_sizes: The fields to read, with their number of ids.
        label: What the label is.
        processes: How many may read at a time, 1 or 2; by default as many as there are
            cores.

    Attributes:
        unknown: Nothing: ids are in the vocabulary or wrong.
    """

    def __init__(
        self,
        vocab_sizes: Mapping[str, int],
        label: Literal["integer", "number"],
        processes: int | None = None,
    ) -> None:
        self._format = (dict(vocab_sizes), label)
        self._alone = (processes or len(os.sched_getaffinity(0))) == 1
        self.unknown: dict[str, int] = {}
        self._bytes = 0
        self._second: _SecondReader | None = None

    def read(self, blocks: Iterable[bytes]) -> Iterator[Parsed]:
        """Yields what each block holds, in order; None when in doubt."""
        blocks = iter(blocks)
        held: collections.deque[_Block] = collections.deque()
        while True:
            while len(held) < (_HELD if self._second else 1):
                text = next(blocks, None)
                if text is None:
                    break
                held.append(_Block(text))
            if not held:
                return
            self._read_some(held)
            while held and held[0].is_read:
                yield held.popleft().parsed

    def _read_some(self, held: collections.deque[_Block]) -> None:
        """Reads one of the blocks, and has the other process read another."""
        if self._second:
            self._second.turn(held)
        if held[0].is_read:
            return
        mine = next((block for block in held if not block.is_taken), None)
        if mine is not None:
            mine.parsed = parse_block(mine.text, *self._format)
            mine.is_taken = mine.is_read = True
            self._bytes += len(mine.text)
        elif self._second:
            self._second.wait()
        if not (self._second or self._alone) and self._bytes >= _MUCH:
            self._second = _SecondReader(self._format)

    def column(self, name: str, rows: Sequence[Any]) -> RaggedColumn:
        """Returns rows of ids as a column."""
        return RaggedColumn.from_rows(rows)

    def close(self) -> None:
        """Ends the second process."""
        if self._second:
            self._second.close()
            self._second = None


class _SecondReader:
    """A process that reads a block while this one does something else."""

    def __init__(self, form: tuple[dict[str, int], str]) -> None:
        self._format = form
        self._connection, its_end = Pipe()
        with its_end:
            handle = its_end.fileno()
            self.process = subprocess.Popen(
                [sys.executable, "-P", str(_PROGRAM), str(handle)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[handle],
                # Ctrl-C in a terminal is for this process, which ends that one.
                start_new_session=True,
            )
        # What its next message is about; its first one says that it is ready.
        self._awaited: _Block | None = _Block(b"")
        self._is_gone = False

    def turn(self, held: Iterable[_Block]) -> None:
        """Takes what it has read, and gives it the last block that nobody has."""
        try:
            if self._awaited is not None and self._connection.poll():
                self._receive()
            free = [block for block in held if not block.is_taken]
            if self._awaited is None and len(free) > 1 and not self._is_gone:
                free[1].is_taken, self._awaited = True, free[1]
                self._connection.send((free[1].text, *self._format))
        except (EOFError, OSError):
            self._give_up()

    def wait(self) -> None:
        """Waits until it has read what it was given."""
        try:
            self._receive()
        except (EOFError, OSError):
            self._give_up()

    def _receive(self) -> None:
        message: Any = self._connection.recv()
        if self._awaited is not None:
            self._awaited.parsed, self._awaited.is_read = message, True
        self._awaited = None

    def _give_up(self) -> None:
        """It has been killed, or cannot be started: what it had is read here."""
        if self._awaited is not None:
            self._awaited.is_taken = False
        self._awaited, self._is_gone = None, True

    def close(self) -> None:
        """Ends it."""
        self._connection.close()
        self.process.kill()
        self.process.wait()
