"""Trains torch's EmbeddingBag with sparse gradients.

Runs in an environment with torch and numpy. Each line on stdin is a number of steps;
the answer on stdout is their seconds.
"""

import sys

import numpy as np
import torch
from steps import serve

batches_file, vocab_size, dim, mlp_dim, optimizer_name = sys.argv[1:]
torch.set_num_threads(2)
arrays = np.load(batches_file)
batches = [
    [torch.from_numpy(arrays[f"{part}_{i}"]) for part in ("in0", "in1", "label")]
    for i in range(len(arrays.files) // 3)
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
}[optimizer_name]
loss_of = torch.nn.CrossEntropyLoss()


def train(in0, in1, labels):
    for optimizer in optimizers:
        optimizer.zero_grad(set_to_none=True)
    loss_of(mlp(table(in0) * table(in1)), labels).backward()
    for optimizer in optimizers:
        optimizer.step()


serve(train, batches)
