"""Embeds two objects and scores a pair over TF Serving's gRPC interface.

python export/tf_serving/clients/grpc_client.py HOST:PORT [MODEL_NAME]
"""

import sys

import grpc
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

address, name = sys.argv[1], (sys.argv[2:] or ["object2vec"])[0]
stub = prediction_service_pb2_grpc.PredictionServiceStub(grpc.insecure_channel(address))


def predict(signature, **inputs):
    """Returns the output of a signature.

    Args:
        signature: The name of the signature.
        **inputs: Rows of token ids, with one -1 in front, padded with -1 at the end.
    """
    request = predict_pb2.PredictRequest()
    request.model_spec.name = name
    request.model_spec.signature_name = signature
    for key, rows in inputs.items():
        request.inputs[key].CopyFrom(tf.make_tensor_proto(rows, tf.int64))
    (output,) = stub.Predict(request, timeout=10).outputs.values()
    return tf.make_ndarray(output)


print(predict("embed_enc0", in0=[[-1, 3, 7], [-1, 5, -1]]).shape)
print(predict("predict_pair", in0=[[-1, 3, 7]], in1=[[-1, 4]]))
