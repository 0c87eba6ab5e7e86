"""The process that reads mutated files; see `harness`."""

import json
import os
import pathlib
import resource
import sys
import traceback

sys.path.insert(0, os.fspath(pathlib.Path(__file__).parent))

import harness
import targets


def outcome(target: harness.Target, path: pathlib.Path) -> tuple[str, str]:
    """What reading one file ends in."""
    try:
        target.read(path)
    except target.documented as error:
        return ("refused" if path.name in str(error) else "unnamed"), str(error)[:300]
    # Everything else is a fault, and is reported as one.
    except BaseException as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{pathlib.Path(place.filename).name}:{place.lineno}"
        return "trace", f"{type(error).__name__} in {where}: {str(error)[:200]}"
    return "read", ""


def main() -> None:
    """Answer one path a line."""
    # Libraries that print must not disturb the answers.
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    target = targets.TARGETS[sys.argv[1]]
    if target.prepare is not None:
        target.prepare()
    resource.setrlimit(resource.RLIMIT_DATA, (harness.MEMORY_BYTES,) * 2)
    print("ready", file=out, flush=True)
    for line in sys.stdin:
        answer = outcome(target, pathlib.Path(json.loads(line)))
        print(json.dumps(answer), file=out, flush=True)


if __name__ == "__main__":
    main()
