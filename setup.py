"""Builds the package with tools that still run setup.py.

The metadata is in pyproject.toml.
"""

from setuptools import setup

setup()
