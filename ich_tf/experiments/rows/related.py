"""Related work of the report's section II: its methods without networks, run here.

The numbers of the papers are on their own data, so nothing here reproduces them; they
stand next to ours, and the networks of Table III next to both, on the same cases under
the same protocols.
"""

from ich_tf.experiments import spec
from ich_tf.experiments.reported import reported
from ich_tf.experiments.rows import table2, table3

LEAVES_OPEN = ("all parameters; the report names the method only",)
ASSUMPTIONS = ("the method's core on scikit-image and scikit-learn, see classical.py",)
# Row -> its title, method in `classical`, and the report's references.
METHODS = {
    "hu-threshold": ("HU threshold [6]", "hu_threshold", (6,)),
    "fcm-active-contour": (
        "Fuzzy c-means, region-based active contour [20]",
        "fcm_active_contour",
        (20,),
    ),
    "chan-vese": ("Chan-Vese, without the autoencoder [21]", "chan_vese", (21,)),
    "random-forest": ("Voxels: random forest [22]", "random_forest", (22,)),
    "logistic-regression": (
        "Voxels: logistic regression [22]",
        "logistic_regression",
        (22,),
    ),
    "fcm-wavelet": ("Fuzzy c-means, wavelet threshold [24]", "fcm_wavelet", (24,)),
    "level-set": (
        "Distance-regularised level set [16, 25]",
        "level_set",
        (16, 25),
    ),
}
# Our sensitivity and specificity count slices; those that the report states for a
# segmentation count pixels.
OF_MASKS, OF_SLICES = ("jaccard", "dice"), ("sensitivity", "specificity")


def _row(name: str, title: str, method: str, references: tuple) -> spec.Baseline:
    stated = [paper for paper in _work() if paper["ref"] in references]
    numbers = {}
    for paper in stated:
        columns = OF_SLICES if paper["task"] == "detection" else OF_MASKS
        numbers |= {column: paper[column] for column in columns if column in paper}
    return spec.Baseline(
        id=f"related/{name}",
        title=title,
        method=method,
        reported={"related": numbers},
        states=f"{'; '.join(map(_quoted, stated))}. On other data.",
        leaves_open=LEAVES_OPEN,
        assumptions=ASSUMPTIONS,
        settings=table2.SETTINGS,
    )


def not_run() -> list[str]:
    """What section II states of methods that have no row here, one line each."""
    run = {reference for *_, references in METHODS.values() for reference in references}
    return [_quoted(paper) for paper in _work() if paper["ref"] not in run]


def _work() -> list[dict]:
    return reported()["related_work"]


def _quoted(paper: dict) -> str:
    """An entry of section II as a line."""
    said = {"ref", "method", "task", "note"}
    numbers = [f"{name} {paper[name]}" for name in paper if name not in said]
    words = [f"[{paper['ref']}] {paper['method']}: {paper['task']}", *numbers]
    return ", ".join([*words, *([paper["note"]] if "note" in paper else [])])


ROWS = tuple(_row(name, *what) for name, what in METHODS.items())
# A row of Table II that needs no ImageNet weights.
TRAINED = "table2/vgg16-random-bce"
# Shown next to these rows.
BESIDE = (TRAINED, *table3.SHOWN)


def notes() -> tuple[str, ...]:
    """What the report states about each method, and about those without a row here."""
    stated = (f"{row.id}: the report states: {row.states}" for row in ROWS)
    return (*stated, *(f"stated, not run here: {line}" for line in not_run()))
