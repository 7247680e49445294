"""Trains sentence-transformers' StaticEmbedding with a softmax over u, v, |u - v|.

Runs in an environment with sentence-transformers. Each line on stdin is a number of
steps; the answer on stdout is their seconds. The inputs are token ids, not text.
"""

import sys

import numpy as np
import torch
from sentence_transformers.models import StaticEmbedding
from steps import serve
from tokenizers import Tokenizer
from tokenizers.models import WordLevel

batches_file, vocab_size, dim, optimizer_name = sys.argv[1:]
torch.set_num_threads(2)
arrays = np.load(batches_file)


def features(ids):
    offsets = np.arange(0, ids.size, ids.shape[1])
    return {
        "input_ids": torch.from_numpy(ids.ravel()),
        "offsets": torch.from_numpy(offsets),
    }


batches = [
    (
        features(arrays[f"in0_{i}"]),
        features(arrays[f"in1_{i}"]),
        torch.from_numpy(arrays[f"label_{i}"]),
    )
    for i in range(len(arrays.files) // 3)
]
words = {str(i): i for i in range(int(vocab_size))}
encoder = StaticEmbedding(Tokenizer(WordLevel(words, "0")), embedding_dim=int(dim))
classifier = torch.nn.Linear(3 * int(dim), 2)
parameters = [*encoder.parameters(), *classifier.parameters()]
optimizer = {
    "adam": lambda: torch.optim.Adam(parameters),
    "sgd": lambda: torch.optim.SGD(parameters, 0.01),
}[optimizer_name]()
loss_of = torch.nn.CrossEntropyLoss()


def train(in0, in1, labels):
    optimizer.zero_grad(set_to_none=True)
    u, v = (encoder(dict(x))["sentence_embedding"] for x in (in0, in1))
    scores = classifier(torch.cat([u, v, (u - v).abs()], 1))
    loss_of(scores, labels).backward()
    optimizer.step()


serve(train, batches)
