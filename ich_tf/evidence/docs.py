"""Pages of the documentation that are made from result files."""

import functools
import os
import pathlib
from collections.abc import Callable

from ich_tf import files
from ich_tf.evidence import (
    audit_page,
    classification_page,
    first_page,
    real_heads,
    synthetic_page,
)


def write(
    results: str | os.PathLike, docs: pathlib.Path, say: Callable[[str], None]
) -> None:
    """Write every page whose results are there, its picture and README.md's numbers.

    For everything else, what is missing is printed.

    Args:
        results: Folder of results.
        docs: Folder of the documentation.
        say: Takes a line.
    """
    made = (
        ("classification", classification_page.page),
        ("synthetic", synthetic_page.page),
        (
            "real-heads",
            functools.partial(real_heads.page, recorded=docs / "real-heads.md"),
        ),
        ("audit", audit_page.page),
    )
    for name, make in made:
        try:
            page = make(results)
        except ValueError as error:
            say(f"docs/{name}.md stays as it is: {error}")
            continue
        files.write_bytes(docs / f"{name}.md", page.encode())
    picture = docs / "figures-3-7.png"
    try:
        classification_page.draw_figures(results, picture)
    except ValueError as error:
        say(f"docs/{picture.name} stays as it is: {error}")
    page = docs.parent / first_page.PAGE.name
    if page.is_file():
        try:
            first_page.update(page)
        except ValueError as error:
            say(f"{page.name} stays as it is: {error}")
