"""The error messages in the source, as templates: what a user may search for.

    python -m tests.docs.error_messages

prints those of the doors of data and serving that docs/troubleshooting.md lacks.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "troubleshooting.md"
# Whose messages the page must have.
DOORS = (
    "object2vec_tf/data",
    "object2vec_tf/files",
    "object2vec_tf/text",
    "object2vec_tf/hyperparameters",
    "object2vec_tf/inference",
    "object2vec_tf/jobs",
    "object2vec_tf/sagemaker.py",
    "object2vec_tf/bulk",
    "object2vec_tf/transform.py",
    "object2vec_tf/distributed",
    "object2vec_tf/devices",
    "object2vec_tf/training",
    "object2vec_tf/runs",
    "object2vec_tf/tables",
    "object2vec_tf/layers",
    "object2vec_tf/report",
    "export",
)
# Modules whose messages are a part of others, such as "FILE: is damaged: DETAIL".
DETAILS = {
    "export/golden.py",
    "object2vec_tf/files/sealed_json.py",
    "object2vec_tf/runs/result_files.py",
    "object2vec_tf/tables/keras_tables.py",
    "object2vec_tf/tables/parquet_layout.py",
    "object2vec_tf/tables/saved_model_tables.py",
    "object2vec_tf/tables/shard_files.py",
    "object2vec_tf/tables/table_reader.py",
    "object2vec_tf/tables/variable_rows.py",
    "object2vec_tf/training/checkpoint_files.py",
    "object2vec_tf/training/table_shards.py",
}
_ERRORS = re.compile(
    r"(\w*\.)?(UserError|DataError|HyperparameterError|RunDirectoryError|LineError|"
    r"DivergedError|TableFileChanged|BadRequest|OtherInputs|Unavailable|_invalid|"
    r"_reject|self\._reject|worker_lost|Rejected)"
)
_MESSAGE = re.compile(
    r"\bexpected [^.]|\bis missing\b|\bcannot be\b|is not (JSON|UTF-8)|is damaged|"
    r"\bends in the\b|\bis nested\b|Raise the limit"
)
# The part of a template that is known at run time only.
HOLE = "{}"


def template(node: ast.AST) -> str | None:
    """Returns the text of an expression with holes; None if it is not a text."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(
            str(part.value) if isinstance(part, ast.Constant) else HOLE
            for part in node.values
        )
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return (template(node.left) or HOLE) + (template(node.right) or HOLE)
    return None


def _docstrings(tree: ast.AST) -> set[int]:
    return {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }


def _templates(path: Path) -> Iterator[tuple[int, str, bool]]:
    """Yields the texts of a module: line, template, and whether an error is made."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    skipped = _docstrings(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr | ast.BinOp) and template(node):
            skipped |= {id(part) for part in ast.walk(node) if part is not node}
    named = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _ERRORS.fullmatch(ast.unparse(node.func)):
            named |= {id(argument) for argument in node.args}
    for node in ast.walk(tree):
        text = template(node)
        if text is None or id(node) in skipped:
            continue
        yield node.lineno, text, id(node) in named


def _modules(doors: tuple[str, ...]) -> Iterator[Path]:
    for door in doors:
        path = ROOT / door
        yield from sorted(path.rglob("*.py")) if path.is_dir() else [path]


def messages() -> dict[str, str]:
    """Returns the templates of messages of the doors, with the place of each."""
    found: dict[str, str] = {}
    for file in _modules(DOORS):
        name = file.relative_to(ROOT).as_posix()
        if name in DETAILS:
            continue
        for line, text, is_error in _templates(file):
            letters = re.sub(r"\W", "", text.replace(HOLE, ""))
            is_message = is_error or _MESSAGE.search(text)
            if is_message and len(letters) > 13 and not text.startswith("$"):
                found.setdefault(text, f"{name}:{line}")
    return found


def all_texts() -> set[str]:
    """Returns the templates of all texts of the packages."""
    files = _modules(("object2vec_tf", "export"))
    return {text for file in files for _, text, _ in _templates(file)}


def page_messages() -> list[str]:
    """Returns the messages of the page: code in the first cells of its tables."""
    text = PAGE.read_text(encoding="utf-8")
    cells = re.findall(r"^\| (`.*?) \| ", text, re.MULTILINE)
    return [code for cell in cells for code in re.findall(r"`([^`]+)`", cell)]


_PLACEHOLDER = re.compile(
    r"(?<![\w/])[A-Z][A-Z_]*(?!\w)|(?<=enc)X|(?<=0x)BYTE|(?<=\\u)HALF|\.\.\."
)


def chunks(message: str, pattern: re.Pattern[str] = _PLACEHOLDER) -> list[str]:
    """Returns the fixed parts of a message; words in capitals are placeholders.

    Example:
        >>> chunks("FIELD: expected an id below N, got ID.")
        [':', 'expected an id below', ', got', '.']
    """
    parts = [part.strip() for part in pattern.split(message)]
    split = (part for part in parts if part)
    return [piece for part in split for piece in re.split(r"(?<=^:) ", part)]


def is_in(message: str, text: str) -> bool:
    """Returns whether the fixed parts of a message of the page are in a template."""
    position = 0
    for part in chunks(message):
        found = text.find(part, position)
        if found < 0:
            return False
        position = found + len(part)
    return True


def covers(message: str, text: str) -> bool:
    """Returns whether a message of the page is that of a template.

    The page may leave out the place at the start and the advice at the end, but not so
    much that the message would be that of others too.
    """
    fixed = sum(map(len, chunks(text, re.compile(r"\{\}"))))
    own = sum(map(len, chunks(message)))
    return own >= min(20, 0.6 * fixed) and is_in(message, text)


def missing_messages() -> dict[str, str]:
    """Returns the messages that the page lacks, with their places."""
    listed = page_messages()
    return {
        text: place
        for text, place in messages().items()
        if not any(covers(message, text) for message in listed)
    }


def unknown_messages() -> list[str]:
    """Returns the messages of the page that are nowhere in the source."""
    texts = all_texts()
    return [
        message
        for message in page_messages()
        if not any(is_in(message, text) for text in texts)
    ]


def main() -> None:
    """Prints the messages that the page lacks, and those that the source lacks."""
    missing = missing_messages()
    for text, place in missing.items():
        print(f"{place}: {text!r}")
    for message in unknown_messages():
        print("not in the source:", message)
    print(f"{len(messages())} messages, {len(missing)} missing")


if __name__ == "__main__":
    main()
