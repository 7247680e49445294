# Trains and serves a model in the layout of a SageMaker container:
#   docker run -v "$PWD/ml:/opt/ml" IMAGE train
#   docker run -v "$PWD/ml:/opt/ml" -p 8080:8080 IMAGE serve
FROM python:3.13-slim
WORKDIR /src
COPY setup.py pyproject.toml README.md LICENSE ./
COPY object2vec_tf object2vec_tf
COPY export export
RUN pip install --no-cache-dir . && rm -rf /src/*
WORKDIR /
ENV PYTHONUNBUFFERED=1
ENTRYPOINT ["python", "-m", "object2vec_tf.sagemaker"]
