"""All rows with settings that train in seconds, on a few small phantom heads."""

import dataclasses
from collections.abc import Iterable

from ich_tf.evidence import tables
from ich_tf.experiments import catalog, lookup, runner, spec
from ich_tf.experiments import reproduce as reproducing
from ich_tf.experiments.catalog import Catalog
from ich_tf.experiments.rows import painted, real_heads, table1, table2, volume3d

PHANTOM = {"cases": 8, "seed": 4, "slices": 6, "size": 64, "bleeding_share": 0.5}

SEGMENTATION = dataclasses.replace(
    table2.DEMO,
    size=64,
    tile=32,
    stride=16,
    inference_stride=32,
    epochs=2,
    steps_per_epoch=2,
    batch=2,
    warmup_steps=1,
    validation_crops=4,
    phantom=PHANTOM,
    split=(0.5, 0.25, 0.25),
)
VOLUMES = dataclasses.replace(
    volume3d.DEMO,
    size=64,
    patch=(4, 32, 32),
    filters=2,
    epochs=2,
    steps_per_epoch=2,
    batch=2,
    validation_steps=1,
    phantom=PHANTOM,
    split=(0.5, 0.25, 0.25),
)
PAINTED = dataclasses.replace(
    painted.DEMO,
    size=64,
    tile=64,
    epochs=1,
    steps_per_epoch=2,
    batch=2,
    validation_crops=4,
    phantom={**PHANTOM, "cases": 12, "slices": 10},
    split=(0.5, 0.25, 0.25),
    painted_split=(0.4, 0.3, 0.3),
    copies=2,
)
REAL_HEADS = dataclasses.replace(
    real_heads.SHIPPED,
    name="demo",
    size=64,
    tile=32,
    epochs=1,
    steps_per_epoch=2,
    batch=2,
    validation_crops=4,
    phantom=PAINTED.phantom,
    split=PAINTED.split,
    painted_split=PAINTED.painted_split,
    copies=1,
    phantom_heads=0,
    warmup_steps=1,
)
CLASSIFIER = dataclasses.replace(
    table1.DEMO,
    size=32,
    split=0.4,
    # In float32 on every processor, since probabilities are compared.
    slices=dataclasses.replace(
        table1.DEMO.slices, parts=2, steps_per_epoch=2, batch=4, precision="float32"
    ),
    sequence=dataclasses.replace(
        table1.DEMO.sequence, epochs=2, batch=2, precision="float32"
    ),
    phantom=PHANTOM,
    network={
        "model": "resnext",
        "arguments": {"cardinality": 2, "width": 2, "filters": 4, "init": "random"},
    },
    sequence_arguments={"components": 4, "hidden": 4, "layers": 1},
)


# Networks with few filters: with all filters most of the time would go to writing
# checkpoints and to tracing levels.
_ARGUMENTS = {
    "table3/unet-hssayeni": {"filters": (4, 8, 8)},
    "painted/both": {**spec.SMALL_UNETPLUSPLUS, "filters": (4, 8, 16)},
}


def row(normal: spec.Row) -> spec.Row:
    """A row with small settings in profile "demo"."""
    if "demo" not in normal.settings and "shipped" not in normal.settings:
        return normal
    scale = next(of for kind, of in _SETTINGS.items() if isinstance(normal, kind))
    changes = {"settings": {**normal.settings, "demo": scale}}
    if isinstance(normal, spec.VolumeExperiment):
        changes["arguments"] = {**normal.arguments, "levels": 3}
    if normal.id in _ARGUMENTS:
        changes["arguments"] = _ARGUMENTS[normal.id]
    if isinstance(normal, spec.RealHeadsExperiment):
        changes["begins_with"] = None
        changes["arguments"] = {**normal.arguments, "filters": (2, 4, 8)}
    return dataclasses.replace(normal, **changes)


# The first class that fits decides.
_SETTINGS = {
    spec.RealHeadsExperiment: REAL_HEADS,
    spec.PaintedExperiment: PAINTED,
    spec.VolumeExperiment: VOLUMES,
    spec.Classifier: CLASSIFIER,
    spec.Row: SEGMENTATION,
}
CATALOG = Catalog(
    {
        name: tuple(map(row, catalog.CATALOG.rows(name)))
        for name in catalog.CATALOG.names
    }
)
TABLES = {
    table.name: dataclasses.replace(
        table,
        rows=tuple(CATALOG.row(normal.id) for normal in table.rows),
        compared=tuple(CATALOG.row(normal.id) for normal in table.compared),
    )
    for table in tables.TABLES.values()
}
# A row of each kind of experiment.
KINDS = {
    "segmentation": "table3/unet-hssayeni",
    "baseline": "related/hu-threshold",
    "volumes": "volume3d/add",
    "painted": "painted/both",
    "real-heads": "shipped/real-heads",
    "classification": "table1/resnext101",
}


def run(name: str, folders: runner.Folders, **options) -> runner.Run:
    """A small run on the phantom, which is written if it is absent."""
    return lookup.find_run(name, "demo", folders, print, rows=CATALOG, **options)


def runs(names: Iterable[str], folders: runner.Folders, **options) -> list[runner.Run]:
    """Small runs on the phantom of tables and rows."""
    return lookup.find_runs(names, "demo", folders, print, rows=CATALOG, **options)


def reproduce(names: Iterable[str], folders: runner.Folders, **options) -> list:
    """Results of small rows on the phantom."""
    options = {"say": lambda line: None, **options}
    return reproducing.reproduce(runs(names, folders), **options)
