"""Put a trained network into the weights folder, with what a user must know of it."""

from ich_tf import models
from ich_tf.experiments import provenance, runner
from ich_tf.experiments.runner import Run
from ich_tf.experiments.task import Say
from ich_tf.models import shipping
from ich_tf.training import checkpoint


def ship(run: Run, say: Say) -> dict:
    """Ship the first fold's network of a finished run.

    Args:
        run: Finished; its result gives the score that is written next to the weights.
        say: Takes a line of progress.

    Returns:
        The manifest entry.

    Raises:
        ValueError: if the run is not finished.
    """
    runner.check_finished(run)
    result = runner.execute(run)
    fields = run.task.describe(run, result)
    build = fields["build"]
    model = models.build(build["name"], **build["kwargs"])
    checkpoint.load_weights(model, run.fold_folder(0) / checkpoint.FINAL)
    described, companions = run.task.publish(run, fields, model, say)
    entry = {
        "trained_on": run.fingerprint["identity"],
        **described,
        "experiment": run.experiment.id,
        "profile": run.profile.name,
        "data": provenance.digest(run.fingerprint),
        "commit": result.commits[0],
        "hours": round(result.seconds[0]["training"] / 3600, 2),
        "devices": result.devices[0],
        "versions": result.versions[0],
    }
    name = run.experiment.id.split("/")[1]
    return shipping.ship(model, name, run.folders.weights, entry, companions)
