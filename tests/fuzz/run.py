"""Fuzz the readers; see `harness`."""

import argparse
import contextlib
import pathlib
import sys
import tempfile
from collections.abc import Iterator

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

import harness
import targets


@contextlib.contextmanager
def _folder(keep: str | None) -> Iterator[pathlib.Path]:
    """The folder to keep, else one that vanishes."""
    if keep:
        yield pathlib.Path(keep)
        return
    with tempfile.TemporaryDirectory() as folder:
        yield pathlib.Path(folder)


def main() -> int:
    """Run the targets that are named, or all; 1 if a fault was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help=f"of {', '.join(targets.TARGETS)}")
    parser.add_argument("--count", type=int, default=1000, help="mutated files each")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", help="folder for files that show a fault")
    options = parser.parse_args()
    faults = 0
    for name in options.names or targets.TARGETS:
        with _folder(options.keep) as folder:
            report = harness.run(
                name,
                targets.TARGETS[name],
                folder / name,
                options.count,
                options.seed,
            )
        print(report, flush=True)
        for outcome, detail, path in report.faults[:20]:
            print(f"  {outcome}: {path}: {detail}", flush=True)
        faults += len(report.faults)
    return int(faults > 0)


if __name__ == "__main__":
    sys.exit(main())
