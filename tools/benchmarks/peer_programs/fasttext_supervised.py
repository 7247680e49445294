"""Trains fastText's classifier on pairs as one text.

Runs in an environment with fastText. Each line on stdin is a number of batches; the
answer on stdout is the seconds of an epoch on them. Reading the text and initializing
the vectors take the same time for three epochs as for one, and are subtracted.
"""

import sys
import tempfile
import time

import fasttext
import numpy as np

batches_file, vocab_size, dim = sys.argv[1:]
arrays = np.load(batches_file)
batches = [
    np.concatenate([arrays[f"in0_{i}"], arrays[f"in1_{i}"]], 1).astype(str).tolist()
    for i in range(len(arrays.files) // 3)
]
labels = [arrays[f"label_{i}"] for i in range(len(batches))]


def train_seconds(file, epochs):
    start = time.perf_counter()
    fasttext.train_supervised(file, dim=int(dim), epoch=epochs, thread=2, verbose=0)
    return time.perf_counter() - start


for line in sys.stdin:
    count = int(line)
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as text:
        for batch, classes in zip(batches[:count], labels[:count], strict=True):
            for words, label in zip(batch, classes, strict=True):
                print(f"__label__{label}", *words, file=text)
        text.flush()
        one_epoch = train_seconds(text.name, 1)
        print((train_seconds(text.name, 3) - one_epoch) / 2, flush=True)
