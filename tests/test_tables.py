import csv
import dataclasses
import io
import json
import re
import types

import markdown_rows
import pytest

from ich_tf import labels
from ich_tf.evidence import render, table_cells, tables
from ich_tf.experiments import results as stored
from ich_tf.experiments.catalog import CATALOG
from ich_tf.experiments.mask_results import MaskResult
from ich_tf.experiments.reported import reported
from ich_tf.experiments.slice_results import SliceResult

PATIENTS = [f"{number:03d}" for number in range(49, 59)]
BEST = "table2/densenet169-imagenet-jaccard"
TABLE2 = tables.TABLES["table2"]
SPEC = {"data": "0", "precision": "float32", "seed": 0}
COMMON = {
    "experiment": BEST,
    "title": "a row",
    "states": "",
    "leaves_open": [],
    "assumptions": [],
    "deviations": ["a test"],
    "history": [[{"epoch": 1, "seconds": 2.0}]],
    "seconds": [{"training": 2.0, "inference": 1.0}],
    "peak_memory_gb": [1.0],
    "devices": ["CPU"],
    "versions": [{"keras": "3"}],
    "commits": ["c"],
}


def result(
    identity="ct-ich 1.3.1",
    evaluated=PATIENTS,
    init="imagenet",
    name=BEST,
    profile="demo",
    **means,
):
    """A result, made with the settings that its row has now."""
    nothing = {"mean": None, "low": None, "high": None, "n": 0, "n_undefined": 10}
    names = ("jaccard", "dice", "sensitivity", "specificity")
    scores = dict.fromkeys((*names, "bleeding_dice", "false_positive_ml"), nothing)
    for score, (mean, low, high) in means.items():
        scores[score] = {"mean": mean, "low": low, "high": high, "n": 10}
        scores[score]["n_undefined"] = 0
    row = CATALOG.row(name)
    facts = {"slices": 30, "mask_voxels": 1, "crc32": "0"}
    cases = dict.fromkeys(PATIENTS, facts)
    return MaskResult(
        **{**COMMON, "experiment": name},
        profile=profile,
        spec={**SPEC, **row.spec(row.settings[profile])},
        data={"identity": identity, "cases": cases, "slices": 300},
        folds=[{"train": [], "validation": [], "test": list(evaluated)}],
        init=init,
        wanted_init="imagenet",
        summary={"hssayeni2020": scores, "per_volume": scores},
        counts={},
    )


def write(folder, made):
    made.save(stored.result_file(folder, made.profile, made.experiment))


TABLE2 = tables.TABLES["table2"]


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (0.29, 0.38, "equivalent"),
        (0.29, 0.40, "undecided"),
        (0.39, 0.50, "better"),
        (0.10, 0.28, "worse"),
        (None, None, "undecided"),
    ],
)
def test_verdicts(low, high, verdict):
    """The margin of a Jaccard of 0.338 is 0.288 to 0.388."""
    score = {"mean": 0.338, "low": low, "high": high}
    judged = table_cells.judge(TABLE2, "jaccard", 0.338, score, result())
    assert judged.name == verdict


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
    verdict = table_cells.judge(TABLE2, "jaccard", 0.338, score, result(**changes))
    assert verdict.name == "not comparable"
    assert verdict.reason.startswith(reason)


def test_nothing_run_is_no_pass():
    assert table_cells.judge(TABLE2, "jaccard", 0.338, {}, None).name == "not run"


def test_rows_equal_the_report():
    rows = CATALOG.rows("table2")
    printed = [row.reported["table2"] for row in rows if row.reported]
    assert printed == [
        {"jaccard": row["jaccard"], "dice": row["dice"]}
        for row in reported()["table2"]["rows"]
    ]
    assert [row.id for row in rows][-2:] == [BEST, "table2/approach2"]
    best, unet = tables.TABLES["table3"].rows
    assert best.reported["table3"]["specificity"] == 0.727
    assert unet.reported["table3"]["sensitivity"] == 0.972
    for row in (*rows, *CATALOG.rows("table3")):
        assert row.states
        assert row.leaves_open
        assert row.assumptions


@pytest.fixture
def results(tmp_path):
    write(tmp_path, result(jaccard=(0.34, 0.3, 0.4), dice=(0.5, 0.45, 0.55)))
    phantom = result(
        identity="phantom",
        init="random",
        name="table2/resnet50-imagenet-bce",
        jaccard=(0.31, 0.3, 0.4),
        dice=(0.4, 0.3, 0.5),
    )
    write(tmp_path, phantom)
    return tmp_path


def test_other_settings_are_shown_and_not_compared(results):
    made = stored.load_result(results, "demo", CATALOG.row(BEST))
    assert stored.load_current(results, "demo", CATALOG.row(BEST)) == made
    made.spec["profile"]["learning_rate"] = 1.0
    write(results, made)
    cells = [
        cell
        for cell in table_cells.of_table(TABLE2, results, "demo")
        if cell.experiment == BEST
    ]
    assert [cell.ours for cell in cells] == [0.34, 0.5]
    assert {cell.verdict for cell in cells} == {"not comparable"}
    assert {cell.reason for cell in cells} == {stored.OTHER_SETTINGS}
    assert stored.load_current(results, "demo", CATALOG.row(BEST)) is None


def test_markdown(results):
    text = render.render([TABLE2], results, "demo", "md")
    lines = text.splitlines()
    # The margins reach from 0.288 to 0.388 and from 0.383 to 0.483: each interval
    # crosses one end.
    best = next(
        line for line in lines if line.startswith("| densenet169, imagenet, JD")
    )
    assert best == (
        "| densenet169, imagenet, JD | 0.338 | 0.340 [0.300, 0.400] (n=10) | 0.433 | "
        "0.500 [0.450, 0.550] (n=10) | undecided |"
    )
    phantom = next(line for line in lines if "same training as the RI row" in line)
    assert phantom.count("not comparable") == 1
    assert "reproduced" not in phantom
    assert any(f"phantom, not {TABLE2.identity}" in line for line in lines)


def test_formats_hold_the_same_numbers(results):
    cells = table_cells.of_table(TABLE2, results, "demo")
    assert len(cells) == 16
    as_json = json.loads(render.render([TABLE2], results, "demo", "json"))
    as_csv = list(
        csv.DictReader(io.StringIO(render.render([TABLE2], results, "demo", "csv")))
    )
    assert [cell["ours"] for cell in as_json] == [cell.ours for cell in cells]
    assert [row["verdict"] for row in as_csv] == [cell.verdict for cell in cells]
    latex = render.render([TABLE2], results, "demo", "latex")
    assert r"[95 \% CI]" in latex
    assert latex.count(r"\\") == 9
    html = render.render([TABLE2], results, "demo", "html")
    assert len(re.findall("<tr>", html)) == 9


def test_a_heading_names_an_interval_only_where_there_is_one():
    """Seconds and memory are measured once."""
    table = tables.table("volume3d")
    bounds = {"jaccard": (0.1, 0.3), "dice": (0.2, 0.4)}
    cells = [
        dataclasses.replace(cell, ours=0.25, low=low, high=high)
        for cell in table_cells.empty(table)
        for low, high in [bounds.get(cell.column, (None, None))]
    ]
    header, _ = render.text_grid(table, cells)
    assert "Dice: ours [95 % CI]" in header
    assert "Seconds per epoch: ours" in header
    assert "Peak memory, GB: ours" in header


def test_rendering_twice_gives_the_same_bytes(results):
    shown = list(tables.TABLES.values())
    for format_ in render.FORMATS:
        first = render.render(shown, results, "demo", format_)
        assert first == render.render(shown, results, "demo", format_)


def test_unknown_names_list_the_known(tmp_path):
    with pytest.raises(ValueError, match="Known: text, md, csv, latex, html, json"):
        render.render([TABLE2], tmp_path, "demo", "pdf")
    with pytest.raises(ValueError, match="Known: table1, table1-losses"):
        tables.table("table9")
    with pytest.raises(ValueError, match="table2/approach2"):
        CATALOG.find("table2/resnet18")


def classified(split="burduja2020", auc=0.9822, slices=24_290):
    """A result of Table I on as many slices, all except four of one scan."""
    interval = {"mean": auc, "low": 0.97, "high": 0.99, "n": 744, "n_undefined": 0}
    columns = [
        column
        for name in ("table1", "table1-losses", "table1-more")
        for column in tables.TABLES[name].columns
    ]
    columns += ["trivial_accuracy_scan", "trivial_accuracy_slice"]
    no_gain = {**interval, "mean": 0.0, "low": -0.01, "high": 0.01}
    scores = dict.fromkeys(columns, interval) | dict.fromkeys(
        ("accuracy_gain_scan", "accuracy_gain_slice"), no_gain
    )
    bleeding, clean = [0, 0, 0, 0, 1, 1], [0, 0, 0, 0, 0, 0]
    truth = {"a": [bleeding, clean], "b": [bleeding], "c": [clean] * (slices - 3)}
    row = CATALOG.row("table1/resnext101-lstm")
    spec = row.spec(row.settings["paper"])
    spec["profile"]["split"] = split
    return SliceResult(
        **{**COMMON, "experiment": row.id},
        profile="paper",
        spec={**SPEC, **spec},
        data={"identity": "RSNA 2019 stage 2", "cases": {}, "slices": slices},
        folds=[{"train": [], "validation": ["a", "b", "c"], "test": []}],
        init="wsl",
        wanted_init="wsl",
        summary=dict.fromkeys((*labels.CLASSES, "all"), scores),
        predictions={
            name: {
                "patient": {"c": "q"}.get(name, "p"),
                "truth": of_scan,
                "probability": [],
            }
            for name, of_scan in truth.items()
        },
        left_out={"images": {}, "scans": 0, "slices": 0, "scan_ids": [], "named": []},
        leakage=[{"held_out_scans": 2}],
    )


def test_table1_has_each_class_next_to_its_printed_numbers(tmp_path):
    made = classified()
    write(tmp_path, made)
    by_place = {
        (cell.row, cell.column): cell
        for cell in table_cells.of_table(tables.TABLES["table1"], tmp_path, "paper")
    }
    assert len(by_place) == 2 * 6 * 4
    cell = by_place["any: ResNeXt-101, PCA, BiLSTM", "auc_scan"]
    assert (cell.reported, cell.ours, cell.verdict) == (0.9822, 0.9822, "undecided")
    # Ours is 0.97 to 0.99 everywhere; the margin of 0.9146 ends at 0.93168.
    cell = by_place["EDH: ResNeXt-101, PCA, BiLSTM", "auc_scan"]
    assert (cell.reported, cell.verdict, cell.trivial) == (0.9146, "better", None)
    # Accuracies are equal to that of never predicting hemorrhage, so that nothing is
    # gained: 0.9516 is not equivalent and 0.9153 not exceeded.
    for row in ("any", "SAH"):
        cell = by_place[f"{row}: ResNeXt-101, PCA, BiLSTM", "accuracy_scan"]
        assert (cell.verdict, cell.trivial) == ("undecided", 0.9822)
    assert by_place["any: ResNeXt-101", "auc_scan"].verdict == "not run"
    shown = [tables.TABLES[name] for name in ("table1", "table1-losses")]
    text = render.render(shown, tmp_path, "paper")
    assert "0.9822 [0.9700, 0.9900] (n=744)" in text
    assert markdown_rows.row(text, "ResNeXt-101, PCA, BiLSTM")[0] == "0.0647"
    details = classified(slices=4).details()
    assert details == (
        "3 held-out scans with 4 slices of 2 patients; positive slices and patients: "
        "EDH 0 and 0, IPH 0 and 0, IVH 0 and 0, SAH 0 and 0, SDH 2 and 1, any 2 and 1; "
        "2 held-out scans are of patients with other scans in training"
    )


@pytest.mark.parametrize(
    ("made", "verdict"),
    [
        # The report's 744 scans have 24,290 slices; another order gives other scans.
        (classified(), "undecided"),
        (classified(slices=24_270), "undecided"),
        (classified(slices=24_200), "not comparable"),
        (classified(split=0.3), "not comparable"),
    ],
)
def test_only_the_reports_scans_are_compared_with_table1(made, verdict):
    score = {"mean": 0.9822, "low": 0.97, "high": 0.99}
    table = tables.TABLES["table1"]
    judged = table_cells.judge(table, "auc_scan", 0.9822, score, made)
    assert judged.name == verdict
    assert bool(judged.reason) is (verdict == "not comparable")


def test_a_part_of_the_data_is_not_the_data_and_is_said():
    part = types.SimpleNamespace(identity="ct-ich 1.0 (partial)")
    said = table_cells.not_comparable(part, "ct-ich 1.0")
    assert "part of ct-ich 1.0" in said and "(partial)" not in said
    assert "(partial), not ct-ich 1.3.1" in table_cells.not_comparable(
        part, "ct-ich 1.3.1"
    )


def test_tables_that_show_what_was_run():
    def showing(name):
        return [table.name for table in tables.showing([name])]

    assert showing("ct-ich-slices/resnext") == ["ct-ich-slices"]
    assert showing("table1/resnext101") == ["table1", "table1-losses", "table1-more"]
    assert showing(BEST) == ["table2", "table3"]
    assert showing("shipped") == []


def test_tables_without_any_number_are_left_out(tmp_path):
    def names():
        return {table.name for table in tables.worth_showing(tmp_path, "demo")}

    assert "volume3d" not in names()
    assert {"table1", "table2", "table3"} <= names()
    path = stored.result_file(tmp_path, "demo", "volume3d/add")
    path.parent.mkdir(parents=True)
    path.write_text("{}")
    assert "volume3d" in names()
