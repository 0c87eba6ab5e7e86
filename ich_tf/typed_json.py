"""JSON files of our own, checked against a type when they are read back.

A type is what annotations can say of JSON: `str`, `int`, `float`, `bool`, `None`,
`Any`, unions, `Literal`, `list[X]`, `dict[str, X]`, a `TypedDict` or a dataclass.
"""

import dataclasses
import functools
import os
import types
import typing
from typing import Any

from ich_tf import files

NAMES = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}


def read(path: str | os.PathLike, wanted: Any, advice: str = "") -> Any:
    """Read a JSON file of a known type.

    Args:
        path: The file.
        wanted: The type of its content.
        advice: What to do about a damaged file, a sentence.

    Returns:
        The content; a dataclass where `wanted` is one.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no valid JSON or has another type; the message names the
            file and the first place that is wrong.
    """
    try:
        return convert(files.read_json(path), wanted)
    except WrongType as error:
        message = f"{path} is damaged or is another kind of file: {error}."
        raise ValueError(f"{message} {advice}".rstrip()) from error
    except ValueError as error:
        raise ValueError(f"{error} {advice}".rstrip()) from error


class WrongType(ValueError):
    """JSON that is not of the wanted type."""


def convert(content: Any, wanted: Any, place: str = "its content") -> Any:
    """Check JSON against a type.

    Args:
        content: From a JSON parser.
        wanted: The type.
        place: What the content is, for the message.

    Returns:
        The content, with dataclasses built where the type has them. Keys that a
        `TypedDict` does not list are kept and not checked.

    Raises:
        WrongType: at the first place that differs.
    """
    origin, inner = typing.get_origin(wanted), typing.get_args(wanted)
    if wanted is Any:
        return content
    if origin in (typing.Union, types.UnionType):
        return _convert_union(content, inner, place)
    if origin is typing.Literal:
        if not any(
            type(content) is type(value) and content == value for value in inner
        ):
            raise _wrong(place, " or ".join(map(repr, inner)), content)
        return content
    if origin is list:
        return _convert_list(content, inner[0], place)
    if origin is dict:
        return {
            key: convert(value, inner[1], f"`{key}` of {place}")
            for key, value in _dictionary(content, place).items()
        }
    if dataclasses.is_dataclass(wanted) or typing.is_typeddict(wanted):
        return _convert_fields(content, wanted, place)
    return _convert_value(content, wanted, place)


def _convert_value(content: Any, wanted: Any, place: str) -> Any:
    if wanted in (None, types.NoneType):
        if content is not None:
            raise _wrong(place, "null", content)
        return None
    accepted = (int, float) if wanted is float else wanted
    # A bool is an int to Python, not to JSON.
    if isinstance(content, bool) != (wanted is bool) or not isinstance(
        content, accepted
    ):
        raise _wrong(place, NAMES.get(wanted, getattr(wanted, "__name__", "")), content)
    return content


def _convert_union(content: Any, choices: tuple, place: str) -> Any:
    errors = []
    for choice in choices:
        try:
            return convert(content, choice, place)
        except WrongType as error:
            errors.append(error)
    # The longest names the deepest place.
    raise max(errors, key=lambda error: len(str(error)))


def _convert_list(content: Any, inner: Any, place: str) -> list:
    if not isinstance(content, list):
        raise _wrong(place, "a list", content)
    return [
        convert(value, inner, f"item {number} of {place}")
        for number, value in enumerate(content)
    ]


def _convert_fields(content: Any, wanted: Any, place: str) -> Any:
    content = _dictionary(content, place)
    hints = _hints(wanted)
    if typing.is_typeddict(wanted):
        required = wanted.__required_keys__
    else:
        required = {
            field.name
            for field in dataclasses.fields(wanted)
            if field.default is field.default_factory is dataclasses.MISSING
        }
    missing = sorted(required - content.keys())
    if missing:
        raise WrongType(f"{place} lacks `{missing[0]}`")
    checked = {
        key: convert(content[key], hint, f"`{key}` of {place}")
        for key, hint in hints.items()
        if key in content
    }
    return {**content, **checked} if typing.is_typeddict(wanted) else wanted(**checked)


@functools.cache
def _hints(wanted: type) -> dict[str, Any]:
    return typing.get_type_hints(wanted)


def _dictionary(content: Any, place: str) -> dict:
    if not isinstance(content, dict):
        raise _wrong(place, "an object with named values", content)
    return content


def _wrong(place: str, wanted: str, content: Any) -> WrongType:
    shown = repr(content)
    shown = shown if len(shown) <= 40 else shown[:37] + "..."
    return WrongType(f"{place} must be {wanted}, not {shown}")
