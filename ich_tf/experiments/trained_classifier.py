"""The slice network of a finished row, as `prediction` takes it."""

from ich_tf import files, models
from ich_tf.experiments import catalog, results, spec
from ich_tf.experiments.catalog import Catalog
from ich_tf.experiments.runner import Folders, Run
from ich_tf.experiments.settings import ClassifierSettings
from ich_tf.experiments.slice_results import SliceResult
from ich_tf.experiments.tasks import classifier_networks
from ich_tf.prediction import classify
from ich_tf.training import checkpoint

FOLD = "fold-0"
"""The fold whose network answers for a row."""


def of_run(run: Run) -> classify.SliceNetwork:
    """The first fold's network of a finished run of a slice network.

    Raises:
        ValueError: if the row has no slice network of its own or is not finished.
    """
    return _load(run.experiment, run.profile.name, run.folders, run.seed)


def of_row(
    name: str, profile: str, folders: Folders, rows: Catalog = catalog.CATALOG
) -> classify.SliceNetwork:
    """The first fold's network of a finished row; its data need not be there.

    Args:
        name: Id of a row with a slice network.
        profile: Name of the profile.
        folders: Where the results are.
        rows: Where the name is looked up.

    Raises:
        ValueError: if the row has no slice network of its own, or is not finished with
            the settings that it has now.
    """
    return _load(rows.row(name), profile, folders, seed=0)


def _load(
    row: spec.Row, profile: str, folders: Folders, seed: int
) -> classify.SliceNetwork:
    settings = _settings(row, profile)
    file = results.result_file(folders.results, profile, row.id, seed)
    again = f"Run {results.command(row.id, profile, seed)}."
    if not file.is_file():
        raise ValueError(f"{row.id} is not finished: there is no {file}. {again}")
    result = SliceResult.load(file)
    if not result.is_current(row):
        raise ValueError(f"{file} was {results.OTHER_SETTINGS}. {again}")
    weights = file.with_suffix("") / FOLD / checkpoint.FINAL
    if not weights.is_file():
        raise ValueError(f"{row.id}: there are no weights {weights}. {again}")
    build, arguments = classifier_networks.slice_network(row, settings)
    model = models.build(build, **{**arguments, "init": "random"})
    checkpoint.load_weights(model, weights)
    entry = {
        "name": f"{row.id} (profile {profile})",
        "file": weights.relative_to(folders.results).as_posix(),
        "sha256": files.sha256(weights),
        "trained_on": result.identity,
        "metric": result.metric,
    }
    return classify.wrap(model, entry, settings.images)


def _settings(row: spec.Row, profile: str) -> ClassifierSettings:
    """The row's settings.

    Raises:
        ValueError: if the row is no slice network or does not have the profile.
    """
    if not isinstance(row, spec.Classifier):
        raise ValueError(
            f"{row.id} segments and does not classify: Grad-CAM needs a classifier, "
            "such as table1/resnext101."
        )
    if row.slices_from:
        raise ValueError(
            f"{row.id} sees features, not images. Its slice network is "
            f"{row.slices_from}."
        )
    if profile not in row.settings:
        known = ", ".join(row.settings)
        raise ValueError(f"{row.id}: not in profile {profile}. Known: {known}")
    return row.settings[profile]
