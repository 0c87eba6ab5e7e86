"""Tables of Markdown as lists of cells, so that tests look at values."""

from ich_tf.evidence.render import parsed_rows as rows


def row(text, *first):
    """What follows these first cells in the one row that begins with them."""
    (cells,) = (row for row in rows(text) if row[: len(first)] == list(first))
    return cells[len(first) :]
