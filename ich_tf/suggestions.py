"""A near miss named in an error message."""

import difflib
from collections.abc import Iterable


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A sentence that names the known word closest to a mistyped word.

    Args:
        word: What was given.
        known: What would have been right.

    Returns:
        " Did you mean 'x'?" with a leading blank; empty if nothing is close.
    """
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f" Did you mean {near[0]!r}?" if near else ""
