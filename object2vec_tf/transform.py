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

from export.models import Model, load_model
from export.object_lines import read_objects
from export.objects import Objects
from export.wire_format import JSON_LINES, encode_answers
from object2vec_tf import command
from object2vec_tf.errors import UserError
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

# Parts that are in the model's hands at the same time.
_AT_ONCE = 2


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
        for lines, text in _answered(model, read_objects(path, model)):
            file.write(text)
            count += lines
            progress.update(task, completed=count)
    return count


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
