"""All rows by table and id."""

from collections.abc import Iterator, Mapping

from ich_tf import suggestions
from ich_tf.experiments.rows import (
    audit,
    ct_ich_slices,
    options,
    painted,
    real_heads,
    related,
    shipped,
    table1,
    table2,
    table3,
    volume3d,
)
from ich_tf.experiments.spec import Row


class Catalog:
    """Rows by the table that trains them.

    Args:
        tables: Name of a table to its rows.
    """

    def __init__(self, tables: Mapping[str, tuple[Row, ...]]):
        self._tables = dict(tables)

    def __iter__(self) -> Iterator[Row]:
        """Every row, table by table."""
        for rows in self._tables.values():
            yield from rows

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the tables."""
        return tuple(self._tables)

    def rows(self, table: str) -> tuple[Row, ...]:
        """The rows that are trained for a table.

        Raises:
            ValueError: if the table is unknown; the message lists the known ones.
        """
        if table not in self._tables:
            known = ", ".join(self._tables)
            raise ValueError(f"Unknown table {table!r}. Known: {known}")
        return self._tables[table]

    def row(self, experiment_id: str) -> Row:
        """The row with an id.

        Raises:
            ValueError: if the id is unknown; the message lists the known ids.
        """
        for row in self:
            if row.id == experiment_id:
                return row
        if experiment_id in self._tables:
            ids = ", ".join(row.id for row in self._tables[experiment_id])
            raise ValueError(f"{experiment_id} is not one row. Its rows: {ids}")
        names = [*self._tables, *(row.id for row in self)]
        near = suggestions.did_you_mean(experiment_id, names)
        raise ValueError(
            f"Unknown experiment {experiment_id!r}.{near} Known: {', '.join(names)}"
        )

    def find(self, name: str) -> tuple[Row, ...]:
        """The rows of a table, or the one with this id.

        Raises:
            ValueError: if nothing has this name; the message lists what has.
        """
        return self._tables[name] if name in self._tables else (self.row(name),)


CATALOG = Catalog(
    {
        "table1": table1.ROWS,
        "table1-imagenet": table1.IMAGENET_ROWS,
        "table2": table2.ROWS,
        "table3": table3.ROWS,
        "volume3d": volume3d.ROWS,
        "ct-ich-slices": ct_ich_slices.ROWS,
        "related": related.ROWS,
        "audit": audit.ROWS,
        "options": options.ROWS,
        "painted": painted.ROWS,
        "real-heads": real_heads.ROWS,
        "shipped": shipped.ROWS,
    }
)
