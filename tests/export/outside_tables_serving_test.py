"""Programs that serve models whose token tables are in files beside them."""

import asyncio
import json
import os
import shutil
import subprocess
import time

import numpy as np
import pytest

from export import export_saved_model
from export.serving.backends import Unavailable
from export.serving.tf_serving_backend import TFServingBackend
from object2vec_tf.inference.predictor import load_model
from object2vec_tf.inference.ragged_inputs import RaggedInputs
from object2vec_tf.tables.outside_tables import open_tables
from tests.command_server import python_m
from tests.export.conftest import TIMEOUT, make_model, start_model_server
from tests.export.gateway_test import gateway

REQUESTS = {
    "/invocations": [
        {"instances": [{"in0": [1, 2, 3]}, {"in0": []}]},
        {"instances": [{"in0": [1, 2], "in1": [5]}]},
        {"instances": [{"in0": [1, 50]}]},
        {"instances": [{"in0": "text"}]},
    ],
    "/v1/models/object2vec:predict": [
        {"signature_name": "embed_enc1", "instances": [[3], [4, -1, 5]]},
        {"inputs": {"in0": [[3]], "in1": [[4, 5]]}},
        {"signature_name": "recommend", "instances": [[3]]},
    ],
    "/v1/models/object2vec:classify": [{"examples": [{"in0": [3], "in1": [4]}]}],
}


@pytest.fixture(scope="module")
def exports(tmp_path_factory):
    """Directories of versions: tables inside, tables outside, and other weights."""
    root = tmp_path_factory.mktemp("models")
    for name, limit, seed in (("inside", 8, 4), ("outside", 0, 4), ("other", 0, 5)):
        model = make_model(pooling="weighted", seed=seed)
        if seed == 5:
            for table in model.tables:
                table.assign(2 * table.values())
        export_saved_model(model, root / name, table_limit=limit)
    return root


def answers(served):
    """Returns the answers to all requests, and the signatures of the model."""
    found = [
        served.request(json.dumps(body), path=path)
        for path, bodies in REQUESTS.items()
        for body in bodies
    ]
    return [(status, body) for status, _, body in found]


def signatures(served):
    _, _, body = served.request(
        None, path="/v1/models/object2vec/metadata", method="GET"
    )
    return json.loads(body)["metadata"]["signature_def"]["signature_def"]


@pytest.mark.long
def test_the_gateway_answers_as_with_the_tables_inside(exports):
    with gateway(f"--model={exports / 'inside'}", "--table=memory") as served:
        expected = answers(served)
    assert [status for status, _ in expected].count(200) == 5
    for flag in ("--table=mmap", "--table=memory", "--workers=2"):
        with gateway(f"--model={exports / 'outside'}", flag) as served:
            assert answers(served) == expected
    assert {*signatures_of(exports / "outside")["predict_pair"]["inputs"]} == {
        "in0",
        "in1",
    }


def signatures_of(directory):
    with gateway(f"--model={directory}") as served:
        return signatures(served)


@pytest.mark.long
def test_the_gateway_loads_new_versions_with_other_tables(exports, tmp_path):
    root = tmp_path / "m"
    shutil.copytree(exports / "outside/1", root / "1")
    body = json.dumps({"instances": [{"in0": [1, 2, 3]}]})
    with gateway(f"--model={exports / 'other'}") as served:
        expected = served.request(body)[2]
    with gateway(f"--model={root}", "--reload_seconds=0.1") as served:
        before = served.request(body)[2]
        shutil.copytree(exports / "other/1", tmp_path / "new")
        (tmp_path / "new").rename(root / "2")
        shutil.rmtree(root / "1")
        deadline = time.monotonic() + TIMEOUT
        while served.request(body)[2] != expected:
            assert time.monotonic() < deadline
            time.sleep(0.1)
    assert before != expected


@pytest.mark.long
def test_a_file_that_is_changed_in_use_is_reported_to_clients(exports, tmp_path):
    root = tmp_path / "m"
    shutil.copytree(exports / "outside/1", root / "1")
    body = json.dumps({"instances": [{"in0": [1, 2, 3]}]})
    with gateway(f"--model={root}", "--noreload") as served:
        assert served.request(body)[0] == 200
        os.truncate(root / "1/tables/enc0/part-00000.parquet", 1000)
        status, _, text = served.request(body)
    assert status == 503
    assert "part-00000.parquet: was changed while it was in use" in text.decode()


def run(module, *flags):
    return subprocess.run(
        [*python_m(module), *flags], capture_output=True, text=True, timeout=TIMEOUT
    )


@pytest.mark.long
def test_transform_answers_as_with_the_tables_inside(exports, tmp_path):
    source = tmp_path / "in.jsonl"
    source.write_text('{"in0": [1, 2, 3]}\n{"in0": []}\n{"in0": [49]}\n')
    outputs = []
    for name, flag in (
        ("inside", "memory"),
        ("outside", "mmap"),
        ("outside", "memory"),
    ):
        output = tmp_path / f"{name}-{flag}"
        flags = [f"--model={exports / name}", f"--input={source}", f"--output={output}"]
        result = run("object2vec_tf.transform", *flags, f"--table={flag}")
        assert result.returncode == 0, result.stderr
        outputs.append(output.read_text())
    assert outputs[0].count("\n") == 3
    assert outputs[1:] == outputs[:1] * 2


@pytest.mark.long
@pytest.mark.parametrize(
    ("module", "flags", "message"),
    [
        ("object2vec_tf.transform", ["--input=x.jsonl"], "export --table_limit=0"),
        ("export.gateway", ["--port=0"], "export --table_limit=0"),
        (
            "export.gateway",
            ["--port=0", "--runtime=onnx"],
            "--table=mmap: expected --runtime=tensorflow, got onnx",
        ),
    ],
)
def test_mapping_a_table_that_is_inside_is_an_error(exports, module, flags, message):
    with_table = [*flags, f"--model={exports / 'inside'}", "--table=mmap"]
    if "--input=x.jsonl" in flags:
        source = exports / "in.jsonl"
        source.write_text('{"in0": [1]}\n')
        with_table[0] = f"--input={source}"
    result = run(module, *with_table)
    assert result.returncode == 2
    assert message in " ".join(result.stderr.split())


@pytest.mark.long
def test_the_command_exports_tables_outside(exports, tmp_path):
    make_model().save(tmp_path / "model.keras")
    flags = [f"--model_dir={tmp_path}", f"--export_dir={tmp_path / 'out'}"]
    result = run("export", *flags, "--table_limit=0")
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "out/1/tables/enc1/part-00000.parquet").exists()
    result = run("export", *flags, "--format=onnx", "--table_limit=0")
    assert result.returncode == 2
    assert "--table_limit: expected a flag of --format=onnx" in result.stderr


@pytest.mark.long
def test_tf_serving_serves_signatures_of_rows_but_not_the_gateways_requests(
    exports, tmp_path
):
    async def predict(address):
        backend = TFServingBackend(address, "m")
        try:
            return await backend.predict({"in0": [[1]]})
        finally:
            await backend.close()

    model = load_model(exports / "outside")
    expected = model(RaggedInputs.from_rows({"in0": [[7, 3, 7], []]}))
    rows = open_tables(model.hyperparameters, exports / "outside/1/tables")
    with start_model_server({"m": exports / "outside"}, tmp_path) as server:
        outputs = server.predict(
            "m",
            "embed_enc0",
            in0=[[0, 1, 0], [-1, -1, -1]],
            rows0=rows["enc0"].take(np.array([7, 3])),
        )
        assert outputs["embeddings"].tolist() == expected.tolist()
        with pytest.raises(Unavailable, match="as --model in place of --tf_serving"):
            asyncio.run(predict(server.address))
