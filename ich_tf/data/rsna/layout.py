"""Where the parts of RSNA 2019 lie in a folder."""

import pathlib

from ich_tf.io.source import InputError

IMAGES = "stage_2_train"
TEST_IMAGES = "stage_2_test"
LABELS = "stage_2_train.csv"


def find_root(root: pathlib.Path, images: str = IMAGES) -> pathlib.Path:
    """The data set in a folder, or up to two folders below it."""
    if not root.is_dir():
        raise InputError(f"{root} is not a folder.")
    for pattern in ("", "*/", "*/*/"):
        folders = sorted(root.glob(pattern)) if pattern else [root]
        matches = [folder for folder in folders if (folder / images).is_dir()]
        if len(matches) > 1:
            names = ", ".join(str(folder) for folder in matches)
            raise InputError(f"{root} holds several data sets, name one: {names}")
        if matches:
            return matches[0]
    raise InputError(
        f"{root} does not hold RSNA 2019: there is no folder {images} with the images "
        f"(and, in the same folder, {LABELS}).{_instead(root)} Other DICOM files are "
        "read by `predict`."
    )


def _instead(root: pathlib.Path) -> str:
    """What a folder holds, for the message that it is not the data set."""
    names = sorted(path.name for path in root.iterdir())
    if any(name.startswith("stage_1") for name in names):
        return " It holds stage 1 of the challenge; stage 2 is needed."
    archives = [name for name in names if name.lower().endswith((".zip", ".7z"))]
    if archives:
        return f" It holds {archives[0]}: unpack it first."
    return f" It holds: {', '.join(names[:5])}." if names else " It is empty."


def images_folder(root: pathlib.Path, images: str) -> pathlib.Path:
    """The folder of the images; some archives unpack to one within one."""
    folder = root / images
    while (folder / images).is_dir():
        folder = folder / images
    return folder
