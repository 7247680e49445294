"""The program of a fresh process that loads models and answers with predictions.

It reads lines ``{"path", "inputs", "compile", "in0", "in1"}`` from stdin. It imports
only the package, as a user's new process does, so that custom classes have to be
registered.
"""

import json
import os
import sys

import object2vec_tf  # noqa: F401

import keras  # isort: skip
import tensorflow as tf

answers = os.fdopen(os.dup(1), "w", buffering=1)
os.dup2(2, 1)
for line in sys.stdin:
    request = json.loads(line)
    try:
        model = keras.models.load_model(request["path"], compile=request["compile"])
        in0, in1 = (
            tf.ragged.constant(request[name], dtype=tf.int64, ragged_rank=1)
            for name in ("in0", "in1")
        )
        inputs = in0 if request["inputs"] == "in0" else {"in0": in0, "in1": in1}
        answer = {"scores": model.predict(inputs, verbose=0).tolist()}
    except Exception as error:
        answer = {"error": f"{type(error).__name__}: {error}"}
    print(json.dumps(answer), file=answers)
