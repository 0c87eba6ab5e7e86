"""What `ich-tf all` runs in each profile, and how long that takes."""

import dataclasses

OPTIONS = "options"
ORDER = (
    *("tables-2-3", "table-1", "volume-3d", "related", "protocols"),
    *("audit", "tables", "verify", "report", "notebooks"),
)
"""The stages of every profile, in the order they run; the study adds `OPTIONS`."""


@dataclasses.dataclass(frozen=True)
class ProfilePlan:
    """What one profile runs.

    Args:
        segmentation: Rows and tables that need masks.
        classification: Rows and tables that need labelled slices.
        volumes: Rows and tables in 3-D.
        more: Rows and tables beyond these.
        once: Rows that are trained with the first seed only.
        swept: The row that is scored under every convention.
        seeds: Seeds of the trainings. Several answer the questions of the study.
        minutes: Stage -> minutes on two cores without bfloat16; empty if unknown.
    """

    segmentation: tuple[str, ...]
    classification: tuple[str, ...]
    volumes: tuple[str, ...]
    more: tuple[str, ...]
    swept: str
    once: tuple[str, ...] = ()
    seeds: tuple[int, ...] = (0,)
    minutes: dict[str, int] = dataclasses.field(default_factory=dict)


PLANS = {
    "demo": ProfilePlan(
        segmentation=("table2", "table3"),
        classification=("table1",),
        volumes=("volume3d",),
        more=("related",),
        swept="table2/densenet169-imagenet-jaccard",
        minutes={
            **{"tables-2-3": 25, "table-1": 11, "volume-3d": 5, "related": 2},
            **{"report": 1, "notebooks": 1},
        },
    ),
    "quick": ProfilePlan(
        segmentation=("table2/resnet50-random-bce", "table3/unet-hssayeni"),
        classification=("table1",),
        volumes=("volume3d/add",),
        more=("related/hu-threshold",),
        swept="table2/resnet50-random-bce",
        minutes={
            **{"tables-2-3": 2, "table-1": 1, "volume-3d": 1},
            **{"report": 1, "notebooks": 2},
        },
    ),
    "study": ProfilePlan(
        segmentation=("table2", "table3"),
        classification=("table1",),
        volumes=("volume3d/2d", "volume3d/add"),
        more=("related/hu-threshold", "related/random-forest"),
        swept="table2/densenet169-imagenet-jaccard",
        once=(
            *("options/transposed", "options/full-graph", "volume3d/concat"),
            *("audit/approach2-bce", "audit/approach2-hu"),
        ),
        seeds=(0, 1, 2),
    ),
    "paper": ProfilePlan(
        segmentation=("table2", "table3"),
        classification=("table1",),
        volumes=("volume3d",),
        more=("related", "audit"),
        swept="table2/densenet169-imagenet-jaccard",
    ),
}
"""The profiles that `all` runs."""

VERDICTS = {
    True: {
        0: "0: regression check passed; nothing was reproduced",
        1: "1: regression check failed: a number is not as recorded",
        2: "2: nothing differs, but rows were not run or cannot be compared",
    },
    False: {
        0: "0: every number is equivalent to the report's, or as recorded",
        1: "1: a number is better or worse than the report's, or differs",
        2: "2: nothing differs, but numbers are undecided, not run or not comparable",
    },
}
"""Whether the data are the phantom's -> exit status of `verify` -> what it means."""
