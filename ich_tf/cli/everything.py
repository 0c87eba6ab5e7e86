"""The verb `all`: every stage, resumed where an earlier start ended."""

import argparse
import os
import pathlib
import sys

from ich_tf import files, paths
from ich_tf.cli import options as shared
from ich_tf.cli.all_plans import PLANS
from ich_tf.cli.all_stages import AllStages, StageFailed
from ich_tf.cli.options import Verb


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `all`."""
    parser.add_argument(
        "plan",
        nargs="?",
        choices=("demo", "paper"),
        help="the phantom's demo, or the report's setting on the real data",
    )
    parser.add_argument(
        "--quick",
        action="store_const",
        const="quick",
        dest="profile",
        help="a short row of each table, in minutes",
    )
    parser.add_argument(
        "--profile", choices=tuple(PLANS), help="the same by name; default: demo"
    )
    parser.add_argument(
        "--strategy",
        choices=shared.STRATEGIES,
        help="devices to train on, see docs/distributed.md",
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
    shared.add_device(parser)
    shared.add_folders(parser)


def run(options: argparse.Namespace) -> int | None:
    """Run everything, then say what was made and where."""
    profile = options.profile or options.plan or "demo"
    if options.plan and profile != options.plan:
        raise ValueError(f"choose one profile: {options.plan} or {profile}")
    for variable, folder in (
        ("ICH_TF_CT_ICH", options.ct_ich),
        ("ICH_TF_RSNA", options.rsna),
        ("ICH_TF_WEIGHTS", options.weights_dir),
    ):
        if folder:
            os.environ[variable] = str(pathlib.Path(folder).absolute())
    masks, labels = (
        bool(os.environ.get(name)) for name in ("ICH_TF_CT_ICH", "ICH_TF_RSNA")
    )
    if profile == "paper" and not (masks or labels):
        raise ValueError("paper needs the real data: --ct-ich DIR, --rsna DIR or both")
    files.check_folder(paths.results(options.results))
    arguments = [f"--{name}" for name in ("resume", "fresh") if getattr(options, name)]
    arguments += ["--strategy", options.strategy] if options.strategy else []
    everything = AllStages(
        profile,
        paths.results(options.results).absolute(),
        arguments,
        on_phantom=not (masks or labels),
        has_masks=masks or profile != "paper",
        has_labels=labels or profile != "paper",
    )
    try:
        if profile == "paper":
            everything.check()
        everything.run()
    except StageFailed as failure:
        print(f"ich-tf all: {failure}", file=sys.stderr)
        return 1
    print(everything.summary())
    return None


VERB = Verb(
    "all",
    "run every stage: rows, tables, verdicts, report page, notebooks",
    run,
    add_options,
    ("ich-tf all", "ich-tf all --quick", "ich-tf all paper --ct-ich DIR --rsna DIR"),
)
