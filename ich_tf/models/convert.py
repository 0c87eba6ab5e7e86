"""Published PyTorch weights of ResNeXt-101 32x8d, made weights files of Keras.

PyTorch is needed for the conversion alone, and reads tensors only (`weights_only`).
"""

import dataclasses
import hashlib
import os
import pathlib

import keras
import numpy as np

from ich_tf import models, paths
from ich_tf.models import published_weights, shipping, torch_names, weights

BUILD = {"name": "resnext101_32x8d", "kwargs": {"classes": None}}
COMMAND = "ich-tf weights --convert"
LISTED_NAMES = 8


@dataclasses.dataclass(frozen=True)
class Published:
    """A published state dict.

    Attributes:
        file: Name; between "-" and ".pth" it has the first eight digits of its sha256.
        trained_on: What the network has seen.
        terms: Licence of the file.
    """

    file: str
    trained_on: str
    terms: str

    @property
    def address(self) -> str:
        """Where it is published."""
        return f"https://download.pytorch.org/models/{self.file}"

    @property
    def name(self) -> str:
        """Name of the converted file, without ending."""
        return self.file.removesuffix(".pth")


TORCHVISION_TERMS = (
    "torchvision is BSD-3-Clause and refers to the terms of the training data; "
    "ImageNet is for non-commercial research"
)
PUBLISHED = {
    "imagenet": Published(
        "resnext101_32x8d-8ba56ff5.pth",
        "ImageNet-1k (torchvision, IMAGENET1K_V1)",
        TORCHVISION_TERMS,
    ),
    "imagenet_v2": Published(
        "resnext101_32x8d-110c445d.pth",
        "ImageNet-1k (torchvision, IMAGENET1K_V2)",
        TORCHVISION_TERMS,
    ),
    "wsl": Published(
        "ig_resnext101_32x8-c38310e5.pth",
        "940 million Instagram images by hashtag, then ImageNet-1k (WSL)",
        "CC BY-NC 4.0: non-commercial, with attribution (arXiv:1805.00932)",
    ),
}


def find(
    key: str, weights_dir: str | os.PathLike | None = None
) -> tuple[pathlib.Path, dict]:
    """The converted file of published weights, and its manifest entry.

    Args:
        key: A key of `PUBLISHED`.
        weights_dir: The file is looked up in `imagenet/` there; default
            `paths.pretrained()`.

    Raises:
        WeightsUnavailable: if it is not there; the message says how to make it.
    """
    folder = paths.pretrained(weights_dir)
    published = PUBLISHED[key]
    entry = weights.read_manifest(folder).get(published.name)
    if entry is None or not (folder / entry["file"]).is_file():
        raise published_weights.WeightsUnavailable(
            f"The weights {key!r} are not in {folder}. Download {published.file} from "
            f"{published.address} (terms: {published.terms}) and convert it with "
            f"`{COMMAND} {published.file}`, which needs torch and writes "
            f"{published.name}.weights.h5 into that folder; or use init='random'."
        )
    return folder / entry["file"], entry


def convert(
    path: str | os.PathLike, weights_dir: str | os.PathLike | None = None
) -> pathlib.Path:
    """Make a published `.pth` file a weights file that `init` finds by its key.

    Args:
        path: The downloaded file, under its published name.
        weights_dir: The result goes to `imagenet/` there, with its checksum and shapes
            in the `manifest.json` next to it; default `paths.pretrained()`.

    Returns:
        The path of the written file: the network without its 1000 ImageNet classes.

    Raises:
        ValueError: if the file is not one of `PUBLISHED`, is damaged or does not fit,
            or torch is missing.
    """
    path = pathlib.Path(path)
    published = {source.file: source for source in PUBLISHED.values()}.get(path.name)
    if published is None:
        known = ", ".join(source.file for source in PUBLISHED.values())
        raise ValueError(f"{path} has none of the published names. Known: {known}.")
    sha256 = check_published(path, published)
    try:
        return write(read_state_dict(path), published, sha256, weights_dir)
    except ValueError as error:
        raise ValueError(f"{path} was not converted. {error}") from error


def write(
    arrays: dict[str, np.ndarray],
    published: Published,
    sha256: str,
    weights_dir: str | os.PathLike | None = None,
    build: dict = BUILD,
) -> pathlib.Path:
    """Write the arrays of a published file as a weights file of Keras.

    Args:
        arrays: Arrays by torchvision's names, without batch counters.
        published: Where they are from.
        sha256: Checksum of the published file, for the manifest.
        weights_dir: The result goes to `imagenet/` there; default
            `paths.pretrained()`.
        build: Name and arguments of the network that they belong to.

    Returns:
        The path of the written file.

    Raises:
        ValueError: if the arrays do not fit the network.
    """
    model = models.build(build["name"], **build["kwargs"])
    assign(model, arrays)
    folder = paths.pretrained(weights_dir)
    entry = {
        "build": build,
        "trained_on": published.trained_on,
        "terms": published.terms,
        "source": {"address": published.address, "sha256": sha256},
    }
    return folder / shipping.ship(model, published.name, folder, entry)["file"]


def check_published(path: pathlib.Path, published: Published) -> str:
    """Compare a file with the start of the checksum that its name carries.

    Returns:
        Its sha256.

    Raises:
        ValueError: if the file is absent or another one.
    """
    if not path.is_file():
        raise ValueError(f"{path} does not exist. It is at {published.address}.")
    with open(path, "rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    expected = published.name.rsplit("-", 1)[1]
    if not sha256.startswith(expected):
        raise ValueError(
            f"{path} is damaged or another file: its sha256 begins {sha256[:8]}, "
            f"published is {expected}. Download {published.address} again."
        )
    return sha256


def read_state_dict(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """Read the arrays of a PyTorch file; nothing in it is executed.

    Args:
        path: A `.pth` file that holds a state dict.

    Returns:
        Arrays by name, without the batch counters of batch normalization.

    Raises:
        ValueError: if torch is missing or the file holds no state dict.
    """
    try:
        import torch
    except ImportError as error:
        raise ValueError(
            "Reading PyTorch files needs torch, which nothing else here does: "
            "`pip install torch` (the CPU build will do)."
        ) from error
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        return {
            name: tensor.numpy()
            for name, tensor in state.items()
            if not name.endswith("num_batches_tracked")
        }
    except Exception as error:  # torch raises whatever the format's readers raise.
        raise ValueError(f"{path} holds no PyTorch state dict: {error}") from error


def assign(
    model: keras.Model, arrays: dict[str, np.ndarray], head: bool = False
) -> None:
    """Give a ResNeXt the arrays of a torchvision state dict.

    Args:
        model: A model of `resnext.resnext`.
        arrays: Arrays by torchvision's names, without batch counters.
        head: Also take the logits from `fc`; else `fc` is ignored.

    Raises:
        ValueError: if arrays are missing, superfluous or have other shapes; the
            message lists them, and the model is unchanged.
    """
    names = {torch_names.of(weight.path): weight for weight in model.weights}
    if not head:
        names = {name: names[name] for name in names if not name.startswith("fc.")}
        arrays = {name: arrays[name] for name in arrays if not name.startswith("fc.")}
    shapes = {name: _torch_shape(weight) for name, weight in names.items()}
    problems = {
        "missing": [name for name in names if name not in arrays],
        "superfluous": [name for name in arrays if name not in names],
        "of another shape": [
            f"{name} {arrays[name].shape}, expected {expected}"
            for name, expected in shapes.items()
            if name in arrays and arrays[name].shape != expected
        ],
    }
    if any(problems.values()):
        listed = "; ".join(
            f"{kind}: {_listed(which)}" for kind, which in problems.items() if which
        )
        raise ValueError(f"The state dict does not fit {model.name}. {listed}.")
    for name, weight in names.items():
        weight.assign(_as_keras(arrays[name]))


def _as_keras(array: np.ndarray) -> np.ndarray:
    """Kernels of PyTorch begin with the outputs, kernels of Keras end with them."""
    if array.ndim == 4:
        return array.transpose(2, 3, 1, 0)
    return array.T


def _torch_shape(weight: keras.Variable) -> tuple[int, ...]:
    if len(weight.shape) == 4:
        height, width, channels, filters = weight.shape
        return filters, channels, height, width
    return tuple(reversed(weight.shape))


def _listed(names: list[str]) -> str:
    more = len(names) - LISTED_NAMES
    return ", ".join(names[:LISTED_NAMES]) + (f" and {more} more" if more > 0 else "")
