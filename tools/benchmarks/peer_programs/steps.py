"""What peers share: training steps on request or for some seconds, and an MLP."""

import json
import sys
import time


def make_mlp(inputs, width):
    """Returns an MLP of torch with two hidden layers of a width, for two classes."""
    import torch

    return torch.nn.Sequential(
        torch.nn.Linear(inputs, width),
        torch.nn.ReLU(),
        torch.nn.Linear(width, width),
        torch.nn.ReLU(),
        torch.nn.Linear(width, 2),
    )


def serve(train, batches):
    """Trains as many steps as each line on stdin says and prints their seconds.

    Args:
        train: Trains one step on a batch.
        batches: The batches, used in turn.
    """
    step = 0
    for line in sys.stdin:
        start = time.perf_counter()
        for _ in range(int(line)):
            train(*batches[step % len(batches)])
            step += 1
        print(time.perf_counter() - start, flush=True)


def measure_on_gpu(build, variants, batches, device, seconds, on_host=()):
    """Waits for a line on stdin, and prints the rate of each variant as JSON.

    Args:
        build: Returns the function that trains a variant on a batch.
        variants: The arguments of ``build`` by the variant's name.
        batches: Tensors on the host; the last one of each batch has one row per pair.
        device: The device of the model.
        seconds: How long to train each variant.
        on_host: The tensors of a batch that the model expects on the host.
    """
    import torch

    if device == "cuda":
        batches = [[tensor.pin_memory() for tensor in batch] for batch in batches]
    print("ready", flush=True)
    sys.stdin.readline()
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True

    def transfer(batch):
        return (
            tensor if i in on_host else tensor.to(device, non_blocking=True)
            for i, tensor in enumerate(batch)
        )

    def passes(train, count):
        start = time.perf_counter()
        for _ in range(count):
            for batch in batches:
                train(*transfer(batch))
        if device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - start

    pairs = sum(len(batch[-1]) for batch in batches)
    for name, arguments in variants.items():
        try:
            train = build(*arguments)
            first = passes(train, 1)
            count = max(1, round(seconds / passes(train, 1)))
            spent = passes(train, count)
            result = {
                "pairs_per_second": count * pairs / spent,
                "milliseconds": 1e3 * spent / (count * len(batches)),
                "first_pass_seconds": first,
            }
        except (RuntimeError, NotImplementedError) as error:
            result = {"error": str(error).splitlines()[0][:200]}
        print(json.dumps({"variant": name, **result}), flush=True)
        train = None
        torch.cuda.empty_cache()
