"""Trains FBGEMM's table, whose update is fused into the backward pass, on the CPU.

Runs in an environment with torch and the FBGEMM of that torch. Each line on stdin is a
number of steps; the answer on stdout is their seconds. With one lookup, both objects
are features of one table, and their tokens are updated at once. With two, which are
faster, a token of both sides is updated twice, by the gradient of one side at a time.
"""

import sys

import fbgemm_gpu  # noqa: F401  (registers the ops)
import numpy as np
import torch
from fbgemm_gpu.split_embedding_configs import EmbOptimType
from fbgemm_gpu.split_table_batched_embeddings_ops_common import (
    EmbeddingLocation,
    PoolingMode,
)
from fbgemm_gpu.split_table_batched_embeddings_ops_training import (
    ComputeDevice,
    SplitTableBatchedEmbeddingBagsCodegen,
)
from steps import make_mlp, serve

batches_file, vocab_size, dim, mlp_dim, optimizer_name, lookups = sys.argv[1:]
torch.set_num_threads(2)
RATE = 0.01
kind, dense_optimizer = {
    "adagrad": (EmbOptimType.EXACT_ADAGRAD, torch.optim.Adagrad),
    "rowwise_adagrad": (EmbOptimType.EXACT_ROWWISE_ADAGRAD, torch.optim.Adagrad),
    "sgd": (EmbOptimType.EXACT_SGD, torch.optim.SGD),
}[optimizer_name]
table = SplitTableBatchedEmbeddingBagsCodegen(
    [(int(vocab_size), int(dim), EmbeddingLocation.HOST, ComputeDevice.CPU)],
    feature_table_map=[0, 0] if lookups == "1" else [0],
    optimizer=kind,
    learning_rate=RATE,
    pooling_mode=PoolingMode.MEAN,
)
torch.nn.init.uniform_(table.split_embedding_weights()[0], -0.05, 0.05)
mlp = make_mlp(int(dim), int(mlp_dim))
optimizer = dense_optimizer(mlp.parameters(), RATE)
loss_of = torch.nn.CrossEntropyLoss()


def features(*sides):
    """Returns the ids of sides one after the other, and where objects start."""
    lengths = np.concatenate([np.full(len(ids), ids.shape[1]) for ids in sides])
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    ids = np.concatenate([ids.ravel() for ids in sides])
    return torch.from_numpy(ids), torch.from_numpy(offsets)


def train(*batch):
    *inputs, labels = batch
    optimizer.zero_grad(set_to_none=True)
    if lookups == "1":
        in0, in1 = table(*inputs[0]).chunk(2, dim=1)
    else:
        in0, in1 = (table(*side) for side in inputs)
    loss_of(mlp(in0 * in1), labels).backward()  # updates the table
    optimizer.step()


arrays = np.load(batches_file)
batches = []
for i in range(len(arrays.files) // 3):
    sides = arrays[f"in0_{i}"], arrays[f"in1_{i}"]
    inputs = [features(*sides)] if lookups == "1" else map(features, sides)
    batches.append((*inputs, torch.from_numpy(arrays[f"label_{i}"])))
serve(train, batches)
