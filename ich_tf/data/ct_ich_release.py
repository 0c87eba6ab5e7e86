"""What the published releases of ct-ich hold."""

import csv
import dataclasses
import importlib.resources

_PIXELS = 512


@dataclasses.dataclass(frozen=True)
class PublishedScan:
    """Header facts of a patient of ct-ich 1.3.1.

    Attributes:
        slices: Number of slices.
        mask_voxels: Voxels of the true masks, of slices of 512 x 512 pixels.
        pixel_mm: Side of such a pixel.
        thickness_mm: Distance of the slices.
    """

    slices: int
    mask_voxels: int
    pixel_mm: float
    thickness_mm: float

    @property
    def truth_ml(self) -> float:
        """Volume of the true masks."""
        return self._ml(self.mask_voxels)

    def marked_ml(self, pixels: int, width: int) -> float:
        """Volume of pixels marked in slices of another size that show the same field.

        Args:
            pixels: Their number.
            width: Width of the slices, pixels.
        """
        return self._ml(pixels * (_PIXELS / width) ** 2)

    def _ml(self, voxels: float) -> float:
        return voxels * self.pixel_mm**2 * self.thickness_mm / 1000


def published_scans() -> dict[str, PublishedScan]:
    """Header facts of the 75 patients of ct-ich 1.3.1, by patient."""
    table = importlib.resources.files("ich_tf.data") / "ct_ich_1_3_1.csv"
    return {
        row["patient"]: PublishedScan(
            int(row["nz"]),
            int(row["mask_voxels_512"]),
            float(row["dx"]),
            float(row["dz"]),
        )
        for row in csv.DictReader(table.read_text("utf-8").splitlines())
    }


def published_counts() -> dict[str, dict[str, int]]:
    """Slices and mask voxels of the 75 patients of ct-ich 1.3.1, by patient."""
    return {
        patient: {"slices": scan.slices, "mask_voxels": scan.mask_voxels}
        for patient, scan in published_scans().items()
    }
