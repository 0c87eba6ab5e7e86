"""The verb `predict`: one scan, or a folder or archive of many."""

import argparse
import contextlib
import dataclasses
import json
import sys
from collections.abc import Callable, Iterator

from ich_tf import packages
from ich_tf.cli import options as shared
from ich_tf.cli.options import Verb

ONE_SCAN = "NIfTI file, DICOM file or folder, or ct-ich patient folder"
MANY_SCANS = f"{ONE_SCAN}; a folder of any number of these, or a ZIP archive"


def add_scan(parser: argparse.ArgumentParser, given: str, series: str = "UID") -> None:
    """Add what every verb for scans takes.

    Args:
        parser: Parser of the verb.
        given: Help about the input.
        series: What `--series` takes.
    """
    parser.add_argument("input", help=given)
    parser.add_argument(
        "--out", required=True, metavar="DIR", help="folder for the results"
    )
    parser.add_argument(
        "--series",
        metavar=series,
        help="which series of a DICOM folder with several; without it the choices "
        "are listed",
    )
    parser.add_argument(
        "--force",
        action="store_true",
        help="read a scan that does not look like head CT, with a note",
    )
    shared.add_device(parser)
    shared.add_weights_folder(parser)


def add_weights(parser: argparse.ArgumentParser) -> None:
    """Add the name of the network that segments."""
    parser.add_argument(
        "--weights",
        metavar="NAME",
        help="network that segments; `ich-tf weights` lists them",
    )


def _add_predict(parser: argparse.ArgumentParser) -> None:
    add_scan(parser, MANY_SCANS, "all|largest|UID")
    add_weights(parser)
    parser.add_argument(
        "--spacing",
        nargs=3,
        type=float,
        metavar=("Z", "Y", "X"),
        help="in mm, of the mask's pixels: 512x512 for the JPG files of ct-ich",
    )
    parser.add_argument(
        "--threshold",
        type=float,
        metavar="P",
        help="probability above which a pixel is hemorrhage; default: the one chosen "
        "for the weights",
    )
    parser.add_argument(
        "--slice-threshold",
        type=float,
        metavar="P",
        help="a slice whose probability of hemorrhage is below this has no mask; 0 "
        "marks all slices; default: the one chosen for the weights",
    )
    parser.add_argument(
        "--dicom",
        action="store_true",
        help="also write DICOM SEG and SR, which name the patient as the images do",
    )
    parser.add_argument(
        "--json", action="store_true", help="print the numbers as JSON, no sentences"
    )
    parser.add_argument(
        "--anonymous",
        action="store_true",
        help="for several scans: name them scan-001, ... instead of by their path",
    )
    parser.add_argument(
        "--resume",
        action="store_true",
        help="for several scans: keep results of the same files, weights and settings",
    )


def _predict(options: argparse.Namespace) -> int:
    from ich_tf.prediction import many, scans

    if options.dicom:
        packages.require("highdicom")
    settings = many.PredictionSettings(
        weights_name=options.weights or many.DEFAULT_WEIGHTS,
        weights_dir=options.weights_dir,
        threshold=options.threshold,
        slice_threshold=options.slice_threshold,
        spacing_mm=tuple(options.spacing) if options.spacing else None,
        force=options.force,
        dicom=options.dicom,
        anonymous=options.anonymous,
        resume=options.resume,
    )
    with scans.unpacked(options.input) as given:
        shown = str(options.input)
        found = scans.find(given, options.series, without=options.out, shown=shown)
        scan_inputs = found.scans
        _warn_unread(found.unread, options.anonymous)
        several = options.series == scans.ALL or options.anonymous or options.resume
        if len(scan_inputs) > 1 or several:
            return _predict_many(scan_inputs, settings, options)
        return _predict_one(scan_inputs[0], settings, options)


def _warn_unread(unread: dict[str, str], anonymous: bool) -> None:
    """Name files that may hold a further scan, which a list of scans leaves out."""
    for name, reason in unread.items():
        shown = "a file" if anonymous else name
        print(f"warning: not read: {shown} {reason}", file=sys.stderr)


def _predict_one(scan, settings, options: argparse.Namespace) -> int:
    from ich_tf.prediction import many, predict, saving

    predict.check_thresholds(settings.threshold, settings.slice_threshold)
    saving.check(options.out)
    volume = scan.read(settings.spacing_mm, force=settings.force)
    predictor = predict.Predictor(
        settings.weights_name,
        settings.weights_dir,
        settings.threshold,
        settings.slice_threshold,
    )
    prediction = predictor(volume)
    prediction.save(options.out, dicom=settings.dicom)
    if options.json:
        print(json.dumps(prediction.as_dict(), indent=1, allow_nan=False))
        return 0
    _show(prediction)
    if settings.dicom:
        stored = saving.read(options.out)
        if "reason" in stored["dicom"]:
            print(f"warning: {many.NO_DICOM}: {stored['dicom']['reason']}")
    print(f"written to {options.out}; open {saving.PAGE} there in a browser")
    return 0


def _predict_many(scan_inputs, settings, options: argparse.Namespace) -> int:
    from ich_tf.prediction import many

    with _progress(len(scan_inputs), options.quiet) as advance:

        def done(outcome: many.Outcome) -> None:
            advance()
            if not options.json:
                print(_line(outcome), flush=True)

        outcomes = many.run(scan_inputs, options.out, settings, done)
    failed = [outcome for outcome in outcomes if outcome.status == many.FAILED]
    if options.json:
        content = [dataclasses.asdict(outcome) for outcome in outcomes]
        print(json.dumps(content, indent=1, allow_nan=False))
    else:
        print(
            f"{len(outcomes) - len(failed)} of {len(outcomes)} scans predicted, "
            f"{len(failed)} failed; see {options.out}/{many.TABLE}"
        )
    return 1 if failed else 0


def _line(outcome) -> str:
    """One scan of many, in one line."""
    numbers = outcome.numbers
    if numbers is None:
        return f"{outcome.scan}: {outcome.status}: {outcome.reason}"
    ml = numbers["volume_ml"]
    amount = "ml unknown" if ml is None else f"{ml:.1f} ml"
    probability = numbers["probabilities"]["scan"]["any"]
    said = ", ".join([amount, f"any hemorrhage {probability:.2f}", *outcome.remarks])
    warning = f"; {outcome.reason}" if outcome.reason else ""
    return (
        f"{outcome.scan}: {outcome.status}: {said} ({outcome.seconds:.1f} s){warning}"
    )


@contextlib.contextmanager
def _progress(count: int, quiet: bool) -> Iterator[Callable[[], None]]:
    """A bar on a terminal; nothing in a pipe."""
    from rich import console, progress

    shown = console.Console(stderr=True)
    with progress.Progress(
        *progress.Progress.get_default_columns(),
        progress.MofNCompleteColumn(),
        console=shown,
        transient=True,
        disable=quiet or not shown.is_terminal,
    ) as bar:
        task = bar.add_task("scans", total=count)
        yield lambda: bar.advance(task)


def _show(prediction) -> None:
    """Print what a reader must know about one scan."""
    from ich_tf.prediction import inputs, scan_page

    print(scan_page.amount(prediction))
    for warning in scan_page.warnings(prediction):
        print(f"warning: {warning}")
    shown = ", ".join(
        f"{name} {value:.2f}"
        for name, value in zip(
            prediction.classes, prediction.scan_probability, strict=True
        )
    )
    kind = "calibrated" if prediction.calibrated else "not calibrated"
    print(f"probability of hemorrhage in the scan ({kind}): {shown}")
    for note in scan_page.notes(prediction):
        print(f"note: {note}")
    trained_on = prediction.weights["trained_on"]
    print(f"weights trained on {trained_on}. {inputs.DISCLAIMER}")


VERBS = (
    Verb(
        "predict",
        "segment and classify one scan, or a folder or ZIP archive of many",
        _predict,
        _add_predict,
        (
            "ich-tf predict scan.nii.gz --out OUT",
            "ich-tf predict EXPORT --series largest --out OUT",
            "ich-tf predict SCANS.zip --anonymous --out OUT",
        ),
    ),
)
