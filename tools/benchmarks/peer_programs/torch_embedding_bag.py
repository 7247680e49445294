"""Trains torch's EmbeddingBag with sparse gradients, some steps for each line on stdin.

Runs in an environment that has torch and numpy; answers the seconds on stdout.
"""

import sys

import numpy as np
import torch
from steps import answer

batches_file, vocab_size, dim, mlp_dim, optimizer = sys.argv[1:]
torch.set_num_threads(2)
held = np.load(batches_file)
batches = [
    [torch.from_numpy(held[f"{part}_{i}"]) for part in ("in0", "in1", "label")]
    for i in range(len(held.files) // 3)
]
table = torch.nn.EmbeddingBag(int(vocab_size), int(dim), mode="mean", sparse=True)
width = int(mlp_dim)
mlp = torch.nn.Sequential(
    torch.nn.Linear(int(dim), width),
    torch.nn.ReLU(),
    torch.nn.Linear(width, width),
    torch.nn.ReLU(),
    torch.nn.Linear(width, 2),
)
optimizers = {
    "adam": [
        torch.optim.SparseAdam(table.parameters()),
        torch.optim.Adam(mlp.parameters()),
    ],
    "adagrad": [
        torch.optim.Adagrad(table.parameters()),
        torch.optim.Adagrad(mlp.parameters()),
    ],
    "sgd": [
        torch.optim.SGD(table.parameters(), 0.01),
        torch.optim.SGD(mlp.parameters(), 0.01),
    ],
}[optimizer]
loss_of = torch.nn.CrossEntropyLoss()


def train(in0, in1, labels):
    for each in optimizers:
        each.zero_grad(set_to_none=True)
    loss_of(mlp(table(in0) * table(in1)), labels).backward()
    for each in optimizers:
        each.step()


answer(train, batches)
