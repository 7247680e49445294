"""The package's metadata, in this one place; pyproject.toml holds tool settings."""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
VERSION = re.search(
    r'^__version__ = "(.+)"$',
    (HERE / "object2vec_tf/__init__.py").read_text(encoding="utf-8"),
    re.MULTILINE,
).group(1)

setup(
    name="object2vec_tf",
    version=VERSION,
    description="Learn embeddings from pairs of objects, with TensorFlow and Keras 3",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    python_requires=">=3.11,<3.14",
    packages=find_packages(include=["object2vec_tf*", "export*"]),
    package_data={
        "object2vec_tf": ["py.typed"],
        "export": ["py.typed", "tf_serving/*", "tf_serving/clients/*"],
    },
    install_requires=[
        "absl-py>=2.1",
        "awkward>=2.7,<3",
        "httptools>=0.6",
        "keras>=3.13,<3.16",
        "msgspec>=0.19",
        "numpy>=2.0,<3",
        "orjson>=3.10",
        "pyarrow>=17",
        "prometheus-client>=0.20",
        "rich>=13.8",
        "starlette>=0.40",
        "tensorboard>=2.20,<2.22",
        "tensorflow>=2.20,<2.22",
        "tensorflow-serving-api>=2.19,<2.22",
        "tensorflow-text>=2.20,<2.22",
        "uvicorn>=0.30",
        "uvloop>=0.20; sys_platform != 'win32'",
        "xxhash>=3.4",
        "zstandard>=0.23",
    ],
    extras_require={
        # One extra for each of the tasks that the base install does not serve.
        "datasets": ["mwparserfromhell>=0.6.6"],
        "distributed": ["ray[data]>=2.50"],
        "neighbors": ["faiss-cpu>=1.8"],
        "onnx": ["onnx>=1.16", "onnxruntime>=1.18"],
        "tune": ["optuna>=4"],
        "test": [
            "boto3>=1.34",
            "build>=1.2",
            "faiss-cpu>=1.8",
            "mwparserfromhell>=0.6.6",
            "mypy>=2.0,<3",
            "onnx>=1.16",
            "onnxruntime>=1.18",
            "optuna>=4",
            "pytest>=8.3",
            "pytest-xdist>=3.6",
            "ruff>=0.15",
            "sentencepiece>=0.2",
        ],
    },
    classifiers=[
        "Development Status :: 4 - Beta",
        "Intended Audience :: Developers",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Typing :: Typed",
    ],
)
