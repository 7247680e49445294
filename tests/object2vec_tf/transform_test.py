import gzip
import json
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import object2vec_tf as o2v
from export import export_saved_model
from object2vec_tf.inference.predictor import load_model
from object2vec_tf.inference.ragged_inputs import RaggedInputs
from object2vec_tf.transform import transform


@pytest.fixture(scope="module")
def held(tmp_path_factory):
    hyperparameters = o2v.Hyperparameters(
        enc0_network="pooled_embedding",
        enc0_max_seq_len=5,
        enc0_vocab_size=40,
        enc_dim=6,
        mlp_dim=4,
    )
    model = o2v.Object2Vec(hyperparameters, seed=1)
    directory = tmp_path_factory.mktemp("model")
    export_saved_model(model, directory)
    return model, directory, load_model(directory)


def random_rows(count):
    generator = np.random.default_rng(5)
    lengths = generator.integers(0, 9, count)
    return [generator.integers(0, 40, n).tolist() for n in lengths]


@pytest.mark.parametrize("names", [("in0",), ("in1",), ("in0", "in1")])
def test_a_line_for_a_line_in_the_same_order(held, names, tmp_path):
    model, _, loaded = held
    count = 5000  # more than a batch
    rows = {name: random_rows(count) for name in names}
    lines = [
        json.dumps({"label": 1} | {name: rows[name][i] for name in names})
        for i in range(count)
    ]
    source, out = tmp_path / "pairs.jsonl.gz", tmp_path / "out"
    source.write_bytes(gzip.compress("\n".join(lines).encode()))
    assert transform(loaded, source, out) == count
    output = "scores" if len(names) == 2 else "embeddings"
    answers = [json.loads(line)[output] for line in out.read_text().splitlines()]
    assert len(answers) == count
    # By hand: the mean of the vectors of the first five tokens.
    means = [
        np.array([table[row[:5]].mean(0) if row else np.zeros(6) for row in rows[name]])
        for name in names
        for table in [network(model, name).layers[1].embeddings.numpy()]
    ]
    expected = means[0] if len(means) == 1 else model.comparator(means)
    np.testing.assert_allclose(answers, expected, rtol=1e-5, atol=1e-6)


def network(model, name):
    return model.enc0 if name == "in0" else model.enc1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"in0": [1]}\n\n{"in0": [40]}\n', r":3: in0\[0\]: expected a token id below"),
        ('{"in0": [1]}\n{"in1": [4]}\n', ":2: has in1, where those before"),
        ('{"in0": [1]}\n{"in0": [4\n', ":2: line is not JSON"),
        ('{"in0": [1]}{"in0": [2]}\n', "one object a line"),
        ('{"label": 3}\n', ":1: expected in0 or in1"),
    ],
)
def test_a_bad_line_is_told_and_nothing_is_written(held, text, message, tmp_path):
    source, out = tmp_path / "in.jsonl", tmp_path / "out"
    source.write_text(text)
    out.write_text("earlier")
    with pytest.raises(o2v.DataError, match=message):
        transform(held[2], source, out)
    assert out.read_text() == "earlier"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.jsonl", "out"]


@pytest.mark.parametrize("block_bytes", [1, 40, 1 << 20])
def test_blocks_make_no_difference(held, block_bytes, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "object2vec_tf.inference.jsonl_inputs._BLOCK_BYTES", block_bytes
    )
    rows = random_rows(50)
    lines = [f'{{"in0": {row}, "labels": [1]}}' for row in rows]
    lines[7] = f'{{"in0": [3], "in0": {rows[7]}}}'  # the last one counts
    lines[20] = f'{{"\\u0069n0": {rows[20]}}}'
    lines[30] += "\r\n\n"
    source, out = tmp_path / "in.jsonl", tmp_path / "out"
    source.write_text("\ufeff" + "\n".join(lines))
    assert transform(held[2], source, out) == 50
    answers = [json.loads(line)["embeddings"] for line in out.read_text().splitlines()]
    expected = held[2](RaggedInputs.from_rows({"in0": [row[:5] for row in rows]}))
    np.testing.assert_array_equal(np.array(answers, np.float32), expected)


@pytest.mark.parametrize(
    ("last", "message"),
    [
        ('{"in0": [40]}', r":52: in0\[0\]: expected a token id below enc0_vocab"),
        ('{"in0": [1.5]}', r":52: in0\[0\]: expected"),
        ('{"in0": [1], "in1": [2]}', ":52: has in0 and in1, where the lines before"),
        ('{"in1": [2]}', ":52: has in1, where the lines before have in0"),
    ],
)
def test_a_bad_line_of_a_later_block(held, last, message, tmp_path, monkeypatch):
    monkeypatch.setattr("object2vec_tf.inference.jsonl_inputs._BLOCK_BYTES", 14)
    source = tmp_path / "in.jsonl"
    source.write_text('{"in0": [1]}\n' * 50 + "\n" + last + "\n")
    with pytest.raises(o2v.DataError, match=message):
        transform(held[2], source, tmp_path / "out")


def test_the_command(held, tmp_path):
    source = tmp_path / "pairs.jsonl"
    source.write_text('{"in0": [1], "in1": [2], "label": 0}\n' * 3)
    done = run(f"--model={held[1]}", f"--input={source}")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{source}.out: 3 lines\n"
    lines = (tmp_path / "pairs.jsonl.out").read_text().splitlines()
    assert [len(json.loads(line)["scores"]) for line in lines] == [2, 2, 2]
    done = run(f"--model={tmp_path / 'none'}", f"--input={source}")
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {tmp_path / 'none'}: no such model")


def run(*flags):
    return subprocess.run(
        [sys.executable, "-m", "object2vec_tf.transform", *flags],
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_job_started_again_passes_over_what_is_done(held, tmp_path):
    source, out = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    for name in ("a", "b"):
        (source / f"{name}.jsonl").write_text('{"in0": [1]}\n')
    columns = {"in0": [[1], [2, 3]], "label": [0, 1]}
    pq.write_table(pa.table(columns), source / "c.parquet")
    job = (f"--model={held[1]}", f"--input={source}", f"--output={out}/")
    done = run(*job)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == f"{out}: 4 lines in 3 files"
    embeddings = pq.read_table(out / "c.parquet.out.parquet")["embeddings"].to_pylist()
    expected = held[2](RaggedInputs.from_rows({"in0": columns["in0"]}))
    np.testing.assert_array_equal(np.array(embeddings, np.float32), expected)
    (out / "b.jsonl.out").unlink()
    done = run(*job)
    assert done.stdout.splitlines() == [
        f"{out}/a.jsonl.out: already complete",
        f"{out}/c.parquet.out.parquet: already complete",
        f"{out}/b.jsonl.out: 1 lines",
        f"{out}: 1 lines in 1 files, 2 already complete",
    ]


def test_parquet_of_json_lines(held, tmp_path):
    source = tmp_path / "pairs.jsonl"
    source.write_text('{"in0": [1], "in1": [2]}\n' * 3)
    done = run(f"--model={held[1]}", f"--input={source}", "--format=parquet")
    assert done.stdout == f"{source}.out.parquet: 3 lines\n"
    scores = pq.read_table(f"{source}.out.parquet")["scores"].to_pylist()
    expected = held[2](RaggedInputs.from_rows({"in0": [[1]] * 3, "in1": [[2]] * 3}))
    np.testing.assert_array_equal(np.array(scores, np.float32), expected)


def test_several_inputs_ask_for_a_directory(held, tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).write_text('{"in0": [1]}\n')
    job = (f"--model={held[1]}", f"--input={tmp_path}/*")
    assert "--output is required for several inputs" in run(*job).stderr
    done = run(*job, f"--output={tmp_path}/a")
    assert done.returncode == 2
    assert "a: expected a directory for several inputs, got a file" in done.stderr
