"""What every data set promises; `ich_tf.datasets` lists them by name."""

import typing
from collections.abc import Sequence
from typing import Any

from ich_tf.volume import Case

if typing.TYPE_CHECKING:
    import pathlib

    import numpy as np

    from ich_tf.data.checks import Problem


class Source(typing.Protocol):
    """Scans that can be read one by one.

    A class that inherits from it has the methods with a body unless it has its own.

    Attributes:
        name: Name of the source, for messages and stored shards.
    """

    name: str

    def load(self, case_id: str) -> Case:
        """Read one scan.

        Raises:
            ValueError: if it is unreadable; the message names the file.
        """

    def fingerprint(self) -> dict[str, Any]:
        """What the data are, from their content; empty if nobody asks."""
        return {}

    def problems(self) -> Sequence["Problem"]:
        """Faults that are known without reading pixels."""
        return ()

    def left_out(self) -> dict[str, int]:
        """Reason to the number of images that are not part of any scan."""
        return {}

    def image_ids(self, case_id: str) -> tuple[str, ...] | None:
        """Names of a scan's slices, in its order; None if they have none."""
        return None


class Dataset(Source, typing.Protocol):
    """A data set on disk.

    Its `fingerprint` has `layout`, `slices`, `cases` (case id to `slices`,
    `mask_voxels`, None without masks, and `crc32`) and `identity`.

    Attributes:
        root: Its folder.
    """

    root: "pathlib.Path"

    def case_ids(self) -> Sequence[str]:
        """Names of the scans, in an order that never changes."""

    def patient_ids(self) -> Sequence[str]:
        """Name of each scan's patient, in the order of `case_ids`."""

    def scan_labels(self) -> "np.ndarray | None":
        """(scans, 6), uint8: labels of each scan; None if nobody labelled them."""
