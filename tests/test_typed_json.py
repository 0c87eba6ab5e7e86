import dataclasses
import typing

import pytest

from ich_tf import typed_json


@dataclasses.dataclass(frozen=True)
class Fold:
    name: str
    scores: dict[str, float]
    best: int | None = None


class Entry(typing.TypedDict):
    file: str
    folds: list[Fold]
    seen: typing.NotRequired[list[str]]


def test_json_of_the_type_is_read_with_its_dataclasses(tmp_path):
    path = tmp_path / "a.json"
    path.write_text('{"file": "a", "folds": [{"name": "b", "scores": {"dice": 1}}]}')
    assert typed_json.read(path, Entry) == {
        "file": "a",
        "folds": [Fold("b", {"dice": 1}, None)],
    }


def test_keys_that_a_typed_dictionary_does_not_list_are_kept():
    content = {"file": "a", "folds": [], "note": 1}
    assert typed_json.convert(content, Entry) == content


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("", "not valid JSON"),
        ("[1", "not valid JSON"),
        ('{"file": NaN}', "NaN"),
        ("[" * 100_000, "nested too deeply"),
        ("\xff", "not valid JSON"),
        ("[]", "its content must be an object"),
        ("null", "its content must be an object"),
        ('{"folds": []}', "lacks `file`"),
        ('{"file": 1, "folds": []}', "`file` of its content must be text"),
        ('{"file": "a", "folds": {}}', "`folds` of its content must be a list"),
        ('{"file": "a", "folds": [{"name": "b"}]}', "lacks `scores`"),
        (
            '{"file": "a", "folds": [{"name": "b", "scores": {"dice": true}}]}',
            "`dice` of `scores` of item 0 of `folds` of its content must be a number",
        ),
        (
            '{"file": "a", "folds": [{"name": "b", "scores": {}, "best": 1.5}]}',
            "`best` of item 0",
        ),
        ('{"file": "a", "folds": [], "seen": "x"}', "`seen`"),
    ],
)
def test_another_type_is_an_error_with_file_and_place(tmp_path, text, place):
    path = tmp_path / "a.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(ValueError, match=r"a\.json") as caught:
        typed_json.read(path, Entry, "Remove it.")
    assert place in str(caught.value)
    assert str(caught.value).endswith("Remove it.")


def test_a_folder_is_no_json_file(tmp_path):
    with pytest.raises(ValueError, match="not a regular file"):
        typed_json.read(tmp_path, Entry)


def test_literals_and_null():
    assert typed_json.convert(1, typing.Literal[1, 2]) == 1
    with pytest.raises(typed_json.WrongType, match="1 or 2"):
        typed_json.convert(3, typing.Literal[1, 2])
    # True == 1 in Python, but it is another type in JSON.
    with pytest.raises(typed_json.WrongType):
        typed_json.convert(True, typing.Literal[1, 2])
    with pytest.raises(typed_json.WrongType):
        typed_json.convert(True, int)
