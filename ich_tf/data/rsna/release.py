"""The published data set, recognised by its numbers of scans and images."""

import dataclasses

import numpy as np

from ich_tf.data.rsna import index as rsna_index
from ich_tf.data.rsna import labels as rsna_labels


@dataclasses.dataclass(frozen=True)
class Release:
    """One part of the challenge as it was published.

    Attributes:
        identity: How a complete copy is named in results.
        images: Number of its images; of the training part those with labels.
        scans: Number of its scans.
    """

    identity: str
    images: int
    scans: int

    def is_complete(
        self, index: rsna_index.HeaderIndex, table: rsna_labels.LabelTable | None
    ) -> bool:
        """Whether a folder has as many scans and images.

        Args:
            index: The folder's index.
            table: Its labels; None for the test part.
        """
        if table is None:
            images = len(index.images) + len(index.problem_images)
            return (images, len(index.series)) == (self.images, self.scans)
        absent = np.char.endswith(index.problem_reasons, rsna_index.NO_FILE.encode())
        known = np.concatenate([index.images, index.problem_images[~absent]])
        labelled = np.count_nonzero(np.isin(table.images, known))
        is_labelled = len(table.images) == labelled == self.images
        return is_labelled and len(index.series) == self.scans


TRAIN = Release("RSNA 2019 stage 2", 752_803, 21_744)
TEST = Release("RSNA 2019 stage 2, test part", 121_232, 3_528)
