"""Real slices that published weights mark, as far as their labels allow."""

import numpy as np
import pytest
import small

from ich_tf import labels, paths
from ich_tf.experiments import runner
from ich_tf.experiments.tasks import weak_labels
from ich_tf.prediction import detection

EPIDURAL, INTRAPARENCHYMAL = (
    labels.SUBTYPES.index(name) for name in ("epidural", "intraparenchymal")
)


def answers(*slices: dict[int, float]) -> np.ndarray:
    """(z, 10, 10, 6): each slice has a subtype in row 0, the first of them the most."""
    made = np.zeros((len(slices), 10, 10, 6), np.float32)
    for z, shares in enumerate(slices):
        for subtype, share in shares.items():
            made[z, 0, :, subtype + 1] = share
    made[..., 0] = 1 - made[..., 1:].sum(axis=-1)
    return made


def labelled(*slices: tuple[int, ...]) -> np.ndarray:
    made = np.zeros((len(slices), len(labels.CLASSES)), np.uint8)
    for z, subtypes in enumerate(slices):
        made[z, list(subtypes)] = 1
        made[z, -1] = bool(subtypes)
    return made


def test_a_subtype_that_the_label_excludes_gives_way_to_an_allowed_one():
    probable = answers({EPIDURAL: 0.3, INTRAPARENCHYMAL: 0.6})
    marked = weak_labels.allowed_subtypes(probable, labelled((EPIDURAL,)))
    assert set(np.unique(marked[0, 0])) == {EPIDURAL + 1}


def test_a_slice_without_hemorrhage_stays_empty():
    probable = answers({EPIDURAL: 0.9})
    assert not weak_labels.allowed_subtypes(probable, labelled(())).any()


def test_a_slice_with_hemorrhage_is_never_empty():
    faint = np.linspace(0.001, 0.1, 100, dtype=np.float32).reshape(1, 10, 10)
    probable = np.zeros((1, 10, 10, 6), np.float32)
    probable[..., EPIDURAL + 1] = faint
    probable[..., 0] = 1 - faint
    marked = weak_labels.allowed_subtypes(probable, labelled((EPIDURAL,)))
    # The 60 most probable pixels.
    assert np.count_nonzero(marked) == weak_labels.LEAST_PIXELS
    assert np.all(marked.ravel()[40:])


def test_patients_who_train_by_their_labels_do_not_judge(tmp_path):
    folders = runner.Folders(tmp_path / "results", paths.weights())
    run = small.run("real-heads/weak-labels", folders)
    patients = weak_labels.patients(run)
    bleeding = [
        name for name in run.dataset.case_ids() if run.dataset.load(name).labels.any()
    ]
    assert patients and set(patients) == set(bleeding) - set(detection.JUDGES)
    result = runner.execute(run, say=print)
    judging, judges = set(result.slices["labelled"]), set(detection.JUDGES)
    assert not judging & set(patients)
    assert set(bleeding) & judges
    assert set(bleeding) & judges <= judging
    with pytest.raises(ValueError, match="weak-labels"):
        run.task.publish(run, {}, None, print)
