"""Related work of the report's section II: its methods without networks, run here.

The numbers of the papers are on their own data, so nothing here reproduces them; they
stand beside ours, and the networks of Table III beside both, on the same cases under
the same protocols.
"""

from ich_tf.experiments import spec, table3

LEAVES_OPEN = ("all parameters; the report names the method only",)
ASSUMPTIONS = ("the method's core on scikit-image and scikit-learn, see classical.py",)
# Row -> its title, method in `classical`, and the report's reference.
METHODS = {
    "hu-threshold": ("HU threshold [6]", "hu_threshold", 6),
    "fcm-active-contour": (
        "Fuzzy c-means, region-based active contour [20]",
        "fcm_active_contour",
        20,
    ),
    "chan-vese": ("Chan-Vese, without the autoencoder [21]", "chan_vese", 21),
    "random-forest": ("Voxels: random forest [22]", "random_forest", 22),
    "logistic-regression": (
        "Voxels: logistic regression [22]",
        "logistic_regression",
        22,
    ),
    "fcm-wavelet": ("Fuzzy c-means, wavelet threshold [24]", "fcm_wavelet", 24),
    "level-set": (
        "Distance-regularised level set [16, 25]",
        "level_set",
        25,
    ),
}
COLUMNS = ("jaccard", "dice", "sensitivity", "specificity")


def _row(name: str, title: str, method: str, reference: int) -> spec.Baseline:
    stated = [row for row in spec.reported()["related_work"] if row["ref"] == reference]
    numbers = {
        column: row[column] for row in stated for column in COLUMNS if column in row
    }
    tasks = ", ".join(f"{row['method']}: {row['task']}" for row in stated)
    return spec.Baseline(
        id=f"related/{name}",
        title=title,
        method=method,
        reported={"related": numbers},
        states=f"{tasks}, on other data.",
        leaves_open=LEAVES_OPEN,
        assumptions=ASSUMPTIONS,
    )


ROWS = tuple(_row(name, *what) for name, what in METHODS.items())
SHOWN = (*(row.id for row in ROWS), *table3.SHOWN)
