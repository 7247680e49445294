import json
import sys

import pytest

from object2vec_tf.errors import UserError
from object2vec_tf.extras import import_extra


def test_a_module_that_is_installed_is_returned():
    assert import_extra("json", "tune", "a test") is json


def test_a_missing_module_is_reported_with_the_command_that_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(UserError) as raised:
        import_extra("optuna", "tune", "object2vec_tf.tune")
    message = str(raised.value)
    assert message.startswith("object2vec_tf.tune needs optuna: import of optuna ")
    assert ". Run: pip install 'optuna" in message
