"""Painted scans of a row for real heads, and how it is judged on them."""

import dataclasses
from collections.abc import Iterable, Iterator

import numpy as np

from ich_tf import labels
from ich_tf.data import splits
from ich_tf.experiments import provenance
from ich_tf.experiments.runner import Run
from ich_tf.experiments.tasks import weak_labels
from ich_tf.metrics import boundary
from ich_tf.prediction import real_heads
from ich_tf.preprocessing.segmentation import scan_crops
from ich_tf.synthetic import landmarks, painted, painted_scans, scan_painting
from ich_tf.training import fit
from ich_tf.volume import Case, Volume

PHANTOM_SEED = 4021
"""Seed of the phantom heads for training; held-out ones have another seed."""
PHANTOM_SHARE = 0.12
"""Share of the training crops that come from phantom heads."""
HELD_OUT_COPIES = 8
PIXEL_MM = 240.0 / landmarks.GRID
"""Side of a pixel of a painted scan whose head has the usual field of view."""


def sources(
    run: Run, fold: splits.Fold
) -> tuple[scan_crops.CropSource, list[tuple[scan_crops.CropSource, float]]]:
    """Where training crops come from.

    Returns:
        Painted scans, and other sources with their shares.
    """
    row = run.experiment
    scans = stored(run, fold.train, run.profile.copies, mimics=row.with_mimics)
    if row.painted_apart:
        scans = painted_scans.apart(scans)
    others = []
    phantom = stored_phantom(run)
    if phantom is not None:
        others.append((scan_crops.source(phantom), PHANTOM_SHARE))
    patients = weak_labels.patients(run)
    if patients:
        marked_by = weak_labels.marked_by(run)
        key = provenance.digest([run.fingerprint, patients, marked_by])
        with run.devices.chief_first():
            marked = painted_scans.store(
                _folder(run, key), weak_labels.marked_heads(run, patients)
            )
        others.append((scan_crops.source(marked), weak_labels.SHARE))
    return scan_crops.source(scans), others


def stored(
    run: Run, names: Iterable[str], copies: int, mimics: bool = True
) -> painted_scans.StoredScans:
    """Painted copies of heads on disk, painted if they are absent.

    Args:
        run: The run.
        names: "painted:<patient>"; others are left out.
        copies: Copies of each patient.
        mimics: Whether to paint what resembles blood.
    """
    patients = painted.patients_of(names)
    key = provenance.digest(
        [run.fingerprint, patients, copies, run.seed, mimics, scan_painting.VERSION]
    )
    with run.devices.chief_first():
        return painted_scans.store(
            _folder(run, key),
            painted_scans.painted_heads(
                run.dataset, patients, copies, run.seed, with_mimics=mimics
            ),
        )


def stored_phantom(run: Run) -> painted_scans.StoredScans | None:
    """Phantom heads with subtypes on disk; None if the row does without."""
    count = run.profile.phantom_heads
    if "phantom" not in run.experiment.sources or not count:
        return None
    key = provenance.digest(["phantom", PHANTOM_SEED, count])
    with run.devices.chief_first():
        return painted_scans.store(
            _folder(run, key), painted_scans.phantom_heads(0, count, PHANTOM_SEED)
        )


def _folder(run: Run, key: str):
    return run.folders.results / run.profile.name / "scans" / key


def recipe(run: Run) -> scan_crops.Recipe:
    """How the row's batches are drawn."""
    return scan_crops.Recipe(
        crop=run.profile.tile,
        batch=run.profile.batch,
        channels=run.experiment.channels,
        bleeding_share=run.profile.lesion_share,
    )


def validation_batches(run: Run, scans: painted_scans.StoredScans):
    """The same batches after every epoch, as a data set; None for none."""
    if not run.profile.validation_crops:
        return None
    drawn = dataclasses.replace(recipe(run), batch=8)
    count = -(-run.profile.validation_crops // drawn.batch)
    made = scan_crops.batches(
        scan_crops.source(scans), (), drawn, None, run.seed + 1, 0, count
    )
    return fit.validation_data(made, drawn.batch)


def as_cases(scans: painted_scans.StoredScans) -> Iterator[tuple[Case, np.ndarray]]:
    """Stored scans as cases without spacing, each with its subtypes (z, y, x)."""
    low, high = painted_scans.WINDOW_HU
    for number, name in enumerate(scans.names):
        part = slice(scans.starts[number], scans.starts[number + 1])
        hu = scans.images[part].astype(np.float32) / 255 * (high - low) + low
        volume = Volume(hu, None, None, None, hu_window=painted_scans.WINDOW_HU)
        subtypes = np.asarray(scans.subtypes[part])
        made = scan_painting.PaintedScan(hu, subtypes)
        mask = (subtypes > 0).astype(np.uint8)
        yield Case(name, name.split(":")[0], volume, mask, made.labels), subtypes


def painted_rows(
    network: real_heads.Network, scans: painted_scans.StoredScans
) -> list[dict]:
    """Counts of every slice of painted scans, for `painted_slices.score_slices`.

    Args:
        network: Marks at its operating point.
        scans: Painted scans.
    """
    rows = []
    for case, subtypes in as_cases(scans):
        answer = network.segment(case)
        marked = network.label_map(answer)
        rows += [
            _row(case, z, subtypes[z], marked[z], answer.scores[z])
            for z in range(len(marked))
        ]
    return rows


def _row(case: Case, z: int, truth, marked, scores) -> dict:
    pixel_mm2 = PIXEL_MM**2
    boundary_mm = boundary.mean_distance_mm(truth > 0, marked > 0, PIXEL_MM)
    both = (truth > 0) & (marked > 0)
    bleeds = truth > 0
    density = float(case.volume.hu[z][bleeds].mean()) if bleeds.any() else None
    return {
        "case": case.case_id,
        "patient": case.patient_id,
        "slice": z,
        "labels": case.labels[z].tolist(),
        "truth": int(bleeds.sum()),
        "predicted": int((marked > 0).sum()),
        "both": int(both.sum()),
        "area_mm2": round(float(bleeds.sum() * pixel_mm2), 1),
        "predicted_mm2": round(float((marked > 0).sum() * pixel_mm2), 1),
        "boundary_mm": None if boundary_mm is None else round(boundary_mm, 3),
        "density_hu": density and round(density, 1),
        "right_subtype": int(np.count_nonzero(both & (truth == marked))),
        "subtypes": [
            [
                int(np.count_nonzero(truth == k + 1)),
                int(np.count_nonzero(marked == k + 1)),
                int(np.count_nonzero((truth == k + 1) & (marked == k + 1))),
            ]
            for k in range(len(labels.SUBTYPES))
        ],
        "scores": scores.round(5).tolist(),
    }
