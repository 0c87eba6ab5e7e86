"""Put a trained network into the weights folder, with what a user must know of it."""

from ich_tf import models, training
from ich_tf.experiments import provenance, runner
from ich_tf.experiments.runner import Run
from ich_tf.models import weights


def ship(run: Run) -> dict:
    """Ship the first fold's network of a finished run.

    Args:
        run: Finished; its result gives the score that is written beside the weights.

    Returns:
        The manifest entry.

    Raises:
        ValueError: if the run is not finished.
    """
    if runner.state_of(run) != "finished":
        raise ValueError(
            f"{run.experiment.id} is not finished at profile {run.profile.name}. Run "
            f"`ich-tf reproduce {run.experiment.id} --profile {run.profile.name}`."
        )
    result = runner.execute(run)
    shape = (run.profile.tile, run.profile.tile, run.experiment.channels)
    build = {
        "name": run.experiment.model,
        "kwargs": {**run.experiment.arguments, "input_shape": shape},
    }
    model = models.build(build["name"], **build["kwargs"])
    model.load_weights(run.fold_folder(0) / training.FINAL)
    volume = result["summary"]["per_volume"]
    dice, alarm = volume["bleeding_dice"], volume["false_positive_ml"]
    entry = {
        "build": build,
        "preprocessing": {
            "approach": run.experiment.approach,
            "channels": run.experiment.channels,
            "size": run.profile.size,
            "tile": run.profile.tile,
            "stride": run.profile.inference_stride,
        },
        "experiment": run.experiment.id,
        "profile": run.profile.name,
        "trained_on": run.fingerprint["identity"],
        "data": provenance.digest(run.fingerprint),
        "commit": result["commits"][0],
        "metric": (
            f"Dice {dice['mean']:.3f} [{dice['low']:.3f}, {dice['high']:.3f}], mean "
            f"per volume over {dice['n']} held-out heads with hemorrhage of the "
            f"{run.fingerprint['identity']}; {alarm['mean']:.2f} ml of false positives "
            f"in a head without (mean of {alarm['n']})"
        ),
    }
    name = run.experiment.id.split("/")[1]
    return weights.ship(model, name, run.folders.weights, entry)
