"""Printing to a terminal or pipe whose encoding lacks some characters."""

import codecs
import json
import sys

PLAIN = str.maketrans(
    {
        "–": "-",
        "—": "-",
        "…": "...",
        "±": "+/-",
        "×": "x",
        "≤": "<=",
        "≥": ">=",
        "²": "2",
        "³": "3",
    }
)
"""What ASCII shows for the characters of the tables."""


def make_safe() -> None:
    """Let no character that is printed be an error.

    What standard output or standard error cannot encode is written in plain ASCII, or
    as a JSON escape: a file name in another encoding, a dash on an ASCII terminal.
    """
    codecs.register_error("ich_tf", _replace)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="ich_tf")


def _replace(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end].translate(PLAIN)
    return json.dumps(text)[1:-1], error.end
