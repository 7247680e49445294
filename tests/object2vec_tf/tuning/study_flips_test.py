"""Single flipped bits in the files of a study, which is then resumed."""

import collections
import dataclasses
import re
import subprocess

import numpy as np
import pytest

from object2vec_tf.tuning.study import tune
from tests.bit_flips import flipped, outcome
from tests.conftest import ratings_settings, write_ratings

SEED = 23
FILES = (
    *("study.db", "study.db", "study.db", "study.json", "trials.jsonl"),
    *("best/metrics.json", "best/hyperparameters.json", "best/digests.json"),
)


@pytest.mark.long
@pytest.mark.parametrize("flips", [200])
def test_flipped_bits_change_no_study(tmp_path, capsys, flips):
    settings, ratings = ratings_settings(), write_ratings(tmp_path)
    directory, intact = tmp_path / "study", tmp_path / "intact"

    def resume():
        capsys.readouterr()
        study = tune(
            {**settings, "epochs": 1},
            train=ratings["train"],
            validation=ratings["validation"],
            model_dir=directory,
            cache_dir=tmp_path / "cache",
            search="learning_rate=0.03..0.1",
            trials=3,
        )
        out = re.sub(r"[\d.]+ s\b|[\d,.]+/s", "", capsys.readouterr().out)
        return dataclasses.asdict(study), out, (directory / "trials.jsonl").read_text()

    def copy(source, target):
        subprocess.run(["rm", "-rf", target], check=True)
        subprocess.run(["cp", "-a", source, target], check=True)  # keeps hard links

    resume()
    copy(directory, intact)
    expected = resume()
    generator = np.random.default_rng(SEED)
    counts = collections.Counter()
    for number in range(flips):
        name = FILES[number % len(FILES)]
        copy(intact, directory)
        data = (intact / name).read_bytes()
        bit = int(generator.integers(8 * len(data)))
        (directory / name).write_bytes(flipped(data, bit))
        counts[outcome(directory, (name, bit), resume, expected)] += 1
    print(f"seed {SEED}: {flips} flips, {counts}")
