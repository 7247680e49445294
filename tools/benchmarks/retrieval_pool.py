"""Measures how long the retrieval measures of --retrieval_pool take in each epoch.

    make data
    python -m tools.benchmarks.retrieval_pool

Trains on the liked movies of MovieLens-100k for a few epochs with the in-batch softmax.
Then measures a task of `object2vec_tf.training.retrieval` several times: the held-out
liked movies among all movies. Prints the medians.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from pathlib import Path

from absl import flags

import object2vec_tf as o2v
from object2vec_tf.commands import runner
from object2vec_tf.training.retrieval import RetrievalTask
from object2vec_tf.training.retrieval_pool import read_retrieval_pool

DATA = flags.DEFINE_string("data", "data/movielens", "output directory of `make data`")
EPOCHS = flags.DEFINE_integer("epochs", 4, "epochs; the first one is not timed", 2)
REPEATS = flags.DEFINE_integer("repeats", 9, "measurements of the retrieval task", 1)

_SETTINGS = {
    "enc0_network": "pooled_embedding",
    "enc0_max_seq_len": 1,
    "enc0_vocab_size": 944,
    "enc1_network": "pooled_embedding",
    "enc1_max_seq_len": 1,
    "enc1_vocab_size": 1683,
    "enc_dim": 64,
    "mlp_layers": 0,
    "token_embedding_storage_type": "row_sparse",
    "objective": "in_batch_softmax",
    "in_batch_similarity": "inner_product",
    "temperature": 1,
    "popularity_correction": True,
    "mini_batch_size": 128,
}


def write_liked(source: Path, target: Path) -> None:
    """Copies the pairs with the label 1."""
    lines = source.read_text(encoding="utf-8").splitlines(keepends=True)
    liked = [line for line in lines if json.loads(line)["label"]]
    target.write_text("".join(liked), encoding="utf-8")


def main() -> None:
    """Prints the seconds of an epoch and of its retrieval measures."""
    data = Path(DATA.value)
    with tempfile.TemporaryDirectory() as folder:
        files = {}
        for channel, part in (("train", "fit"), ("validation", "held_out")):
            files[channel] = Path(folder) / f"{channel}.jsonl"
            source = data / f"recommendation/ua.base.{part}.jsonl"
            write_liked(source, files[channel])
        run = o2v.fit(
            {**_SETTINGS, "epochs": EPOCHS.value},
            train=files["train"],
            validation=files["validation"],
            model_dir=Path(folder) / "run",
            verbose=False,
        )
        settings = run.model.hyperparameters
        pool = read_retrieval_pool(data / "items.jsonl", settings, (None, None))
        pairs = {name: o2v.read_pairs(path, settings) for name, path in files.items()}
        task = RetrievalTask(
            pairs["validation"],
            pairs["train"],
            settings.in_batch_similarity,
            pool.items if pool else None,
        )
        task.measure(run.model)
        seconds = []
        for _ in range(REPEATS.value):
            start = time.perf_counter()
            task.measure(run.model)
            seconds.append(time.perf_counter() - start)
    epoch = statistics.median(record["seconds"] for record in run.history[1:])
    print(json.dumps(task.sizes()))
    print(f"training: {epoch:.2f} s per epoch")
    print(f"retrieval measures: {statistics.median(seconds):.3f} s per epoch")


if __name__ == "__main__":
    runner.run_cli(main)
