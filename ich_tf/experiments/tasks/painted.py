"""How a network is trained on painted slices and phantom heads, and judged.

As `segmentation`, but for the data. Three kinds of held-out data judge: phantom heads
(as any data set with masks), painted copies of patients who were not painted on for
training (Dice by subtype and size), and slices with labels alone, real ones where real
data are given: how well the largest predicted area tells slices with hemorrhage.
"""

import functools
import logging
from collections.abc import Callable, Iterable, Iterator

import numpy as np

from ich_tf import data as data_sets
from ich_tf import labels
from ich_tf.data import splits
from ich_tf.experiments import provenance, runner
from ich_tf.experiments.runner import SPLIT_SEED, Run
from ich_tf.experiments.tasks import segmentation
from ich_tf.experiments.tasks.segmentation import forecast, predictor, train
from ich_tf.metrics import display, evaluation, intervals
from ich_tf.models import weights
from ich_tf.prediction import ood, segment
from ich_tf.preprocessing.segmentation import slices
from ich_tf.synthetic import layouts, painted, painting
from ich_tf.training import distribute, loop
from ich_tf.volume import Case

__all__ = ["build", "forecast", "predictor", "train"]

LOGGER = logging.getLogger(__name__)

HELD_OUT_COPIES = 2
SIZES_MM2 = (100.0, 400.0, 1600.0)
"""Borders between the sizes of painted lesions."""
# Side of a head's field of view, for slices whose pixels have no known size.
_USUAL_SIDE_MM = 240.0


def folds(run: Run) -> tuple[splits.Fold, ...]:
    """One split by patient, of the heads to paint on and of the phantom heads.

    Where the phantom is painted on, too, a head is in one part however it is used.
    """
    cases = _phantom(run).fingerprint()["cases"]
    bleeding = [bool(facts["mask_voxels"]) for facts in cases.values()]
    heads = splits.patient_split(list(cases), run.profile.split, SPLIT_SEED, bleeding)
    quiet = _painter(run).patients()
    if run.dataset.root == _phantom(run).root:
        to_paint = [[name for name in part if name in quiet] for part in _parts(heads)]
    else:
        to_paint = _parts(
            splits.patient_split(quiet, run.profile.painted_split, SPLIT_SEED)
        )
    return (
        splits.Fold(
            *(
                tuple(painted.PAINTED + name for name in painted_on)
                + tuple(painted.PHANTOM + name for name in as_they_are)
                for painted_on, as_they_are in zip(to_paint, _parts(heads), strict=True)
            )
        ),
    )


def _parts(fold: splits.Fold) -> tuple[tuple[str, ...], ...]:
    return fold.train, fold.validation, fold.test


def inputs(run: Run) -> dict:
    """What decides the numbers besides settings and data set, as JSON."""
    begins_with = _first_weights(run)
    return {
        "painting": painting.VERSION,
        "phantom": provenance.digest(_phantom(run).fingerprint()),
        "begins_with": begins_with and begins_with["sha256"],
    }


def _first_weights(run: Run) -> dict | None:
    """Manifest entry of the weights that training begins with."""
    name = run.experiment.begins_with
    return name and weights.shipped(name, run.folders.weights)[1]


def check_applies(run: Run) -> None:
    """Refuse data on which nothing can be painted, before anything is trained.

    Raises:
        DoesNotApply: if the data have no labels, no head without hemorrhage, or are
            windows too narrow for the network; or if the weights that training begins
            with may have seen phantom heads that are held out here.
        ValueError: if the first case cannot be read.
    """
    begins_with = _first_weights(run)
    if begins_with and (
        begins_with["profile"] != run.profile.name
        or begins_with["data"] != provenance.digest(_phantom(run).fingerprint())
    ):
        raise runner.DoesNotApply(
            f"{run.experiment.begins_with} was trained on other phantom heads than "
            f"those of profile {run.profile.name}, which may hold out what it has "
            f"seen. Use `--profile {begins_with['profile']}`."
        )
    with runner.applying():
        patients = _painter(run).patients()
    segmentation.check_windows(run, run.dataset.load(patients[0]))


def built_on(run: Run) -> None:
    """No row needs another one."""


def training_data(run: Run, fold: splits.Fold):
    """As `segmentation.training_data`, of the row's sources."""
    stored = (
        _stored(run, fold.train, run.profile.copies),
        _stored(run, fold.validation, HELD_OUT_COPIES),
    )
    return segmentation.plan_and_batches(run, *stored)


def build(run: Run, plan: loop.Plan, say: Callable[[str], None]) -> tuple:
    """As `segmentation.build`, with the weights that the row begins with.

    Raises:
        ValueError: if these weights are not there, or do not fit.
    """
    model, init = segmentation.build(run, plan, say)
    if run.experiment.begins_with is not None:
        init = run.experiment.begins_with
        shipped = weights.load_shipped(init, run.folders.weights)
        model.set_weights(shipped.get_weights())
    return model, init


def evaluate(run: Run, number: int, model, *, say: Callable[[str], None]) -> dict:
    """Predict what is held out.

    Returns:
        `counts` of the phantom heads, as `segmentation.evaluate`; `painted`, for each
        painted slice its labels, pixels and areas; and `labelled`, for each
        case of the data set that was not trained on, truth and largest predicted area
        of its slices.
    """
    test = run.folds[number].test
    predict = run.task.predictor(run, model)
    heads = [name for name in test if name.startswith(painted.PHANTOM)]
    say(f"{run.experiment.id}: predicting {len(heads)} phantom heads")
    counts = segmentation.predict_cases(run, predict, _cases(run, heads, 1))
    say(f"{run.experiment.id}: predicting painted and labelled slices")
    quiet = [name for name in test if name.startswith(painted.PAINTED)]
    return {
        "counts": counts,
        "painted": _painted_slices(run, predict, quiet),
        "labelled": _labelled_slices(run, predict, run.folds[number]),
    }


def summarise(run: Run, done: list[dict]) -> dict:
    """`counts` and `summary` of the phantom heads, and of the slices what they show.

    Returns:
        Besides `counts` and `summary`: `painted`, from "all", a subtype or a size to
        the mean Dice of the slices with blood; `false_mm2`, the mean area predicted in
        painted slices without, which have look-alikes alone; `labelled`, "slice" and
        "patient" to the area under the ROC curve, and `data`, what they are. All with
        95 % intervals.
    """
    (one,) = done
    identity = run.fingerprint["identity"]
    return {
        "counts": one["counts"],
        "summary": evaluation.summarise(one["counts"], "phantom"),
        "painted": _dice_by_kind([row for row in one["painted"] if row["truth"]]),
        "false_mm2": _false_mm2([row for row in one["painted"] if not row["truth"]]),
        "labelled": {"data": identity, **evaluation.detection(one["labelled"])},
        "slices": {name: one[name] for name in ("painted", "labelled")},
    }


def describe(run: Run, result: dict) -> dict:
    """As `segmentation.describe`, with the score on labelled slices."""
    described = segmentation.describe(run, result)
    phantom = described["metric"].replace(run.fingerprint["identity"], "phantom")
    found, painted_dice = result["labelled"], result["painted"]["all"]
    slices_auc, patients_auc = (
        display.with_interval(found[name]) for name in ("slice", "patient")
    )
    (fold,) = run.folds
    sources = {
        "painted": f"slices without hemorrhage of {found['data']}, painted on",
        "phantom": "phantom heads",
    }
    described["trained_on"] = ", and ".join(
        sources[name] for name in run.experiment.sources
    )
    described["seen"] = [
        name.removeprefix(painted.PAINTED)
        for name in (*fold.train, *fold.validation)
        if name.startswith(painted.PAINTED)
    ]
    described["begins_with"] = result["spec"]["begins_with"] and {
        "name": run.experiment.begins_with,
        "sha256": result["spec"]["begins_with"],
    }
    described["painting"] = result["spec"]["painting"]
    described["metric"] = (
        f"{phantom}; Dice {display.with_interval(painted_dice)} of painted slices of "
        f"patients held out; area under the ROC curve of the largest "
        f"predicted area on the labelled slices of {found['data']}: {slices_auc} by "
        f"slice, {patients_auc} by patient"
    )
    return described


def companions(run: Run, model) -> dict[str, Callable]:
    """What `predict` needs to tell an unusual scan: `likeness`, from unpainted slices.

    Known are the real slices of the patients who were painted on for training; those
    of the other patients without hemorrhage set the limit.
    """
    layer = ood.deepest_layer(model)
    network = segmentation.network(run, model, layer)
    (fold,) = run.folds

    def features(names):
        found = []
        for name in names:
            if name.startswith(painted.PAINTED):
                case = run.dataset.load(name.removeprefix(painted.PAINTED))
                small = slices.at_size(case, run.profile.size).volume.hu
                found.append(segment.predict_with_features(network, small)[1])
        return np.concatenate(found)

    others = (*fold.validation, *fold.test)
    found = ood.fit(layer, features(fold.train), features(others))
    return {"likeness.npz": functools.partial(ood.save, found=found)}


def _painter(run: Run, *, whole: bool = False) -> painted.Painted:
    """The row's paint; `whole` leaves nothing out, so that it judges all rows alike."""
    return painted.Painted(
        run.dataset,
        functools.partial(slices.at_size, size=run.profile.size),
        run.seed,
        whole or run.experiment.with_look_alikes,
        whole or run.experiment.mass_effect,
    )


@functools.cache
def _open_phantom(root):
    return data_sets.open_dataset("ct-ich", root)


def _phantom(run: Run):
    """The phantom heads that the profile names, written if absent."""
    with distribute.chief_first():
        root = layouts.phantom_as(
            "ct-ich",
            run.folders.results / "phantom",
            **run.profile.phantom,
            say=LOGGER.info,
        )
    return _open_phantom(root)


def _cases(
    run: Run, names: Iterable[str], copies: int, *, whole: bool = False
) -> Iterator[Case]:
    """Painted copies of heads, and phantom heads, at the profile's size."""
    listed = [
        name if name.startswith(painted.PHANTOM) else f"{name}:{copy}"
        for copy in range(copies)
        for name in names
        if name.startswith(painted.PAINTED) or copy == 0
    ]
    source = painted.Mixed(_painter(run, whole=whole), _phantom(run))
    return layouts.load_ahead(source, listed, LOGGER.info, "painting: head")


def _stored(run: Run, names: Iterable[str], copies: int) -> slices.Slices:
    """All slices of the row's sources on disk, written if they are not there."""
    prefixes = tuple(f"{source}:" for source in run.experiment.sources)
    used = [name for name in names if name.startswith(prefixes)]
    painter = _painter(run)
    key = provenance.digest(
        [
            *(run.fingerprint, used, copies, run.profile.size, run.profile.phantom),
            *(painter.seed, painter.with_look_alikes, painter.mass_effect),
            painting.VERSION,
        ]
    )
    with distribute.chief_first():
        return slices.store(
            run.folders.results / run.profile.name / "slices" / key,
            _cases(run, used, copies),
            functools.partial(slices.RULES[run.profile.slices], seed=run.seed),
        )


def _painted_slices(run: Run, predict, quiet: list[str]) -> list[dict]:
    side_mm = _USUAL_SIDE_MM / run.profile.size
    found = []
    for case in _cases(run, quiet, HELD_OUT_COPIES, whole=True):
        spacing = case.volume.spacing_mm
        pixel_mm2 = spacing[1] * spacing[2] if spacing else side_mm**2
        called = predict(case.volume.hu) > 0.5
        for number in range(len(called)):
            truth = case.mask[number] > 0
            found.append(
                {
                    "case": case.case_id,
                    "patient": case.patient_id,
                    "slice": number,
                    "labels": case.labels[number].tolist(),
                    "truth": int(truth.sum()),
                    "predicted": int(called[number].sum()),
                    "both": int((truth & called[number]).sum()),
                    "area_mm2": round(float(truth.sum() * pixel_mm2), 1),
                    "predicted_mm2": round(float(called[number].sum() * pixel_mm2), 1),
                }
            )
    return found


def _labelled_slices(run: Run, predict, fold: splits.Fold) -> dict[str, dict]:
    """Of all heads of the data set that were neither trained on nor chose an epoch."""
    prefixes = [painted.PAINTED]
    if run.dataset.root == _phantom(run).root:
        prefixes.append(painted.PHANTOM)
    used = {
        name.removeprefix(prefix)
        for name in (*fold.train, *fold.validation)
        for prefix in prefixes
        if name.startswith(prefix)
    }
    found = {}
    for case_id in run.dataset.case_ids():
        if case_id in used:
            continue
        case = slices.at_size(run.dataset.load(case_id), run.profile.size)
        found[case_id] = evaluation.label_and_area(case, predict(case.volume.hu))
    return found


def _false_mm2(rows: list[dict]) -> dict:
    """Mean area that is predicted in slices without blood."""
    areas = [row["predicted_mm2"] for row in rows]
    patients = [row["patient"] for row in rows]
    return evaluation.as_json(intervals.bootstrap_mean(areas, patients))


def _dice_by_kind(rows: list[dict]) -> dict[str, dict]:
    """Mean Dice of slices by what they show; only slices with one subtype have one."""
    names = ("under 100", "100 to 400", "400 to 1600", "over 1600")
    groups: dict[str, list[dict]] = {"all": rows}
    for k, subtype in enumerate(labels.SUBTYPES):
        groups[subtype] = [
            row for row in rows if row["labels"][k] and sum(row["labels"][:-1]) == 1
        ]
    for number, name in enumerate(names):
        groups[f"{name} mm2"] = [
            row for row in rows if np.digitize(row["area_mm2"], SIZES_MM2) == number
        ]
    return {
        name: evaluation.as_json(
            intervals.bootstrap_mean(
                [2 * row["both"] / (row["truth"] + row["predicted"]) for row in group],
                [row["patient"] for row in group],
            )
        )
        for name, group in groups.items()
        if group
    }
