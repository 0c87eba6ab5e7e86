"""The command line: each verb is one call, its result printed."""

from ich_tf.cli.main import main

__all__ = ["main"]
