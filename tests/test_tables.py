import csv
import io
import json
import re

import pytest

from ich_tf import files, labels
from ich_tf.evidence import tables
from ich_tf.experiments import profiles, spec
from ich_tf.experiments import results as stored

PATIENTS = [f"{number:03d}" for number in range(49, 59)]


def result(identity="ct-ich 1.3.1", evaluated=PATIENTS, init="imagenet", **means):
    scores = {
        name: {"mean": None, "low": None, "high": None, "n": 0, "n_undefined": 10}
        for name in (
            *("jaccard", "dice", "sensitivity", "specificity"),
            *("bleeding_dice", "false_positive_ml"),
        )
    }
    for name, (mean, low, high) in means.items():
        scores[name] = {
            "mean": mean,
            "low": low,
            "high": high,
            "n": 10,
            "n_undefined": 0,
        }
    return {
        "data": {"identity": identity, "cases": {name: {} for name in PATIENTS}},
        "folds": [{"train": [], "validation": [], "test": list(evaluated)}],
        "init": init,
        "wanted_init": "imagenet",
        "deviations": ["a test"],
        "spec": {"precision": "float32"},
        "history": [[{"epoch": 1, "seconds": 2.0}]],
        "peak_memory_gb": [1.0],
        "summary": {"hssayeni2020": scores, "per_volume": scores},
    }


@pytest.mark.parametrize(
    ("mean", "low", "high", "verdict"),
    [
        (0.338, 0.2, 0.4, "reproduced"),
        (0.357, 0.3, 0.4, "reproduced"),
        (0.357, 0.35, 0.4, "close"),
        (0.387, 0.3, 0.4, "close"),
        (0.389, 0.3, 0.4, "differs"),
        (0.2, 0.1, 0.4, "differs"),
        (0.338, None, None, "close"),
        (None, None, None, "differs"),
    ],
)
def test_verdicts(mean, low, high, verdict):
    score = {"mean": mean, "low": low, "high": high}
    found, _ = tables.judge(0.338, score, result(), "ct-ich 1.3.1")
    assert found == verdict


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"identity": "phantom"}, "data: phantom, not ct-ich 1.3.1"),
        ({"identity": "unknown"}, "data: unknown"),
        ({"identity": "ct-ich 1.0"}, "data: ct-ich 1.0"),
        ({"evaluated": PATIENTS[1:]}, "evaluated on other cases than the report's"),
        ({"init": "random"}, "initialised with random weights"),
    ],
)
def test_other_data_are_not_comparable(changes, reason):
    score = {"mean": 0.338, "low": 0.3, "high": 0.4}
    verdict, why = tables.judge(0.338, score, result(**changes), "ct-ich 1.3.1")
    assert verdict == "not comparable"
    assert why.startswith(reason)


def test_nothing_run_is_no_pass():
    verdict, _ = tables.judge(0.338, {}, None, "ct-ich 1.3.1")
    assert verdict == "not run"


def test_rows_are_those_of_the_report():
    rows = spec.rows("table2")
    printed = [row.reported["table2"] for row in rows if row.reported]
    assert printed == [
        {"jaccard": row["jaccard"], "dice": row["dice"]}
        for row in spec.reported()["table2"]["rows"]
    ]
    assert [row.id for row in rows][-2:] == [
        "table2/densenet169-imagenet-jaccard",
        "table2/approach2",
    ]
    best, unet = tables.shown("table3")
    assert best.reported["table3"]["specificity"] == 0.727
    assert unet.reported["table3"]["sensitivity"] == 0.972
    for row in (*rows, *spec.rows("table3")):
        assert row.states
        assert row.leaves_open
        assert row.assumptions


def write(folder, profile, name, content):
    """A result file, made with the settings that its row has now."""
    (row,) = spec.find(name)
    scale = profiles.profile(row.task, profile).for_row(name)
    content["spec"] = {**spec.settings(row, scale), **content["spec"]}
    files.write_json(stored.result_file(folder, profile, name), content)


@pytest.fixture
def results(tmp_path):
    write(
        tmp_path,
        "demo",
        "table2/densenet169-imagenet-jaccard",
        result(jaccard=(0.34, 0.3, 0.4), dice=(0.5, 0.45, 0.55)),
    )
    write(
        tmp_path,
        "demo",
        "table2/resnet50-imagenet-bce",
        result(
            identity="phantom",
            init="random",
            jaccard=(0.31, 0.3, 0.4),
            dice=(0.4, 0.3, 0.5),
        ),
    )
    return tmp_path


def test_other_settings_are_shown_and_not_compared(results):
    name = "table2/densenet169-imagenet-jaccard"
    path = stored.result_file(results, "demo", name)
    content = files.read_json(path)
    assert stored.load_current(results, "demo", name) == content
    content["spec"]["profile"]["learning_rate"] = 1.0
    files.write_json(path, content)
    cells = [
        cell
        for cell in tables.cells("table2", results, "demo")
        if cell.experiment == name
    ]
    assert [cell.ours for cell in cells] == [0.34, 0.5]
    assert {cell.verdict for cell in cells} == {"not comparable"}
    assert {cell.reason for cell in cells} == {stored.OTHER_SETTINGS}
    assert stored.load_current(results, "demo", name) is None


def test_markdown(results):
    text = tables.render(["table2"], results, "demo", "md")
    lines = text.splitlines()
    best = next(
        line for line in lines if line.startswith("| densenet169, imagenet, JD")
    )
    assert best == (
        "| densenet169, imagenet, JD | 0.338 | 0.340 [0.300, 0.400] (n=10) | "
        "reproduced (+0.002) | 0.433 | 0.500 [0.450, 0.550] (n=10) | differs (+0.067) |"
    )
    phantom = next(line for line in lines if "random weights" in line)
    assert phantom.count("not comparable") == 2
    assert "reproduced" not in phantom
    assert "- not comparable: data: phantom, not ct-ich 1.3.1" in lines


def test_formats_hold_the_same_numbers(results):
    cells = tables.cells("table2", results, "demo")
    assert len(cells) == 16
    as_json = json.loads(tables.render(["table2"], results, "demo", "json"))
    as_csv = list(
        csv.DictReader(io.StringIO(tables.render(["table2"], results, "demo", "csv")))
    )
    assert [cell["ours"] for cell in as_json] == [cell.ours for cell in cells]
    assert [row["verdict"] for row in as_csv] == [cell.verdict for cell in cells]
    latex = tables.render(["table2"], results, "demo", "latex")
    assert r"[95 \% CI]" in latex
    assert latex.count(r"\\") == 9
    html = tables.render(["table2"], results, "demo", "html")
    assert len(re.findall("<tr>", html)) == 9


def test_rendering_twice_gives_the_same_bytes(results):
    for format_ in tables.FORMATS:
        first = tables.render(list(tables.TABLES), results, "demo", format_)
        assert first == tables.render(list(tables.TABLES), results, "demo", format_)


def test_unknown_names_list_the_known(tmp_path):
    with pytest.raises(ValueError, match="Known: md, csv, latex, html, json"):
        tables.render(["table2"], tmp_path, "demo", "pdf")
    with pytest.raises(ValueError, match="Known: table1, table1-losses"):
        tables.render(["table9"], tmp_path, "demo")
    with pytest.raises(ValueError, match="table2/approach2"):
        spec.find("table2/resnet18")


def classified(split="burduja2020", auc=0.9822):
    interval = {"mean": auc, "low": 0.97, "high": 0.99, "n": 744, "n_undefined": 0}
    columns = [
        *tables.TABLES["table1"][2],
        *tables.TABLES["table1-losses"][2],
        *tables.TABLES["table1-more"][2],
    ]
    scores = dict.fromkeys(columns, interval)
    return {
        "data": {"identity": "RSNA 2019 stage 2", "cases": {}},
        "predictions": {
            "a": {"patient": "p", "truth": [[0, 0, 0, 0, 1, 1], [0, 0, 0, 0, 0, 0]]},
            "b": {"patient": "p", "truth": [[0, 0, 0, 0, 1, 1]]},
            "c": {"patient": "q", "truth": [[0, 0, 0, 0, 0, 0]]},
        },
        "leakage": [{"held_out_scans": 2}],
        "init": "wsl",
        "wanted_init": "wsl",
        "deviations": [],
        "spec": {"precision": "float32", "profile": {"split": split}},
        "summary": dict.fromkeys((*labels.CLASSES, "all"), scores),
    }


@pytest.fixture
def few_held_out(monkeypatch):
    monkeypatch.setattr(tables, "_reported_held_out_slices", lambda: 4)


def test_table1_has_each_class_beside_its_printed_numbers(tmp_path, few_held_out):
    content = classified()
    del content["spec"]["profile"]
    write(tmp_path, "paper", "table1/resnext101-lstm", content)
    found = {
        (cell.row, cell.column): cell
        for cell in tables.cells("table1", tmp_path, "paper")
    }
    assert len(found) == 2 * 6 * 4
    cell = found["any: ResNeXt-101, PCA, BiLSTM", "auc_scan"]
    assert (cell.reported, cell.ours, cell.verdict) == (0.9822, 0.9822, "reproduced")
    cell = found["EDH: ResNeXt-101, PCA, BiLSTM", "auc_scan"]
    assert (cell.reported, cell.verdict) == (0.9146, "differs")
    assert found["any: ResNeXt-101", "auc_scan"].verdict == "not run"
    text = tables.render(["table1", "table1-losses"], tmp_path, "paper")
    assert "0.9822 [0.9700, 0.9900] (n=744)" in text
    assert "| ResNeXt-101, PCA, BiLSTM | 0.0647 |" in text
    assert "3 held-out scans with 4 slices of 2 patients" in text
    assert "SDH 2 and 1, any 2 and 1" in text and "EDH 0 and 0" in text
    assert "2 held-out scans are of patients with other scans in training" in text


def test_other_scans_than_the_reports_are_not_comparable_with_table1():
    """The report's 744 have 24,290 slices; a table in another order gives others."""
    score = {"mean": 0.9822, "low": 0.97, "high": 0.99}
    assert tables._reported_held_out_slices() == 24_290
    verdict, reason = tables.judge(0.9822, score, classified(), "RSNA 2019 stage 2")
    assert verdict == "not comparable"
    assert reason.startswith("evaluated on other cases")


def test_another_split_is_not_comparable_with_table1(few_held_out):
    score = {"mean": 0.9822, "low": 0.97, "high": 0.99}
    verdict, _ = tables.judge(0.9822, score, classified(), "RSNA 2019 stage 2")
    assert verdict == "reproduced"
    verdict, reason = tables.judge(0.9822, score, classified(0.3), "RSNA 2019 stage 2")
    assert verdict == "not comparable"
    assert reason.startswith("evaluated on other cases")


def test_tables_that_show_what_was_run():
    assert tables.showing(["ct-ich-slices/resnext"]) == ["ct-ich-slices"]
    assert tables.showing(["table1/resnext101"]) == [
        "table1",
        "table1-losses",
        "table1-more",
    ]
    assert tables.showing(["table2/densenet169-imagenet-jaccard"]) == [
        "table2",
        "table3",
    ]
    assert tables.showing(["shipped"]) == []


def test_tables_without_any_number_are_left_out(tmp_path):
    assert "volume3d" not in tables.worth_showing(tmp_path, "demo")
    assert {"table1", "table2", "table3"} <= set(tables.worth_showing(tmp_path, "demo"))
    path = stored.result_file(tmp_path, "demo", "volume3d/add")
    path.parent.mkdir(parents=True)
    path.write_text("{}")
    assert "volume3d" in tables.worth_showing(tmp_path, "demo")
