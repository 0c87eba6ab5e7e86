"""Painted rows end to end on a few small phantom heads."""

import dataclasses

import markdown_rows
import numpy as np
import pytest
import small

from ich_tf import files, labels, models
from ich_tf.evidence import docs, synthetic_page
from ich_tf.experiments.tasks import painted_data
from ich_tf.metrics import evaluation, painted_slices
from ich_tf.models import shipping
from ich_tf.synthetic import painted, painting

ROW = "painted/both"
pytestmark = pytest.mark.usefixtures("float32")


@pytest.fixture
def run(finished):
    return finished(ROW).run


@pytest.fixture
def folders(run):
    return run.folders


@pytest.fixture
def painter(run):
    return painted_data.painter_of(run)


@pytest.fixture
def result(finished):
    return finished(ROW).result


def test_copies_of_a_head_differ_and_come_back_the_same(painter):
    name = painter.patients()[0]
    first, again, other = (painter.load(f"{name}:{copy}") for copy in (0, 0, 1))
    assert first.patient_id == other.patient_id == name
    np.testing.assert_array_equal(first.volume.hu, again.volume.hu)
    assert (first.volume.hu != other.volume.hu).any()
    assert first.mask.any()
    np.testing.assert_array_equal(first.mask.any(axis=(1, 2)), first.labels[:, -1])


def test_heads_that_bleed_are_never_painted_on(run, painter):
    bleeding = [
        case_id
        for case_id in run.dataset.case_ids()
        if run.dataset.load(case_id).labels.any()
    ]
    assert bleeding
    assert not set(bleeding) & set(painter.patients())
    with pytest.raises(ValueError, match=f"{bleeding[0]} shows hemorrhage"):
        painter.load(f"{bleeding[0]}:0")


class Unlabelled:
    def scan_labels(self):
        return None


class Bleeding:
    def scan_labels(self):
        return np.ones((1, 6), np.uint8)

    def case_ids(self):
        return ["a"]


@pytest.mark.parametrize(
    ("source", "said"),
    [(Unlabelled(), "no diagnosis table"), (Bleeding(), "no head without")],
)
def test_data_that_cannot_be_painted_on_are_refused(source, said):
    with pytest.raises(ValueError, match=said):
        painted.PaintedHeads(source, lambda case: case).patients()


def test_no_patient_is_on_both_sides(run):
    (fold,) = run.folds
    parts = (fold.train, fold.validation, fold.test)
    heads = [{name.partition(":")[2] for name in part} for part in parts]
    # The phantom is painted on here, so a head has two names.
    assert sum(map(len, heads)) == len(set.union(*heads))
    for part in parts:
        kinds = {name.partition(":")[0] for name in part}
        assert kinds == {"painted", "phantom"}


def test_a_row_trains_on_its_sources_alone(run):
    for sources in (("painted",), ("phantom",)):
        variant = dataclasses.replace(
            run, experiment=dataclasses.replace(run.experiment, sources=sources)
        )
        (fold,) = variant.folds
        stored = painted_data.stored_slices(variant, fold.validation, 1)
        assert all(
            (":" in name) == (sources == ("painted",)) for name in stored.case_ids
        )


@pytest.mark.parametrize("left_out", ["mimics", "mass-effect"])
def test_every_row_is_judged_on_the_same_paint(run, folders, left_out):
    """What a row leaves out of training is in the held-out slices all the same."""
    row = small.run(f"painted/without-{left_out}", folders)
    quiet = [name for name in run.folds[0].test if name.startswith(painted.PAINTED)]
    seen = {run.experiment.id: [], row.experiment.id: []}
    for each in (run, row):

        def predict(hu, shown=seen[each.experiment.id]):
            shown.append(hu)
            return np.zeros(hu.shape)

        painted_data.painted_slices(each, predict, quiet)
    assert seen[row.experiment.id]
    for ours, theirs in zip(*seen.values(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    trained_on = [case.volume.hu for case in painted_data.load_cases(row, quiet, 2)]
    assert any(
        (ours != shown).any()
        for ours, shown in zip(trained_on, seen[row.experiment.id], strict=True)
    )


def test_a_result_has_dice_by_kind_and_area_under_the_curve(run, result):
    (fold,) = run.folds
    heads = [name for name in fold.test if name.startswith("phantom:")]
    assert len(result.counts["per_volume"]) == len(heads)
    rows = result.slices["painted"]
    assert result.painted["all"]["n"] == sum(row["truth"] > 0 for row in rows) > 0
    clean = [row["predicted_mm2"] for row in rows if not row["truth"]]
    assert result.false_mm2["mean"] == pytest.approx(np.mean(clean))
    assert result.spec["painting"] == painting.VERSION
    kinds = {"all", *labels.SUBTYPES} | {
        f"{size} mm2"
        for size in ("under 100", "100 to 400", "400 to 1600", "over 1600")
    }
    assert set(result.painted) <= kinds
    # The phantom is here the data set, too.
    trained_on = {name.partition(":")[2] for name in (*fold.train, *fold.validation)}
    judged = set(result.slices["labelled"])
    assert judged == set(run.dataset.case_ids()) - trained_on
    for unit in ("slice", "patient"):
        assert 0 <= result.labelled[unit]["mean"] <= 1


def test_dice_of_slices_by_subtype_and_size():
    def row(subtype, area, both):
        flags = [int(k == labels.index(subtype)) for k in range(5)]
        return {
            "patient": "a",
            "labels": [*flags, 1],
            "truth": 10,
            "predicted": 10,
            "both": both,
            "area_mm2": area,
        }

    rows = [row("EDH", 50.0, 10), row("EDH", 500.0, 5), row("SDH", 5000.0, 0)]
    by_kind = painted_slices.dice_by_kind(rows)
    means = {name: score["mean"] for name, score in by_kind.items()}
    assert means == {
        "all": 0.5,
        "epidural": 0.75,
        "subdural": 0.0,
        "under 100 mm2": 1.0,
        "400 to 1600 mm2": 0.5,
        "over 1600 mm2": 0.0,
    }


def test_a_row_begins_with_the_shipped_weights_it_names(run, folders, tmp_path):
    plan = run.task.training_data(run, run.folds[0]).plan
    shape = (small.PAINTED.tile, small.PAINTED.tile, 1)
    kwargs = {**run.experiment.arguments, "input_shape": shape}
    shipped = models.build(run.experiment.model, **kwargs)
    build = {"name": run.experiment.model, "kwargs": kwargs}
    known = {"profile": "demo", "data": run.spec["phantom"]}
    shipping.ship(shipped, "first", tmp_path, {"build": build, **known})
    row = dataclasses.replace(run.experiment, begins_with="first")
    begun = dataclasses.replace(
        run,
        experiment=row,
        folders=dataclasses.replace(folders, weights=tmp_path),
    )
    begun.task.check(begun)
    elsewhere = dataclasses.replace(small.PAINTED, name="other")
    with pytest.raises(ValueError, match="trained on other phantom heads"):
        begun.task.check(dataclasses.replace(begun, profile=elsewhere))
    expected = shipped.get_weights()
    model, init = begun.task.build(begun, plan, print)
    assert init == row.wanted_init == "first"
    assert begun.spec["begins_with"] != run.spec["begins_with"]
    for left, right in zip(model.get_weights(), expected, strict=True):
        np.testing.assert_array_equal(left, right)
    with pytest.raises(ValueError, match="No shipped weights 'first'"):
        begun.task.build(dataclasses.replace(begun, folders=folders), plan, print)


def test_area_under_the_curve_of_the_largest_part():
    mask = np.zeros((2, 8, 8), bool)
    mask[0, 0, :2] = mask[0, 4, :3] = True
    assert evaluation.largest_areas(mask).tolist() == [3, 0]
    cases = {
        "a": {"truth": [1, 0], "largest": [3, 1]},
        "b": {"truth": [0, 0], "largest": [0, 2]},
        "c": {"truth": [0, 1], "largest": [0, 2]},
        "d": {"truth": [0, 0], "largest": [0, 0]},
    }
    scores = evaluation.detection(cases)
    # Of 2 x 6 pairs of slices 11 are in order, one is even.
    assert scores["slice"]["mean"] == pytest.approx(11.5 / 12)
    assert scores["patient"]["mean"] == pytest.approx(3.5 / 4)


def test_the_page_shows_every_row_and_says_what_is_missing(
    run, result, elsewhere, tmp_path
):
    files.write_json(elsewhere.results / "demo" / f"{ROW}.json", result.as_json())
    with pytest.raises(ValueError, match="shipped/unetplusplus-painted was not run"):
        synthetic_page.page(elsewhere.results)
    lines = []
    docs.write(elsewhere.results, tmp_path, lines.append)
    assert [line.split(".md")[0] for line in lines] == [
        "docs/classification",
        "docs/synthetic",
        "docs/audit",
        "docs/figures-3-7.png stays as it is: There is no "
        f"{elsewhere.results}/demo/table1/resnext101/figures-predict. "
        "Run `ich-tf figures`.",
    ]
    # That page is made from what is recorded next to the weights.
    assert [path.name for path in tmp_path.glob("*.md")] == ["real-heads.md"]
    shipped = elsewhere.results / "shipped" / f"{synthetic_page.SHIPPED}.json"
    content = {
        **result.as_json(),
        "experiment": synthetic_page.SHIPPED,
        "profile": "shipped",
    }
    files.write_json(shipped, content)
    detected = {"cases": result.slices["labelled"]}
    files.write_json(elsewhere.results / "detection/one/detection.json", detected)
    docs.write(elsewhere.results, tmp_path, lines.append)
    text = (tmp_path / "synthetic.md").read_text()
    mean = f"{result.painted['all']['mean']:.3f}"
    # Once among the ingredients and once as the network that `real-heads` begins with.
    title = "painted slices and phantom heads"
    shown = [cells for cells in markdown_rows.rows(text) if cells[0] == title]
    assert len(shown) == 2
    assert all(any(mean in cell for cell in cells) for cells in shown)
    assert markdown_rows.row(text, "painted/phantom-only")[0] == "not run"
    area = result.labelled["slice"]["mean"]
    assert f"| one | {area:.3f}" in text
