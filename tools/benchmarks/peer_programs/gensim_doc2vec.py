"""Trains gensim's Doc2Vec on pairs as documents, an epoch at a time.

Runs in an environment that has gensim: some batches for each line on stdin, answered
by the seconds on stdout.
"""

import sys
import time

import numpy as np
from gensim.models.doc2vec import Doc2Vec, TaggedDocument

batches_file, vocab_size, dim, variant = sys.argv[1:]
held = np.load(batches_file)
batches = [
    np.concatenate([held[f"in0_{i}"], held[f"in1_{i}"]], 1).astype(str).tolist()
    for i in range(len(held.files) // 3)
]
documents = [
    [TaggedDocument(words, [i * len(batch) + j]) for j, words in enumerate(batch)]
    for i, batch in enumerate(batches)
]
everything = [document for batch in documents for document in batch]
model = Doc2Vec(
    vector_size=int(dim), dm=int(variant == "dm"), min_count=1, workers=2, seed=0
)
model.build_vocab(everything)
for line in sys.stdin:
    chosen = [document for batch in documents[: int(line)] for document in batch]
    start = time.perf_counter()
    model.train(chosen, total_examples=len(chosen), epochs=1)
    print(time.perf_counter() - start, flush=True)
