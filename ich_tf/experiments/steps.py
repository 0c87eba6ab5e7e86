"""Steps of a run by themselves: one fold's training, or the data on disk."""

import dataclasses
import logging
import pathlib
from collections.abc import Callable, Sequence

from ich_tf import files
from ich_tf.experiments import runner
from ich_tf.experiments.runner import Run
from ich_tf.training import checkpoint

LOGGER = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class KeptWeights:
    """The weights that `train_one` leaves.

    Attributes:
        file: The weights that were kept.
        scores: Metric to value in their epoch, and `epoch`.
    """

    file: pathlib.Path
    scores: dict[str, float]


def train_one(
    run: Run,
    fold: int,
    *,
    resume: bool = False,
    fresh: bool = False,
    say: Callable[[str], None] = LOGGER.info,
) -> KeptWeights:
    """Train one fold of one row, without evaluating it.

    Args:
        run: The row with its data.
        fold: Index of the fold.
        resume: Insist on a state to continue.
        fresh: Discard an earlier state.
        say: Takes a line of progress.

    Raises:
        ValueError: if the row has no network, the fold does not exist, another run
            must be finished first, or its devices cannot share a batch.
        ConnectionError: if another worker was lost.
    """
    name = run.experiment.id
    if not run.task.trains_network:
        raise ValueError(f"{name} has no network to train. Use `reproduce {name}`.")
    files.check_folder(run.folder)
    run.task.check(run)
    count = len(run.folds)
    if not 0 <= fold < count:
        raise ValueError(f"There are {count} folds, from 0 on. Received: {fold}")
    source = run.task.depends_on(run)
    is_waiting = source and runner.state_of(source) != "finished"
    if is_waiting and run.devices.name == "multiworker":
        other = source.experiment.id
        raise ValueError(
            f"{name} depends on {other}; run that row first: `reproduce {other}` on "
            "one machine."
        )
    if run.profile.is_full_scale:
        # Before shards are made, which can take hours.
        run.task.check_weights(run)
    trained = run.task.train(run, fold, resume=resume, fresh=fresh, say=say)
    # Without validation the last epoch is kept.
    kept = max(
        trained.history,
        key=lambda epoch: epoch.get("val_soft_jaccard", epoch["epoch"]),
    )
    return KeptWeights(run.fold_folder(fold) / checkpoint.FINAL, kept)


def prepare_shards(
    run: Run, *, options: Sequence[str] = (), say: Callable[[str], None] = LOGGER.info
) -> pathlib.Path:
    """Write a classifier's shards, so that `reproduce` finds them.

    Args:
        run: The row with its data.
        options: Flags of the program that writes them, see `Task.write_shards`.
        say: Takes a line of progress.

    Returns:
        The folder of the shards.

    Raises:
        ValueError: if the row is no classifier, or its data cannot be used.
    """
    files.check_folder(run.folder)
    run.task.check(run)
    return run.task.write_shards(run, say, options)
