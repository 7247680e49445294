"""Scores a pair through the gateway with AWS's own client.

python export/tf_serving/clients/boto3_client.py http://HOST:PORT
"""

import json
import sys

import boto3

client = boto3.client(
    "sagemaker-runtime",
    endpoint_url=sys.argv[1],
    region_name="us-east-1",
    aws_access_key_id="none",
    aws_secret_access_key="none",
)
response = client.invoke_endpoint(
    EndpointName="object2vec",
    ContentType="application/json",
    Body=json.dumps({"instances": [{"in0": [3, 7], "in1": [4]}]}),
)
print(json.load(response["Body"])["predictions"][0]["scores"])
