"""What a verb is, and the options that several verbs share."""

import argparse
import dataclasses
import logging
import os
import pathlib
import re
import shutil
import sys
from collections.abc import Callable
from typing import TextIO

from ich_tf import paths

PROFILES = ("demo", "quick", "study", "paper", "paper-by-patient", "shipped")
STRATEGIES = ("auto", "one", "mirrored", "multiworker", "tpu")
"""`training.distribute.STRATEGIES`, which takes seconds to import."""
TABLE_FORMATS = ("text", "md", "csv", "latex", "html", "json")
"""`evidence.render.FORMATS`, which takes a while to import."""


@dataclasses.dataclass(frozen=True)
class Verb:
    """One verb of the command line.

    Args:
        name: What is typed after `ich-tf`.
        text: One line for `ich-tf --help`, without a full stop.
        run: Called with the parsed options; returns the exit status, None for 0.
        add_options: Adds the verb's own options to its parser.
        examples: Complete command lines, shown below the verb's options.
    """

    name: str
    text: str
    run: Callable[[argparse.Namespace], int | None]
    add_options: Callable[[argparse.ArgumentParser], None]
    examples: tuple[str, ...] = ()

    def option_names(self) -> list[str]:
        """Its options in full, as `--out`."""
        parser = argparse.ArgumentParser()
        self.add_options(parser)
        add_verbosity(parser)
        return re.findall(r"--[a-z][a-z-]+", parser.format_usage())


def add_data(parser: argparse.ArgumentParser) -> None:
    """Add the folders of the real data sets."""
    parser.add_argument(
        "--ct-ich",
        metavar="DIR",
        help="folder of the data set ct-ich; default: the variable ICH_TF_CT_ICH",
    )
    parser.add_argument(
        "--rsna",
        metavar="DIR",
        help="folder of RSNA 2019; default: the variable ICH_TF_RSNA",
    )


def add_weights_folder(parser: argparse.ArgumentParser) -> None:
    """Add the folder of the weights."""
    parser.add_argument(
        "--weights-dir",
        metavar="DIR",
        help="folder of the weights; default: the variable ICH_TF_WEIGHTS, else the "
        "weights that come with the package",
    )


def add_results(parser: argparse.ArgumentParser) -> None:
    """Add the folder of the results."""
    parser.add_argument(
        "--results",
        metavar="DIR",
        help="folder of the results; default: the variable ICH_TF_RESULTS, else "
        "results/",
    )


def add_profile(parser: argparse.ArgumentParser, default: str = "demo") -> None:
    """Add the scale of an experiment."""
    parser.add_argument(
        "--profile",
        choices=PROFILES,
        default=default,
        help=f"scale of the experiments; default: {default}",
    )


def add_verbosity(parser: argparse.ArgumentParser) -> None:
    """Add options for how much is printed."""
    level = parser.add_mutually_exclusive_group()
    level.add_argument(
        "--verbose", action="store_true", help="also show TensorFlow's own messages"
    )
    level.add_argument(
        "--quiet", action="store_true", help="results and errors only, no progress"
    )


def add_device(parser: argparse.ArgumentParser) -> None:
    """Add where networks run."""
    parser.add_argument(
        "--device",
        type=device,
        default="auto",
        metavar="auto|cpu|gpu:N",
        help="where networks run; default: auto, every GPU or else the CPU",
    )


def device(text: str) -> str:
    """A device, as the type of an option: "auto", "cpu" or "gpu:N"."""
    if not re.fullmatch(r"auto|cpu|gpu:\d+", text):
        raise argparse.ArgumentTypeError(f"must be auto, cpu or gpu:N, not {text}")
    return text


def use_device(name: str) -> None:
    """Show this process only one device; call it before TensorFlow is imported.

    Args:
        name: "auto", "cpu" or "gpu:N".

    Raises:
        ValueError: if a GPU is asked for and there is no NVIDIA driver.
    """
    kind, _, number = name.partition(":")
    if kind == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    elif kind == "gpu":
        if shutil.which("nvidia-smi") is None:
            raise ValueError(f"--device {name}: no NVIDIA driver is installed here.")
        os.environ["CUDA_VISIBLE_DEVICES"] = number


def add_training(parser: argparse.ArgumentParser) -> None:
    """Add everything that verbs which train a row understand."""
    add_profile(parser)
    parser.add_argument(
        "--seed", type=int, default=0, metavar="S", help="of the training; default: 0"
    )
    parser.add_argument(
        "--strategy",
        choices=STRATEGIES,
        default="auto",
        help="devices to train on, see docs/distributed.md; default: all that fit",
    )
    parser.add_argument(
        "--deterministic",
        action=argparse.BooleanOptionalAction,
        help="repeat every operation to the bit; default: on a CPU only, where a "
        "killed run resumes with the same bits",
    )
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument(
        "--resume",
        action="store_true",
        help="end with an error if there is no interrupted run to resume",
    )
    mode.add_argument(
        "--fresh", action="store_true", help="train again, ignoring earlier runs"
    )
    parser.add_argument(
        "--leave-out",
        action="store_true",
        help="train and test without the cases of ct-ich that cannot be read",
    )
    add_device(parser)
    add_folders(parser)


def add_folders(parser: argparse.ArgumentParser) -> None:
    """Add the folders of data, weights and results."""
    add_data(parser)
    add_weights_folder(parser)
    add_results(parser)


def folders(options: argparse.Namespace):
    """The `runner.Folders` that the options and the environment name."""
    from ich_tf.experiments import runner

    return runner.Folders(
        ct_ich=options.ct_ich or os.environ.get("ICH_TF_CT_ICH"),
        rsna=options.rsna or os.environ.get("ICH_TF_RSNA"),
        results=paths.results(options.results),
        weights=paths.weights(options.weights_dir),
        leave_out=getattr(options, "leave_out", False),
    )


def finished_rows(results: pathlib.Path) -> dict[str, int]:
    """Count result files.

    Args:
        results: Folder of the results.

    Returns:
        Profile -> its number of finished rows, for profiles that have any.
    """
    counts = {name: len(list(results.glob(f"{name}/*/*.json"))) for name in PROFILES}
    return {name: count for name, count in counts.items() if count}


def results_of(options: argparse.Namespace) -> pathlib.Path:
    """The folder of the results; says so where they are in another profile."""
    results = paths.results(options.results)
    rows = finished_rows(results)
    if rows and options.profile not in rows:
        listed = ", ".join(f"{name} ({count} rows)" for name, count in rows.items())
        print(
            f"No results of profile {options.profile} in {results}. There are results "
            f"of profile {listed}: pass --profile {next(iter(rows))}.",
            file=sys.stderr,
        )
    return results


def set_determinism(options: argparse.Namespace) -> None:
    """Put `--deterministic` where `training.precision` reads it: the environment."""
    if options.deterministic is not None:
        state = "on" if options.deterministic else "off"
        os.environ["ICH_TF_DETERMINISTIC"] = state


def count(text: str) -> int:
    """A whole number of 1 or more, as the type of an option."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be 1 or more, not {value}")
    return value


def say(line: str, stream: TextIO | None = None) -> None:
    """Print a line of progress at once, even into a pipe; nothing with `--quiet`.

    Args:
        line: The line.
        stream: Standard output if None.
    """
    if logging.getLogger("ich_tf").isEnabledFor(logging.INFO):
        print(line, file=stream, flush=True)
