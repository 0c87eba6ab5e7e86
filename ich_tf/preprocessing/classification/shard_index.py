"""The JSON files next to shards, checked against their types when read back."""

import os
import pathlib
from typing import Any, TypedDict

from ich_tf import files, labels, typed_json

ADVICE = "Remove its folder and prepare the data set again."


class UnreadScan(TypedDict):
    """A scan, or slices of a scan, that could not be read."""

    case_id: str
    reason: str


class ShardProblem(TypedDict):
    """A file that the data set could not use."""

    file: str
    message: str


class Shard(TypedDict):
    """A shard as `index.json` lists it; `counts` are slices of each scan."""

    file: str
    bytes: int
    case_ids: list[str]
    counts: list[int]


class ShardFacts(Shard):
    """The JSON file of one complete shard; `positive` are slices of each class."""

    positive: list[int]
    left_out: list[UnreadScan]
    left_out_slices: list[UnreadScan]


class ShardPlan(TypedDict):
    """What a preparation was begun with."""

    format: int
    size: int
    images: str
    order: int
    data: str
    fingerprint: dict[str, Any]


class ShardIndex(ShardPlan):
    """A complete preparation."""

    scans: int
    slices: int
    positive: list[int]
    left_out: list[UnreadScan]
    left_out_slices: list[UnreadScan]
    problems: list[ShardProblem]
    shards: list[Shard]


def read(path: str | os.PathLike) -> ShardIndex:
    """Read an `index.json`.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is damaged; the message names it.
    """
    content = typed_json.read(path, ShardIndex, ADVICE)
    for shard in content["shards"]:
        _check_shard(shard, path)
    return content


def plan(content: Any, path: str | os.PathLike) -> ShardPlan:
    """Check the content of a `plan.json`.

    Args:
        content: From a JSON parser.
        path: Where it was read, for the message.

    Raises:
        ValueError: if it is damaged; the message names it.
    """
    return _convert(content, ShardPlan, path)


def facts(content: Any, path: str | os.PathLike) -> ShardFacts:
    """Check the content of a complete shard's JSON file.

    Args:
        content: From a JSON parser.
        path: Where it was read, for the message.

    Raises:
        ValueError: if it is damaged; the message names it.
    """
    checked = _convert(content, ShardFacts, path)
    _check_shard(checked, path)
    if len(checked["positive"]) != len(labels.CLASSES):
        raise _damaged(path, f"{len(checked['positive'])} classes")
    return checked


def _convert(content: Any, wanted: type, path: str | os.PathLike) -> Any:
    try:
        return typed_json.convert(content, wanted)
    except typed_json.WrongType as error:
        raise _damaged(path, str(error)) from error


def _check_shard(shard: Shard, path: str | os.PathLike) -> None:
    name = shard["file"]
    if not files.is_plain(name):
        raise _damaged(path, f"{name!r} is no plain file name")
    if len(shard["case_ids"]) != len(shard["counts"]) or min(shard["counts"] + [1]) < 1:
        raise _damaged(path, f"the scans and slices of {name} contradict")


def _damaged(path: str | os.PathLike, reason: str) -> ValueError:
    return ValueError(f"{pathlib.PurePath(path)} is damaged: {reason}. {ADVICE}")
