"""The audit's verdicts follow the numbers they are about."""

import copy
import json

import pytest

from ich_tf import cli
from ich_tf.data import ct_ich
from ich_tf.data.rsna import release
from ich_tf.evidence import audit, audit_printed, tables
from ich_tf.experiments import reported as report
from ich_tf.experiments.catalog import CATALOG
from ich_tf.experiments.rows import audit as audit_rows


@pytest.fixture
def reported():
    """The report's numbers, to be changed."""
    return copy.deepcopy(report.reported())


def crops_findings(tmp_path, profile):
    findings = audit.audit(tmp_path, profile)
    return [
        finding.verdict
        for finding in findings
        if finding.name.startswith("crops of table")
    ]


def test_choices_of_crops_belong_to_the_paper_profile(tmp_path):
    """One finding for each network of Table III."""
    assert crops_findings(tmp_path, "paper") == ["not run", "not run"]
    assert crops_findings(tmp_path, "demo") == []


def verdicts(findings):
    return {finding.name: finding.verdict for finding in findings}


def test_what_the_report_says_of_itself(tmp_path):
    findings = {finding.name: finding for finding in audit.audit(tmp_path, "demo")}
    judged = verdicts(findings.values())
    wrong = [name for name, verdict in judged.items() if verdict == "contradicted"]
    assert wrong == [
        "RSNA slices",
        "ct-ich scans",
        "ct-ich slices of a scan",
        "ResNeXt blocks",
        "LSTM vectors",
    ]
    assert list(judged.values()).count("not run") == 8
    evidence = {name: finding.evidence for name, finding in findings.items()}
    assert "+3,734" in evidence["RSNA slices"]
    best = evidence["whole slices: unetpp"]
    assert "214 of 318" in best and "precision is 0.239" in best
    # Wilson, of 214 of 896, by hand.
    assert "0.212 to 0.268" in best
    assert "309 of 318" in evidence["whole slices: unet_hssayeni"]
    assert "1.3.1: 31 to 58" in evidence["ct-ich slices of a scan"]


def test_a_sum_that_fits_holds(reported):
    reported["datasets"]["rsna2019"]["slices_stated"] = 874_035
    given = verdicts(audit_printed.split_sums(reported))
    assert given["RSNA slices"] == "holds"
    reported["datasets"]["rsna2019"]["split_scans"]["train"] += 1
    reported["datasets"]["rsna2019"]["split_slices"]["train"] += 40_000
    given = verdicts(audit_printed.split_sums(reported))
    assert set(given.values()) == {"contradicted"}


@pytest.mark.parametrize(
    ("jaccard", "verdict"),
    [
        (0.276, "holds"),
        (0.433, "holds"),
        (0.274, "contradicted"),
        (0.435, "contradicted"),
    ],
)
def test_a_jaccard_fits_its_dice(reported, jaccard, verdict):
    """A Dice of 0.433 allows 0.433 / 1.567 = 0.276 to 0.433, and half a digit."""
    reported["table2"]["rows"][-1]["jaccard"] = jaccard
    given = verdicts(audit_printed.overlap_bounds(reported))
    name = "Jaccard and Dice: Table II, densenet169, imagenet, jaccard"
    assert given.pop(name) == verdict
    assert set(given.values()) == {"holds"}


def test_whole_numbers():
    assert audit_printed.whole_numbers(0.673, 318) == [214]
    assert audit_printed.whole_numbers(0.671, 318) == []
    assert audit_printed.whole_numbers(0.5, 10, digits=1) == [5]
    assert audit_printed.whole_numbers(0.5, 1000, digits=2) == list(range(495, 506))


def test_a_rate_that_is_no_number_of_slices(reported):
    reported["table3"]["rows"]["unetpp"][2] = 0.671
    judged = verdicts(audit_printed.whole_slices(reported))
    assert judged["whole slices: unetpp"] == "contradicted"
    assert judged["whole slices: unet_hssayeni"] == "holds"
    assert audit_printed.scan_accuracies(reported).verdict == "holds"
    reported["table1"]["rows"]["EDH"][2] = 0.9875
    assert audit_printed.scan_accuracies(reported).verdict == "contradicted"


def test_facts_that_fit_the_release_hold(reported):
    reported["datasets"]["ct_ich"].update(
        scans=75, slices_per_scan={"lowest": 31, "highest": 58}
    )
    assert set(verdicts(audit_printed.ct_ich_release(reported)).values()) == {"holds"}
    reported["preprocessing"]["segmentation"]["stride"] = 32
    assert audit_printed.crops_per_slice(reported).verdict == "contradicted"
    reported["training"]["classification"]["lstm_vector"] = 512
    assert audit_printed.lstm_width(reported).verdict == "holds"
    reported["training"]["classification"]["resnext_blocks"] = 3 + 4 + 23 + 3
    assert audit_printed.resnext_blocks(reported).verdict == "holds"


@pytest.mark.parametrize(
    ("ages", "verdict"), [((20, 36), "holds"), ((20, 40), "contradicted")]
)
def test_age_and_sex_are_read_from_the_data(reported, tmp_path, ages, verdict):
    reported["datasets"]["ct_ich"]["males"] = 1
    assert audit_printed.demographics(reported, None).verdict == "open"
    table = tmp_path / "ct" / "patient_demographics.csv"
    table.parent.mkdir()
    table.write_text(
        f'Patient Number,"Age\n(years)",Gender\n49,{ages[0]},Male\n'
        f"50,{ages[1]},Female\n"
    )
    assert audit_printed.demographics(reported, tmp_path).verdict == verdict
    table.write_text("Patient Number,Age,Gender\n49,,\n")
    assert audit_printed.demographics(reported, tmp_path).verdict == "open"


def test_reference_facts_are_those_the_readers_use():
    published = audit_printed.reference()["rsna2019"]
    assert published["labelled_slices"] == release.TRAIN.images
    assert published["labelled_scans"] == release.TRAIN.scans
    slices = [case["slices"] for case in ct_ich.published_counts().values()]
    assert sum(slices) == audit_printed.reference()["ct_ich"]["nifti"]["slices"]


@pytest.mark.parametrize(("key", "row"), audit_rows.OTHER_CROPS.items())
def test_rows_with_other_crops_differ_in_nothing_else(key, row):
    of, crops = key
    before, changed = (
        CATALOG.row(name).spec(CATALOG.row(name).settings["paper"])
        for name in (of, row)
    )
    assert before["profile"]["crops"] == "hssayeni2020_jpg"
    assert changed["profile"] == {**before["profile"], "crops": crops}
    assert changed["experiment"] == {**before["experiment"], "id": row}
    assert list(CATALOG.row(row).settings) == ["paper"]


def test_rows_of_the_audit_change_one_thing():
    best, lesion = (
        CATALOG.row(name).spec(CATALOG.row(name).settings["demo"])
        for name in (audit_rows.EVERY_CROP, audit_rows.LESION_CROPS)
    )
    differing = {
        name
        for name in best["profile"]
        if best["profile"][name] != lesion["profile"][name]
    }
    assert differing == {"crops", "lesion_share"}
    stated = CATALOG.row(audit_rows.APPROACH2)
    for row in map(CATALOG.row, audit_rows.VARIANTS.values()):
        changed = row.spec(row.settings["demo"])["experiment"]
        before = stated.spec(stated.settings["demo"])["experiment"]
        names = {name for name in before if before[name] != changed[name]} - {"id"}
        assert len(names) == 1
        assert row.settings == stated.settings
    assert tables.showing(["audit"]) == []


def test_the_command(tmp_path, capsys):
    assert cli.main(["audit", "--results", str(tmp_path), "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content[0]["verdict"] == "contradicted"
    assert cli.main(["audit", "--results", str(tmp_path)]) == 0
    text = capsys.readouterr().out
    assert text.count("\n") == len(content) + 2
