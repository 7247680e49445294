"""The protocol of a peer: each line on stdin is a number of training steps."""

import sys
import time


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
