"""What the published releases of ct-ich hold."""

import csv
import importlib.resources


def published_counts() -> dict[str, dict[str, int]]:
    """Slices and mask voxels of the 75 patients of ct-ich 1.3.1, by patient."""
    table = importlib.resources.files("ich_tf.data") / "ct_ich_1_3_1.csv"
    return {
        row["patient"]: {
            "slices": int(row["nz"]),
            "mask_voxels": int(row["mask_voxels_512"]),
        }
        for row in csv.DictReader(table.read_text("utf-8").splitlines())
    }
