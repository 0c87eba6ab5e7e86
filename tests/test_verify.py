"""`verify` finds what was planted, and never passes what was not run."""

import dataclasses
import functools
import json
import math
import shutil

import numpy as np
import pytest
import threshold_run
from PIL import Image as image

from ich_tf import cli, files
from ich_tf.data import ct_ich
from ich_tf.evidence import audit, compare, docs, readme, tables, verify
from ich_tf.evidence import conventions as sweeping
from ich_tf.evidence import protocols as protocol_sweep
from ich_tf.experiments import profiles, provenance, runner, spec
from ich_tf.experiments import results as stored
from ich_tf.experiments.rows import audit as audit_rows
from ich_tf.experiments.rows import table2, table3
from ich_tf.metrics import evaluation

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


@pytest.fixture
def results(made, monkeypatch, tmp_path):
    """A copy to be spoilt, a report that prints our numbers, and their record."""
    folder, real = made
    shutil.copytree(folder, tmp_path / "results", ignore=_predictions)
    (tmp_path / "results" / "phantom").symlink_to(folder / "phantom")
    threshold_run.tiny(monkeypatch)
    for module, result in ((table2, real[0]), (table3, real[1])):
        rows = tuple(
            _reporting(row, result) if row.id == result["experiment"] else row
            for row in module.ROWS
        )
        monkeypatch.setattr(module, "ROWS", rows)
    counts = {
        case_id: {name: case[name] for name in ("slices", "mask_voxels")}
        for case_id, case in real[0]["data"]["cases"].items()
    }
    monkeypatch.setattr(ct_ich, "published_counts", lambda: counts)
    monkeypatch.setattr(verify, "FULL_SIZE", threshold_run.TINY.size)
    monkeypatch.setattr(readme, "RECORDED", tmp_path / "demo.json")
    monkeypatch.setattr(readme, "README", tmp_path / "README.md")
    (tmp_path / "README.md").write_text(f"{readme.BEGIN}{readme.END}")
    readme.update(tmp_path / "results")
    return tmp_path / "results"


def _predictions(folder, names):
    return [name for name in names if name.endswith(".npz") or name == "phantom"]


def _reporting(row, result):
    """The row as if the report printed what the result holds."""
    means = result["summary"]["hssayeni2020"]
    columns = ("jaccard", "dice", "sensitivity", "specificity")
    numbers = {name: round(means[name]["mean"], 3) for name in columns}
    printed = {"table3": numbers}
    if row.reported.get("table2"):
        printed["table2"] = {name: numbers[name] for name in ("jaccard", "dice")}
    return dataclasses.replace(row, reported=printed)


def check(results, profile="paper", names=("table3",)):
    found = verify.verify(results, profile, names)
    return {(one.cell.experiment, one.cell.column): one for one in found}, found


def spoil(results, change, profile="paper", experiment=UNET):
    path = stored.result_file(results, profile, experiment)
    result = files.read_json(path)
    change(result)
    # Not files.write_json, which refuses NaN.
    path.write_text(json.dumps(result))


def test_results_that_agree_pass(results):
    by_name, found = check(results)
    assert {one.verdict for one in found} == {"reproduced"}
    assert len(found) == 8
    assert verify.status(found) == 0
    one = by_name[UNET, "dice"]
    assert one.kind == verify.REPORT
    assert 0 < one.expected < 1
    assert one.expected == pytest.approx(one.cell.ours, abs=0.0005)
    text = verify.render(found)
    assert "reproduced: within 0.02 of the report" in text
    assert text.endswith("8 reproduced\n")
    content = json.loads(verify.render(found, as_json=True))
    assert content["status"] == 0
    assert [row["verdict"] for row in content["checks"]] == ["reproduced"] * 8


def test_nothing_run_is_never_a_pass(tmp_path, capsys):
    assert cli.main(["verify", "--results", str(tmp_path)]) == 2
    found = verify.verify(tmp_path, "demo")
    reported = 6 * 4 + 1 + 7 * 2 + 2 * 4
    assert [one.verdict for one in found] == ["not run"] * reported
    assert verify.status([]) == 2
    assert f"{reported} not run" in capsys.readouterr().out
    assert cli.main(["verify", "table1-more", "--results", str(tmp_path)]) == 2
    assert "prints no number of 'table1-more'" in capsys.readouterr().err


def test_a_missing_row(results):
    stored.result_file(results, "paper", UNET).unlink()
    by_name, found = check(results)
    assert by_name[UNET, "dice"].verdict == "not run"
    assert by_name[BEST, "dice"].verdict == "reproduced"
    assert verify.status(found) == 2


def test_a_number_that_differs_from_the_report(results, monkeypatch):
    """The planted number is the report's: ours is honest and differs."""
    (unet,) = table3.ROWS
    printed = dict(unet.reported["table3"])
    for by, verdict, status in ((0.03, "close", 0), (0.06, "differs", 1)):
        wrong = {**printed, "dice": printed["dice"] + by}
        row = dataclasses.replace(unet, reported={"table3": wrong})
        monkeypatch.setattr(table3, "ROWS", (row,))
        by_name, found = check(results)
        assert by_name[UNET, "dice"].verdict == verdict
        assert by_name[UNET, "jaccard"].verdict == "reproduced"
        assert verify.status(found) == status


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


def _no_summary(result):
    del result["summary"]


def _other_row(result):
    result["experiment"] = BEST


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (_summary, "summary of hssayeni2020, dice is not what its cases give"),
        (_bound, "summary of hssayeni2020, dice"),
        (_nan, "summary of hssayeni2020, dice"),
        (_nan_count, "is not a whole number from 0 on"),
        (_lost_case, "its counts are not of the test cases"),
        (_better_counts, "the slices' pixels are not the case's"),
        (_more_truth, "counted in another mask"),
        (_slice_lost, "counts of other slices than the data's 6"),
        (_no_summary, "it is damaged (KeyError: 'summary')"),
        (_other_row, f"it is of {BEST}, profile paper"),
    ],
)
def test_an_edited_file_is_found(results, change, reason):
    spoil(results, change)
    by_name, found = check(results)
    one = by_name[UNET, "dice"]
    assert (one.verdict, one.cell.ours) == ("differs", None)
    assert reason in one.cell.reason
    assert by_name[BEST, "dice"].verdict == "reproduced"
    assert verify.status(found) == 1
    json.loads(verify.render(found, as_json=True))


def test_counts_that_agree_are_told_by_counting_again(results, made):
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

    folders = runner.Folders(results=results, weights=results)
    shutil.rmtree(results / "demo" / UNET)
    shutil.copytree(made[0] / "demo" / UNET, results / "demo" / UNET)
    for row in ("related/hu-threshold", "related/random-forest"):
        stored.result_file(results, "demo", row).unlink()
    stored.result_file(results, "demo", BEST).unlink()
    found = verify.verify(results, "demo", ["table3"], folders)
    assert {one.verdict for one in found} == {"as recorded", "not run"}
    spoil(results, fewer_alarms, "demo")
    found = verify.verify(results, "demo", ["table3"])
    assert not any(one.cell.reason.startswith(str(results)) for one in found)
    found = verify.verify(results, "demo", ["table3"], folders)
    reasons = " ".join(one.cell.reason for one in found)
    assert "the stored probabilities give other counts" in reasons
    assert verify.status(found) == 1
    next((results / "demo" / UNET).glob("*.npz")).unlink()
    spoil(results, lambda result: None, "demo")
    found = verify.verify(results, "demo", ["table3"], folders)
    assert "left no probabilities" in " ".join(one.cell.reason for one in found)
    assert verify.status(found) == 1


def test_a_file_that_is_no_json(results):
    stored.result_file(results, "paper", UNET).write_text("{")
    by_name, found = check(results)
    assert "is not valid JSON" in by_name[UNET, "dice"].cell.reason
    assert verify.status(found) == 1


def test_the_phantom_cannot_pass_for_the_real_data(results, monkeypatch):
    def claim(result):
        result["data"]["identity"] = REAL

    path = stored.result_file(results, "demo", UNET)
    spoil(results, claim, "demo")
    by_name, found = check(results, "demo")
    assert (
        "not those its specification was made for" in by_name[UNET, "dice"].cell.reason
    )
    # Who also mends the digest is told by the published counts.
    monkeypatch.undo()
    result = files.read_json(path)
    result["spec"]["data"] = provenance.digest(result["data"])
    (row,) = table3.ROWS
    faults = verify.faults(result, row, "demo")
    assert faults == ["its data have other counts than ct-ich 1.3.1 as published"]


def test_other_data_are_not_compared(results):
    def rename(result):
        result["data"]["identity"] = "unknown"
        result["spec"]["data"] = provenance.digest(result["data"])
        # Patient numbers mean nothing here, so no patient is left out.
        result["summary"] = evaluation.summarise(result["counts"], "unknown")

    spoil(results, rename)
    by_name, found = check(results)
    assert by_name[UNET, "dice"].verdict == "not comparable"
    assert by_name[UNET, "dice"].cell.reason == "data: unknown, not ct-ich 1.3.1"
    assert verify.status(found) == 2


def test_other_settings_are_not_compared(results):
    def faster(result):
        result["spec"]["profile"]["learning_rate"] = 1.0

    spoil(results, faster)
    by_name, found = check(results)
    assert by_name[UNET, "dice"].verdict == "not comparable"
    assert "other settings" in by_name[UNET, "dice"].cell.reason
    assert verify.status(found) == 2


def test_the_phantom_is_held_against_its_record(results):
    by_name, found = check(results, "demo")
    assert {one.verdict for one in found} == {"as recorded"}
    assert {one.kind for one in found} == {verify.REGRESSION}
    assert verify.status(found) == 0
    text = verify.render(found)
    assert "regression check on the phantom, no reproduction" in text
    assert "reproduced" not in text


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
    recorded = files.read_json(readme.RECORDED)
    (cell,) = (
        cell
        for cell in recorded["table3"]["cells"]
        if (cell["experiment"], cell["column"]) == (UNET, "dice")
    )
    near = {"ours": cell["high"]}
    cell.update(near if change == "near" else change)
    files.write_json(readme.RECORDED, recorded)
    by_name, found = check(results, "demo")
    assert by_name[UNET, "dice"].verdict == verdict
    assert (
        verify.status(found)
        == {"within": 0, "differs": 1, "not comparable": 2}[verdict]
    )


def test_a_row_without_record_is_no_pass(results):
    files.write_json(readme.RECORDED, {})
    _, found = check(results, "demo")
    assert {one.cell.reason for one in found} == {
        "there is no record of it, or of other settings"
    }
    assert verify.status(found) == 2


def test_a_record_of_other_settings_is_no_record(results):
    recorded = files.read_json(readme.RECORDED)
    assert set(recorded["table3"]["settings"]) >= {UNET}
    recorded["table3"]["settings"][UNET] = "of others"
    files.write_json(readme.RECORDED, recorded)
    by_name, found = check(results, "demo")
    assert by_name[UNET, "dice"].verdict == "not comparable"
    assert verify.status(found) == 2


def test_compare_takes_rows_of_masks(results):
    """The two rows differ only in tiles averaged by the same threshold: by nothing."""
    text = compare.render(BEST, UNET, results, "demo")
    assert f"**{UNET} against {BEST}: phantom, profile demo, 1 seed, 4 held-out" in text
    (line,) = (line for line in text.splitlines() if line.startswith("| Dice |"))
    assert line.endswith("+0.0000 [+0.0000, +0.0000] |  |")
    spoil(results, _lost_case, "demo")
    with pytest.raises(ValueError, match="not evaluated on the same scans"):
        compare.render(BEST, UNET, results, "demo")


def test_a_paired_difference_is_that_of_the_means(results):
    def worse(result):
        for counts in result["counts"]["hssayeni2020"].values():
            found = counts["tp"]
            counts["fn"] = [sum(pair) for pair in zip(counts["fn"], found, strict=True)]
            counts["tp"] = [0] * len(found)

    spoil(results, worse, "paper")
    one, other = (
        compare.results_of(row, results, "paper", [0]) for row in (BEST, UNET)
    )
    row = compare.paired(one, other)["dice"]
    assert row["first"] == one[0]["summary"]["hssayeni2020"]["dice"]["mean"]
    assert row["second"] == 0
    assert row["difference"].mean == pytest.approx(-row["first"])
    assert row["difference"].high < 0


@pytest.fixture
def swept(made, monkeypatch):
    threshold_run.tiny(monkeypatch)
    folders = runner.Folders(results=made[0], weights=made[0])
    run = protocol_sweep.open_result(UNET, "demo", folders, print)
    return run, protocol_sweep.sweep(run, lambda line: None)


def test_the_sweep_holds_the_protocols_of_the_result(swept):
    run, conventions = swept
    assert len(conventions) == 3 * 2 * (4 * 4 + 1) * 4
    summary = files.read_json(run.file)["summary"]
    (published,) = (one for one in conventions if one.is_published)
    for name, value in published.scores.items():
        assert value == pytest.approx(summary["hssayeni2020"][name]["mean"])
    plain = {
        (one.unit, one.empty): one.scores
        for one in conventions
        if (one.threshold, one.post_processing) == (0.5, False)
        and (one.truth_detection_pixels, one.predicted_detection_pixels) == (1, 0)
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
    (one,) = (
        one
        for one in conventions
        if (one.unit, one.empty, one.threshold) == ("crop", "skip", 0.5)
        and not one.post_processing
        and (one.truth_detection_pixels, one.predicted_detection_pixels) == (1, 0)
    )
    assert one.scores["dice"] == pytest.approx(np.mean(values))


def test_on_the_phantom_only_the_spread_is_said(swept):
    run, conventions = swept
    assert {one.distance for one in conventions} == {None}
    text = protocol_sweep.describe(run, conventions)
    assert "Not ranked: the report has no number of this row on phantom, or" in text
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
    found = sweeping.ranked(conventions, target.scores)
    assert found[0].distance == 0
    assert found[0].scores == target.scores
    distances = [one.distance for one in found if one.distance is not None]
    assert distances == sorted(distances)
    text = protocol_sweep.describe(run, found)
    assert text.count("\n| 0.") >= 10
    # Overlap alone does not tell detection limits apart.
    overlap = {name: target.scores[name] for name in ("jaccard", "dice")}
    assert len(sweeping.ranked(conventions, overlap)) == len(conventions) / 4


def test_the_real_data_are_ranked(made, monkeypatch):
    """The phantom passes for ct-ich 1.3.1 here, as in `made`."""
    threshold_run.tiny(monkeypatch)
    monkeypatch.setattr(ct_ich.CtIch, "_identity", lambda self, counts: REAL)
    folders = runner.Folders(results=made[0], weights=made[0])
    run = protocol_sweep.open_result(UNET, "paper", folders, print)
    found = protocol_sweep.sweep(run, lambda line: None)
    assert len(found) == 3 * 2 * (4 * 4 + 1) * 2 * 4
    ours = found[0].scores
    printed = run.experiment.reported["table3"]
    assert found[0].distance == max(abs(ours[name] - printed[name]) for name in printed)


def test_protocols_from_a_result_file(made, monkeypatch, tmp_path, capsys):
    threshold_run.tiny(monkeypatch)
    path = stored.result_file(made[0], "demo", UNET)
    assert cli.main(["protocols", str(path), "--out", str(tmp_path)]) == 0
    assert "| dice | 0." in capsys.readouterr().out
    assert len(files.read_json(tmp_path / "protocols.json")) == 408
    with image.open(tmp_path / "protocols.png") as picture:
        pixels = np.asarray(picture.convert("RGB"))
    assert min(pixels.shape[:2]) > 400
    assert (pixels != 255).any(axis=-1).mean() > 0.02


def test_a_sweep_is_of_the_very_result(results, monkeypatch, tmp_path):
    folders = runner.Folders(results=results, weights=tmp_path)
    path = results / "demo" / f"{BEST}.json"
    open_it = functools.partial(
        protocol_sweep.open_result, profile="demo", folders=folders, say=print
    )
    assert open_it(str(path)).file == path
    other = path.with_name(f"{path.stem}-seed1.json")
    content = files.read_json(path)
    content["spec"]["seed"] = 1
    files.write_json(other, content)
    assert open_it(str(other)).file == other
    content["spec"]["profile"]["epochs"] = 99
    files.write_json(other, content)
    with pytest.raises(ValueError, match="made with other settings"):
        open_it(str(other))
    with pytest.raises(ValueError, match=r"made with other settings.*--seed 1"):
        compare.results_of(BEST, results, "demo", (0, 1))


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("table1/resnext101", "table1/resnext101 has no masks"),
        ("table2/resnet50-random-bce", "Run `ich-tf reproduce table2/resnet50-random-"),
        ("absent.json", "There is no"),
    ],
)
def test_what_cannot_be_swept(made, monkeypatch, capsys, name, reason):
    threshold_run.tiny(monkeypatch)
    assert cli.main(["protocols", name, "--results", str(made[0])]) == 2
    assert reason in capsys.readouterr().err


def test_the_audit_shows_what_was_run(results):
    found = {one.name: one for one in audit.audit(results, "demo")}
    black, lesion = found["approach 2, as stated"], found["approach 2, cross-entropy"]
    assert black.verdict == "open"
    assert black.evidence.startswith("on phantom: 0 positive pixels in 4 heads")
    assert black.evidence.endswith("decides nothing: data: phantom, not ct-ich 1.3.1")
    assert lesion.verdict == "open"
    assert "on phantom: 0 positive" not in lesion.evidence
    assert found["approach 2, random weights"].verdict == "not run"
    crops = found["training on lesion crops only"]
    assert "all crops, 60% with blood: dice 0." in crops.evidence
    assert "; lesion crops only: dice 0." in crops.evidence
    assert "-> by the code as published" in found["slips of [2]'s evaluation"].evidence


def test_the_page_of_the_audit(results):
    missing = [
        audit_rows.VARIANTS[name] for name in ("random weights", "windows in HU")
    ]
    with pytest.raises(ValueError, match=f"{missing[0]} was not run.*{missing[1]}"):
        docs.audited(results)
    # The rows differ in what is trained, which is planted here.
    for name in missing:
        content = stored.load_result(results, "demo", audit_rows.APPROACH2)
        (row,) = spec.find(name)
        scale = profiles.profile(row.task, "demo").for_row(name)
        content["spec"] |= spec.settings(row, scale)
        files.write_json(stored.result_file(results, "demo", name), content)
    page = docs.audited(results)
    assert audit.render(audit.audit(results, "demo")) in page
    assert "| not run |" not in page.split("approach 2, as stated")[1]
    assert f"| {audit_rows.EVERY_CROP} | phantom | 1 of " in page


@pytest.mark.parametrize(("pixels", "verdict"), [(0, "holds"), (1, "contradicted")])
def test_one_positive_pixel_contradicts_approach_2(results, pixels, verdict):
    def light(result):
        result["data"]["identity"] = REAL
        result["folds"] = [{"test": list(result["data"]["cases"])}]
        counts = result["counts"]["per_volume"].values()
        next(iter(counts))["predicted_pixels"] = pixels

    spoil(results, light, "demo", audit_rows.APPROACH2)
    found = {one.name: one for one in audit.audit(results, "demo")}
    assert found["approach 2, as stated"].verdict == verdict


def test_related_work_stands_beside_the_networks(results):
    found = {
        (cell.row, cell.column): cell
        for cell in tables.cells("related", results, "demo")
    }
    cell = found["Voxels: random forest [22]", "dice"]
    assert (cell.reported, cell.verdict) == (0.89, "not comparable")
    assert cell.reason == "data: phantom, not the data of each paper"
    assert 0 <= cell.ours <= 1
    ours = stored.load_result(results, "demo", UNET)["summary"]["hssayeni2020"]
    assert found["UNet [2]", "dice"].ours == ours["dice"]["mean"]
    assert found["Distance-regularised level set [16, 25]", "dice"].verdict == "not run"
    text = tables.render(["related"], results, "demo")
    assert "reproduced" not in text
    # Another paper's number on other data is nothing to verify.
    # Sensitivity of a segmentation is of pixels, ours of slices: it is only quoted.
    contour = "| Fuzzy c-means, region-based active contour [20] | 0.780 |"
    assert contour in text
    assert "jaccard 0.78, dice 0.87, sensitivity 0.794" in text
    assert "stated, not run here: [23] UNet + multi-region contour evolution" in text
    with pytest.raises(ValueError, match="prints no number of 'related'"):
        verify.verify(results, "demo", ["related"])


def test_baselines_are_evaluated_as_networks_are(results, made):
    baseline, network = (
        stored.load_result(results, "demo", row)
        for row in ("related/random-forest", UNET)
    )
    assert baseline["folds"] == network["folds"]
    for protocol, counts in baseline["counts"].items():
        others = network["counts"][protocol]
        for case_id, one in counts.items():
            truth = np.add(one["tp"], one["fn"]).tolist()
            other = others[case_id]
            assert truth == np.add(other["tp"], other["fn"]).tolist()
    (row,) = spec.find("related/random-forest")
    assert verify.faults(baseline, row, "demo") == []
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
