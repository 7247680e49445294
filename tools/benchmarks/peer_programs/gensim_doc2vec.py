"""Trains gensim's Doc2Vec on pairs as documents, one epoch per request.

Runs in an environment with gensim. Each line on stdin is a number of batches; the
answer on stdout is the seconds of an epoch on them.
"""

import sys
import time

import numpy as np
from gensim.models.doc2vec import Doc2Vec, TaggedDocument

batches_file, vocab_size, dim, variant = sys.argv[1:]
arrays = np.load(batches_file)
batches = [
    np.concatenate([arrays[f"in0_{i}"], arrays[f"in1_{i}"]], 1).astype(str).tolist()
    for i in range(len(arrays.files) // 3)
]
documents = [
    [TaggedDocument(words, [i * len(batch) + j]) for j, words in enumerate(batch)]
    for i, batch in enumerate(batches)
]
all_documents = [document for batch in documents for document in batch]
model = Doc2Vec(
    vector_size=int(dim), dm=int(variant == "dm"), min_count=1, workers=2, seed=0
)
model.build_vocab(all_documents)
for line in sys.stdin:
    selected = [document for batch in documents[: int(line)] for document in batch]
    start = time.perf_counter()
    model.train(selected, total_examples=len(selected), epochs=1)
    print(time.perf_counter() - start, flush=True)
