"""`verify` finds what was planted, and never passes what was not run."""

import dataclasses
import functools
import json
import math
import pathlib
import re
import shutil

import markdown_rows
import numpy as np
import pytest
import threshold_run
from PIL import Image as image

from ich_tf import cli, files
from ich_tf.data import ct_ich_release
from ich_tf.evidence import (
    audit,
    audit_page,
    compare,
    findings,
    protocol_sweep,
    recorded,
    render,
    study,
    table_cells,
    tables,
    verify,
)
from ich_tf.evidence import conventions as sweeping
from ich_tf.experiments import catalog, mask_results, provenance, runner
from ich_tf.experiments import results as stored
from ich_tf.experiments.catalog import Catalog
from ich_tf.experiments.rows import audit as audit_rows
from ich_tf.metrics import evaluation
from ich_tf.report import sweep_files

BEST, UNET = threshold_run.BEST, threshold_run.UNET
REAL = "ct-ich 1.3.1"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Results that pass for ct-ich 1.3.1 (`paper`) and of the phantom (`demo`)."""
    folder = tmp_path_factory.mktemp("run")
    folders = runner.Folders(results=folder / "results", weights=folder / "weights")
    real = threshold_run.run(folders, [BEST, UNET], "paper", REAL)
    threshold_run.run(
        folders, [BEST, UNET, audit_rows.EVERY_CROP, audit_rows.LESION_CROPS]
    )
    threshold_run.run(folders, [audit_rows.APPROACH2], level=2)
    threshold_run.run(folders, [audit_rows.VARIANTS["cross-entropy"]])
    threshold_run.run(folders, ["related/hu-threshold", "related/random-forest"])
    return folders.results, real


@dataclasses.dataclass(frozen=True)
class Spoilt:
    """A copy of results to be spoilt, a report that prints our numbers, their record.

    Attributes:
        folder: Folder of results.
        rows: All rows; rows of Table III print what the results hold.
        tables: Their tables.
        record: File of the phantom's numbers.
    """

    folder: pathlib.Path
    rows: Catalog
    tables: dict
    record: pathlib.Path

    def check(self, profile="paper", names=("table3",), folders=None):
        checks = verify.verify(
            self.folder,
            profile,
            names,
            folders,
            all_tables=self.tables,
            record=self.record,
        )
        return {
            (check.cell.experiment, check.cell.column): check for check in checks
        }, checks

    def spoil(self, change, profile="paper", experiment=UNET):
        path = stored.result_file(self.folder, profile, experiment)
        result = files.read_json(path)
        change(result)
        # Not files.write_json, which refuses NaN.
        path.write_text(json.dumps(result))

    def printing(self, changes):
        """With other rows: id to what changes in it."""
        rows, known = changed_rows(self.rows, self.tables, changes)
        return dataclasses.replace(self, rows=rows, tables=known)


def changed_rows(rows, known, changes):
    def change(row):
        return dataclasses.replace(row, **changes.get(row.id, {}))

    made = Catalog({name: tuple(map(change, rows.rows(name))) for name in rows.names})
    return made, {
        table.name: dataclasses.replace(
            table,
            rows=tuple(made.row(row.id) for row in table.rows),
            compared=tuple(made.row(row.id) for row in table.compared),
        )
        for table in known.values()
    }


@pytest.fixture
def results(made, monkeypatch, tmp_path):
    folder, real = made
    shutil.copytree(folder, tmp_path / "results", ignore=_predictions)
    (tmp_path / "results" / "phantom").symlink_to(folder / "phantom")
    changes = {
        result.experiment: {"reported": _reported(threshold_run.CATALOG, result)}
        for result in real
    }
    rows, known = changed_rows(threshold_run.CATALOG, threshold_run.TABLES, changes)
    counts = {
        case_id: {name: case[name] for name in ("slices", "mask_voxels")}
        for case_id, case in real[0].data["cases"].items()
    }
    monkeypatch.setattr(ct_ich_release, "published_counts", lambda: counts)
    monkeypatch.setattr(mask_results, "FULL_SIZE", threshold_run.TINY.size)
    record = tmp_path / "demo.json"
    recorded.record(tmp_path / "results", known.values(), record)
    return Spoilt(tmp_path / "results", rows, known, record)


def _predictions(folder, names):
    return [name for name in names if name.endswith(".npz") or name == "phantom"]


def _reported(rows, result):
    """Printed numbers that are what the result holds."""
    means = result.summary["hssayeni2020"]
    columns = ("jaccard", "dice", "sensitivity", "specificity")
    numbers = {name: round(means[name]["mean"], 3) for name in columns}
    printed = {"table3": numbers}
    if rows.row(result.experiment).reported.get("table2"):
        printed["table2"] = {name: numbers[name] for name in ("jaccard", "dice")}
    return printed


def test_results_that_agree_are_no_different(results):
    """Eight heads are too few to be sure of more."""
    by_name, checks = results.check()
    assert {check.verdict for check in checks} <= {"equivalent", "undecided"}
    assert len(checks) == 8
    assert verify.status(checks) == 2
    check = by_name[UNET, "dice"]
    assert check.kind == verify.REPORT
    assert 0 < check.expected < 1
    assert check.expected == pytest.approx(check.cell.ours, abs=0.0005)
    content = json.loads(verify.text(checks, as_json=True))
    assert content["status"] == 2
    assert [row["expected"] for row in content["checks"]] == [
        check.expected for check in checks
    ]


@pytest.mark.parametrize(
    ("given", "status"),
    [
        (("equivalent", "equivalent"), 0),
        (("equivalent", "as recorded", "within", "measured"), 0),
        (("equivalent", "better"), 1),
        (("undecided", "worse"), 1),
        (("not run", "differs"), 1),
        (("equivalent", "undecided"), 2),
        (("equivalent", "not comparable"), 2),
        (("equivalent", "not run"), 2),
        ((), 2),
    ],
)
def test_status(results, given, status):
    _, (checked, *_) = results.check()
    checks = [
        dataclasses.replace(
            checked, cell=dataclasses.replace(checked.cell, verdict=verdict)
        )
        for verdict in given
    ]
    assert verify.status(checks) == status


def test_seeds_are_pooled(results):
    """A second seed without any overlap halves Dice; a faulty third one is left out."""
    folder = results.folder / "paper"
    path = stored.result_file(results.folder, "paper", UNET)
    before, _ = results.check()
    made = threshold_run.CATALOG.row(UNET).result_type.load(path)
    counts = json.loads(json.dumps(made.counts))
    for case in (case for cases in counts.values() for case in cases.values()):
        case["fn"] = [sum(pair) for pair in zip(case["tp"], case["fn"], strict=True)]
        case["tn"] = [sum(pair) for pair in zip(case["fp"], case["tn"], strict=True)]
        depth = len(case["tp"])
        case |= {"tp": [0] * depth, "fp": [0] * depth, "predicted_pixels": 0}
        case["predicted_ml"] = 0.0
    second = dataclasses.replace(made, counts=counts)
    second = dataclasses.replace(second, summary=second.recompute())
    second.save(stored.result_file(results.folder, "paper", UNET, 1))
    dataclasses.replace(second, summary=made.summary).save(
        stored.result_file(results.folder, "paper", UNET, 2)
    )
    assert len(list(folder.rglob("unet-hssayeni-seed*.json"))) == 2
    after, _ = results.check()
    cell = after[UNET, "dice"].cell
    assert (before[UNET, "dice"].cell.seeds, cell.seeds) == (1, 2)
    assert cell.ours == pytest.approx(before[UNET, "dice"].cell.ours / 2)


def test_nothing_run_is_never_a_pass(tmp_path, capsys):
    assert cli.main(["verify", "--results", str(tmp_path)]) == 2
    checks = verify.verify(tmp_path, "demo")
    reported = 6 * 4 + 1 + 7 * 2 + 2 * 4
    assert [check.verdict for check in checks] == ["not run"] * reported
    assert verify.status([]) == 2
    assert f"{reported} not run" in capsys.readouterr().out
    assert cli.main(["verify", "ct-ich-slices", "--results", str(tmp_path)]) == 2
    assert "'ct-ich-slices'" in capsys.readouterr().err


def test_a_missing_row(results):
    stored.result_file(results.folder, "paper", UNET).unlink()
    by_name, checks = results.check()
    assert by_name[UNET, "dice"].verdict == "not run"
    assert by_name[BEST, "dice"].verdict in ("equivalent", "undecided")
    assert verify.status(checks) == 2


def test_a_number_that_differs_from_the_report(results):
    """The planted number is the report's, far above or below our interval."""
    printed = results.rows.row(UNET).reported["table3"]
    for number, verdict in ((1.0, "worse"), (-0.5, "better")):
        wrong = {"table3": {**printed, "dice": number}}
        by_name, checks = results.printing({UNET: {"reported": wrong}}).check()
        assert by_name[UNET, "dice"].verdict == verdict
        assert by_name[UNET, "jaccard"].verdict in ("equivalent", "undecided")
        assert verify.status(checks) == 1


def _summary(result):
    result["summary"]["hssayeni2020"]["dice"]["mean"] += 0.001


def _bound(result):
    result["summary"]["hssayeni2020"]["dice"]["high"] = 0.9


def _nan(result):
    result["summary"]["hssayeni2020"]["dice"]["mean"] = math.nan


def _nan_count(result):
    next(iter(result["counts"]["hssayeni2020"].values()))["tp"][0] = math.nan


def _lost_case(result):
    result["counts"]["hssayeni2020"].popitem()


def _better_counts(result):
    """Blood that was missed is found, and the pixels still add up."""
    for counts in result["counts"]["hssayeni2020"].values():
        for name, other in (("tp", "fn"), ("tn", "fp")):
            pairs = zip(counts[name], counts[other], strict=True)
            counts[name] = [sum(pair) for pair in pairs]
            counts[other] = [0] * len(counts[name])


def _more_truth(result):
    """All pixels of a case become truth, which was found."""
    counts = next(iter(result["counts"]["hssayeni2020"].values()))
    depth, height, width = counts["shape"]
    for name in ("fp", "fn", "tn"):
        counts[name] = [0] * depth
    counts["tp"] = [height * width] * depth
    counts["truth_pixels"] = counts["predicted_pixels"] = depth * height * width


def _slice_lost(result):
    for counts in result["counts"].values():
        for case in counts.values():
            for name in ("tp", "fp", "fn", "tn"):
                case[name].pop()


def _of_an_earlier_version(result):
    for content in (result["counts"], result["summary"]):
        del content["hssayeni2020_alike"]


def _no_summary(result):
    del result["summary"]


def _other_row(result):
    result["experiment"] = BEST


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (_summary, "summary of hssayeni2020, dice is not what its cases give"),
        (_bound, "summary of hssayeni2020, dice"),
        (_nan, "NaN"),
        (_nan_count, "NaN"),
        (_lost_case, "its counts are not of the test cases"),
        (_better_counts, "the slices' pixels are not the case's"),
        (_more_truth, "counted in another mask"),
        (_slice_lost, "counts of other slices than the data's 6"),
        (_of_an_earlier_version, f"`ich-tf reproduce {UNET} --profile paper --fresh`"),
        (_no_summary, "lacks `summary`"),
        (_other_row, f"it belongs to {BEST}, profile paper"),
    ],
)
def test_an_edited_file_is_found(results, change, reason):
    results.spoil(change)
    by_name, checks = results.check()
    check = by_name[UNET, "dice"]
    assert (check.verdict, check.cell.ours) == ("differs", None)
    assert reason in check.cell.reason
    assert by_name[BEST, "dice"].verdict in ("equivalent", "undecided")
    assert verify.status(checks) == 1
    json.loads(verify.text(checks, as_json=True))


def test_recounting_detects_edited_counts_that_agree(results, made):
    """Who edits counts and all that follows from them is found by the masks."""

    def fewer_alarms(result):
        for counts in result["counts"]["hssayeni2020"].values():
            counts["tn"] = [
                sum(p) for p in zip(counts["tn"], counts["fp"], strict=True)
            ]
            counts["fp"] = [0] * len(counts["fp"])
            counts["predicted_pixels"] = sum(counts["tp"])
        result["summary"] = evaluation.summarise(
            result["counts"], result["data"]["identity"]
        )

    folder = results.folder
    folders = runner.Folders(results=folder, weights=folder)
    shutil.rmtree(folder / "demo" / UNET)
    shutil.copytree(made[0] / "demo" / UNET, folder / "demo" / UNET)
    for row in ("related/hu-threshold", "related/random-forest", BEST):
        stored.result_file(folder, "demo", row).unlink()
    _, checks = results.check("demo", folders=folders)
    assert {check.verdict for check in checks} == {"as recorded", "not run"}
    results.spoil(fewer_alarms, "demo")
    _, checks = results.check("demo")
    assert not any(check.cell.reason.startswith(str(folder)) for check in checks)
    _, checks = results.check("demo", folders=folders)
    reasons = " ".join(check.cell.reason for check in checks)
    assert re.search(r"\bhssayeni2020, case \w+: ", reasons)
    assert verify.status(checks) == 1
    next((folder / "demo" / UNET).glob("*.npz")).unlink()
    _, checks = results.check("demo", folders=folders)
    assert "no probabilities" in " ".join(check.cell.reason for check in checks)
    assert verify.status(checks) == 1


def test_a_file_that_is_no_json(results):
    stored.result_file(results.folder, "paper", UNET).write_text("{")
    by_name, checks = results.check()
    assert f"{UNET}.json" in by_name[UNET, "dice"].cell.reason
    assert verify.status(checks) == 1


def test_the_phantom_cannot_pass_for_the_real_data(results, monkeypatch):
    def claim(result):
        result["data"]["identity"] = REAL

    def mend(result):
        result["spec"]["data"] = provenance.digest(result["data"])

    def faults():
        row = results.rows.row(UNET)
        return row.result_type.load(path).faults(row, "demo")

    path = stored.result_file(results.folder, "demo", UNET)
    results.spoil(claim, "demo")
    (other_digest,) = faults()
    by_name, checks = results.check("demo")
    assert other_digest in by_name[UNET, "dice"].cell.reason
    results.spoil(mend, "demo")
    assert faults() == []
    # The published counts expose whoever also mends the digest.
    monkeypatch.undo()
    assert faults() == ["its data have other counts than ct-ich 1.3.1"]


def test_other_data_are_not_compared(results):
    def rename(result):
        result["data"]["identity"] = "unknown"
        result["spec"]["data"] = provenance.digest(result["data"])
        # Patient numbers mean nothing here, so no patient is left out.
        result["summary"] = evaluation.summarise(result["counts"], "unknown")

    results.spoil(rename)
    by_name, checks = results.check()
    assert by_name[UNET, "dice"].verdict == "not comparable"
    assert by_name[UNET, "dice"].cell.reason == "data: unknown, not ct-ich 1.3.1"
    assert verify.status(checks) == 2


def test_other_settings_are_not_compared(results):
    def faster(result):
        result["spec"]["profile"]["learning_rate"] = 1.0

    results.spoil(faster)
    by_name, checks = results.check()
    assert by_name[UNET, "dice"].verdict == "not comparable"
    assert "other settings" in by_name[UNET, "dice"].cell.reason
    assert verify.status(checks) == 2


def test_the_phantom_is_compared_with_its_record(results):
    by_name, checks = results.check("demo")
    assert {check.verdict for check in checks} == {"as recorded"}
    assert {check.kind for check in checks} == {verify.REGRESSION}
    assert verify.status(checks) == 0
    assert verify.conclusion(checks).endswith(
        "regression check passed; nothing was reproduced"
    )


def test_no_recorded_table_is_skipped(results):
    """Without names every number of the record is checked, whatever was run."""
    numbers = recorded.read(results.record)
    _, checks = results.check("demo", names=())
    assert len(numbers) > 2
    for name, table in numbers.items():
        checked = [check for check in checks if check.cell.table == name]
        assert len(checked) == len(table["cells"])


def test_every_table_of_the_demo_is_checked():
    """What docs/demo.json holds is what the tables of today have."""
    numbers = recorded.read()
    for name, table in numbers.items():
        records = recorded.RecordsOfTable(tables.table(name), numbers, "demo")
        cells = table_cells.empty(tables.table(name))
        of_cells = [records.of_cell(cell) for cell in cells]
        assert len(cells) == len(table["cells"])
        for cell, before in zip(cells, of_cells, strict=True):
            if before is not None:
                place = before["experiment"], before["column"]
                assert place == (cell.experiment, cell.column)


@pytest.mark.parametrize(
    ("change", "verdict"),
    [
        ("near", "within"),
        ({"ours": 0.99, "low": 0.98, "high": 1.0}, "differs"),
        ({"ours": None, "low": None, "high": None}, "differs"),
        ({"cases": 77}, "differs"),
        ({"row": "UNet [2] [run from other weights]"}, "not comparable"),
    ],
)
def test_another_record_is_seen(results, change, verdict):
    numbers = files.read_json(results.record)
    (cell,) = (
        cell
        for cell in numbers["table3"]["cells"]
        if (cell["experiment"], cell["column"]) == (UNET, "dice")
    )
    near = {"ours": cell["high"]}
    cell.update(near if change == "near" else change)
    files.write_json(results.record, numbers)
    by_name, checks = results.check("demo")
    assert by_name[UNET, "dice"].verdict == verdict
    assert (
        verify.status(checks)
        == {"within": 0, "differs": 1, "not comparable": 2}[verdict]
    )


@pytest.mark.parametrize(
    ("low", "verdict"), [(0.0, "within"), (0.98, "not comparable")]
)
def test_another_precision_explains_another_number(results, low, verdict):
    numbers = files.read_json(results.record)
    ours = numbers["table3"]["precision"][UNET]
    assert ours in ("float32", "mixed_bfloat16")
    numbers["table3"]["precision"][UNET] = "mixed_float16"
    for cell in numbers["table3"]["cells"]:
        if (cell["experiment"], cell["column"]) == (UNET, "dice"):
            cell.update({"ours": 0.99, "low": low, "high": 1.0})
    files.write_json(results.record, numbers)
    by_name, _ = results.check("demo")
    check = by_name[UNET, "dice"]
    assert check.verdict == verdict
    reason = f"recorded in mixed_float16, ours in {ours}"
    assert check.cell.reason == ("" if verdict == "within" else reason)


def test_a_row_without_record_is_no_pass(results):
    files.write_json(results.record, {})
    _, checks = results.check("demo")
    assert {check.cell.reason for check in checks} == {
        "no record of it, or only one with other settings"
    }
    assert verify.status(checks) == 2


def test_a_record_of_other_settings_is_no_record(results):
    numbers = files.read_json(results.record)
    assert set(numbers["table3"]["settings"]) >= {UNET}
    numbers["table3"]["settings"][UNET] = "of others"
    files.write_json(results.record, numbers)
    by_name, checks = results.check("demo")
    assert by_name[UNET, "dice"].verdict == "not comparable"
    assert verify.status(checks) == 2


def test_the_words_of_a_study_follow_its_results(results):
    """Two rows that find all blood; then one of them misses it."""

    def verdict():
        (answer,) = study.answers(results.folder, "demo", (0,), [asked], results.rows)
        return answer["verdict"], answer["words"]

    def move(result, source, target):
        for cases in result["counts"].values():
            for case in cases.values():
                case[target] = np.add(case[source], case[target]).tolist()
                case[source] = [0] * len(case[source])
                case["predicted_pixels"] = sum(case["tp"]) + sum(case["fp"])

    def perfect(result):
        move(result, "fn", "tp")
        move(result, "fp", "tn")

    asked = study.Question("UNet++ or the U-Net of [2]?", BEST, UNET)
    for row in (BEST, UNET):
        results.spoil(perfect, "demo", row)
    assert verdict()[0] == "equivalent"
    results.spoil(lambda result: move(result, "tp", "fn"), "demo")
    after = verdict()
    assert after[0] == "worse" and "UNet" in after[1].split("has not learned")[0]


def test_compare_takes_rows_of_masks(results):
    """The two rows differ only in tiles averaged by the same threshold: by nothing."""
    text = compare.render(BEST, UNET, results.folder, "demo", rows=results.rows)
    titles = [
        result.title + result.other_weights
        for row in (BEST, UNET)
        for result in compare.results_of(
            row, results.folder, "demo", (0,), results.rows
        )
    ]
    assert "{1} against {0}:".format(*titles) in text and "4 held-out" in text
    assert "| {} | {} |".format(*titles) in text
    (line,) = (line for line in text.splitlines() if line.startswith("| Dice |"))
    assert line.endswith("+0.0000 [+0.0000, +0.0000] |  |")
    results.spoil(_lost_case, "demo")
    with pytest.raises(ValueError, match="not evaluated on the same scans"):
        compare.render(BEST, UNET, results.folder, "demo", rows=results.rows)


def test_a_paired_difference_is_that_of_the_means(results):
    def worse(result):
        for counts in result["counts"]["hssayeni2020"].values():
            hits = counts["tp"]
            counts["fn"] = [sum(pair) for pair in zip(counts["fn"], hits, strict=True)]
            counts["tp"] = [0] * len(hits)

    results.spoil(worse, "paper")
    first, other = (
        compare.results_of(row, results.folder, "paper", [0], results.rows)
        for row in (BEST, UNET)
    )
    row = compare.paired(first, other)["dice"]
    assert row["first"] == first[0].summary["hssayeni2020"]["dice"]["mean"]
    assert row["second"] == 0
    assert row["difference"].mean == pytest.approx(-row["first"])
    assert row["difference"].high < 0


@pytest.fixture(scope="module")
def swept(made):
    folders = runner.Folders(results=made[0], weights=made[0])
    run = protocol_sweep.open_result(
        UNET, "demo", folders, print, threshold_run.CATALOG
    )
    return run, protocol_sweep.sweep(run, lambda line: None)


def test_the_sweep_holds_the_protocols_of_the_result(swept):
    run, conventions = swept
    assert len(conventions) == 3 * 2 * (4 * 4 + 1) * 4
    summary = files.read_json(run.file)["summary"]
    (published,) = (convention for convention in conventions if convention.is_published)
    for name, value in published.scores.items():
        assert value == pytest.approx(summary["hssayeni2020"][name]["mean"])
    plain = {
        (convention.unit, convention.empty): convention.scores
        for convention in conventions
        if (convention.threshold, convention.post_processing) == (0.5, False)
        and (convention.truth_detection_pixels, convention.predicted_detection_pixels)
        == (1, 0)
    }
    assert len(plain) == 17
    for name in ("jaccard", "dice", "sensitivity", "specificity"):
        for key, protocol in (
            (("volume", "nan"), "per_volume"),
            (("pooled", "–"), "pooled"),
        ):
            expected = summary[protocol][name]["mean"]
            assert plain[key][name] == pytest.approx(expected)
    for unit in ("crop", "slice", "subject", "volume"):
        dice = [plain[unit, empty]["dice"] for empty in ("zero", "nan", "one")]
        assert dice == sorted(dice)
    assert plain["crop", "one"]["dice"] != plain["slice", "one"]["dice"]


def test_crops_are_scored_from_the_masks(swept):
    """The mean over crops with truth, by loops."""
    run, conventions = swept
    values, side, stride = [], run.profile.tile, run.profile.stride
    for case, coded in run.task.stored_predictions(run):
        mask, truth = coded / np.float32(255) > 0.5, case.mask.astype(bool)
        for z in range(len(mask)):
            for y in range(0, 64 - side + 1, stride):
                for x in range(0, 64 - side + 1, stride):
                    crop = (z, slice(y, y + side), slice(x, x + side))
                    if truth[crop].any():
                        both = np.count_nonzero(mask[crop] & truth[crop])
                        whole = mask[crop].sum() + truth[crop].sum()
                        values.append(2 * both / whole)
    assert len(values) > 10
    (convention,) = (
        convention
        for convention in conventions
        if (convention.unit, convention.empty, convention.threshold)
        == ("crop", "skip", 0.5)
        and not convention.post_processing
        and (convention.truth_detection_pixels, convention.predicted_detection_pixels)
        == (1, 0)
    )
    assert convention.scores["dice"] == pytest.approx(np.mean(values))


def test_on_the_phantom_only_the_spread_is_said(swept):
    run, conventions = swept
    assert {convention.distance for convention in conventions} == {None}
    text = protocol_sweep.describe(run, conventions)
    assert "Not ranked:" in text
    assert "Nearest" not in text and "distance" not in text
    moved = sweeping.influence(conventions, "dice")
    assert "excluded" not in moved
    assert not {"truth_detection_pixels", "predicted_detection_pixels"} & set(moved)
    assert moved["empty"] > 0.1


def test_pooled_voxels_are_compared_with_every_unit():
    def one(unit, empty, dice):
        scores = {"dice": dice}
        return sweeping.Convention(unit, empty, 0.5, False, False, 0, 0, scores)

    conventions = [
        one("slice", "zero", 0.2),
        one("slice", "one", 0.5),
        one("pooled", "–", 0.9),
    ]
    moved = sweeping.influence(conventions, "dice")
    assert moved == {"unit": pytest.approx(0.7), "empty": pytest.approx(0.3)}


def test_conventions_are_ranked_by_their_distance(swept):
    run, conventions = swept
    target = conventions[100]
    ranked = sweeping.ranked(conventions, target.scores)
    assert ranked[0].distance == 0
    assert ranked[0].scores == target.scores
    distances = [
        convention.distance for convention in ranked if convention.distance is not None
    ]
    assert distances == sorted(distances)
    text = protocol_sweep.describe(run, ranked)
    assert text.count("\n| 0.") >= 10
    # Overlap alone does not distinguish detection limits.
    overlap = {name: target.scores[name] for name in ("jaccard", "dice")}
    assert len(sweeping.ranked(conventions, overlap)) == len(conventions) / 4


def test_the_real_data_are_ranked(made):
    """The phantom passes for ct-ich 1.3.1 here, as in `made`."""
    folders = runner.Folders(results=made[0], weights=made[0])
    (run,) = threshold_run.runs(folders, [UNET], "paper", REAL)
    ranked = protocol_sweep.sweep(run, lambda line: None)
    # Three thresholds, with and without post-processing, 17 ways to average, four
    # pairs of limits; no head is patient 70, so none is left out.
    assert len(ranked) == 3 * 2 * (4 * 4 + 1) * 4
    assert not any(each.excluded for each in ranked)
    ours = ranked[0].scores
    printed = run.experiment.reported["table3"]
    assert ranked[0].distance == max(
        abs(ours[name] - printed[name]) for name in printed
    )


def test_protocols_from_a_result_file(made, tmp_path):
    folders = runner.Folders(results=tmp_path, weights=tmp_path)
    path = stored.result_file(made[0], "demo", UNET)
    run = protocol_sweep.open_result(
        str(path), "demo", folders, print, threshold_run.CATALOG
    )
    swept, figure = sweep_files.write(run, print, tmp_path / "out")
    assert (
        len(swept) == len(files.read_json(tmp_path / "out" / "protocols.json")) == 408
    )
    with image.open(figure) as picture:
        pixels = np.asarray(picture.convert("RGB"))
    assert min(pixels.shape[:2]) > 400
    assert (pixels != 255).any(axis=-1).mean() > 0.02


def test_a_sweep_is_of_the_very_result(results, tmp_path):
    folders = runner.Folders(results=results.folder, weights=tmp_path)
    path = results.folder / "demo" / f"{BEST}.json"
    open_it = functools.partial(
        protocol_sweep.open_result,
        profile="demo",
        folders=folders,
        say=print,
        rows=results.rows,
    )
    assert open_it(str(path)).file == path
    other = path.with_name(f"{path.stem}-seed1.json")
    content = files.read_json(path)
    content["spec"]["seed"] = 1
    files.write_json(other, content)
    assert open_it(str(other)).file == other
    content["spec"]["profile"]["epochs"] = 99
    files.write_json(other, content)
    with pytest.raises(ValueError, match=r"made with other settings.*--seed 1"):
        open_it(str(other))
    with pytest.raises(ValueError, match=r"made with other settings.*--seed 1"):
        compare.results_of(BEST, results.folder, "demo", (0, 1), results.rows)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("table1/resnext101", "table1/resnext101 has no masks"),
        ("table2/resnet50-random-bce", "Run `ich-tf reproduce table2/resnet50-random-"),
        ("absent.json", "There is no"),
    ],
)
def test_what_cannot_be_swept(made, capsys, name, reason):
    assert cli.main(["protocols", name, "--results", str(made[0])]) == 2
    assert reason in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["protocols", "compare"])
def test_a_row_that_was_not_run_is_named_with_its_profile(verb, tmp_path, capsys):
    names = [BEST] * (2 if verb == "compare" else 1)
    where = ["--profile", "paper", "--results", str(tmp_path)]
    assert cli.main([verb, *names, *where]) == 2
    command = f"`ich-tf reproduce {BEST} --profile paper`"
    assert command in capsys.readouterr().err


def test_the_audit_names_the_profile_of_rows_that_were_not_run(tmp_path):
    missing = [
        finding.evidence
        for finding in audit.audit(tmp_path, "paper")
        if finding.verdict == findings.NOT_RUN
    ]
    assert missing and all("--profile paper`" in text for text in missing)


def test_the_audit_shows_what_was_run(results):
    findings = {
        finding.name: finding
        for finding in audit.audit(results.folder, "demo", rows=results.rows)
    }
    black, lesion = (
        findings["approach 2, as stated"],
        findings["approach 2, cross-entropy"],
    )
    assert black.verdict == "open"
    assert black.evidence.startswith("on phantom: 0 positive pixels in 4 heads")
    assert black.evidence.endswith("decides nothing: data: phantom, not ct-ich 1.3.1")
    assert lesion.verdict == "open"
    assert "on phantom: 0 positive" not in lesion.evidence
    assert findings["approach 2, random weights"].verdict == "not run"
    crops = findings["training on lesion crops only"]
    assert re.findall(r"(\w+): dice 0\.\d+", crops.evidence) == ["blood", "only"]
    slips = findings["slips of [2]'s evaluation"].evidence
    changed = re.findall(r"(\w+) [\d.–]+ -> [\d.–]+", slips)
    assert changed == ["jaccard", "dice", "specificity"]


def test_the_page_of_the_audit(results):
    missing = [
        *(audit_rows.VARIANTS[name] for name in ("random weights", "windows in HU")),
        audit_rows.VARIANTS["keras-contrib's Jaccard distance"],
        audit_rows.CONTRIB,
    ]
    with pytest.raises(ValueError, match=f"{missing[0]} was not run.*{missing[1]}"):
        audit_page.page(results.folder, rows=results.rows)
    # The rows differ in what is trained, which is planted here.
    for name in missing:
        source = stored.result_file(results.folder, "demo", audit_rows.APPROACH2)
        content, row = files.read_json(source), results.rows.row(name)
        content["spec"] |= row.spec(row.settings["demo"])
        files.write_json(stored.result_file(results.folder, "demo", name), content)
    page = audit_page.page(results.folder, rows=results.rows)
    assert audit.render(audit.audit(results.folder, "demo", rows=results.rows)) in page
    assert "| not run |" not in page.split("approach 2, as stated")[1]
    # Small rows train two epochs of two steps.
    data, epochs, *_ = markdown_rows.row(page, audit_rows.EVERY_CROP)
    assert (data, epochs[:6]) == ("phantom", "2 of 2")


@pytest.mark.parametrize(("pixels", "verdict"), [(0, "holds"), (1, "contradicted")])
def test_one_positive_pixel_contradicts_approach_2(results, pixels, verdict):
    def light(result):
        result["data"]["identity"] = REAL
        result["folds"] = [
            {"train": [], "validation": [], "test": list(result["data"]["cases"])}
        ]
        counts = result["counts"]["per_volume"].values()
        next(iter(counts))["predicted_pixels"] = pixels

    results.spoil(light, "demo", audit_rows.APPROACH2)
    findings = {
        finding.name: finding
        for finding in audit.audit(results.folder, "demo", rows=results.rows)
    }
    assert findings["approach 2, as stated"].verdict == verdict


def test_related_work_stands_next_to_the_networks(results):
    checks = {
        (cell.row, cell.column): cell
        for cell in table_cells.of_table(
            results.tables["related"], results.folder, "demo"
        )
    }
    cell = checks["Voxels: random forest [22]", "dice"]
    assert (cell.reported, cell.verdict) == (0.89, "not comparable")
    assert cell.reason == "data: phantom, not the data of each paper"
    assert 0 <= cell.ours <= 1
    unet = stored.load_result(results.folder, "demo", results.rows.row(UNET))
    ours = unet.summary["hssayeni2020"]
    assert checks["UNet [2]", "dice"].ours == ours["dice"]["mean"]
    assert (
        checks["Distance-regularised level set [16, 25]", "dice"].verdict == "not run"
    )
    text = render.render([results.tables["related"]], results.folder, "demo")
    # Another paper's number on other data is nothing to verify.
    # Sensitivity of a segmentation is of pixels, ours of slices: it is only quoted.
    contour = "| Fuzzy c-means, region-based active contour [20] | 0.780 |"
    assert contour in text
    for quoted in ("jaccard 0.78", "dice 0.87", "sensitivity 0.794", "[23] UNet"):
        assert quoted in text
    _, checks = results.check("demo", ["related"])
    assert {check.kind for check in checks} == {verify.REGRESSION}


def test_baselines_are_evaluated_as_networks_are(results, made):
    baseline, network = (
        stored.load_result(results.folder, "demo", results.rows.row(row))
        for row in ("related/random-forest", UNET)
    )
    assert baseline.folds == network.folds
    for protocol, counts in baseline.counts.items():
        others = network.counts[protocol]
        for case_id, of_case in counts.items():
            truth = np.add(of_case["tp"], of_case["fn"]).tolist()
            other = others[case_id]
            assert truth == np.add(other["tp"], other["fn"]).tolist()
    row = results.rows.row("related/random-forest")
    assert baseline.faults(row, "demo") == []
    with np.load(made[0] / "demo/related/random-forest/" / f"{case_id}.npz") as kept:
        assert kept["probability"].dtype == np.uint8


def test_stored_probabilities_keep_what_lies_above_one_half():
    half = np.float32(0.5)
    chances = np.linspace(0, 1, 10_001, dtype=np.float32)
    chances = np.concatenate(
        [chances, [half, np.nextafter(half, 1), np.nextafter(half, 0)]]
    ).astype(np.float32)
    coded = evaluation.encode(chances)
    assert (coded.min(), coded.max()) == (0, 255)
    np.testing.assert_array_equal(coded / np.float32(255) > 0.5, chances > 0.5)
    assert np.abs(coded / 255 - chances).max() < 0.5001 / 255


@pytest.mark.parametrize(("profile", "known"), [("demo", True), ("quick", False)])
def test_a_row_shown_for_comparison_is_compared_with_its_own_settings_only(
    profile, known
):
    table, row = tables.TABLES["related"], catalog.CATALOG.row("table3/unet-hssayeni")
    assert row in table.shown and row not in table.rows
    records = recorded.RecordsOfTable(table, recorded.read(), profile)
    cells = table_cells.row_cells(
        table, row, None, table.groups_under(tables.PROTOCOL)[0], ()
    )
    assert cells
    assert all((records.of_cell(cell) is not None) == known for cell in cells)
