"""Rows and settings that train in seconds, one for each kind of experiment."""

import dataclasses

from ich_tf import data
from ich_tf.experiments import profiles, runner, spec
from ich_tf.synthetic import layouts

PHANTOM = {"cases": 8, "seed": 4, "slices": 6, "size": 64, "bleeding_share": 0.5}

SEGMENTATION = dataclasses.replace(
    profiles.DEMO,
    size=64,
    tile=32,
    stride=16,
    inference_stride=32,
    epochs=2,
    steps_per_epoch=2,
    batch=2,
    validation_crops=4,
    phantom=PHANTOM,
    split=(0.5, 0.25, 0.25),
    row_changes={},
)
VOLUMES = dataclasses.replace(
    profiles.VOLUME_DEMO,
    size=64,
    patch=(4, 32, 32),
    filters=2,
    epochs=2,
    steps_per_epoch=2,
    batch=2,
    validation_steps=1,
    phantom=PHANTOM,
    split=(0.5, 0.25, 0.25),
    row_changes={},
)
PAINTED = dataclasses.replace(
    profiles.PAINTED_DEMO,
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
    profiles.REAL_HEADS_SHIPPED,
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
    profiles.CLASSIFIER_DEMO,
    size=32,
    split=0.4,
    slices=dataclasses.replace(
        profiles.CLASSIFIER_DEMO.slices, parts=2, steps_per_epoch=2, batch=4
    ),
    sequence=dataclasses.replace(profiles.CLASSIFIER_DEMO.sequence, epochs=2, batch=2),
    phantom=PHANTOM,
    network={
        "model": "resnext",
        "arguments": {"cardinality": 2, "width": 2, "filters": 4, "init": "random"},
    },
    sequence_arguments={"components": 4, "hidden": 4, "layers": 1},
    row_changes={},
)


def _row(name: str, **arguments):
    (row,) = spec.find(name)
    if not arguments:
        return row
    return dataclasses.replace(row, arguments={**row.arguments, **arguments})


# A row, and its settings, of each kind of experiment.
KINDS = {
    "segmentation": (
        dataclasses.replace(
            _row("table3/unet-hssayeni"), arguments={"filters": (4, 8, 8)}
        ),
        SEGMENTATION,
    ),
    "baseline": (_row("related/hu-threshold"), SEGMENTATION),
    "volumes": (_row("volume3d/add", levels=3), VOLUMES),
    "painted": (_row("painted/both", filters=(4, 8, 16)), PAINTED),
    "real-heads": (
        dataclasses.replace(
            _row("shipped/real-heads", filters=(2, 4, 8)), begins_with=None
        ),
        REAL_HEADS,
    ),
    "classification": (_row("table1/resnext101"), CLASSIFIER),
}


def run(kind: str, folders: runner.Folders) -> runner.Run:
    """A run of one kind on the phantom, which is written if it is absent."""
    row, settings = KINDS[kind]
    root = layouts.phantom_as(
        row.dataset, folders.results / "phantom", say=print, **settings.phantom
    )
    dataset = data.open_dataset(row.dataset, root)
    made = runner.Run(row, settings, dataset, folders)
    if made.task.needs_phantom:
        made = dataclasses.replace(made, phantom=dataset)
    return made
