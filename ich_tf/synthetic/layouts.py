"""The phantom written as the data sets that this project reads."""

import json
import os
import pathlib
import time
from collections.abc import Callable, Iterator, Sequence

from ich_tf import files, parallel
from ich_tf.synthetic import ct_ich_writer, phantom, rsna_writer
from ich_tf.volume import Case

WRITERS = {
    "ct-ich": ct_ich_writer.write_nifti_layout,
    "ct-ich-v1": ct_ich_writer.write_jpg_layout,
    "rsna": rsna_writer.write_layout,
}

SECONDS_TO_START = 10
"""What processes take until they make their first head, on a busy machine."""


def write_phantom(
    layout: str,
    out: str | os.PathLike,
    *,
    cases: int,
    seed: int = 0,
    slices: int | None = None,
    size: int = 512,
    bleeding_share: float | None = None,
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
        bleeding_share: Share of heads that bleed; None draws the natural 40 %.
        say: Takes a line of progress.

    Raises:
        ValueError: if the layout is unknown or `out` already holds something.
    """
    if layout not in WRITERS:
        raise ValueError(f"Unknown layout {layout!r}. Known: {', '.join(WRITERS)}")
    files.check_folder(out)
    dataset = phantom.PhantomDataset(
        cases, seed, slices=slices, size=size, bleeding_share=bleeding_share
    )
    heads = load_ahead(dataset, dataset.case_ids(), say, "phantom: head")
    WRITERS[layout](heads, pathlib.Path(out))


def load_ahead(
    dataset,
    case_ids: Sequence[str],
    say: Callable[[str], None],
    what: str,
    seconds_to_start: float = SECONDS_TO_START,
) -> Iterator[Case]:
    """Cases in order, made on every core, a few ahead of who takes them.

    Where they would be made before processes have started, this process makes them.

    Args:
        dataset: Can be pickled; its cases take long to make.
        case_ids: The cases.
        say: Takes a line of progress.
        what: What the line calls them.
        seconds_to_start: How long processes take to start.
    """
    if not case_ids:
        return
    began = time.monotonic()
    first = dataset.load(case_ids[0])
    seconds = time.monotonic() - began
    yield first
    rest = case_ids[1:]
    if len(rest) * seconds < seconds_to_start:
        yield from map(dataset.load, rest)
        return
    workers = min(parallel.cores(), len(rest))
    cases = parallel.ordered_map(dataset.load, rest, workers=workers)
    for number, case in enumerate(cases, 2):
        if number % 10 == 0:
            say(f"{what} {number} of {len(case_ids)}")
        yield case


def phantom_as(
    layout: str,
    folder: str | os.PathLike,
    *,
    say: Callable[[str], None],
    **what: float,
) -> pathlib.Path:
    """The phantom in a layout, in a subfolder named after it, made if absent.

    Args:
        layout: A name in `WRITERS`.
        folder: Where phantoms are kept.
        say: Takes a line of progress.
        **what: `cases`, `seed`, `slices`, `size`, ... of `write_phantom`.
    """
    parts = [f"{key}{value}" for key, value in sorted(what.items())]
    name = "-".join([layout, f"version{phantom.VERSION}", *parts])
    root = pathlib.Path(folder) / name
    if not root.is_dir():
        say(f"writing the phantom: {json.dumps(what)}")
        root.parent.mkdir(parents=True, exist_ok=True)
        write_phantom(layout, root, say=say, **what)
    return root
