"""Times training steps with subwords and without, on pairs of texts.

    make documents
    python -m tools.benchmarks.subwords

The model has pooled encoders with one token table, as `examples/debian_in_batch.flags`.
Rates are per second of CPU time, of all threads, which other programs on the machine
influence little. Every round runs all variants in turn, so that the ratios are valid
even if the clock speed of the machine changes.
"""

from __future__ import annotations

import itertools
import json
import statistics
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags

from object2vec_tf.commands import runner
from object2vec_tf.data.channel_reader import read_pairs
from object2vec_tf.data.pairs import Pairs
from object2vec_tf.hyperparameters import Hyperparameters
from object2vec_tf.layers.subword_embedding import SubwordEmbedding
from object2vec_tf.layers.token_embedding import TokenEmbedding, concat_rows
from object2vec_tf.model.builders import token_embedding_of
from object2vec_tf.text.tokenizer_loading import Tokenizers, read_tokenizers
from object2vec_tf.text.vocabularies import parse_vocabulary
from tools.benchmarks.training import compiled_model, training_loop

DATA = flags.DEFINE_string(
    "data", "data/debian/retrieval", "directory with train.jsonl and vocab.json"
)
NGRAMS = flags.DEFINE_list(
    "ngrams", ["none", "3..6", "4..5"], "values of encX_subword_ngrams"
)
BUCKETS = flags.DEFINE_integer("buckets", 200_000, "hash buckets of n-grams", 1)
DIM = flags.DEFINE_integer("dim", 300, "width of token embeddings", 4)
BATCH = flags.DEFINE_integer("batch", 512, "pairs per step", 2)
OPTIMIZER = flags.DEFINE_string("optimizer", "adam", "optimizer")
ROUNDS = flags.DEFINE_integer("rounds", 5, "rounds per measurement", 1)
STEPS = flags.DEFINE_integer("steps", 8, "training steps per round", 1)


def settings(ngrams: str, vocabulary: Path) -> Hyperparameters:
    """Returns the hyperparameters of a variant.

    Args:
        ngrams: The lengths of n-grams, or none.
        vocabulary: The vocabulary file.
    """
    more: dict[str, Any] = {"optimizer": OPTIMIZER.value}
    if ngrams != "none":
        more["enc0_subword_ngrams"] = ngrams
        more["enc0_subword_buckets"] = BUCKETS.value
    words = parse_vocabulary(vocabulary.read_bytes(), f"{vocabulary}")
    return Hyperparameters(
        enc0_network="pooled_embedding",
        enc0_tokenizer="unicode_script",
        enc0_lowercase=True,
        enc0_vocab_file="vocab.json",
        enc0_vocab_size=max(words.values()) + 1,
        enc0_max_seq_len=400,
        enc_dim=DIM.value,
        tied_token_embedding_weight=True,
        token_embedding_storage_type="row_sparse",
        objective="in_batch_softmax",
        comparator_list="hadamard",
        mlp_layers=0,
        mini_batch_size=BATCH.value,
        **more,
    )


def read(
    hyperparameters: Hyperparameters, vocabulary: Path
) -> tuple[Pairs, Tokenizers]:
    """Returns enough pairs for the steps of a round, and the tokenizers."""
    tokenizers = read_tokenizers(hyperparameters, vocabulary)
    with (Path(DATA.value) / "train.jsonl").open(encoding="utf-8") as file:
        rows = map(json.loads, itertools.islice(file, BATCH.value * STEPS.value))
        return read_pairs(rows, hyperparameters, tokenizers=tokenizers), tokenizers


class Variant:
    """A model and its pairs.

    Args:
        ngrams: The lengths of n-grams, or none.
        vocabulary: The vocabulary file.

    Attributes:
        rates: Pairs per second of CPU time, for each round.
        counts: The numbers of words and of n-grams of a batch.
    """

    def __init__(self, ngrams: str, vocabulary: Path) -> None:
        hyperparameters = settings(ngrams, vocabulary)
        pairs, tokenizers = read(hyperparameters, vocabulary)
        model = compiled_model(hyperparameters, tokenizers=tokenizers)
        self.rates: list[float] = []
        self.counts = _counts(token_embedding_of(model.enc0), pairs)
        self._loop = training_loop(model)
        self._dataset = pairs.dataset(shuffle=True, epoch=0)

    def run(self) -> None:
        """Runs a round."""
        start = time.process_time()
        self._loop.train(self._dataset)
        seconds = time.process_time() - start
        self.rates.append(STEPS.value * BATCH.value / seconds)


def _counts(layer: TokenEmbedding, pairs: Pairs) -> str:
    """Returns the numbers of words and of n-grams of the first batch."""
    inputs, _ = next(iter(pairs.dataset(shuffle=True, epoch=0)))
    ids = concat_rows(inputs["in0"], inputs["in1"])
    if not isinstance(layer, SubwordEmbedding):
        return f"{len(np.unique(ids.values)):,} distinct words"
    parts = layer.parts(ids)
    ngrams = parts.ngrams.values.numpy()
    return (
        f"{int(parts.ngrams.nrows()):,} distinct words, {len(ngrams):,} n-grams, "
        f"{len(np.unique(ngrams)):,} of them distinct"
    )


def table(variants: Mapping[str, Variant]) -> str:
    """Returns the rates of all variants, and their ratios to the first one."""
    lines = [
        "| n-grams | pairs per CPU second | relative | min | max |",
        "|---|---|---|---|---|",
    ]
    base = next(iter(variants.values())).rates
    for name, variant in variants.items():
        ratios = [a / b for a, b in zip(variant.rates, base, strict=True)]
        lines.append(
            f"| {name} | {statistics.median(variant.rates):,.0f} "
            f"| {statistics.median(ratios):.2f} "
            f"| {min(ratios):.2f} | {max(ratios):.2f} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Runs the command."""
    vocabulary = Path(DATA.value) / "vocab.json"
    variants = {name: Variant(name, vocabulary) for name in NGRAMS.value}
    for variant in variants.values():
        variant.run()  # traces the graph
        variant.rates.clear()
    for _ in range(ROUNDS.value):
        for variant in variants.values():
            variant.run()
    print(table(variants))
    for name, variant in variants.items():
        print(f"{name}: a batch has {variant.counts}")


if __name__ == "__main__":
    runner.run(main)
