"""Data sets by name; nothing heavy is imported before one is opened."""

import importlib
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


DATASETS = {
    "ct-ich": "ich_tf.data.ct_ich:CtIch",
    "phantom": "ich_tf.synthetic.phantom:PhantomDataset",
    "rsna": "ich_tf.data.rsna.dataset:Rsna",
}
"""Name to module and class, as text: the phantom lies in a layer above this one."""


def open_dataset(name: str, *args, **kwargs) -> Dataset:
    """Open a data set.

    Args:
        name: One of `DATASETS`.
        *args: Passed to the data set's class, e.g. its folder.
        **kwargs: Passed on likewise.

    Returns:
        The data set.

    Raises:
        ValueError: if the name is unknown; the message lists the known ones.
    """
    if name not in DATASETS:
        raise ValueError(f"Unknown data set {name!r}. Known: {', '.join(DATASETS)}")
    module, attribute = DATASETS[name].split(":")
    return getattr(importlib.import_module(module), attribute)(*args, **kwargs)
