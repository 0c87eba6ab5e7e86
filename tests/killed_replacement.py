"""Replace files in a folder and end the process before the n-th change on disk.

Run as `python killed_replacement.py FOLDER`: FOLDER/0, FOLDER/1, ... are the folders
that the killed processes left; the last one was not killed.
"""

import os
import pathlib
import shutil
import sys

from ich_tf import owned_folder

# What Python reports before it changes something on disk.
CHANGES = {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "shutil.rmtree", "open"}
FIRST = {"mask.bin": "old mask", "slice-1.png": "old 1", "answer.json": "old answer"}
SECOND = {"mask.bin": "new mask", "slice-2.png": "new 2", "answer.json": "new answer"}


def write(out: pathlib.Path, content: dict[str, str], writer: str = "predict") -> None:
    with owned_folder.replacing(out, writer) as folder:
        for name, text in content.items():
            (folder / name).write_text(text)


def kill_before(number: int) -> None:
    """End this process before its change of this number, from 0."""
    left = number

    def hook(event: str, arguments: tuple) -> None:
        nonlocal left
        if event not in CHANGES or (event == "open" and not _writes(arguments)):
            return
        if left == 0:
            os._exit(9)
        left -= 1

    sys.addaudithook(hook)


def _writes(arguments: tuple) -> bool:
    return bool(arguments[2] & (os.O_WRONLY | os.O_RDWR))


def main(folder: pathlib.Path) -> None:
    start = folder / "start"
    write(start, FIRST)
    (start / "notes.txt").write_text("foreign")
    (start / "slice-9.png").write_text("foreign")
    for number in range(200):
        out = folder / str(number)
        shutil.copytree(start, out)
        child = os.fork()
        if child == 0:
            kill_before(number)
            write(out, SECOND)
            os._exit(0)
        if os.waitpid(child, 0)[1] == 0:
            return
    raise SystemExit("the replacement never ended")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
