"""Tables of the report: which rows and columns each of them has.

Their numbers are in `table_cells`, and `render` prints them.
"""

import dataclasses
import pathlib
from collections.abc import Iterable, Mapping

from ich_tf import labels, suggestions
from ich_tf.experiments import results as stored
from ich_tf.experiments.catalog import CATALOG
from ich_tf.experiments.results import Result
from ich_tf.experiments.rows import related, table3, volume3d
from ich_tf.experiments.spec import Row

PROTOCOL = "hssayeni2020"
"""Protocol of the report's segmentation, as far as it is known."""
CLASSES = (labels.ANY, *labels.SUBTYPES)
ALL_CLASSES = "all"
"""Group of a score over all classes."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Table:
    """One table.

    Attributes:
        name: Its name in `TABLES` and on the command line.
        caption: Its title.
        identity: The data that its reported numbers are about, see
            `Dataset.fingerprint`.
        columns: Names of scores in a result's summary, and "seconds_per_epoch" or
            "peak_memory_gb".
        rows: The rows that it is about, in their order.
        compared: Rows of other tables, shown for comparison.
        groups: A row is shown once for each: a class, or `ALL_CLASSES`; none for a
            table of masks, whose rows are shown under one protocol.
        digits: Decimals of the printed numbers.
        reported_in: Table of the report with the printed numbers.
        quotes_others: Whether the reported numbers are other papers', on their data,
            which nothing here can reproduce.
        titles: Id to title of rows that this table calls otherwise.
        shown_order: Ids in the order of the table; the default is `rows`, `compared`.
        notes: What should be read with the table, whatever was run.
    """

    name: str
    caption: str
    identity: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    compared: tuple[Row, ...] = ()
    groups: tuple[str, ...] = ()
    digits: int = 3
    reported_in: str
    quotes_others: bool = False
    titles: Mapping[str, str] = dataclasses.field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def shown(self) -> tuple[Row, ...]:
        """All rows in the order of the table."""
        return (*self.rows, *self.compared)

    @property
    def is_of_masks(self) -> bool:
        """Whether its numbers depend on the protocol of segmentation."""
        return not self.groups

    @property
    def has_reported_numbers(self) -> bool:
        """Whether the report prints a number of its own in this table."""
        return not self.quotes_others and any(
            row.number(self.reported_in, group, column) is not None
            for group in self.groups_under(PROTOCOL)
            for row in self.shown
            for column in self.columns
        )

    def has_profile(self, profile: str) -> bool:
        """Whether one of its own rows can run in a profile."""
        return any(profile in row.settings for row in self.rows)

    def groups_under(self, protocol: str) -> tuple[str, ...]:
        """The classes, or the protocol, that each row is shown for."""
        return self.groups or (protocol,)

    def title(self, row: Row, group: str, result: Result | None = None) -> str:
        """The name of a row in this table; of a result, the network that was trained.

        A result of other weights than the row asks for says so.
        """
        settings = row.settings.get(result.profile) if result else None
        own = row.title_with(settings) if settings else row.title
        title = self.titles.get(row.id, own)
        if row.same_training(result):
            title += " [same training as the RI row]"
        elif result:
            title += result.other_weights
        return f"{labels.SHORT[group]}: {title}" if group in labels.SHORT else title


def _by_id(ids: Iterable[str]) -> tuple[Row, ...]:
    return tuple(CATALOG.row(row_id) for row_id in ids)


_CT_ICH, _RSNA = "ct-ich 1.3.1", "RSNA 2019 stage 2"
_MASKS = ("jaccard", "dice", "sensitivity", "specificity")
TABLES = {
    table.name: table
    for table in (
        Table(
            name="table1",
            caption="Table I: slices and scans classified on RSNA 2019",
            identity=_RSNA,
            columns=("auc_scan", "auc_slice", "accuracy_scan", "accuracy_slice"),
            rows=CATALOG.rows("table1"),
            groups=CLASSES,
            digits=4,
            reported_in="table1",
        ),
        Table(
            name="table1-losses",
            caption="Validation loss, next to Table I",
            identity=_RSNA,
            columns=("validation_loss", "weighted_log_loss"),
            rows=CATALOG.rows("table1"),
            groups=(ALL_CLASSES,),
            digits=4,
            reported_in="table1",
        ),
        Table(
            name="table1-more",
            caption="Beyond Table I: what the report does not print, at slice level",
            identity=_RSNA,
            columns=(
                "sensitivity_slice",
                "specificity_slice",
                "calibration_error_slice",
            ),
            rows=CATALOG.rows("table1"),
            groups=CLASSES,
            digits=4,
            reported_in="table1",
        ),
        Table(
            name="table1-imagenet",
            caption="Table I from ImageNet weights, which the report names, next to "
            "the weights of [1]'s code",
            identity=_RSNA,
            columns=("auc_scan", "auc_slice", "accuracy_scan", "accuracy_slice"),
            rows=CATALOG.rows("table1-imagenet"),
            compared=CATALOG.rows("table1"),
            groups=CLASSES,
            digits=4,
            reported_in="table1",
        ),
        Table(
            name="ct-ich-slices",
            caption="Not in the report: slices of ct-ich 1.0 classified, five folds by "
            "patient",
            identity="ct-ich 1.0",
            columns=("auc_scan", "auc_slice"),
            rows=CATALOG.rows("ct-ich-slices"),
            groups=CLASSES,
            reported_in="",
        ),
        Table(
            name="table2",
            caption="Table II: UNet++ on ct-ich",
            identity=_CT_ICH,
            columns=("jaccard", "dice"),
            rows=CATALOG.rows("table2"),
            reported_in="table2",
        ),
        Table(
            name="table3",
            caption="Table III: UNet++ against the U-Net of [2]",
            identity=_CT_ICH,
            columns=_MASKS,
            rows=_by_id(table3.SHOWN),
            reported_in="table3",
            titles={table3.UNETPP: "UNet++"},
        ),
        Table(
            name="related",
            caption="Section II: related work without networks, next to Table III's "
            "networks",
            identity="the data of each paper",
            columns=_MASKS,
            rows=CATALOG.rows("related"),
            compared=_by_id(related.BESIDE),
            reported_in="related",
            quotes_others=True,
            notes=related.notes(),
        ),
        Table(
            name="volume3d",
            caption="Section V: the 3-D UNet++ that the report could not train, next "
            "to 2-D",
            identity=_CT_ICH,
            columns=("jaccard", "dice", "seconds_per_epoch", "peak_memory_gb"),
            rows=CATALOG.rows("volume3d"),
            compared=_by_id(volume3d.BESIDE),
            reported_in="volume3d",
        ),
        Table(
            name="options",
            caption="What the report leaves open about its best network, next to the "
            "row of Table II",
            identity=_CT_ICH,
            columns=("jaccard", "dice"),
            rows=CATALOG.rows("options"),
            compared=_by_id(table3.SHOWN[:1]),
            reported_in="options",
        ),
    )
}


def table(name: str) -> Table:
    """Look a table up.

    Raises:
        ValueError: if the name is unknown; the message lists the known ones.
    """
    if name not in TABLES:
        near = suggestions.did_you_mean(name, TABLES)
        raise ValueError(f"Unknown table {name!r}.{near} Known: {', '.join(TABLES)}")
    return TABLES[name]


def showing(names: Iterable[str]) -> list[Table]:
    """The tables that are about any of these tables' rows or experiment ids."""
    ids = {row.id for name in names for row in CATALOG.find(name)}
    return [table for table in TABLES.values() if ids & {row.id for row in table.rows}]


def worth_showing(
    results: pathlib.Path, profile: str, known: Mapping[str, Table] = TABLES
) -> list[Table]:
    """Tables that hold a number: of the report, or of a row that was run."""
    return [
        table
        for table in known.values()
        if table.has_profile(profile)
        and any(
            row.reported or stored.result_file(results, profile, row.id).is_file()
            for row in table.rows
        )
    ]
