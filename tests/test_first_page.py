"""Every number on the first page is generated or derived here."""

import re

from ich_tf.cli.all_plans import PLANS
from ich_tf.evidence import audit, findings, first_page
from ich_tf.experiments.reported import reported

TEXT = first_page.PAGE.read_text(encoding="utf-8")
WORDS = ("no", "one", "two", "three", "four", "five", "six", "seven")


def test_the_numbers_of_real_slices_come_from_the_shipped_weights():
    """Else `ich-tf tables --docs` is to be run again."""
    block = TEXT.split(first_page.BEGIN)[1].split(first_page.END)[0]
    assert block.strip() == first_page.numbers()


def test_minutes_equal_the_plans():
    def planned(profile):
        return sum(PLANS[profile].minutes.values())

    (demo,) = re.findall(r"about (\d+) minutes on two cores", TEXT)
    (quick,) = re.findall(r"about \d+ minutes on two cores, the second (\d+)", TEXT)
    assert (int(demo), int(quick)) == (planned("demo"), planned("quick"))


def test_as_many_statements_are_contradicted_as_the_audit_finds(tmp_path):
    listed = audit.audit(tmp_path, "demo")
    contradicted = [of for of in listed if of.verdict == findings.CONTRADICTED]
    (word,) = re.findall(r"\*\*(\w+) statements of the report", TEXT)
    assert word == WORDS[len(contradicted)].capitalize()


def test_the_best_dice_is_the_printed_one():
    printed = max(row["dice"] for row in reported()["table2"]["rows"])
    assert re.findall(r"best Dice, ([\d.]+),", TEXT) == [str(printed)]


def test_the_site_has_the_pages_in_the_same_kinds():
    docs = first_page.PAGE.parent / "docs"
    kinds = {
        kind: set(re.findall(r"\(docs/([\w-]+)\.md\)", pages))
        for kind, pages in re.findall(
            r"^- ([\w -]+): (.*(?:\n  .*)*)",
            TEXT.split("## Documentation")[1].split("\n## ")[0],
            re.MULTILINE,
        )
    }
    assert list(kinds) == ["Start here", "How-to", "Reference", "Explanation"]
    index = (docs / "index.md").read_text(encoding="utf-8")
    trees = re.findall(r"^:caption: (.*)\n((?:.*\n)*?)```", index, re.MULTILINE)
    listed = {
        kind: set(re.findall(r"^[\w-]+$", of, re.MULTILINE)) for kind, of in trees
    }
    assert {kind: listed[kind] for kind in kinds} == kinds
    pages = {path.stem for path in docs.glob("*.md")} - {"index"}
    assert set.union(*kinds.values()) == pages


def test_it_is_short():
    assert len(TEXT.splitlines()) <= 100
