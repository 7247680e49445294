"""Tests of the packages and tools.

A package, so that no installed distribution that has a package `tests` can hide it.
"""
