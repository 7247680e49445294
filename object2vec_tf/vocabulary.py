r"""Makes vocabularies, and what text needs before it is trained on.

python -m object2vec_tf.vocabulary build --input=train.jsonl --output=vocab.json
python -m object2vec_tf.vocabulary encode --input=text.jsonl --output=ids.jsonl \
        --enc0_tokenizer=whitespace --enc0_vocab_file=vocab.json
python -m object2vec_tf.vocabulary decode --input=ids.jsonl --output=words.jsonl \
        --enc0_vocab_file=vocab.json
python -m object2vec_tf.vocabulary shuffle --input=big.jsonl --output=shuffled.jsonl
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from absl import flags

from object2vec_tf.commands import runner
from object2vec_tf.errors import UserError
from object2vec_tf.files.atomic import reject_input_paths, write_atomic
from object2vec_tf.files.channels import channel_files, open_file
from object2vec_tf.hyperparameters import TOKENIZERS, UNICODE_NORMALIZATIONS
from object2vec_tf.text.conversion import decode, encode
from object2vec_tf.text.shuffling import shuffle_lines
from object2vec_tf.text.tokenizer import Tokenization, Tokenizer
from object2vec_tf.text.vocabularies import parse_vocabulary, vocabulary_json
from object2vec_tf.text.vocabulary_builder import MAX_WORDS, build_vocabulary

_VERBS = ("build", "encode", "decode", "shuffle")
_COUNTED = ("whitespace", "unicode_script", "wordpiece")

_INPUT = flags.DEFINE_string(
    "input",
    None,
    "comma-separated files, directories or globs of JSON Lines; .gz and .zst are read "
    "as they are",
)
_OUTPUT = flags.DEFINE_string("output", None, "the file to write, whole or not at all")
_FIELDS = flags.DEFINE_list("fields", ["in0", "in1"], "build: the fields to count in")
_TOKENIZER = flags.DEFINE_enum(
    "tokenizer", "whitespace", _COUNTED, "build: what makes tokens of text"
)
_LOWERCASE = flags.DEFINE_bool("lowercase", False, "build: make all letters small ones")
_NORMALIZATION = flags.DEFINE_enum(
    "unicode_normalization", "none", UNICODE_NORMALIZATIONS, "build: a Unicode form"
)
_MAX_SIZE = flags.DEFINE_integer(
    "max_size", MAX_WORDS, "build: the most words", 2, MAX_WORDS
)
_MIN_COUNT = flags.DEFINE_integer(
    "min_count", 1, "build: tokens that occur less often are left out", 1
)
_RESERVED = flags.DEFINE_list(
    "reserved_tokens", ["[UNK]"], "build: words that get the first ids"
)
_SEED = flags.DEFINE_integer("seed", 0, "shuffle: decides the order", 0)
_OF_SIDES = {
    f"enc{side}_{name}": flags.DEFINE_string(f"enc{side}_{name}", None, text)
    for side in (0, 1)
    for name, text in {
        "tokenizer": f"encode: one of {', '.join(TOKENIZERS)}",
        "vocab_file": "encode, decode: the vocabulary's file",
        "unicode_normalization": (
            f"encode: one of {', '.join(UNICODE_NORMALIZATIONS)}"
        ),
    }.items()
}
_SMALL = [
    flags.DEFINE_bool(f"enc{side}_lowercase", None, "encode: make letters small")
    for side in (0, 1)
]


def main(verb: str) -> None:
    """Runs the command."""
    for flag in (_INPUT, _OUTPUT):
        if not flag.value:
            raise UserError(f"--{flag.name} is required; see --help")
    source, output = _INPUT.value or "", Path(_OUTPUT.value or "")
    output.parent.mkdir(parents=True, exist_ok=True)
    reject_input_paths(output, channel_files(source, "input"))
    {"build": _build, "encode": _encode, "decode": _decode, "shuffle": _shuffle}[verb](
        source, output
    )


def _build(source: str, output: Path) -> None:
    tokenization = Tokenization(
        _TOKENIZER.value, _LOWERCASE.value, _NORMALIZATION.value
    )
    made = build_vocabulary(
        source,
        _FIELDS.value,
        tokenization,
        max_size=_MAX_SIZE.value,
        min_count=_MIN_COUNT.value,
        reserved=_RESERVED.value,
        scratch=output.parent,
    )
    write_atomic(output, vocabulary_json(made.words))
    share = "" if made.covered is None else f", {made.covered / made.tokens:.2%} of all"
    print(
        f"{output}: {len(made.words):,} words{share} ({made.tokens:,} tokens, "
        f"{made.distinct:,} different ones)"
    )


def _encode(source: str, output: Path) -> None:
    tokenizers = {}
    for side in (0, 1):
        kind = _of_side(side, "tokenizer") or "none"
        if kind == "none":
            continue
        if kind not in TOKENIZERS:
            raise UserError(
                f"enc{side}_tokenizer: {kind!r}: expected one of "
                f"{', '.join(TOKENIZERS)}"
            )
        form = _of_side(side, "unicode_normalization") or "none"
        if form not in UNICODE_NORMALIZATIONS:
            raise UserError(
                f"enc{side}_unicode_normalization: {form!r}: expected one of "
                f"{', '.join(UNICODE_NORMALIZATIONS)}"
            )
        small = _SMALL[0].value if _SMALL[side].value is None else _SMALL[side].value
        data, name = _vocabulary(side)
        tokenization = Tokenization(kind, bool(small), form)
        tokenizers[f"in{side}"] = Tokenizer(tokenization, data, name)
    if not tokenizers:
        raise UserError("--enc0_tokenizer or --enc1_tokenizer is required")
    lines, unknown = encode(source, output, tokenizers)
    print(f"{output}: {lines:,} lines, {unknown:,} unknown tokens")


def _decode(source: str, output: Path) -> None:
    vocabularies = {
        f"in{side}": parse_vocabulary(*_vocabulary(side))
        for side in (0, 1)
        if _of_side(side, "vocab_file")
    }
    if not vocabularies:
        raise UserError(
            "--enc0_vocab_file or --enc1_vocab_file is required; see --help"
        )
    print(f"{output}: {decode(source, output, vocabularies):,} lines")


def _shuffle(source: str, output: Path) -> None:
    print(f"{output}: {shuffle_lines(source, output, _SEED.value):,} lines")


def _of_side(side: int, name: str) -> Any:
    """Returns a flag's value; enc1's are enc0's where they are not given."""
    own = _OF_SIDES[f"enc{side}_{name}"].value
    return _OF_SIDES[f"enc0_{name}"].value if own is None else own or None


def _vocabulary(side: int) -> tuple[bytes, str]:
    name = _of_side(side, "vocab_file")
    if not name:
        raise UserError(f"--enc{side}_vocab_file is required with its tokenizer")
    with open_file(Path(name)) as file:
        return file.read(), str(name)


def cli() -> None:
    """Runs the command with the flags of the command line, and exits."""
    runner.run_cli(main, _VERBS)


if __name__ == "__main__":
    cli()
