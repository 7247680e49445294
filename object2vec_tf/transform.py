"""Embeds or scores a whole file of objects.

python -m object2vec_tf.transform --model=RUN --input=pairs.jsonl \
        --output=pairs.jsonl.out
"""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from absl import flags
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from export.bad_request import BadRequest
from export.models import Model, load_model
from export.objects import MOST_ROWS, Objects, Rows, limits_of
from export.texts import has_text
from export.wire_format import JSON_LINES, RequestDecoder, encode_answers
from object2vec_tf import command
from object2vec_tf.data.channels import open_file
from object2vec_tf.data.fast_lines import read_columns
from object2vec_tf.data.json_lines import BOM, line_blocks
from object2vec_tf.errors import DataError, UserError
from object2vec_tf.whole_files import whole_file

_MODEL = flags.DEFINE_string(
    "model", None, "a run, an exported model or a directory of versions"
)
_INPUT = flags.DEFINE_string(
    "input", None, "JSON Lines with in0, in1 or both; .gz and .zst are read as they are"
)
_OUTPUT = flags.DEFINE_string(
    "output", None, "a line of JSON for each line of the input (default: INPUT.out)"
)
_RUNTIME = flags.DEFINE_enum(
    "runtime", "tensorflow", ["tensorflow", "onnx"], "what runs the model"
)

# Text that is read and decoded at a time.
_BLOCK_BYTES = 1 << 20
# Parts that are in the model's hands at the same time.
_AT_ONCE = 2
_INPUTS = (("in0", "in1"), ("in0",), ("in1",))


def transform(
    model: Model,
    source: str | os.PathLike[str],
    destination: str | os.PathLike[str],
    *,
    console: Console | None = None,
) -> int:
    """Writes an embedding or a score for each line of a file, in the same order.

    Lines that have one input get ``{"embeddings": [...]}``, those that have both
    ``{"scores": [...]}``; all lines have the same inputs. Other keys, such as label,
    are passed over, as are blank lines. Memory does not grow with the file.

    Args:
        model: The model.
        source: JSON Lines; ``.gz`` and ``.zst`` are unpacked.
        destination: Appears when all of it is written, and not before.
        console: Where progress is shown; nowhere by default.

    Returns:
        The number of lines written.

    Raises:
        DataError: A line is wrong: the message says file, line, field and value.
    """
    path, out, count = Path(source), Path(destination), 0
    if out.exists() and out.samefile(path):
        raise UserError(f"{out}: is the input too; give another --output")
    progress = Progress(
        TextColumn("{task.completed:,.0f} lines"),
        BarColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=console is None or not console.is_terminal,
    )
    with whole_file(out) as temporary, temporary.open("wb") as file, progress:
        task = progress.add_task("", total=None)
        for lines, text in _answered(model, _read(path, model)):
            file.write(text)
            count += lines
            progress.update(task, completed=count)
    return count


def _read(path: Path, model: Model) -> Iterator[Objects]:
    reader = _Reader(path, model)
    line = 1
    with open_file(path) as stream:
        for number, block in enumerate(line_blocks(stream, path, _BLOCK_BYTES)):
            text = block.removeprefix(BOM) if number == 0 else block
            if text.strip():
                yield from _parts(reader.read(text, line))
            line += block.count(b"\n")


class _Reader:
    """Reads blocks of one file, whose lines all have the same inputs."""

    def __init__(self, path: Path, model: Model) -> None:
        self._path = path
        limits = limits_of(model.hyperparameters)
        self._vocab_sizes = {name: size for name, (size, _) in limits.items()}
        self._max_lens = {name: longest for name, (_, longest) in limits.items()}
        self._decoder = RequestDecoder(limits, model.texts)
        self._model = model
        self._inputs: tuple[str, ...] = ()

    def read(self, text: bytes, line: int) -> Objects:
        """Returns the objects of a block that begins with a line of this number."""
        for inputs in [self._inputs] if self._inputs else _INPUTS:
            sizes = {name: self._vocab_sizes[name] for name in inputs}
            if parsed := read_columns(text, sizes):
                objects = Objects(parsed[0]).truncate(self._max_lens)
                break
        else:
            objects = Objects.from_rows(self._decoded(text, line))
        own = tuple(objects.columns)
        self._inputs = self._inputs or own
        if own != self._inputs:
            blank = text[: len(text) - len(text.lstrip())].count(b"\n")
            raise DataError(
                f"{self._path}:{line + blank}: has {' and '.join(own)}, where the "
                f"lines before have {' and '.join(self._inputs)}; split the file"
            )
        return objects

    def _decoded(self, text: bytes, line: int) -> Rows:
        lines = enumerate(text.split(b"\n"), line)
        numbers = [number for number, content in lines if content.strip()]
        try:
            rows = self._decoder.decode(text, JSON_LINES)
            if self._model.texts and has_text(rows):
                rows, _ = self._model.tokenized(rows)
        except BadRequest as error:
            index, field = error.row_and_field
            message = f"{self._path}:{numbers[index]}: {field}{error.reason}"
            raise DataError(message) from error
        if len(next(iter(rows.values()))) != len(numbers):
            raise DataError(
                f"{self._path}: from line {line} on, lines and objects are not the "
                "same in number; write one object a line"
            )
        return self._decoder.cut(rows)


def _parts(objects: Objects) -> Iterator[Objects]:
    for start in range(0, len(objects), MOST_ROWS):
        yield objects.rows(start, start + MOST_ROWS)


def _answered(model: Model, parts: Iterable[Objects]) -> Iterator[tuple[int, bytes]]:
    """Yields the number of lines and the lines that answer each part, in order.

    Two parts are answered at once, so that one runs where the other waits for a core.
    """

    def answer(objects: Objects) -> tuple[int, bytes]:
        return len(objects), encode_answers(model(objects), objects.output, JSON_LINES)

    answers: deque[Future[tuple[int, bytes]]] = deque()
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for objects in parts:
            answers.append(pool.submit(answer, objects))
            if len(answers) > 2 * _AT_ONCE:
                yield answers.popleft().result()
        while answers:
            yield answers.popleft().result()


def main() -> None:
    """Runs the command."""
    for flag in (_MODEL, _INPUT):
        if not flag.value:
            raise UserError(f"--{flag.name} is required; see --help")
    source = Path(_INPUT.value or "")
    if not source.is_file():
        raise UserError(f"{source}: no such file; check --input")
    destination = _OUTPUT.value or f"{source}.out"
    model = load_model(_MODEL.value or "", _RUNTIME.value)
    console = Console(stderr=True)
    count = transform(model, source, destination, console=console)
    print(f"{destination}: {count:,} lines", file=sys.stdout)


if __name__ == "__main__":
    command.run(main)
