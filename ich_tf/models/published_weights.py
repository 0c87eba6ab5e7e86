"""Published weights files: found in a folder, or downloaded once and checked."""

import hashlib
import os
import pathlib
import urllib.parse
from collections.abc import Callable

from ich_tf import paths

_unreachable: set[str] = set()
"""Hosts that gave this process no connection: to ask again would take as long."""


class WeightsUnavailable(ValueError):
    """A published weights file is neither in the weights folder nor to be had."""


def imagenet_getter(weights_dir: str | os.PathLike | None = None) -> Callable:
    """Make the `get_file` that finds the ImageNet weights of an encoder.

    Names, addresses and checksums are the tables of segmentation-models; it passes
    them on as it would to `keras.utils.get_file`.

    Args:
        weights_dir: Files are looked up in, and downloaded to, `imagenet/` there;
            default `paths.pretrained()`.

    Returns:
        `get_file(name, address, **hash)`, which returns a path as a string.
    """

    def get_file(name, address, cache_subdir=None, file_hash=None, md5_hash=None):
        folder = paths.pretrained(weights_dir)
        return str(imagenet_file(name, address, file_hash or md5_hash, folder))

    return get_file


def imagenet_file(
    name: str, address: str, md5: str, folder: str | os.PathLike
) -> pathlib.Path:
    """Find a published file in a folder, else download it there.

    Args:
        name: File name.
        address: Where it is published.
        md5: Its published checksum.
        folder: Where it is looked for and put.

    Raises:
        WeightsUnavailable: if it cannot be had; the message names the file, its
            address, its checksum and the folder.
        ValueError: if the file in the folder is another one.
    """
    path = pathlib.Path(folder) / name
    if path.is_file():
        actual = digest(path, "md5")
        if actual != md5:
            raise ValueError(
                f"{path} is damaged or another file: its md5 is {actual}, published "
                f"is {md5}. Delete it, or replace it by the file at {address}."
            )
        return path
    try:
        return _download(address, f"md5:{md5}", path)
    except (OSError, ValueError) as error:
        raise WeightsUnavailable(
            f"The ImageNet weights {name} (md5 {md5}) could not be downloaded from "
            f"{address}: {error}. Put the file into {path.parent}, or use "
            "init='random'."
        ) from error


def local_file(listed: dict, folder: pathlib.Path) -> pathlib.Path:
    """The path of a shipped file, downloaded once if it is not in the folder.

    Args:
        listed: Its `file` and `sha256`, and for a file that does not come with the
            package the `url` of the release that holds it.
        folder: The weights folder.

    Returns:
        The path in the folder, or in `paths.cache()` after a download; the former too
        if the file is neither there nor published.

    Raises:
        WeightsUnavailable: if the download fails; the message names the file, its
            address, its checksum and the folder to put it into.
    """
    path = folder / listed["file"]
    if path.is_file() or "url" not in listed:
        return path
    cache = paths.cache() / "weights"
    try:
        return _download(listed["url"], f"sha256:{listed['sha256']}", cache / path.name)
    except (OSError, ValueError) as error:
        raise WeightsUnavailable(
            f"{path.name} could not be downloaded from {listed['url']}: {error}. "
            f"Without a network, download it elsewhere and put it into {cache}; its "
            f"sha256 is {listed['sha256']}."
        ) from error


def _download(address: str, known: str, path: pathlib.Path) -> pathlib.Path:
    """Download a file once.

    Args:
        address: Where it is published.
        known: Its checksum, as pooch takes it.
        path: Where to put it.

    Raises:
        OSError: if there is no connection; the host is not asked again by this process.
        ValueError: if it is another file.
    """
    import pooch
    import requests

    parts = urllib.parse.urlsplit(address)
    host = parts.hostname or address
    proxy = requests.utils.get_environ_proxies(address).get(parts.scheme)
    reason = f"no connection to {host}" + (f" by the proxy {proxy}" if proxy else "")
    if host in _unreachable:
        raise ConnectionError(reason)
    try:
        return pathlib.Path(pooch.retrieve(address, known, path.name, path.parent))
    except (requests.ConnectionError, requests.Timeout) as error:
        _unreachable.add(host)
        raise ConnectionError(reason) from error


def digest(path: pathlib.Path, algorithm: str) -> str:
    """Checksum of a file; `algorithm` as in `hashlib`, such as "sha256"."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()
