"""The phantom written as the data sets that this project reads."""

import json
import os
import pathlib
from collections.abc import Callable, Iterator

from ich_tf.data import ct_ich, phantom, rsna
from ich_tf.volume import Case

WRITERS = {
    "ct-ich": ct_ich.write_nifti_layout,
    "ct-ich-v1": ct_ich.write_jpg_layout,
    "rsna": rsna.write_layout,
}


def write_phantom(
    layout: str,
    out: str | os.PathLike,
    *,
    cases: int,
    seed: int = 0,
    slices: int | None = None,
    size: int = 512,
    say: Callable[[str], None] = lambda line: None,
) -> None:
    """Write phantom heads in the layout of a real data set.

    Args:
        layout: A name in `WRITERS`.
        out: Folder to be made; it appears only when it is complete.
        cases: Number of heads.
        seed: The same seed writes the same bytes.
        slices: Slices of each head; None draws 24 to 60.
        size: In-plane pixels.
        say: Takes a line of progress.

    Raises:
        ValueError: if the layout is unknown or `out` already holds something.
    """
    if layout not in WRITERS:
        raise ValueError(f"Unknown layout {layout!r}. Known: {', '.join(WRITERS)}")
    dataset = phantom.PhantomDataset(cases, seed, slices=slices, size=size)
    WRITERS[layout](_heads(dataset, say), pathlib.Path(out))


def _heads(dataset, say: Callable[[str], None]) -> Iterator[Case]:
    case_ids = dataset.case_ids()
    for number, case_id in enumerate(case_ids, 1):
        if number % 10 == 0 or number == len(case_ids):
            say(f"phantom: head {number} of {len(case_ids)}")
        yield dataset.load(case_id)


def phantom_as_ct_ich(
    folder: str | os.PathLike, *, say: Callable[[str], None], **what: int
) -> pathlib.Path:
    """The phantom as ct-ich 1.3.1 in a subfolder named after it, made if absent.

    Args:
        folder: Where phantoms are kept.
        say: Takes a line of progress.
        **what: `cases`, `seed`, `slices`, `size` of `write_phantom`.
    """
    name = "-".join(f"{key}{value}" for key, value in sorted(what.items()))
    root = pathlib.Path(folder) / name
    if not root.is_dir():
        say(f"writing the phantom: {json.dumps(what)}")
        root.parent.mkdir(parents=True, exist_ok=True)
        write_phantom("ct-ich", root, say=say, **what)
    return root
