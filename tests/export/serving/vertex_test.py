"""Vertex AI's environment variables."""

import re

import pytest

from export.serving.vertex import VertexEnvironment, vertex_environment
from object2vec_tf.errors import UserError


def test_variables_that_are_not_set_ask_for_nothing():
    assert vertex_environment({}) == VertexEnvironment(None, "", "")
    assert vertex_environment({"AIP_HTTP_PORT": ""}) == VertexEnvironment(None, "", "")


def test_variables_give_port_and_paths():
    variables = {
        "AIP_HTTP_PORT": "8081",
        "AIP_HEALTH_ROUTE": "/v1/endpoints/1/deployedModels/2",
        "AIP_PREDICT_ROUTE": "/v1/endpoints/1/deployedModels/2:predict",
    }
    values = list(variables.values())
    assert vertex_environment(variables) == VertexEnvironment(8081, *values[1:])


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("AIP_HTTP_PORT", "0", "AIP_HTTP_PORT: expected a port in 1..65535, got 0."),
        ("AIP_HTTP_PORT", "65536", "got 65536."),
        ("AIP_HTTP_PORT", "http", "got http."),
        ("AIP_HTTP_PORT", "-1", "got -1."),
        ("AIP_HEALTH_ROUTE", "health", "AIP_HEALTH_ROUTE: expected a path that starts"),
        ("AIP_PREDICT_ROUTE", "/a b", "AIP_PREDICT_ROUTE: expected a path that starts"),
        ("AIP_PREDICT_ROUTE", "/{x}", "AIP_PREDICT_ROUTE: expected a path that starts"),
    ],
)
def test_an_invalid_value_is_an_error(name, value, message):
    with pytest.raises(UserError, match=re.escape(message)):
        vertex_environment({name: value})
