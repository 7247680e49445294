"""Models with each feature, trained on the CPU or on a GPU, for the tests on GPUs.

`python -m tests.gpu_cases CASE FILE` trains a case and writes its metrics, weights and
slots. With CUDA_VISIBLE_DEVICES=-1, it trains on the CPU.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

import object2vec_tf as o2v
from object2vec_tf.ragged.token_ids import SubwordIds
from object2vec_tf.text.tokenizer import Tokenization, Tokenizer
from tests.object2vec_tf.training.layout_cases import (
    HCNN,
    IN_BATCH,
    ONE_ID,
    POOLED,
    ROW_SPARSE,
    TIED,
    built,
    hyperparameters,
    train,
    train_model,
    training_loop,
)

WEIGHTED = POOLED | ROW_SPARSE | {"pooling": "weighted"}
WEIGHTED_SQRTN = POOLED | {"pooling": "weighted_sqrtn", "optimizer": "adagrad"}
LOG = POOLED | ROW_SPARSE | {"repeated_tokens": "log"}
ROWWISE = {"optimizer": "rowwise_adagrad"}
SUBWORDS = (
    POOLED
    | TIED
    | ROW_SPARSE
    | {
        "enc0_tokenizer": "whitespace",
        "enc0_vocab_file": "words",
        "enc0_subword_ngrams": "3..4",
        "enc0_subword_buckets": 30,
    }
)
# Objects of one id are often in several known pairs.
NEGATIVES = ONE_ID | {"negative_sampling_rate": 14}
CASES = {
    "weighted": WEIGHTED,
    "weighted_sqrtn": WEIGHTED_SQRTN,
    "log": LOG,
    "weighted log": WEIGHTED | LOG,
    "tied encoders": HCNN | TIED | ROW_SPARSE | {"tied_encoders": True},
    "row-wise": POOLED | ROW_SPARSE | ROWWISE,
    "row-wise dense": POOLED | ROWWISE,
    "uniform negatives": NEGATIVES,
    "hard negatives": NEGATIVES | {"negative_mining": "hard"},
    "in-batch negatives": ONE_ID | IN_BATCH | ROW_SPARSE,
    "token dropout": WEIGHTED_SQRTN | {"token_dropout": 0.4},
    "subwords": SUBWORDS,
    "subwords, everything": SUBWORDS | WEIGHTED | LOG | ROWWISE,
}
WORDS = ["[UNK]", "the", "cat", "sat", "mat", "über", "日本", *map(str, range(3, 36))]


def settings_of(case):
    return hyperparameters(CASES[case])


def results(case, layout):
    """Trains the model of a case; returns the same as `layout_cases.train`."""
    settings = settings_of(case)
    if settings.subwords(0) is None:
        return train(layout, settings)
    words = tokenizer(settings)
    tokenizers = words, words
    pairs = o2v.read_pairs(text_rows(), settings, tokenizers=tokenizers)
    model = built(settings, pairs, tokenizers=tokenizers)
    return train_model(training_loop(layout, model), pairs)


def tokenizer(settings):
    subwords = SubwordIds(settings.enc0_vocab_size, 3, 4, settings.enc0_subword_buckets)
    data = json.dumps({word: number for number, word in enumerate(WORDS)}).encode()
    return Tokenizer(Tokenization("whitespace", subwords=subwords), data)


def text_rows():
    """Rows of words, some of which are not in the vocabulary, or occur repeatedly."""
    random = np.random.default_rng(6)
    choices = [*WORDS[1:], "cats", "zebra", "naïve", "猫", "猫日本語", "a"]
    texts = [
        [" ".join(random.choice(choices, random.integers(0, 9))) for _ in range(2)]
        for _ in range(74)
    ]
    labels = random.integers(0, 3, len(texts)).tolist()
    return [
        {"in0": first, "in1": second, "label": label}
        for (first, second), label in zip(texts, labels, strict=True)
    ]


def results_on_cpu(case, directory):
    """Returns what `results` returns in a process that sees no GPU."""
    file = directory / "cpu.npz"
    process = [sys.executable, "-m", "tests.gpu_cases", case, str(file)]
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "-1"}
    root = Path(__file__).parents[1]
    subprocess.run(process, cwd=root, env=environment, check=True)
    groups = {}, {}
    with np.load(file) as arrays:
        for name in arrays:
            number, _, key = name.partition(":")
            groups[int(number)][key] = arrays[name]
    return groups


def main(case, file):
    groups = results(case, "ragged")
    arrays = {
        f"{number}:{name}": value
        for number, group in enumerate(groups)
        for name, value in group.items()
    }
    np.savez(file, **arrays)


if __name__ == "__main__":
    main(*sys.argv[1:])
