"""Images of RSNA 2019 that are in no scan, and why."""

import dataclasses
from collections.abc import Iterator

import numpy as np

from ich_tf.data.checks import Problem
from ich_tf.data.rsna import headers as rsna_headers
from ich_tf.data.rsna import index as rsna_index
from ich_tf.data.rsna import labels as rsna_labels
from ich_tf.data.rsna import layout

MAX_LISTED = 1000
"""Images of one group that become problems of their own."""


@dataclasses.dataclass(frozen=True, eq=False)
class LeftOutImages:
    """Images that are in no scan.

    Attributes:
        kind: Kind of the problem, "unreadable" or "labels".
        reason: Why, in common.
        images: (n,), their names as bytes.
        messages: (n,), why, one by one as UTF-8; None if `reason` says it all.
    """

    kind: str
    reason: str
    images: np.ndarray
    messages: np.ndarray | None = None

    def problems(
        self, listing: rsna_headers.Listing, most: int = MAX_LISTED
    ) -> list[Problem]:
        """One for each image, and one for the rest where there are very many."""
        problems = []
        for number, image in enumerate(self.images[:most]):
            path = listing.path(bytes(image))
            message = self.reason
            if self.messages is not None:
                message = self.messages[number].decode()
            problems.append(Problem(self.kind, str(path), message))
        if len(self.images) > most:
            more = f"{len(self.images) - most} more images: {self.reason}"
            problems.append(Problem(self.kind, str(listing.folder), more))
        return problems


def groups(
    index: rsna_index.HeaderIndex, table: rsna_labels.LabelTable | None
) -> Iterator[LeftOutImages]:
    """The groups of images that cannot be used."""
    if len(index.problem_images):
        yield LeftOutImages(
            "unreadable", "unreadable", index.problem_images, index.problem_reasons
        )
    if table is None:
        return
    bare = index.images[table.rows_of(index.images) < 0]
    known = np.concatenate([index.images, index.problem_images])
    absent = table.images[~np.isin(table.images, known)]
    reasons = {
        f"no labels in {layout.LABELS}": bare,
        f"in {layout.LABELS}, but there is no such file": absent,
        **{reason: table.images[where] for reason, where in table.faults().items()},
    }
    for reason, images in reasons.items():
        if len(images):
            yield LeftOutImages("labels", reason, images)
