"""The rows of Table III and their other crops in profile `paper`, at reduced size.

Usage: python paper_run.py DATA RESULTS
"""

import dataclasses
import pathlib
import sys

from ich_tf.evidence import tables
from ich_tf.experiments import reproduce, runner
from ich_tf.experiments.catalog import CATALOG, Catalog
from ich_tf.experiments.rows import audit

ROW = "table3/unet-hssayeni"
OTHER_CROPS = [name for (of, _), name in audit.OTHER_CROPS.items() if of == ROW]
# Two steps a fold, with a state between them.
REDUCED = {
    "size": 64,
    "tile": 32,
    "stride": 16,
    "inference_stride": 16,
    "epochs": 2,
    "steps_per_epoch": 1,
    "batch": 4,
    "validation_crops": 8,
}


def _small(row):
    if row.id not in (ROW, *OTHER_CROPS):
        return row
    paper = dataclasses.replace(row.settings["paper"], **REDUCED)
    return dataclasses.replace(
        row, arguments={"filters": (4, 8, 8)}, settings={"paper": paper}
    )


ROWS = Catalog({name: tuple(map(_small, CATALOG.rows(name))) for name in CATALOG.names})
TABLE = dataclasses.replace(
    tables.TABLES["table3"], rows=tuple(map(_small, tables.TABLES["table3"].rows))
)


def run(data, results, names=(ROW,), say=print):
    folders = runner.Folders(
        pathlib.Path(results), pathlib.Path(results) / "weights", ct_ich=data
    )
    done = reproduce.reproduce_by_name(
        names, folders, profile="paper", rows=ROWS, say=say
    )
    return folders, done


if __name__ == "__main__":
    run(*sys.argv[1:])
