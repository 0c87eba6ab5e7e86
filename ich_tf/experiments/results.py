"""Result files: one typed object for each kind of prediction.

`Row.result_type` names the class of a row's results. What is read from disk is checked
against the class, so a damaged file is a ValueError that names the file and the key.
"""

import abc
import dataclasses
import math
import pathlib
import typing
from collections.abc import Collection, Sequence
from typing import Any, ClassVar, Self

import numpy as np

from ich_tf import files, typed_json
from ich_tf.data import ct_ich_release
from ich_tf.experiments import provenance
from ich_tf.experiments.result_types import (
    Epoch,
    Fingerprint,
    FoldFile,
    Parts,
    Score,
    Specification,
    UnreadFiles,
)

if typing.TYPE_CHECKING:
    from ich_tf.experiments.spec import Row

OTHER_SETTINGS = "made with other settings than this row has now"
FOLD_FILE = "fold.json"
"""Predictions and scores of a finished fold, in its folder."""
ADVICE = "Run the row again with --fresh, which moves the file aside."


@dataclasses.dataclass(frozen=True, kw_only=True)
class Result(abc.ABC):
    """The outcome of one row at one profile.

    Attributes:
        experiment: Id of the row.
        title: Its title.
        profile: Name of the profile.
        spec: Everything that decides the numbers.
        init: Name of the weights that training began with.
        wanted_init: Name of the weights that the row asks for.
        data: Fingerprint of the data.
        folds: Case ids of each fold.
        states: What the report says about the row.
        leaves_open: What it does not say.
        assumptions: What is assumed instead.
        deviations: Each way in which the settings differ from the report's.
        summary: Protocol or class to score name to mean and interval.
        history: Epochs of each fold.
        seconds: Seconds of each fold, "training" and "inference".
        peak_memory_gb: Peak memory of each fold, in 10^9 bytes; None if unknown.
        devices: Devices of each fold.
        versions: Versions of each fold, package to version.
        commits: Commits of each fold; None without git.
    """

    experiment: str
    title: str
    profile: str
    spec: Specification
    init: str
    wanted_init: str
    data: Fingerprint
    folds: list[Parts]
    states: str
    leaves_open: list[str]
    assumptions: list[str]
    deviations: list[str]
    summary: dict[str, dict[str, Score]]
    history: list[list[Epoch]]
    seconds: list[dict[str, float]]
    peak_memory_gb: list[float | None]
    devices: list[str]
    versions: list[dict[str, str]]
    commits: list[str | None]
    fold_type: ClassVar[type] = FoldFile

    @classmethod
    def load(cls, path: pathlib.Path) -> Self:
        """Read a result.

        Raises:
            FileNotFoundError: if there is no such file.
            ValueError: if it is damaged; the message names the file and the key.
        """
        return typed_json.read(path, cls, ADVICE)

    @classmethod
    def load_fold(cls, path: pathlib.Path) -> dict:
        """Read the file of a finished fold.

        Raises:
            FileNotFoundError: if there is no such file.
            ValueError: if it is damaged; the message names the file and the key.
        """
        return typed_json.read(path, cls.fold_type, ADVICE)

    def save(self, path: pathlib.Path) -> None:
        """Write the result, whole or not at all."""
        files.write_json(path, self.as_json())

    def as_json(self) -> dict[str, Any]:
        """The content of the file."""
        return {
            field.name: getattr(self, field.name) for field in dataclasses.fields(self)
        }

    @property
    def identity(self) -> str:
        """What the data are: "ct-ich 1.3.1", "phantom", ..."""
        return self.data["identity"]

    @property
    def began_as_wanted(self) -> bool:
        """Whether training began with the weights that the row asks for."""
        return self.init == self.wanted_init

    @property
    def other_weights(self) -> str:
        """What to add to a title if training began with other weights than wanted."""
        return "" if self.began_as_wanted else f" [run from {self.init} weights]"

    def is_current(self, row: "Row") -> bool:
        """Whether the result was made with the settings that the row has now."""
        settings = row.settings.get(self.profile)
        if settings is None:
            return False
        wanted = row.spec(settings)
        return {name: self.spec.get(name) for name in wanted} == wanted

    def score(self, group: str, column: str) -> Score:
        """A column's score; seconds and memory have a mean alone.

        Args:
            group: Protocol, or class of a classifier.
            column: Name of the column.

        Raises:
            ValueError: if the file of the result holds no such score.
        """
        measured: float | None = None
        if column == "peak_memory_gb":
            measured = max(filter(None, self.peak_memory_gb), default=None)
        elif column == "seconds_per_epoch":
            seconds = [epoch["seconds"] for fold in self.history for epoch in fold]
            measured = float(np.median(seconds)) if seconds else None
        else:
            try:
                return self.summary[group][column]
            except KeyError as error:
                raise ValueError(
                    f"{self.experiment}.json is damaged: it holds no {column!r} under "
                    f"{group!r}. {ADVICE}"
                ) from error
        nothing = dict.fromkeys(("low", "high", "n", "n_undefined"))
        return {"mean": measured, **nothing}

    @property
    def unread(self) -> UnreadFiles | None:
        """What no network saw because it is damaged; None if nothing is left out."""
        return None

    @property
    def covers_reported_cases(self) -> bool:
        """Whether it was evaluated on the cases that the report's numbers are about."""
        evaluated = {case_id for fold in self.folds for case_id in fold["test"]}
        return evaluated == set(self.data["cases"])

    def faults(self, row: "Row", profile: str) -> list[str]:
        """Contradictions within the file, as sentences; empty if there are none.

        Args:
            row: The row that the file should belong to.
            profile: The profile that it should belong to.
        """
        try:
            return self._identity_faults(row, profile) + self._number_faults()
        except (KeyError, TypeError, IndexError, AttributeError, ValueError) as error:
            return [f"it is damaged ({type(error).__name__}: {error})"]

    @abc.abstractmethod
    def recompute(self) -> dict[str, dict[str, Score]]:
        """`summary`, computed again from the counts or predictions of each case."""

    @abc.abstractmethod
    def pooled(self, others: Sequence[Self]) -> Self:
        """This result with the scores of several seeds of training.

        Args:
            others: Results of further seeds on the same cases.

        Returns:
            A copy whose `summary` holds means over seeds, and intervals over patients
            and seeds.
        """

    @abc.abstractmethod
    def details(self) -> str:
        """What should be read with the numbers: held-out cases and further scores."""

    @property
    def held_out(self) -> list[str]:
        """Case ids of everything that was held out, fold by fold."""
        return [case_id for fold in self.folds for case_id in fold["test"]]

    def _identity_faults(self, row: "Row", profile: str) -> list[str]:
        faults = []
        if (self.experiment, self.profile) != (row.id, profile):
            faults.append(f"it belongs to {self.experiment}, profile {self.profile}")
        if self.wanted_init != row.wanted_init:
            faults.append(f"the row does not start from {self.wanted_init} weights")
        if self.spec["data"] != provenance.digest(self.data):
            faults.append("its data are not those its specification was made for")
        if self.identity == "ct-ich 1.3.1":
            counts = {
                case_id: {name: case[name] for name in ("slices", "mask_voxels")}
                for case_id, case in self.data["cases"].items()
            }
            if counts != ct_ich_release.published_counts():
                faults.append("its data have other counts than ct-ich 1.3.1")
        return faults

    def _number_faults(self) -> list[str]:
        if len(self.held_out) != len(set(self.held_out)):
            return ["a case is held out in two folds"]
        faults = self._case_faults()
        computed = self.recompute() if not faults else {}
        return faults or [
            f"its summary of {group}, {name} is not what its cases give"
            if name in self.summary.get(group, {})
            else f"it lacks {group}, {name}: an earlier version made it"
            for group, name in unequal(self.summary, computed)
        ]

    def _case_faults(self) -> list[str]:
        return []


def result_file(
    results: pathlib.Path, profile: str, experiment_id: str, seed: int = 0
) -> pathlib.Path:
    """Path of the result of a row."""
    name = experiment_id + (f"-seed{seed}" if seed else "")
    return results / profile / f"{name}.json"


def command(names: str, profile: str, seed: int = 0, options: str = "") -> str:
    """The command that runs rows, in backquotes.

    Args:
        names: Ids of rows or names of tables, separated by spaces.
        profile: Name of the profile.
        seed: Seed of the run.
        options: Further options, such as `--fresh`.
    """
    seeded = f"--seed {seed}" if seed else ""
    words = ("ich-tf reproduce", names, "--profile", profile, seeded, options)
    return f"`{' '.join(filter(None, words))}`"


def load_result(
    results: pathlib.Path,
    profile: str,
    row: "Row",
    without: Collection[str] = (),
) -> Result | None:
    """The result of a row.

    Args:
        results: Folder of results.
        profile: Name of the profile.
        row: The row.
        without: Ids of rows that count as not run.

    Returns:
        None if the row was not run.

    Raises:
        ValueError: if the file is damaged.
    """
    path = result_file(results, profile, row.id)
    if row.id in without or not path.is_file():
        return None
    return row.result_type.load(path)


def further_seeds(results: pathlib.Path, profile: str, row: "Row") -> list[Result]:
    """Results of the row's seeds other than 0, in the order of the seeds.

    Args:
        results: Folder of results.
        profile: Name of the profile.
        row: The row.

    Raises:
        ValueError: if a file is damaged.
    """
    first = result_file(results, profile, row.id)
    files_by_seed = {
        int(path.stem.rpartition("-seed")[2]): path
        for path in first.parent.glob(f"{first.stem}-seed*.json")
        if path.stem.rpartition("-seed")[2].isdigit()
    }
    return [row.result_type.load(path) for _, path in sorted(files_by_seed.items())]


def load_current(
    results: pathlib.Path, profile: str, row: "Row", without: Collection[str] = ()
) -> Result | None:
    """The result of a row; None also if it was made with other settings."""
    result = load_result(results, profile, row, without)
    return result if result and result.is_current(row) else None


def unequal(stated: dict, computed: dict) -> list[tuple[str, str]]:
    """Group and name of each score that is stated otherwise than computed."""
    return [
        (group, name)
        for group, scores in computed.items()
        for name, score in scores.items()
        if not _same_score(stated.get(group, {}).get(name), score)
    ]


def _same_score(stated: Score | None, computed: Score) -> bool:
    return stated is not None and all(
        _same(stated.get(key), value) for key, value in computed.items()
    )


def _same(stated: float | None, computed: float | None) -> bool:
    if stated is None or computed is None:
        return stated is None and computed is None
    return math.isclose(stated, computed, rel_tol=1e-6, abs_tol=1e-9)
