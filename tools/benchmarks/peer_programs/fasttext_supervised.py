"""Trains fastText's classifier on pairs as one text.

Runs in an environment that has fastText: some batches for each line on stdin, answered
by the seconds of an epoch on stdout. Reading the text and drawing the vectors take as
long for three epochs as for one, and are not counted.
"""

import sys
import tempfile
import time

import fasttext
import numpy as np

batches_file, vocab_size, dim = sys.argv[1:]
held = np.load(batches_file)
batches = [
    np.concatenate([held[f"in0_{i}"], held[f"in1_{i}"]], 1).astype(str).tolist()
    for i in range(len(held.files) // 3)
]
labels = [held[f"label_{i}"] for i in range(len(batches))]


def seconds(file, epochs):
    start = time.perf_counter()
    fasttext.train_supervised(file, dim=int(dim), epoch=epochs, thread=2, verbose=0)
    return time.perf_counter() - start


for line in sys.stdin:
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as text:
        count = int(line)
        for batch, classes in zip(batches[:count], labels[:count], strict=True):
            for words, label in zip(batch, classes, strict=True):
                print(f"__label__{label}", *words, file=text)
        text.flush()
        once = seconds(text.name, 1)
        print((seconds(text.name, 3) - once) / 2, flush=True)
