"""Models that are exported with their token tables in files beside them."""

import json
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest
import tensorflow as tf

import object2vec_tf as o2v
from export import export_saved_model
from export.onnx_model import export_onnx
from object2vec_tf.errors import UserError
from object2vec_tf.files.atomic import copy_by_link
from object2vec_tf.inference.predictor import load_model
from object2vec_tf.inference.ragged_inputs import RaggedInputs
from object2vec_tf.jobs.model_directory import publish
from object2vec_tf.layers.outside_tables import MappedTables
from object2vec_tf.model.assembly import with_placement
from object2vec_tf.runs.run_directory import RunDirectory
from object2vec_tf.tables.outside_tables import open_tables
from tests.export.conftest import make_model

TIED = {"tied_token_embedding_weight": True, "enc1_vocab_size": 50}
WEIGHTED = {"pooling": "weighted", "repeated_tokens": "log"}
# A convolution of vectors whose table has weights for the other encoder too.
MIXED = (
    TIED
    | WEIGHTED
    | {"enc1_network": "pooled_embedding", "enc0_layers": 2}
    | {"enc0_token_embedding_dim": 8, "enc1_token_embedding_dim": 8}
)
SIDES = {"in0": 0, "in1": 1}


def random_rows(count, seed=0):
    """Returns objects of up to 8 tokens, some without, which are cut at 6 and at 4."""
    generator = np.random.default_rng(seed)
    return {
        name: [
            generator.integers(30, size=length).tolist()
            for length in generator.integers(9, size=count)
        ]
        for name in SIDES
    }


def bits(array):
    return np.asarray(array).view(np.uint32).tolist()


def cut(rows):
    return RaggedInputs.from_rows(
        {name: [x[: (6, 4)[SIDES[name]]] for x in each] for name, each in rows.items()}
    )


def assert_same_answers(first, *others):
    rows = random_rows(40)
    for names in (("in0",), ("in1",), ("in0", "in1")):
        inputs = cut({name: rows[name] for name in names})
        expected = bits(first(inputs))
        for other in others:
            assert bits(other(inputs)) == expected


def model_with_weights(network, **settings):
    """Returns a model with different token weights, which are all 1 at first."""
    model = make_model(network, **settings)
    for table in model.tables:
        table.assign(np.random.default_rng(2).normal(size=[table.rows, table.width]))
    return model


@pytest.fixture(scope="module")
def exports(tmp_path_factory):
    """A model, its export with the tables inside, and one with them outside."""
    directory = tmp_path_factory.mktemp("exports")
    model = model_with_weights("pooled_embedding", **TIED | WEIGHTED)
    inside = export_saved_model(model, directory / "inside")
    outside = export_saved_model(model, directory / "outside", table_limit=0)
    return model, inside, outside


@pytest.fixture(scope="module")
def inside(exports):
    return load_model(exports[1])


@pytest.fixture(scope="module")
def outside(exports):
    return load_model(exports[2])


@pytest.fixture(scope="module")
def run(exports, tmp_path_factory):
    """A directory with a saved model that reads the tables beside it."""
    model, _, outside = exports
    directory = tmp_path_factory.mktemp("run")
    tables = directory / "tables/enc0"
    tables.mkdir(parents=True)
    for path in (outside / "tables/enc0").iterdir():
        copy_by_link(path, tables / path.name)
    placement = MappedTables(open_tables(model.hyperparameters, tables.parent))
    with_placement(model, placement).save(directory / "model.keras")
    return directory


def test_answers_are_those_with_the_tables_inside_bit_for_bit(exports, inside, outside):
    outside.warm_up()
    in_memory = load_model(exports[2], table="memory")
    assert_same_answers(inside, outside, in_memory)


@pytest.mark.long
@pytest.mark.parametrize(
    ("network", "settings"),
    [
        ("hcnn", MIXED),
        ("pooled_embedding", {"tied_token_embedding_weight": False}),
        ("pooled_embedding", TIED | {"pooling": "sqrtn"}),
        ("pooled_embedding", WEIGHTED),
        ("pooled_embedding", TIED | {"pooling": "weighted_sqrtn"}),
        ("hcnn", {"tied_token_embedding_weight": False}),
        ("bilstm", TIED | {"enc1_max_seq_len": 4}),
        ("bilstm", {"output_layer": "mean_squared_error"}),
    ],
)
def test_answers_of_other_networks_are_the_same(network, settings, tmp_path):
    model = model_with_weights(network, **settings)
    expected = load_model(export_saved_model(model, tmp_path / "inside"))
    path = export_saved_model(model, tmp_path / "outside", table_limit=0)
    mapped, in_memory = load_model(path), load_model(path, table="memory")
    assert_same_answers(expected, mapped, in_memory)


def test_the_files_have_the_vectors_and_the_logarithms_of_weights(exports):
    model, _, path = exports
    described = json.loads((path / "assets.extra/tables.json").read_text())
    assert described == {
        "tables": {
            "enc0": {
                "inputs": ["in0", "in1"],
                "rows": 50,
                "width": 9,
                "log_weights": True,
            }
        }
    }
    table = pq.read_table(path / "tables/enc0/part-00000.parquet")
    values = np.array(table["values"].to_pylist(), np.float32)
    assert table["id"].to_pylist() == list(range(50))
    vectors = model.enc0.get_layer("token_embedding").embeddings
    weights = model.enc1.get_layer("token_weights0").log_weights
    assert np.array_equal(values, np.concatenate([vectors, weights], axis=1))
    digests = json.loads((path / "assets.extra/digests.json").read_text())["files"]
    assert "tables/enc0/part-00000.parquet" in digests
    size = (path / "variables/variables.data-00000-of-00001").stat().st_size
    assert size < table.nbytes * 10  # no table is in it
    shapes = dict(tf.train.list_variables(str(path / "variables/variables")))
    assert [50, 8] not in shapes.values()


def test_signatures_take_positions_of_rows(exports):
    model, _, path = exports
    signatures = tf.saved_model.load(str(path)).signatures
    assert {*signatures} == {
        "embed_enc0",
        "embed_enc1",
        "predict_pair",
        "serving_default",
        "describe",
    }
    ids = np.array([7, 3])
    table = open_tables(model.hyperparameters, path / "tables")["enc0"]
    embed = signatures["embed_enc1"]
    given = embed(
        in1=tf.constant([[1, -1, 0], [-1, -1, -1]], tf.int64), rows1=table.take(ids)
    )["embeddings"]
    expected = model.embed([[3, 7], []], encoder=1)
    assert np.allclose(given, expected, rtol=1e-6)
    with pytest.raises(tf.errors.InvalidArgumentError) as error:
        embed(in1=tf.constant([[0, 2]], tf.int64), rows1=table.take(ids))
    text = "in1: row 0, position 1: expected the position of a row of rows1, got 2"
    assert text in error.value.message


def test_clients_see_inputs_of_ids_only(outside):
    inputs = outside.signature_defs["predict_pair"]["inputs"]
    assert inputs.keys() == {"in0", "in1"}


def test_a_damaged_table_is_reported_when_the_model_is_loaded(exports, tmp_path):
    version = shutil.copytree(exports[2], tmp_path / "1")
    path = version / "tables/enc0/part-00000.parquet"
    data = bytearray(path.read_bytes())
    data[1000] ^= 1
    path.write_bytes(data)
    with pytest.raises(UserError, match=r"part-00000\.parquet: is damaged"):
        load_model(version)


def test_a_model_with_its_tables_inside_cannot_be_mapped(exports):
    with pytest.raises(UserError, match="python -m export --table_limit=0, or remove"):
        load_model(exports[1], table="mmap")


def test_a_saved_model_reads_the_tables_beside_it(exports, run):
    model, _, _ = exports
    loaded = o2v.load(run)
    assert all(variable.shape[0] != 50 for variable in loaded.variables)
    rows = random_rows(30)
    for name, side in SIDES.items():
        assert bits(loaded.embed(rows[name], side)) == bits(
            model.embed(rows[name], side)
        )
    assert bits(loaded.token_weights(1)) == bits(model.token_weights(1))
    for table, expected in zip(loaded.tables, model.tables, strict=True):
        assert np.array_equal(table.values(), expected.values())


@pytest.mark.long
def test_a_saved_model_is_evaluated_but_not_trained(exports, run):
    model, _, _ = exports
    loaded, labels = o2v.load(run), np.arange(30) % 3
    rows = random_rows(30)
    for each in (loaded, model):
        each.compile()
    assert bits(loaded.score(rows)) == bits(model.score(rows))
    predicted = loaded.predict(rows, verbose=0)
    assert bits(predicted) == bits(model.predict(rows, verbose=0))
    results = loaded.evaluate(rows, labels, verbose=0, return_dict=True)
    assert results == model.evaluate(rows, labels, verbose=0, return_dict=True)
    with pytest.raises(UserError, match="one that has its token tables in memory"):
        loaded.fit(rows, labels, verbose=0)
    with pytest.raises(UserError, match="one that has its token tables in memory"):
        loaded.set_token_vectors(0, np.zeros([50, 8]))


@pytest.mark.long
def test_files_of_a_saved_model_are_linked(inside, run, tmp_path):
    copy = shutil.copytree(run, tmp_path / "run")
    (copy / "tables/enc0/.snapshot").mkdir()  # as some file systems have them
    linked = export_saved_model(o2v.load(copy), tmp_path / "export", table_limit=0)
    table, linked_table = (path / "tables/enc0" for path in (copy, linked))
    names = sorted(path.name for path in linked_table.iterdir())
    assert names == ["_digests.json", "part-00000.parquet"]
    assert all((table / name).samefile(linked_table / name) for name in names)
    assert_same_answers(inside, load_model(linked))


@pytest.mark.long
def test_tables_of_a_saved_model_are_written_inside_below_the_limit(
    inside, run, tmp_path
):
    exported = export_saved_model(o2v.load(run), tmp_path)
    assert not (exported / "tables").exists()
    assert_same_answers(inside, load_model(exported))


@pytest.mark.long
def test_tables_of_a_remote_run_are_copied_beside_its_model(exports, run, remote):
    for path in run.rglob("*.*"):
        remote.pipe(f"/run/{path.relative_to(run).as_posix()}", path.read_bytes())
    loaded = o2v.load("memory://run")
    objects = random_rows(9)["in0"]
    assert bits(loaded.embed(objects)) == bits(exports[0].embed(objects))


@pytest.mark.long
def test_tables_of_a_job_are_published_beside_its_model(exports, run, tmp_path):
    source = shutil.copytree(run, tmp_path / "run")
    assert publish(RunDirectory(source), tmp_path / "model", None)
    loaded = o2v.load(tmp_path / "model/model.keras")
    objects = random_rows(9)["in1"]
    assert bits(loaded.embed(objects, 1)) == bits(exports[0].embed(objects, 1))


def test_missing_tables_of_a_saved_model_are_reported(run, tmp_path):
    copy_by_link(run / "model.keras", tmp_path / "model.keras")
    with pytest.raises(
        UserError, match=r"enc0/_digests\.json: is missing: .* belong together"
    ):
        o2v.load(tmp_path)


def test_what_needs_tables_in_memory_is_an_error(exports, run, tmp_path):
    model, _, _ = exports
    items = tmp_path / "items.jsonl"
    items.write_text('{"in1": [3]}\n')
    for each, options in ((model, {"table_limit": 0}), (o2v.load(run), {})):
        with pytest.raises(UserError, match="items: expected none for a model whose"):
            export_saved_model(each, tmp_path / "export", items=items, **options)
    with pytest.raises(UserError, match="token tables in memory for ONNX"):
        export_onnx(o2v.load(run), tmp_path / "onnx")
    with pytest.raises(UserError, match=r"table_limit: expected a number .*, got -1\."):
        export_saved_model(model, tmp_path / "export", table_limit=-1)


@pytest.mark.long
def test_texts_become_ids_of_the_tables(tmp_path):
    words = ["a", "man", "sleeps", "dog", "[UNK]"]
    (tmp_path / "vocab").write_text(json.dumps({w: i for i, w in enumerate(words)}))
    options = {"tokenizer": "whitespace", "vocab_file": "vocab"}
    settings = {f"enc{i}_{name}": v for i in (0, 1) for name, v in options.items()}
    model = make_model(auxiliary=tmp_path, **settings)
    expected = load_model(export_saved_model(model, tmp_path / "inside"))
    path = export_saved_model(model, tmp_path / "outside", table_limit=0)
    mapped = load_model(path)
    mapped.warm_up()
    texts = {"in0": ["a man sleeps", "", "no such words"], "in1": [["a", "b"], [], "a"]}
    rows, unknown = mapped.tokenize(texts)
    assert (rows, unknown) == expected.tokenize(texts)
    assert unknown == 4
    inputs = cut(rows)
    assert bits(mapped(inputs)) == bits(expected(inputs))
    table = pq.read_table(path / "tables/enc1/part-00000.parquet")
    assert table["token"].to_pylist() == words + [None] * 25
