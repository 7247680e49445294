import gzip
import json
import subprocess

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import object2vec_tf as o2v
from export import export_saved_model
from object2vec_tf.inference.jsonl_inputs import read_objects
from object2vec_tf.inference.predictor import load_model
from object2vec_tf.inference.ragged_inputs import RaggedInputs
from object2vec_tf.transform import transform
from tests.command_server import python_m


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
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


def test_a_keras_model_is_an_error(exported, tmp_path):
    with pytest.raises(o2v.UserError, match="expected an exported model, got Object2V"):
        transform(exported[0], tmp_path / "in.jsonl", tmp_path / "out")


@pytest.mark.parametrize("names", [("in0",), ("in1",), ("in0", "in1")])
def test_output_lines_have_the_order_of_the_input(exported, names, tmp_path):
    model, _, loaded = exported
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
    predictions = [json.loads(line)[output] for line in out.read_text().splitlines()]
    assert len(predictions) == count
    # Expected by hand: the mean of the vectors of the first five tokens.
    means = [
        np.array([table[row[:5]].mean(0) if row else np.zeros(6) for row in rows[name]])
        for name in names
        for table in [network(model, name).layers[2].embeddings.numpy()]
    ]
    expected = means[0] if len(means) == 1 else model.comparator(means)
    np.testing.assert_allclose(predictions, expected, rtol=1e-5, atol=1e-6)


def network(model, name):
    return model.enc0 if name == "in0" else model.enc1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"in0": [1]}\n\n{"in0": [40]}\n', r":3: in0\[0\]: expected a token id below"),
        (
            '{"in0": [1]}\n{"in1": [4]}\n',
            ":2: expected in0 as in the objects before, got in1",
        ),
        ('{"in0": [1]}\n{"in0": [4\n', ":2: ends in the middle of an object"),
        ('{"in0": [1]}{"in0": [2]}\n', "expected one object per line"),
        ('{"label": 3}\n', ":1: expected in0 or in1"),
    ],
)
def test_an_invalid_line_is_reported_and_nothing_is_written(
    exported, text, message, tmp_path
):
    source, out = tmp_path / "in.jsonl", tmp_path / "out"
    source.write_text(text)
    out.write_text("earlier")
    with pytest.raises(o2v.DataError, match=message):
        transform(exported[2], source, out)
    assert out.read_text() == "earlier"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.jsonl", "out"]


def write_unusual_lines(path, rows):
    """Writes rows of in0 after a BOM: a duplicate key, an escape, blank lines."""
    lines = [f'{{"in0": {row}, "labels": [1]}}' for row in rows]
    lines[7] = f'{{"in0": [3], "in0": {rows[7]}}}'  # the last duplicate key counts
    lines[20] = f'{{"\\u0069n0": {rows[20]}}}'
    lines[30] += "\r\n\n"
    path.write_text("\ufeff" + "\n".join(lines))


def test_unusual_lines_are_read(exported, tmp_path):
    rows = random_rows(50)
    source, out = tmp_path / "in.jsonl", tmp_path / "out"
    write_unusual_lines(source, rows)
    assert transform(exported[2], source, out) == 50
    predictions = [
        json.loads(line)["embeddings"] for line in out.read_text().splitlines()
    ]
    expected = exported[2](RaggedInputs.from_rows({"in0": [row[:5] for row in rows]}))
    np.testing.assert_array_equal(np.array(predictions, np.float32), expected)


@pytest.mark.parametrize("block_bytes", [1, 40, 1 << 20])
def test_block_size_does_not_change_predictions(exported, block_bytes, tmp_path):
    rows = random_rows(50)
    source = tmp_path / "in.jsonl"
    write_unusual_lines(source, rows)
    parts = read_objects(source, exported[2], block_bytes=block_bytes)
    predictions = np.concatenate([exported[2](inputs) for inputs in parts])
    expected = exported[2](RaggedInputs.from_rows({"in0": [row[:5] for row in rows]}))
    np.testing.assert_array_equal(predictions, expected)


def test_the_command(exported, tmp_path):
    source = tmp_path / "pairs.jsonl"
    source.write_text('{"in0": [1], "in1": [2], "label": 0}\n' * 3)
    done = run(f"--model={exported[1]}", f"--input={source}")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{source}.out: 3 lines\n"
    lines = (tmp_path / "pairs.jsonl.out").read_text().splitlines()
    assert [len(json.loads(line)["scores"]) for line in lines] == [2, 2, 2]
    done = run(f"--model={tmp_path / 'none'}", f"--input={source}")
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {tmp_path / 'none'}: no such model")


def run(*flags):
    return subprocess.run(
        [*python_m("object2vec_tf.transform"), *flags],
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_restarted_job_skips_finished_files(exported, tmp_path):
    source, out = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    for name in ("a", "b"):
        (source / f"{name}.jsonl").write_text('{"in0": [1]}\n')
    columns = {"in0": [[1], [2, 3]], "label": [0, 1]}
    pq.write_table(pa.table(columns), source / "c.parquet")
    job = (f"--model={exported[1]}", f"--input={source}", f"--output={out}/")
    done = run(*job)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == f"{out}: 4 lines in 3 files"
    embeddings = pq.read_table(out / "c.parquet.out.parquet")["embeddings"].to_pylist()
    expected = exported[2](RaggedInputs.from_rows({"in0": columns["in0"]}))
    np.testing.assert_array_equal(np.array(embeddings, np.float32), expected)
    (out / "b.jsonl.out").unlink()
    done = run(*job)
    assert done.stdout.splitlines() == [
        f"{out}/a.jsonl.out: already complete",
        f"{out}/c.parquet.out.parquet: already complete",
        f"{out}/b.jsonl.out: 1 line",
        f"{out}: 1 line in 1 file, 2 already complete",
    ]


def test_a_directory_has_answers_with_one_set_of_options(exported, tmp_path):
    source, out = tmp_path / "in.jsonl", tmp_path / "out"
    source.write_text('{"in0": [1], "id": 5}\n{"in0": [99], "id": 6}\n')
    job = (f"--model={exported[1]}", f"--input={source}", f"--output={out}/")
    kept = (*job, "--keep=id", "--on_error=mark")
    done = run(*kept)
    assert done.returncode == 0
    assert done.stdout.splitlines() == [
        f"{out}/in.jsonl.out: 2 lines, 1 invalid (marked)",
        f"{out}: 2 lines, 1 invalid (marked) in 1 file",
    ]
    assert done.stderr.startswith(
        f"warning: {source}: 1 of 2 rows are invalid, the first: line 2: in0[0]: e"
    )
    lines = (out / "in.jsonl.out").read_text().splitlines()
    assert [sorted(json.loads(line)) for line in lines] == [
        ["embeddings", "id"],
        ["error", "id"],
    ]
    done = run(*job, "--keep=id")
    assert done.returncode == 2
    assert done.stderr == (
        f"error: {out}: expected answers with --keep=id --on_error=fail, contains "
        "answers with --keep=id --on_error=mark. Give another --output, or delete this "
        "one.\n"
    )
    assert "in.jsonl.out: already complete" in run(*kept).stdout


def test_json_lines_to_parquet(exported, tmp_path):
    source = tmp_path / "pairs.jsonl"
    source.write_text('{"in0": [1], "in1": [2]}\n' * 3)
    done = run(f"--model={exported[1]}", f"--input={source}", "--format=parquet")
    assert done.stdout == f"{source}.out.parquet: 3 lines\n"
    scores = pq.read_table(f"{source}.out.parquet")["scores"].to_pylist()
    expected = exported[2](RaggedInputs.from_rows({"in0": [[1]] * 3, "in1": [[2]] * 3}))
    np.testing.assert_array_equal(np.array(scores, np.float32), expected)


def test_several_inputs_require_an_output_directory(exported, tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).write_text('{"in0": [1]}\n')
    job = (f"--model={exported[1]}", f"--input={tmp_path}/*")
    assert "--output is required for several inputs" in run(*job).stderr
    done = run(*job, f"--output={tmp_path}/a")
    assert done.returncode == 2
    assert "a: expected a directory for several inputs, got a file" in done.stderr
