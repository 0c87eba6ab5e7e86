"""Every kind of experiment implements the whole interface, and all of it works."""

import dataclasses
import inspect
import json

import keras
import numpy as np
import pytest
import small

from ich_tf import models
from ich_tf.experiments import runner, ship, spec, tasks
from ich_tf.experiments.catalog import CATALOG
from ich_tf.experiments.mask_results import MaskResult
from ich_tf.experiments.slice_results import SliceResult
from ich_tf.experiments.task import Forecast, Task
from ich_tf.experiments.tasks import real_heads_shipping
from ich_tf.models import weights
from ich_tf.prediction import real_heads


@pytest.fixture(params=small.KINDS.values())
def done(request, finished):
    """A finished run of each kind, and its result."""
    made = finished(request.param)
    yield made.run, made.result
    keras.config.set_dtype_policy("float32")


def test_every_row_has_a_kind():
    kinds = {type(tasks.of(row)) for row in CATALOG}
    assert len(kinds) == len(small.KINDS)
    assert all(
        issubclass(kind, Task) and not inspect.isabstract(kind) for kind in kinds
    )


def test_a_row_without_a_kind_is_refused():
    with pytest.raises(LookupError, match="object"):
        tasks.of(object())


def test_settings_have_no_side_effect(done):
    run, _ = done
    # As new: nothing is cached.
    fresh = dataclasses.replace(run)
    before = sorted(run.folders.results.rglob("*"))
    assert fresh.spec == run.spec
    assert runner.state_of(fresh) == "finished"
    assert sorted(run.folders.results.rglob("*")) == before


def test_forecast(done):
    run, _ = done
    expected = run.task.forecast(run, print)
    assert isinstance(expected, Forecast)
    assert (expected.hours > 0) == run.task.trains_network
    assert (expected.disk_gb > 0) == run.task.trains_network


def test_stored_predictions_equal_the_result(done):
    run, result = done
    stored = list(run.task.stored_predictions(run))
    held_out = [name for fold in run.folds for name in fold.test]
    assert 0 < len(stored) <= len(held_out)
    assert run.task.recount(run, result) == []


def test_a_changed_prediction_is_counted_again(done):
    run, result = done
    assert run.task.recount(run, changed(result))


def changed(result):
    """The result with other numbers for its first case."""
    if isinstance(result, SliceResult):
        first, *_ = result.predictions
        scan = {**result.predictions[first], "patient": "another"}
        return dataclasses.replace(
            result, predictions={**result.predictions, first: scan}
        )
    counts = result.counts["per_volume"]
    first, *_ = counts
    case = {**counts[first], "tp": [value + 1 for value in counts[first]["tp"]]}
    per_volume = {**counts, first: case}
    return dataclasses.replace(
        result, counts={**result.counts, "per_volume": per_volume}
    )


def test_what_a_run_leaves_has_no_faults(done):
    run, result = done
    assert result.faults(run.experiment, "demo") == []
    assert result.is_current(run.experiment)
    assert result.details()
    assert type(result).load(run.file) == result


def test_a_described_network_can_be_built_again(done):
    run, result = done
    if not run.task.trains_network:
        with pytest.raises(ValueError, match="no weights"):
            run.task.describe(run, result)
        return
    described = run.task.describe(run, result)
    assert described["metric"] and described["preprocessing"]
    build = described["build"]
    model = models.build(build["name"], **build["kwargs"])
    assert model.count_params() > 0


def test_a_network_is_shipped_with_all_its_files(done, tmp_path):
    run, _ = done
    elsewhere = dataclasses.replace(
        run, folders=dataclasses.replace(run.folders, weights=tmp_path)
    )
    if not run.task.trains_network:
        with pytest.raises(ValueError, match="no weights"):
            ship.ship(elsewhere, print)
        assert list(tmp_path.iterdir()) == []
        return
    entry = ship.ship(elsewhere, print)
    name = run.experiment.id.split("/")[1]
    assert list(weights.read_manifest(tmp_path)) == [name]
    for companion in entry.get("companions", {}):
        path = weights.companion(entry, companion, tmp_path)
        assert path.stat().st_size > 0
    if isinstance(run.experiment, spec.RealHeadsExperiment):
        network = real_heads.load(tmp_path, name)
        assert network.knows_subtypes and network.likeness is not None
        assert network.calibration.slices.shape == (6, 2)
        path = weights.companion(entry, real_heads_shipping.MEASURED, tmp_path)
        measured = json.loads(path.read_text())
        point = network.operating_point
        assert measured["threshold"] == point.threshold
        assert measured["slice_threshold"] == point.slice_threshold
        # The painted scans choose, for want of judges.
        assert measured["operating_point"]["painted"]["all"] == vars(point)
        assert measured["judges"]["after"] is None  # The phantom has no judges.


def test_cost_and_precision(done):
    run, _ = done
    assert (run.task.steps(run) > 0) or not run.task.trains_network
    assert run.spec["precision"]
    run.task.check(run)
    run.task.check_weights(run)


def test_depends_on_names_a_row(done):
    run, _ = done
    assert run.task.depends_on(run) is None
    other = dataclasses.replace(
        run,
        experiment=small.CATALOG.row("table1/resnext101-lstm"),
        profile=small.CLASSIFIER,
    )
    assert other.task.depends_on(other).experiment.id == "table1/resnext101"


def test_masks_are_predicted_from_the_heads_they_name(done):
    run, result = done
    for case, predicted in run.task.stored_predictions(run):
        if isinstance(result, MaskResult):
            assert predicted.shape == case.volume.hu.shape == case.mask.shape
            truth = result.counts["per_volume"][case.case_id]["truth_pixels"]
            assert truth == np.count_nonzero(case.mask)
        else:
            assert predicted["truth"] == case.labels.tolist()
