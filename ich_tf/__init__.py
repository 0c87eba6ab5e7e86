"""Detect, classify and segment intracranial hemorrhage in head CT with Keras."""

import os

# TensorFlow leaves oneDNN off on processors without AVX512-VNNI, as most laptops are:
# a training step of the small UNet++ takes 2.4 times as long without, one of
# DenseNet169 1.3 times (benchmarks/onednn.py).
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

__version__ = "0.1.0"
