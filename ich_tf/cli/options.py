"""What a verb is, and the options that several verbs share."""

import argparse
import dataclasses
import os
from collections.abc import Callable

from ich_tf import paths

PROFILES = ("demo", "quick", "paper", "paper-by-patient", "shipped")
STRATEGIES = ("auto", "one", "mirrored", "multiworker", "tpu")
"""`training.distribute.STRATEGIES`, which takes seconds to import."""


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
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument(
        "--resume",
        action="store_true",
        help="end with an error if there is no interrupted run to resume",
    )
    mode.add_argument(
        "--fresh", action="store_true", help="train again, ignoring earlier runs"
    )
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
    )


def training(options: argparse.Namespace) -> dict:
    """What `add_training` adds, as arguments of `experiments.reproduce`."""
    return {
        "profile": options.profile,
        "seed": options.seed,
        "strategy": options.strategy,
        "resume": options.resume,
        "fresh": options.fresh,
        "say": say,
    }


def count(text: str) -> int:
    """A whole number of 1 or more, as the type of an option."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be 1 or more, not {value}")
    return value


def say(line: str) -> None:
    """Print a line at once, even into a pipe."""
    print(line, flush=True)
