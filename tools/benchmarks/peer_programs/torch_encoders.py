"""Trains torch's convolutions or LSTM on bucketed batches, padded per batch.

Runs in an environment with torch and numpy. With six arguments, each line on stdin is
a number of steps on the CPU; the answer on stdout is their seconds. With eight, the
last two are a device and seconds, and training there is measured in TF32 and bfloat16.
"""

import sys

import numpy as np
import torch
from steps import measure_on_gpu, serve

batches_file, network, *numbers = sys.argv[1:]
vocab_size, token_dim, enc_dim, mlp_dim = map(int, numbers[:4])
on_device = numbers[4:]
device = on_device[0] if on_device else "cpu"
torch.set_num_threads(1 if on_device else 2)


def pad(ids, splits):
    lengths = np.diff(splits)
    dense = np.zeros((len(lengths), lengths.max()), np.int64)
    dense[np.arange(lengths.max()) < lengths[:, None]] = ids + 1
    return torch.from_numpy(dense), torch.from_numpy(lengths)


arrays = np.load(batches_file)
batches = [
    (
        *pad(arrays[f"in0_ids_{i}"], arrays[f"in0_splits_{i}"]),
        *pad(arrays[f"in1_ids_{i}"], arrays[f"in1_splits_{i}"]),
        torch.from_numpy(arrays[f"label_{i}"]),
    )
    for i in range(len(arrays.files) // 5)
]


class Convolutions(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.table = torch.nn.Embedding(vocab_size + 1, token_dim)
        filters = enc_dim // 4
        self.layers = torch.nn.ModuleList(
            torch.nn.Conv1d(width, filters, 3, padding=1)
            for width in (token_dim, filters, filters, filters)
        )

    def forward(self, ids, lengths):
        mask = (ids > 0).unsqueeze(1)
        steps, maxima = self.table(ids).transpose(1, 2) * mask, []
        for layer in self.layers:
            steps = torch.relu(layer(steps)) * mask
            maxima.append(steps.amax(2))
        return torch.cat(maxima, 1)


class Recurrent(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.table = torch.nn.Embedding(vocab_size + 1, token_dim)
        self.lstm = torch.nn.LSTM(
            token_dim, enc_dim // 2, bidirectional=True, batch_first=True
        )

    def forward(self, ids, lengths):
        packed = torch.nn.utils.rnn.pack_padded_sequence(
            self.table(ids), lengths, batch_first=True, enforce_sorted=False
        )
        steps, _ = torch.nn.utils.rnn.pad_packed_sequence(
            self.lstm(packed)[0], batch_first=True, padding_value=-torch.inf
        )
        return steps.amax(1)


loss_of = torch.nn.CrossEntropyLoss()


def build(bfloat16=False):
    encoder = {"hcnn": Convolutions, "bilstm": Recurrent}[network]
    enc0, enc1 = encoder().to(device), encoder().to(device)
    mlp = torch.nn.Sequential(
        torch.nn.Linear(4 * enc_dim, mlp_dim),
        torch.nn.ReLU(),
        torch.nn.Linear(mlp_dim, 2),
    ).to(device)
    parameters = [p for module in (enc0, enc1, mlp) for p in module.parameters()]
    optimizer = torch.optim.Adam(parameters, fused=True if on_device else None)

    def train(in0, lengths0, in1, lengths1, labels):
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device, torch.bfloat16, enabled=bfloat16):
            first, second = enc0(in0, lengths0), enc1(in1, lengths1)
            compared = [first * second, first, second, (first - second).abs()]
            loss = loss_of(mlp(torch.cat(compared, 1)), labels)
        loss.backward()
        optimizer.step()

    return train


if on_device:
    variants = {
        f"torch, {library}{name}": (bfloat16,)
        for library in (("cuDNN, " if device == "cuda" else ""),)
        for name, bfloat16 in (("tf32", False), ("bfloat16", True))
    }
    seconds = float(on_device[1])
    # Packed sequences need lengths on the host.
    measure_on_gpu(build, variants, batches, device, seconds, on_host=(1, 3))
else:
    serve(build(), batches)
