"""Every kind of experiment implements the whole interface, and all of it works."""

import dataclasses
import inspect

import keras
import numpy as np
import pytest
import small

from ich_tf import models
from ich_tf.experiments import runner, spec, tasks
from ich_tf.experiments.task import Forecast, Task

pytest.importorskip("apache_beam", reason="shards need Apache Beam")


@pytest.fixture(scope="module", params=small.KINDS)
def finished(request, tmp_path_factory):
    """A finished run of each kind, and its result."""
    folder = tmp_path_factory.mktemp(request.param)
    folders = runner.Folders(folder / "results", folder / "weights")
    run = small.run(request.param, folders)
    yield run, runner.execute(run, say=lambda line: None)
    keras.config.set_dtype_policy("float32")


def test_every_row_has_a_kind():
    rows = [row for table in spec.EXPERIMENTS for row in spec.rows(table)]
    kinds = {type(tasks.of(row)) for row in rows}
    assert len(kinds) == len(small.KINDS)
    assert all(
        issubclass(kind, Task) and not inspect.isabstract(kind) for kind in kinds
    )


def test_a_row_without_a_kind_is_refused():
    with pytest.raises(LookupError, match="object"):
        tasks.of(object())


def test_settings_have_no_side_effect(finished):
    run, _ = finished
    # As new: nothing is cached.
    fresh = dataclasses.replace(run)
    before = sorted(run.folders.results.rglob("*"))
    assert fresh.spec == run.spec
    assert runner.state_of(fresh) == "finished"
    assert sorted(run.folders.results.rglob("*")) == before


def test_forecast(finished):
    run, _ = finished
    expected = run.task.forecast(run, print)
    assert isinstance(expected, Forecast)
    assert (expected.hours > 0) == run.task.trains_network
    assert (expected.disk_gb > 0) == run.task.trains_network


def test_stored_predictions_are_those_of_the_result(finished):
    run, result = finished
    stored = list(run.task.stored_predictions(run))
    held_out = [name for fold in run.folds for name in fold.test]
    assert 0 < len(stored) <= len(held_out)
    assert run.task.recount(run, result) == []


def test_a_changed_prediction_is_counted_again(finished):
    run, result = finished
    changed = {**result}
    for name in ("counts", "predictions"):
        if name in result:
            first, *rest = result[name].items()
            changed[name] = dict(rest)
    changed = changed if "predictions" in result else _without_pixels(result)
    assert run.task.recount(run, changed)


def _without_pixels(result):
    counts = {
        protocol: {
            name: {**case, "tp": [value + 1 for value in case["tp"]]}
            for name, case in cases.items()
        }
        for protocol, cases in result["counts"].items()
    }
    return {**result, "counts": counts}


def test_a_described_network_can_be_built_again(finished):
    run, result = finished
    if not run.task.trains_network:
        with pytest.raises(ValueError, match="no weights"):
            run.task.describe(run, result)
        return
    described = run.task.describe(run, result)
    assert described["metric"] and described["preprocessing"]
    build = described["build"]
    model = models.build(build["name"], **build["kwargs"])
    assert model.count_params() > 0


def test_cost_and_precision(finished):
    run, _ = finished
    assert (run.task.steps(run) > 0) or not run.task.trains_network
    assert run.spec["precision"]
    run.task.check(run)
    run.task.check_weights(run)


def test_depends_on_names_a_row(finished):
    run, _ = finished
    assert run.task.depends_on(run) is None
    other = dataclasses.replace(
        run, experiment=spec.find("table1/resnext101-lstm")[0], profile=small.CLASSIFIER
    )
    assert other.task.depends_on(other).experiment.id == "table1/resnext101"


def test_masks_are_predicted_from_the_heads_they_name(finished):
    run, result = finished
    for case, predicted in run.task.stored_predictions(run):
        if "counts" in result:
            assert predicted.shape == case.volume.hu.shape == case.mask.shape
            truth = result["counts"]["per_volume"][case.case_id]["truth_pixels"]
            assert truth == np.count_nonzero(case.mask)
        else:
            assert predicted["truth"] == case.labels.tolist()
