"""Mutations of JSON that stay JSON: another type, a missing key, an extreme number."""

import copy
import json
import random
from typing import Any

OTHERS = (
    *(None, True, 0, -1, 0.5, 10**30, -1e308),
    *("", "../precious.txt", "\udcff", [], {}, [[]], {"": 0}),
)


def mutate(content: bytes, generator: random.Random) -> bytes:
    """One to three values are replaced, removed, doubled or exchanged."""
    changed = json.loads(content)
    for _ in range(generator.choice((1, 1, 2, 3))):
        changed = _change(changed, generator)
    return json.dumps(changed).encode()


def _change(content: Any, generator: random.Random) -> Any:
    places = list(_places(content))
    if not places or generator.random() < 0.02:
        return copy.deepcopy(generator.choice(OTHERS))
    parent, key = generator.choice(places)
    kind = generator.choice(("replace", "replace", "remove", "double", "exchange"))
    if kind == "remove":
        del parent[key]
    elif kind == "double" and isinstance(parent, list):
        parent.insert(key, copy.deepcopy(parent[key]))
    elif kind == "exchange":
        other, place = generator.choice(places)
        parent[key] = copy.deepcopy(other[place])
    else:
        parent[key] = copy.deepcopy(generator.choice(OTHERS))
    return content


def _places(content: Any):
    """Parent and key of every value; few of those in long lists."""
    if isinstance(content, dict):
        keys = list(content)
    elif isinstance(content, list):
        keys = list(range(min(len(content), 3)))
    else:
        return
    for key in keys:
        yield content, key
        yield from _places(content[key])
