"""Model cards: the facts are the manifest's, the prose stays."""

import shutil

import pytest
import yaml

from ich_tf import paths
from ich_tf.models import cards, weights

MANIFEST = weights.read_manifest(paths.PROJECT / "weights")


def split(text):
    empty, facts, prose = text.split("---\n", 2)
    assert empty == ""
    return yaml.safe_load(facts), prose


@pytest.mark.parametrize("name", MANIFEST)
def test_every_shipped_network_has_a_card_with_its_facts(name):
    entry = MANIFEST[name]
    facts, prose = split((paths.PROJECT / "weights" / f"{name}.md").read_text())
    assert facts["name"] == name
    for key in ("file", "sha256", "parameters", "trained_on", "metric", "commit"):
        assert facts[key] == entry[key]
    assert facts["license"] == "apache-2.0"
    assert cards.DISCLAIMER in prose


def test_prose_is_kept_and_facts_are_replaced(tmp_path):
    shutil.copy(paths.PROJECT / "weights" / "manifest.json", tmp_path)
    name = next(iter(MANIFEST))
    path = tmp_path / f"{name}.md"
    path.write_text("---\nname: other\n---\n\n# By hand\n")
    assert path in cards.write(tmp_path)
    facts, prose = split(path.read_text())
    assert facts["name"] == name
    assert prose == "\n# By hand\n"
    # A card without facts keeps all of its text.
    path.write_text("# By hand\n")
    cards.write(tmp_path)
    assert split(path.read_text())[1] == "\n# By hand\n"
