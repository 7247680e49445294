"""Tests of object2vec_tf/inference/instance_decoder.py."""

import pytest

from object2vec_tf.files.object_lines import LineError, decode_object
from object2vec_tf.inference.instance_decoder import InstanceDecoder
from object2vec_tf.inference.request_errors import BadRequest
from object2vec_tf.ragged.token_ids import IdLimits


@pytest.mark.parametrize(
    "line", [b"x", b'{"in0": [1', b'{"in0": "\xff"}', b"\v", b'{"in0": NaN}']
)
def test_a_line_that_is_not_json_is_explained_as_in_training(line):
    with pytest.raises(LineError) as expected:
        decode_object(line)
    decoder = InstanceDecoder({"in0": IdLimits(10, 5)}, ["in0"])
    with pytest.raises(BadRequest) as error:
        decoder.decode(b'{"in0": [2]}\n' + line, True)
    assert f"{error.value}" == f"$[1]: {expected.value}"
