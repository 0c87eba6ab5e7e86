"""Every reader withstands a thousand mutated files; see `harness`.

ICH_TF_FUZZ_COUNT changes the number.
"""

import os
import pathlib
import random
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import harness
import targets

COUNT = int(os.environ.get("ICH_TF_FUZZ_COUNT", 1000))


@pytest.mark.slow
@pytest.mark.parametrize("name", targets.TARGETS)
def test_mutated_files_are_read_or_refused_by_name(name, tmp_path):
    report = harness.run(name, targets.TARGETS[name], tmp_path / name, COUNT)
    assert report.faults == []


def test_the_same_seed_gives_the_same_mutations():
    content = bytes(range(256)) * 8
    first, second = (harness.mutate(content, random.Random(3)) for _ in range(2))
    assert first == second != content
