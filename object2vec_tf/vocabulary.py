r"""Builds vocabularies, and prepares text for training.

python -m object2vec_tf.vocabulary build --input=train.jsonl --output=vocab.json
python -m object2vec_tf.vocabulary encode --input=text.jsonl --output=ids.jsonl \
        --enc0_tokenizer=whitespace --enc0_vocab_file=vocab.json
python -m object2vec_tf.vocabulary decode --input=ids.jsonl --output=words.jsonl \
        --enc0_vocab_file=vocab.json
python -m object2vec_tf.vocabulary shuffle --input=big.jsonl --output=shuffled.jsonl
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from absl import flags

from object2vec_tf.commands import runner
from object2vec_tf.commands.checks import required_value, summary_stream
from object2vec_tf.commands.flag_uses import FlagUses
from object2vec_tf.commands.line_flag import (
    MAX_LINE_MEGABYTES,
    set_line_limit_of_flag,
)
from object2vec_tf.errors import UserError
from object2vec_tf.files.atomic import reject_input_paths, write_atomic
from object2vec_tf.files.channels import channel_files
from object2vec_tf.files.downloads import staged_file
from object2vec_tf.files.file_content import read_content
from object2vec_tf.files.special_files import scratch_parent
from object2vec_tf.files.uploads import local_output
from object2vec_tf.hyperparameters import (
    MAX_VOCAB_SIZE,
    TOKENIZERS,
    UNICODE_NORMALIZATIONS,
)
from object2vec_tf.text.conversion import decode, encode
from object2vec_tf.text.shuffling import shuffle_lines
from object2vec_tf.text.tokenizer import Tokenization, Tokenizer
from object2vec_tf.text.vocabularies import parse_vocabulary, vocabulary_json
from object2vec_tf.text.vocabulary_builder import MAX_WORDS, build_vocabulary

_BUILD_TOKENIZERS = ("whitespace", "unicode_script", "wordpiece", "id")

_INPUT = flags.DEFINE_string(
    "input",
    None,
    "comma-separated files, directories or globs of JSON Lines, also .gz and .zst, "
    "Parquet or Arrow",
)
_OUTPUT = flags.DEFINE_string("output", None, "output file, written atomically")
_FIELDS = flags.DEFINE_list("fields", ["in0", "in1"], "fields whose tokens are counted")
_TOKENIZER = flags.DEFINE_enum(
    "tokenizer",
    "whitespace",
    _BUILD_TOKENIZERS,
    "tokenizer of text; id: integers and strings, each of which is one token",
)
_LOWERCASE = flags.DEFINE_bool("lowercase", False, "lowercase text")
_NORMALIZATION = flags.DEFINE_enum(
    "unicode_normalization",
    "none",
    UNICODE_NORMALIZATIONS,
    "Unicode normalization form of text",
)
_MAX_SIZE = flags.DEFINE_integer(
    "max_size",
    None,
    f"maximum size of the vocabulary (default: {MAX_WORDS:,}; for id: no limit)",
    2,
    MAX_VOCAB_SIZE,
)
_MIN_COUNT = flags.DEFINE_integer(
    "min_count", 1, "minimum count of tokens in the vocabulary", 1
)
_DISTINCT = flags.DEFINE_bool(
    "distinct",
    False,
    "count each distinct object once, in whatever number of pairs it occurs",
)
_RESERVED = flags.DEFINE_list(
    "reserved_tokens", ["[UNK]"], "tokens that get the first ids"
)
_SEED = flags.DEFINE_integer("seed", 0, "seed of the order", 0)
_ENCODER_FLAGS = {
    f"enc{side}_{name}": flags.DEFINE_string(f"enc{side}_{name}", None, help)
    for side in (0, 1)
    for name, help in {
        "tokenizer": f"one of {', '.join(TOKENIZERS)}",
        "vocab_file": "vocabulary file",
        "unicode_normalization": f"one of {', '.join(UNICODE_NORMALIZATIONS)}",
    }.items()
}
_ENCODER_LOWERCASE = [
    flags.DEFINE_bool(f"enc{side}_lowercase", None, "lowercase text") for side in (0, 1)
]
_VOCAB_FILES = [_ENCODER_FLAGS[f"enc{side}_vocab_file"] for side in (0, 1)]
flags.declare_key_flag(MAX_LINE_MEGABYTES.name)
_FLAG_USES: FlagUses = {
    "build": (
        *(_INPUT, _OUTPUT, _FIELDS, _TOKENIZER, _LOWERCASE, _NORMALIZATION),
        *(_MAX_SIZE, _MIN_COUNT, _DISTINCT, _RESERVED, MAX_LINE_MEGABYTES),
    ),
    "encode": (
        _INPUT,
        _OUTPUT,
        *_ENCODER_FLAGS.values(),
        *_ENCODER_LOWERCASE,
        MAX_LINE_MEGABYTES,
    ),
    "decode": (_INPUT, _OUTPUT, *_VOCAB_FILES, MAX_LINE_MEGABYTES),
    "shuffle": (_INPUT, _OUTPUT, _SEED, MAX_LINE_MEGABYTES),
}


def main(verb: str) -> None:
    """Runs one of the verbs with the values of the flags.

    Args:
        verb: build, encode, decode or shuffle.
    """
    source = required_value(_INPUT)
    set_line_limit_of_flag()
    run = {"build": _build, "encode": _encode, "decode": _decode, "shuffle": _shuffle}
    with local_output(required_value(_OUTPUT)) as output:
        reject_input_paths(output, channel_files(source, "input"))
        run[verb](source, output)


def _build(source: str, output: Path) -> None:
    tokenization = Tokenization(
        _TOKENIZER.value, _LOWERCASE.value, _NORMALIZATION.value
    )
    if tokenization.is_id:
        _check_unused(_LOWERCASE, _NORMALIZATION)
    default_size = MAX_VOCAB_SIZE if tokenization.is_id else MAX_WORDS
    vocabulary = build_vocabulary(
        source,
        _FIELDS.value,
        tokenization,
        max_size=_MAX_SIZE.value or default_size,
        min_count=_MIN_COUNT.value,
        reserved=_RESERVED.value,
        distinct=_DISTINCT.value,
        scratch=scratch_parent(output),
    )
    write_atomic(output, vocabulary_json(vocabulary.words))
    coverage = ""
    if vocabulary.covered is not None:
        coverage = f", {vocabulary.covered / vocabulary.tokens:.2%} of all tokens"
    print(
        f"{output}: {len(vocabulary.words):,} entries{coverage} "
        f"({vocabulary.tokens:,} tokens, {vocabulary.distinct:,} distinct)",
        file=summary_stream(output),
    )


def _check_unused(*normalizations: flags.FlagHolder[Any]) -> None:
    """Checks that no normalization of text is asked for where the tokenizer is id."""
    for flag in normalizations:
        if flag.value not in (None, False, "", "none"):
            raise UserError(
                f"--{flag.name}: only applies to text, but the tokenizer is id, which "
                "compares ids as they are. Remove it."
            )


def _encode(source: str, output: Path) -> None:
    tokenizers = {}
    for side in (0, 1):
        kind = _choice(side, "tokenizer", TOKENIZERS)
        if kind == "none":
            continue
        form = _choice(side, "unicode_normalization", UNICODE_NORMALIZATIONS)
        lowercase = _ENCODER_LOWERCASE[side].value
        if lowercase is None:
            lowercase = _ENCODER_LOWERCASE[0].value
        if kind == "id":
            own_form = _ENCODER_FLAGS[f"enc{side}_unicode_normalization"]
            _check_unused(_ENCODER_LOWERCASE[side], own_form)
        data, name = _read_vocabulary(side)
        tokenization = Tokenization(kind, bool(lowercase), form)
        tokenizers[f"in{side}"] = Tokenizer(tokenization, data, name)
    if not tokenizers:
        raise UserError("--enc0_tokenizer or --enc1_tokenizer is required. See --help.")
    lines, unknown = encode(source, output, tokenizers)
    summary = f"{output}: {lines:,} lines, {unknown:,} unknown tokens"
    print(summary, file=summary_stream(output))


def _decode(source: str, output: Path) -> None:
    vocabularies = {
        f"in{side}": parse_vocabulary(*_read_vocabulary(side))
        for side in (0, 1)
        if _encoder_flag(side, "vocab_file")
    }
    if not vocabularies:
        raise UserError(
            "--enc0_vocab_file or --enc1_vocab_file is required. See --help."
        )
    lines = decode(source, output, vocabularies)
    print(f"{output}: {lines:,} lines", file=summary_stream(output))


def _shuffle(source: str, output: Path) -> None:
    lines = shuffle_lines(source, output, _SEED.value)
    print(f"{output}: {lines:,} lines", file=summary_stream(output))


def _choice(side: int, name: str, choices: Sequence[str]) -> str:
    """Returns the value of a flag of an encoder, none by default."""
    value = str(_encoder_flag(side, name) or "none")
    if value not in choices:
        raise UserError(
            f"--enc{side}_{name}: expected one of {', '.join(choices)}, got {value!r}."
        )
    return value


def _encoder_flag(side: int, name: str) -> Any:
    """Returns the value of a flag of an encoder; by default enc1 has that of enc0."""
    own = _ENCODER_FLAGS[f"enc{side}_{name}"].value
    return _ENCODER_FLAGS[f"enc0_{name}"].value if own is None else own or None


def _read_vocabulary(side: int) -> tuple[bytes, str]:
    """Returns content and name of a vocabulary file."""
    name = _encoder_flag(side, "vocab_file")
    if not name:
        raise UserError(
            f"--enc{side}_vocab_file is required with a tokenizer. See --help."
        )
    return read_content(staged_file(name)), str(name)


def cli() -> None:
    """Runs the command with the flags of the command line, and exits."""
    runner.run_cli(main, _FLAG_USES)


if __name__ == "__main__":
    cli()
