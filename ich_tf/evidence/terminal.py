"""Tables drawn for a terminal, at most 100 columns wide."""

import io

WIDTH = 100
GROUP = 3
"""Columns of one score: reported, ours, verdict."""
AT_ONCE = 2
"""Scores that fit side by side; further ones follow in a table below."""


def text(
    caption: str, header: list[str], body: list[list[str]], notes: list[str]
) -> str:
    """Draw a table; long cells are wrapped.

    Args:
        caption: Stands above it.
        header: "Row", then `GROUP` titles for each score.
        body: A list of as many cells for each row.
        notes: Stand below it, one a line.

    Returns:
        Lines of at most `WIDTH` characters.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table

    output = io.StringIO()
    # Without markup: cells hold square brackets.
    console = Console(
        file=output, width=WIDTH, color_system=None, highlight=False, markup=False
    )
    console.print(caption)
    step = GROUP * AT_ONCE
    for start in range(1, len(header), step):
        table = Table(box=box.SIMPLE_HEAD, expand=False, pad_edge=False)
        for title in (header[0], *header[start : start + step]):
            table.add_column(title, overflow="fold")
        for row in body:
            table.add_row(row[0], *row[start : start + step])
        console.print(table)
    for note in notes:
        console.print(note)
    return output.getvalue()
