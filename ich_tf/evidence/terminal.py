"""Tables drawn for a terminal, at most 100 columns wide."""

import io

WIDTH = 100
AT_ONCE = 4
"""Columns that fit next to the row's name and its verdict; others follow below."""


def text(
    caption: str, header: list[str], body: list[list[str]], notes: list[str]
) -> str:
    """Draw a table; long cells are wrapped.

    Args:
        caption: Stands above it.
        header: "Row", the titles of the numbers, "Verdict".
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
    last = len(header) - 1
    for start in range(1, max(last, 2), AT_ONCE):
        stop = start + AT_ONCE
        shown = range(start, stop if stop < last else len(header))
        table = Table(box=box.SIMPLE_HEAD, expand=False, pad_edge=False)
        for place in (0, *shown):
            table.add_column(header[place], overflow="fold")
        for row in body:
            table.add_row(*(row[place] for place in (0, *shown)))
        console.print(table)
    for note in notes:
        console.print(note)
    return output.getvalue()
