"""Verbs that train and evaluate rows."""

import argparse
import shlex

from ich_tf.cli import everything
from ich_tf.cli import options as shared
from ich_tf.cli.options import Verb


def _add_reproduce(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "names",
        nargs="+",
        metavar="NAME",
        help="a table (table1, table2, table3, volume3d, related, ...) or a row",
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="only check that data and initial weights are there",
    )
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="only estimate minutes, memory and disk, from three steps of each row",
    )
    shared.add_training(parser)


def _reproduce(options: argparse.Namespace) -> None:
    from ich_tf.evidence import render, tables
    from ich_tf.experiments import lookup, reproduce
    from ich_tf.experiments.rows.table1 import FIGURES_ROW

    folders = shared.folders(options)
    if options.check:
        runs = lookup.find_runs(options.names, options.profile, folders, shared.say)
        reproduce.check(runs)
        print("data and initial weights are there")
        return
    if options.dry_run:
        runs = lookup.find_runs(options.names, options.profile, folders, print)
        reproduce.forecast(runs, say=print)
        return
    shared.set_determinism(options)
    done = reproduce.reproduce_by_name(
        options.names,
        folders,
        profile=options.profile,
        seed=options.seed,
        strategy=options.strategy,
        resume=options.resume,
        fresh=options.fresh,
        say=shared.say,
    )
    shown = tables.showing(options.names)
    if shown and options.seed == 0:
        print(render.render(shown, folders.results, options.profile))
    if any(result.experiment == FIGURES_ROW for result in done):
        _draw_figures(FIGURES_ROW, folders, options)
        if folders.rsna is None and options.seed == 0:
            try:
                _draw_figures_of_predict(folders, options)
            except ValueError as error:
                # The row itself is finished.
                print(f"figures 3-7 were not drawn: {error}")


def _draw_figures_of_predict(folders, options: argparse.Namespace) -> None:
    """Figures 3-7 without RSNA 2019: the network of `predict` on phantom heads."""
    from ich_tf import files
    from ich_tf.evidence import localization
    from ich_tf.experiments import results
    from ich_tf.experiments.rows.table1 import FIGURES_ROW

    files.check_folder(folders.results)
    place = folders.results, options.profile, FIGURES_ROW, options.seed
    run_folder = results.result_file(*place).with_suffix("")
    out = localization.of_predict(run_folder, folders.weights, print)
    print(localization.describe(localization.read(out)))
    print(f"figures 3-7 by the network of `predict` are in {out}")


def _draw_figures(
    name: str, folders, options: argparse.Namespace, slices: int | None = None
) -> None:
    """A row's figures: on the phantom, and on held-out scans of a given folder."""
    from ich_tf import files
    from ich_tf.evidence import held_out_figures, localization
    from ich_tf.experiments import lookup

    files.check_folder(folders.results)
    run = lookup.find_run(name, options.profile, folders, print, options.seed)
    out = localization.of_run(run, print)
    print(localization.describe(localization.read(out)))
    print(f"figures of {name} on the phantom are in {out}")
    if folders.given(run.experiment.dataset) is not None:
        shown = slices or held_out_figures.SHOWN
        out = held_out_figures.of_run(run, print, shown)
        print(held_out_figures.describe(held_out_figures.read(out)))
        print(f"figures 3-7 on held-out scans are in {out}")


def _add_figures(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--run",
        metavar="ROW",
        help="finished row with a slice network; default: Table I's with RSNA 2019, "
        "without it the network of `predict`",
    )
    parser.add_argument(
        "--slices",
        type=shared.count,
        metavar="N",
        help="held-out slices in a figure, each from a different scan; default: 3",
    )
    parser.add_argument(
        "--seed", type=int, default=0, metavar="S", help="of the run; default: 0"
    )
    shared.add_profile(parser)
    shared.add_device(parser)
    shared.add_folders(parser)


def _figures(options: argparse.Namespace) -> None:
    from ich_tf.experiments.rows.table1 import FIGURES_ROW

    folders = shared.folders(options)
    if options.run is None and folders.rsna is None:
        if options.slices:
            raise ValueError("--slices is for held-out scans. Give them with --rsna.")
        _draw_figures_of_predict(folders, options)
    else:
        _draw_figures(options.run or FIGURES_ROW, folders, options, options.slices)


def _add_train(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "experiment", metavar="ROW", help="such as table3/unet-hssayeni"
    )
    parser.add_argument(
        "--fold", type=int, default=0, metavar="K", help="counted from 0; default: 0"
    )
    shared.add_training(parser)


def _train(options: argparse.Namespace) -> None:
    from ich_tf.experiments import lookup, steps
    from ich_tf.training import distribute

    shared.set_determinism(options)
    # Before the data are opened, which may take long.
    devices = distribute.choose(options.strategy)
    run = lookup.find_run(
        options.experiment,
        options.profile,
        shared.folders(options),
        shared.say,
        options.seed,
        devices=devices,
    )
    trained = steps.train_one(
        run,
        options.fold,
        resume=options.resume,
        fresh=options.fresh,
        say=shared.say,
    )
    scores = ", ".join(f"{name} {value:.4g}" for name, value in trained.scores.items())
    print(f"{scores}: {trained.file}")


def _add_prepare(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("experiment", metavar="ROW", help="such as table1/resnext101")
    parser.add_argument(
        "--beam",
        default="",
        metavar="FLAGS",
        help="for Apache Beam (the extra `beam`), in one string: "
        "'--runner=SparkRunner ...'; default: processes on this machine",
    )
    shared.add_profile(parser, default="paper")
    shared.add_folders(parser)


def _prepare(options: argparse.Namespace) -> None:
    from ich_tf.experiments import lookup, steps

    folders = shared.folders(options)
    _check_classifier(options.experiment, "needs no shards")
    run = lookup.find_run(options.experiment, options.profile, folders, shared.say)
    folder = steps.prepare_shards(
        run, options=shlex.split(options.beam), say=shared.say
    )
    print(f"shards are in {folder}")


def _check_classifier(name: str, why: str) -> None:
    """Refuse other rows before their data are made.

    Raises:
        ValueError: if the row is no classifier.
    """
    from ich_tf.experiments import spec
    from ich_tf.experiments.catalog import CATALOG

    if not isinstance(CATALOG.row(name), spec.Classifier):
        raise ValueError(f"{name} {why}: it is not a classifier.")


def _add_show(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "experiment", metavar="ROW", help="such as table3/unet-hssayeni"
    )
    shared.add_profile(parser)


def _show(options: argparse.Namespace) -> None:
    from ich_tf.experiments import show
    from ich_tf.experiments.catalog import CATALOG

    print(show.describe(CATALOG.row(options.experiment), options.profile), end="")


def _add_submission(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "experiment", metavar="ROW", help="such as table1/resnext101-lstm"
    )
    parser.add_argument(
        "--out", default="submission.csv", metavar="FILE", help="default: %(default)s"
    )
    shared.add_profile(parser, default="paper")
    shared.add_folders(parser)


def _submission(options: argparse.Namespace) -> None:
    import pathlib

    from ich_tf.data.rsna.dataset import Rsna
    from ich_tf.experiments import lookup, submission

    folders = shared.folders(options)
    _check_classifier(options.experiment, "gives no submission")
    run = lookup.find_run(options.experiment, options.profile, folders, shared.say)
    out = pathlib.Path(options.out)
    unread = submission.write(run, Rsna(run.dataset.root, part="test"), out, shared.say)
    print(f"{out}: {unread} images could not be read and have a probability of 1/2")


VERBS = (
    everything.VERB,
    Verb(
        "reproduce",
        "train and evaluate rows, then print their tables",
        _reproduce,
        _add_reproduce,
        (
            "ich-tf reproduce table2 --profile quick",
            "ich-tf reproduce table2 --profile paper --ct-ich DIR --dry-run",
            "ich-tf reproduce table3 --profile paper --ct-ich DIR",
        ),
    ),
    Verb(
        "show",
        "print a row with all its settings at one profile",
        _show,
        _add_show,
        ("ich-tf show table2/vgg16-random-bce --profile demo",),
    ),
    Verb(
        "train",
        "train one fold of one row, without evaluating it",
        _train,
        _add_train,
        ("ich-tf train table3/unet-hssayeni --fold 0",),
    ),
    Verb(
        "prepare",
        "write a classifier's slices as shards before training",
        _prepare,
        _add_prepare,
        ("ich-tf prepare table1/resnext101 --rsna DIR",),
    ),
    Verb(
        "figures",
        "draw Figures 3-7: where a network sees each subtype",
        _figures,
        _add_figures,
        (
            "ich-tf figures",
            "ich-tf figures --profile paper --rsna DIR --slices 3",
        ),
    ),
    Verb(
        "submission",
        "predict the test part of RSNA 2019 and write Kaggle's file",
        _submission,
        _add_submission,
        ("ich-tf submission table1/resnext101-lstm --rsna DIR --out submission.csv",),
    ),
)
