"""Trains torch's EmbeddingBag with sparse gradients, or dense with a fused Adam.

Runs in an environment with torch and numpy. With five arguments, each line on stdin is
a number of steps on the CPU; the answer on stdout is their seconds. With seven, the
last two are a device and seconds, and all variants with Adam are measured there.
"""

import sys

import numpy as np
import torch
from steps import make_mlp, measure_on_gpu, serve

batches_file, vocab_size, dim, mlp_dim, optimizer_name, *on_device = sys.argv[1:]
torch.set_num_threads(1 if on_device else 2)
device = on_device[0] if on_device else "cpu"
arrays = np.load(batches_file)
loss_of = torch.nn.CrossEntropyLoss()


def build(optimizer_name, bfloat16=False):
    sparse = optimizer_name != "fused_adam"
    table = torch.nn.EmbeddingBag(
        int(vocab_size), int(dim), mode="mean", sparse=sparse, device=device
    )
    mlp = make_mlp(int(dim), int(mlp_dim)).to(device)
    optimizers = {
        "adam": lambda: [
            torch.optim.SparseAdam(table.parameters()),
            torch.optim.Adam(mlp.parameters()),
        ],
        "fused_adam": lambda: [
            torch.optim.Adam([*table.parameters(), *mlp.parameters()], fused=True)
        ],
        "adagrad": lambda: [
            torch.optim.Adagrad(table.parameters()),
            torch.optim.Adagrad(mlp.parameters()),
        ],
        "sgd": lambda: [
            torch.optim.SGD(table.parameters(), 0.01),
            torch.optim.SGD(mlp.parameters(), 0.01),
        ],
    }[optimizer_name]()

    def train(*batch):
        *objects, labels = batch
        for optimizer in optimizers:
            optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device, torch.bfloat16, enabled=bfloat16):
            in0, in1 = (table(ids) for ids in objects)
            loss = loss_of(mlp(in0 * in1), labels)
        loss.backward()
        for optimizer in optimizers:
            optimizer.step()

    return train


if on_device:
    numbers = range(len(arrays.files) // 5)
    batches = [
        [
            torch.from_numpy(arrays[f"{part}_ids_{i}"]).reshape(
                len(arrays[f"label_{i}"]), -1
            )
            for part in ("in0", "in1")
        ]
        + [torch.from_numpy(arrays[f"label_{i}"])]
        for i in numbers
    ]
    variants = {
        "torch, sparse Adam": ("adam",),
        "torch, fused Adam": ("fused_adam",),
        "torch, fused Adam, bfloat16": ("fused_adam", True),
    }
    measure_on_gpu(build, variants, batches, device, float(on_device[1]))
else:
    batches = [
        [torch.from_numpy(arrays[f"{part}_{i}"]) for part in ("in0", "in1", "label")]
        for i in range(len(arrays.files) // 3)
    ]
    serve(build(optimizer_name), batches)
