"""Tables of Markdown as lists of cells, so that tests look at values."""


def rows(text):
    """The cells of every row of every table, without rulers."""
    lines = (line.strip() for line in text.splitlines())
    cells = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in lines
        if line.startswith("|")
    ]
    return [row for row in cells if not set("".join(row)) <= set(":- ")]


def row(text, *first):
    """What follows these first cells in the one row that begins with them."""
    (cells,) = (row for row in rows(text) if row[: len(first)] == list(first))
    return cells[len(first) :]
