"""The stages of `ich-tf all`, from training to notebooks."""

import contextlib
import dataclasses
import os
import pathlib
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

from ich_tf import paths
from ich_tf.cli.all_plans import OPTIONS, ORDER, PLANS, VERDICTS

SOURCES = (".py", ".html", ".js", ".css", ".json")
"""Endings of the files that the report page and the notebooks are made from."""


@dataclasses.dataclass(frozen=True)
class Stage:
    """One command, whose output is shown and kept in a log.

    Args:
        name: Also the log's name.
        command: Arguments after the Python interpreter.
        output: Standard output is also written to this file.
        made: What the command makes, if that shows whether it is up to date.
        current: Whether `made` is up to date.
        passing: Exit statuses that are no failure.
    """

    name: str
    command: tuple[str, ...]
    output: pathlib.Path | None = None
    made: pathlib.Path | None = None
    current: bool = False
    passing: tuple[int, ...] = (0,)


class StageFailed(ValueError):
    """A stage ended with an error; the message names its log."""


class AllStages:
    """All stages of one profile.

    Args:
        profile: A key of `PLANS`.
        results: Folder of the results.
        arguments: Options passed on to `reproduce`.
        on_phantom: Whether no real data were given.
        has_masks: Whether there is a data set with masks; the phantom counts.
        has_labels: Whether there is a data set with labelled slices.
        launch: Stands for `run_and_log`.
        clock: Returns seconds.
    """

    def __init__(
        self,
        profile: str,
        results: pathlib.Path,
        arguments: Sequence[str] = (),
        *,
        on_phantom: bool = True,
        has_masks: bool = True,
        has_labels: bool = True,
        launch: Callable[..., int] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ):
        self.profile, self.results, self.arguments = profile, results, tuple(arguments)
        self.plan, self.on_phantom = PLANS[profile], on_phantom
        self.has_masks, self.has_labels = has_masks, has_labels
        self.folder, self.logs = results / profile, results / "logs"
        self.launch, self.clock = launch or run_and_log, clock
        self.environment = {
            "ICH_TF_RESULTS": str(results),
            "ICH_TF_PROFILE": profile,
        }
        self.took: dict[str, float] = {}

    def names(self) -> dict[str, tuple[str, ...]]:
        """Stages that train -> the rows and tables they run."""
        plan, masks = self.plan, self.has_masks
        training = {
            "tables-2-3": plan.segmentation if masks else (),
            "table-1": plan.classification if self.has_labels else (),
            "volume-3d": plan.volumes if masks else (),
            "related": plan.more if masks else (),
            OPTIONS: plan.once if masks else (),
        }
        return {stage: names for stage, names in training.items() if names}

    def stages(self) -> Iterator[Stage]:
        """Every stage in order; whether one is up to date is asked when it begins."""
        for seed in self.plan.seeds:
            for stage, names in self.names().items():
                if seed != self.plan.seeds[0] and stage == OPTIONS:
                    continue
                command = self._verb("reproduce", *names, *self.arguments)
                if seed:
                    stage, command = f"{stage}-{seed}", (*command, "--seed", str(seed))
                yield Stage(stage, command)
        if self.has_masks:
            yield from self._protocols()
        if len(self.plan.seeds) > 1:
            yield Stage("answers", self._verb("study"), self.folder / "answers.md")
        yield Stage("audit", self._verb("audit"))
        yield Stage("tables", self._verb("tables"), self.folder / "tables.md")
        yield Stage(
            "verify",
            self._verb("verify"),
            self.folder / "verify.txt",
            passing=tuple(VERDICTS[self.on_phantom]),
        )
        page = self.folder / "report.html"
        yield Stage(
            "report", self._verb("report"), made=page, current=newest(page, self.folder)
        )
        yield from self._notebooks()

    def _verb(self, name: str, *arguments: str) -> tuple[str, ...]:
        return ("-m", "ich_tf", name, *arguments, "--profile", self.profile)

    def _protocols(self) -> Iterator[Stage]:
        result = self.folder / f"{self.plan.swept}.json"
        if not result.is_file():
            return
        figure = self.folder / self.plan.swept / "protocols.png"
        current = figure.is_file() and _time(figure) > _time(result)
        command = self._verb("protocols", self.plan.swept)
        yield Stage("protocols", command, made=figure, current=current)

    def _notebooks(self) -> Iterator[Stage]:
        build = paths.PROJECT / "notebooks" / "build.py"
        if not paths.IN_CHECKOUT or not build.is_file():
            return
        out = self.folder / "notebooks"
        built = out / "built"
        command = (str(build), "--out", str(out))
        yield Stage(
            "notebooks", command, made=built, current=newest(built, self.folder)
        )

    def check(self) -> None:
        """Look for data and initial weights before anything is trained.

        Raises:
            StageFailed: if something is missing; what it is was printed.
        """
        print("== looking for data and initial weights", flush=True)
        names = [name for names in self.names().values() for name in names]
        command = self._verb("reproduce", "--check", *names, *self.arguments)
        if self.launch(command, self.environment):
            raise StageFailed("data or initial weights are missing; nothing was run")

    def run(self) -> None:
        """Run every stage.

        Raises:
            StageFailed: at the first stage that fails.
        """
        self.logs.mkdir(parents=True, exist_ok=True)
        self.folder.mkdir(parents=True, exist_ok=True)
        began = self.clock()
        for stage in self.stages():
            minutes = (self.clock() - began) / 60
            left = self.minutes_left(stage.name, minutes)
            about = "" if left is None else f", about {left:.0f} left on two cores"
            print(f"== {stage.name}: {minutes:.0f} minutes so far{about}", flush=True)
            if stage.current:
                print(f"up to date: {stage.made}")
            else:
                self._run(stage)
            self.took[stage.name] = (self.clock() - began) / 60 - minutes

    def _run(self, stage: Stage) -> None:
        log = self.logs / f"{stage.name}.log"
        status = self.launch(stage.command, self.environment, log, stage.output)
        # A verb that broke says nothing on standard output, whatever its status.
        silent = stage.output is not None and not stage.output.stat().st_size
        if status not in stage.passing or silent:
            raise StageFailed(
                f"the stage {stage.name} failed; its log is {log}. The same command, "
                "without --fresh, resumes there."
            )
        if stage.name == "verify":
            verdict = VERDICTS[self.on_phantom][status]
            print(verdict)
            (self.folder / "verify.txt.status").write_text(f"{verdict}\n")
        if stage.name == "notebooks":
            stage.made.touch()

    def minutes_left(self, stage: str, minutes: float) -> float | None:
        """Estimate what is left when a stage begins.

        Args:
            stage: The stage.
            minutes: Passed since the start. Stages that took longer than planned
                lengthen the estimate.

        Returns:
            Minutes on two cores; None if the profile has no estimate.
        """
        planned = self.plan.minutes
        if not planned:
            return None
        position = ORDER.index(stage)
        before = sum(planned.get(name, 0) for name in ORDER[:position])
        left = sum(planned.get(name, 0) for name in ORDER[position:])
        return left * max(1.0, minutes / before) if before else left

    def summary(self) -> str:
        """What was made, where, and in how many minutes."""
        notebooks = self.folder / "notebooks"
        row = self.folder / "table1" / "resnext101"
        figures = [row / name for name in paths.FIGURES if (row / name).is_dir()][:1]
        verdict = (self.folder / "verify.txt.status").read_text().strip()
        lines = [
            f"== done in {sum(self.took.values()):.0f} minutes, profile {self.profile}",
            f"tables       {self.folder / 'tables.md'}, as LaTeX: "
            "`ich-tf tables --format latex`",
            *(f"figures 3-7  {folder}" for folder in figures),
            f"report       {self.folder / 'report.html'}",
            *([f"notebooks    {notebooks}"] if notebooks.is_dir() else []),
            f"verify       {self.folder / 'verify.txt'}, status {verdict}",
            f"logs         {self.logs}",
            "minutes      "
            + ", ".join(f"{stage} {value:.0f}" for stage, value in self.took.items()),
        ]
        if self.on_phantom:
            lines.append(
                "The phantom shows that everything runs; it says nothing about "
                "the report."
            )
        return "\n".join(lines)


def newest(made: pathlib.Path, results: pathlib.Path) -> bool:
    """Whether a file is newer than the sources and results that it is made from.

    Args:
        made: The report page, or the file that marks the notebooks as built.
        results: Folder of one profile's results.
    """
    if not made.is_file():
        return False
    roots = [paths.PACKAGE, results]
    roots += [paths.PROJECT / "notebooks"] if paths.IN_CHECKOUT else []
    inputs = (
        path
        for root in roots
        for path in root.rglob("*")
        if path.suffix in SOURCES and path.name != "report.html" and path.is_file()
    )
    return all(_time(path) <= _time(made) for path in inputs)


def run_and_log(
    command: Sequence[str],
    environment: Mapping[str, str],
    log: pathlib.Path | None = None,
    output: pathlib.Path | None = None,
) -> int:
    """Run Python with arguments; show what it prints, and append that to a log.

    Args:
        command: Arguments of the interpreter.
        environment: Variables that are set besides this process' own.
        log: The log, or None for none.
        output: Where standard output is written too, or None.

    Returns:
        The exit status.
    """
    with contextlib.ExitStack() as files:
        kept = files.enter_context(open(log or os.devnull, "a", encoding="utf-8"))
        kept.write(f"== {time.strftime('%F %T')}: {' '.join(command)}\n")
        copies = [kept]
        if output is not None:
            copies.append(files.enter_context(open(output, "w", encoding="utf-8")))
        process = files.enter_context(
            subprocess.Popen(
                [sys.executable, *command],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT if output is None else None,
                text=True,
                errors="replace",
                env={**os.environ, "PYTHONUNBUFFERED": "1", **environment},
            )
        )
        for line in process.stdout:
            print(line, end="", flush=True)
            for file in copies:
                file.write(line)
    return process.returncode


def _time(path: pathlib.Path) -> float:
    return path.stat().st_mtime
