"""Detect, classify and segment intracranial hemorrhage in head CT with Keras."""

__version__ = "0.1.0"
