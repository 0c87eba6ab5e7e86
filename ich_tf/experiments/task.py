"""The interface of a kind of experiment.

`tasks` holds one subclass for each kind; `tasks.of` gives the one of a row.
"""

import abc
import contextlib
import dataclasses
import pathlib
import typing
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar

from ich_tf.data import splits

if typing.TYPE_CHECKING:
    from ich_tf.experiments.results import Result
    from ich_tf.experiments.runner import Run

Say = Callable[[str], None]
"""Takes a line of progress."""


class DoesNotApply(ValueError):
    """The data or the device cannot serve a row; other rows may still run."""


@contextlib.contextmanager
def applying() -> Iterator[None]:
    """Re-raise a ValueError from the block as `DoesNotApply`."""
    try:
        yield
    except ValueError as error:
        raise DoesNotApply(str(error)) from error


@dataclasses.dataclass(frozen=True)
class Forecast:
    """Expected cost of a run.

    Attributes:
        hours: Training and validation of all folds.
        memory_gb: Weights, gradients, optimizer and activations, in 10^9 bytes.
        disk_gb: Weights of all folds, one training state and stored slices.
    """

    hours: float
    memory_gb: float
    disk_gb: float


@dataclasses.dataclass(frozen=True)
class TrainedFold:
    """Outcome of the training of one fold.

    Attributes:
        model: A Keras model with the weights that were kept, or a function from
            Hounsfield units to a mask.
        history: Metrics of each epoch, with `epoch` (from 1) and `seconds`.
        init: Name of the weights that training began with.
    """

    model: Any
    history: list[dict]
    init: str


class Task(abc.ABC):
    """Everything that differs between kinds of experiments.

    Instances hold no state: each method takes the run. For a row `reproduce` calls
    `check`; `runner.execute` then calls `folds`, for each fold `train` and `evaluate`,
    and at the end `summarise`. `verify --recount` calls `recount`, and shipping a
    network `publish`.
    """

    trains_network: ClassVar[bool] = True
    """Whether a fold leaves weights of a network."""
    needs_phantom: ClassVar[bool] = False
    """Whether `Run.phantom` must be opened, whatever `Run.dataset` is."""
    sweeps_protocols: ClassVar[str] = ""
    """Why stored predictions cannot be scored under every protocol; "" if they can."""

    @abc.abstractmethod
    def folds(self, run: "Run") -> tuple[splits.Fold, ...]:
        """Case ids of each fold's training, validation and test part."""

    @abc.abstractmethod
    def check(self, run: "Run") -> None:
        """Refuse a row that the data or the device cannot serve, before training.

        Raises:
            DoesNotApply: if they cannot.
            ValueError: if the first case cannot be read.
        """

    @abc.abstractmethod
    def check_weights(self, run: "Run") -> None:
        """Look for the weights that training begins with; fetch them if possible.

        Raises:
            WeightsUnavailable: if they cannot be had.
        """

    def write_shards(
        self, run: "Run", say: Say, options: Sequence[str]
    ) -> pathlib.Path:
        """Write the training data to disk beforehand.

        Args:
            run: The run.
            say: Takes a line of progress.
            options: Flags of the program that writes them.

        Returns:
            Their folder.

        Raises:
            ValueError: if this kind of experiment needs none.
        """
        raise ValueError(f"{run.experiment.id} needs no shards: only classifiers do.")

    def depends_on(self, run: "Run") -> "Run | None":
        """Another run that must be finished first; None if the row depends on none."""
        return None

    def inputs(self, run: "Run") -> dict[str, Any]:
        """Further facts that decide the numbers, as JSON; part of `Run.spec`."""
        return {}

    @abc.abstractmethod
    def forecast(self, run: "Run", say: Say) -> Forecast:
        """Measure three training steps and extrapolate to the whole run.

        Raises:
            WeightsUnavailable: if the weights that training begins with are missing.
        """

    @abc.abstractmethod
    def train(
        self,
        run: "Run",
        number: int,
        *,
        resume: bool = False,
        fresh: bool = False,
        say: Say,
    ) -> TrainedFold:
        """Train one fold.

        Args:
            run: The run.
            number: Index of the fold.
            resume: Insist on a state to continue.
            fresh: Discard an earlier state.
            say: Takes a line of progress.

        Raises:
            ValueError: if `resume` is set and there is nothing to resume.
        """

    @abc.abstractmethod
    def evaluate(self, run: "Run", number: int, model: Any, say: Say) -> dict:
        """Predict the test cases of a fold and keep the predictions.

        Returns:
            Fields of the fold's file, as JSON.
        """

    @abc.abstractmethod
    def summarise(self, run: "Run", folds: list[dict]) -> dict:
        """Pool the folds and score them.

        Args:
            run: The run.
            folds: Contents of the folds' files.

        Returns:
            Fields of the result file, as JSON; `summary` is one of them.
        """

    @abc.abstractmethod
    def stored_predictions(self, run: "Run") -> Iterator[tuple]:
        """Every test case of a finished run with its stored prediction.

        Yields:
            What `predictions` of the same kind compares with the data's truth.

        Raises:
            ValueError: if a file is missing or damaged.
        """

    @abc.abstractmethod
    def recount(self, run: "Run", result: "Result") -> list[str]:
        """Compare a result with the stored predictions and the data's truth.

        Returns:
            One sentence for each disagreement.

        Raises:
            ValueError: if predictions are missing.
        """

    @abc.abstractmethod
    def describe(self, run: "Run", result: "Result") -> dict:
        """Manifest fields of the network: `build`, `preprocessing` and `metric`."""

    def artifacts(self, run: "Run", model: Any) -> dict[str, Callable]:
        """Further files to publish with the weights: name to a writer of the path."""
        return {}

    def publish(
        self, run: "Run", fields: dict, model: Any, say: Say
    ) -> tuple[dict, dict[str, Callable]]:
        """Manifest fields of a network to ship, and the files next to its weights.

        Args:
            run: Finished.
            fields: From `describe`.
            model: The network.
            say: Takes a line of progress.
        """
        return fields, self.artifacts(run, model)

    def steps(self, run: "Run") -> int:
        """Training steps of a fold, 0 if unknown; a measure of cost."""
        return 0

    def precision(self, run: "Run") -> str:
        """Name of the precision that the row asks for; "auto" is the device's."""
        return "auto"


def weights_bytes(run: "Run", model: Any) -> int:
    """Bytes on disk of a row's weights while its last fold trains.

    One weights file is kept for each fold. While a fold trains there is also a state
    (weights and two moments of Adam), and the next state and weights being written.
    """
    return 4 * (len(run.folds) + 7) * model.count_params()
