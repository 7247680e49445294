import json

import pytest

from object2vec_tf import UserError
from object2vec_tf.jobs.channel_config import check_channels


def check(tmp_path, hosts=1, **channel):
    path = tmp_path / "inputdataconfig.json"
    path.write_text(json.dumps({"train": channel}))
    check_channels(path, hosts)


@pytest.mark.parametrize(
    "channel",
    [
        {},
        {"ContentType": None, "SomethingNew": {"a": [1]}},
        {"ContentType": "application/jsonlines; charset=utf-8"},
        {"ContentType": "Application/JSONLines;CHARSET=UTF-8"},
        {"ContentType": "application/x-parquet"},
        {"ContentType": "application/vnd.apache.parquet"},
        {"TrainingInputMode": "FastFile", "RecordWrapperType": "None"},
        {"S3DistributionType": "ShardedByS3Key", "CompressionType": "Gzip"},
    ],
)
def test_channels_that_can_be_read(channel, tmp_path):
    check(tmp_path, **channel)


@pytest.mark.parametrize(
    ("channel", "hosts", "message"),
    [
        (
            {"ContentType": "application/x-recordio-protobuf"},
            1,
            "channel train: expected content type application/jsonlines or "
            "application/x-parquet, got application/x-recordio-protobuf. Convert",
        ),
        ({"ContentType": "text/csv; header=present"}, 1, "got text/csv; header=pr"),
        ({"ContentType": "jsonlines"}, 1, "got jsonlines. Convert the files, or c"),
        (
            {"ContentType": "application/jsonlines; charset=latin-1"},
            1,
            "channel train: expected charset utf-8, got latin-1",
        ),
        ({"TrainingInputMode": "Pipe"}, 1, "expected input mode File, got Pipe. Epo"),
        (
            {"RecordWrapperType": "RecordIO"},
            1,
            "channel train: expected RecordWrapperType None, got RecordIO",
        ),
        (
            {"S3DistributionType": "ShardedByS3Key"},
            3,
            "channel train: expected S3DistributionType FullyReplicated, got "
            "ShardedByS3Key on 3 hosts. Each host",
        ),
    ],
)
def test_channels_that_cannot_be_read(channel, hosts, message, tmp_path):
    with pytest.raises(UserError) as error:
        check(tmp_path, hosts, **channel)
    assert message in str(error.value)


def test_a_channel_that_is_no_object_is_an_error(tmp_path):
    path = tmp_path / "inputdataconfig.json"
    path.write_text('{"train": 5}')
    with pytest.raises(UserError, match="train: expected a JSON object, got 5"):
        check_channels(path, 1)
