"""The slices of a painted row: painted copies of heads, and phantom heads."""

import functools
import logging
from collections.abc import Iterable, Iterator

from ich_tf.data import splits
from ich_tf.experiments import provenance
from ich_tf.experiments.runner import Run
from ich_tf.experiments.tasks import masks
from ich_tf.metrics import evaluation
from ich_tf.preprocessing.segmentation import slices
from ich_tf.synthetic import layouts, painted, painting
from ich_tf.volume import Case

LOGGER = logging.getLogger(__name__)
HELD_OUT_COPIES = 2
# Side of a head's field of view, for slices whose pixels have no known size.
_USUAL_SIDE_MM = 240.0


def painter_of(run: Run, *, whole: bool = False) -> painted.PaintedHeads:
    """The row's painter.

    Args:
        run: The run.
        whole: Paint mimics and mass effect even if the row leaves them out, so that
            all rows are judged alike.
    """
    return painted.PaintedHeads(
        run.dataset,
        functools.partial(slices.at_size, size=run.profile.size),
        run.seed,
        whole or run.experiment.with_mimics,
        whole or run.experiment.mass_effect,
    )


def load_cases(
    run: Run, names: Iterable[str], copies: int, *, whole: bool = False
) -> Iterator[Case]:
    """Painted copies of heads, and phantom heads, at the profile's in-plane size.

    Args:
        run: The run.
        names: "painted:<patient>" or "phantom:<case id>".
        copies: Number of painted copies of each patient.
        whole: Paint mimics and mass effect even if the row leaves them out.
    """
    listed = [
        name if name.startswith(painted.PHANTOM) else f"{name}:{copy}"
        for copy in range(copies)
        for name in names
        if name.startswith(painted.PAINTED) or copy == 0
    ]
    source = painted.Mixed(painter_of(run, whole=whole), run.phantom)
    return layouts.load_ahead(source, listed, LOGGER.info, "painting: head")


def stored_slices(run: Run, names: Iterable[str], copies: int) -> slices.Slices:
    """All slices of the row's sources on disk, written if they are absent.

    Args:
        run: The run.
        names: "painted:<patient>" or "phantom:<case id>"; other sources than the
            row's are left out.
        copies: Number of painted copies of each patient.
    """
    used = of_sources(run, names)
    painter = painter_of(run)
    key = provenance.digest(
        [
            *(run.fingerprint, used, copies, run.profile.size, run.profile.phantom),
            *(painter.seed, painter.with_mimics, painter.mass_effect),
            painting.VERSION,
        ]
    )
    with run.devices.chief_first():
        return slices.store(
            run.folders.results / run.profile.name / "slices" / key,
            load_cases(run, used, copies),
            functools.partial(slices.RULES[run.profile.slices], seed=run.seed),
        )


def painted_slices(run: Run, predict: masks.Predict, quiet: list[str]) -> list[dict]:
    """Labels, pixels and areas of each painted slice of held-out patients.

    Args:
        run: The run.
        predict: From `MaskTask.predictor`.
        quiet: "painted:<patient>" of the patients.
    """
    side_mm = _USUAL_SIDE_MM / run.profile.size
    rows = []
    for case in load_cases(run, quiet, HELD_OUT_COPIES, whole=True):
        spacing = case.volume.spacing_mm
        pixel_mm2 = spacing[1] * spacing[2] if spacing else side_mm**2
        positive = predict(case.volume.hu) > 0.5
        for number in range(len(positive)):
            truth = case.mask[number] > 0
            rows.append(
                {
                    "case": case.case_id,
                    "patient": case.patient_id,
                    "slice": number,
                    "labels": case.labels[number].tolist(),
                    "truth": int(truth.sum()),
                    "predicted": int(positive[number].sum()),
                    "both": int((truth & positive[number]).sum()),
                    "area_mm2": round(float(truth.sum() * pixel_mm2), 1),
                    "predicted_mm2": round(
                        float(positive[number].sum() * pixel_mm2), 1
                    ),
                }
            )
    return rows


def labelled_slices(
    run: Run, predict: masks.Predict, fold: splits.Fold
) -> dict[str, dict]:
    """Truth and largest area of all cases that neither trained nor chose an epoch.

    Returns:
        Case id to `evaluation.label_and_area`.
    """
    prefixes = [painted.PAINTED]
    if run.dataset.root == run.phantom.root:
        prefixes.append(painted.PHANTOM)
    used = {
        name.removeprefix(prefix)
        for name in (*fold.train, *fold.validation)
        for prefix in prefixes
        if name.startswith(prefix)
    }
    judged = [case_id for case_id in run.dataset.case_ids() if case_id not in used]
    return {
        case.case_id: evaluation.label_and_area(case, predict(case.volume.hu))
        for case in masks.cases(run, judged)
    }


def stored_count(run: Run, names: Iterable[str], copies: int) -> int:
    """Number of slices that `stored_slices` keeps on disk."""
    count = 0
    for name in of_sources(run, names):
        source, _, case_id = name.partition(":")
        if f"{source}:" == painted.PHANTOM:
            count += run.phantom.fingerprint()["cases"][case_id]["slices"]
        else:
            count += copies * run.fingerprint["cases"][case_id]["slices"]
    return count


def of_sources(run: Run, names: Iterable[str]) -> list[str]:
    """The names that belong to the row's sources."""
    prefixes = tuple(f"{source}:" for source in run.experiment.sources)
    return [name for name in names if name.startswith(prefixes)]
