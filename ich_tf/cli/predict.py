"""Verbs for scans: segment, classify, explain, score a data set with labels."""

import argparse

from ich_tf import paths
from ich_tf.cli import options as shared
from ich_tf.cli.options import Verb
from ich_tf.metrics import display


def _add_scan(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "input", help="NIfTI file, DICOM file or folder, or ct-ich patient folder"
    )
    parser.add_argument(
        "--out", required=True, metavar="DIR", help="folder for what is written"
    )
    parser.add_argument(
        "--series",
        metavar="UID",
        help="which series of a DICOM folder that has several",
    )
    parser.add_argument(
        "--force",
        action="store_true",
        help="read a scan that does not look like head CT, with a note",
    )
    shared.add_device(parser)
    shared.add_weights_folder(parser)


def _add_weights(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--weights",
        metavar="NAME",
        help="network that segments; `ich-tf weights` lists them",
    )


def _add_predict(parser: argparse.ArgumentParser) -> None:
    _add_scan(parser)
    _add_weights(parser)
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
        default=0.5,
        metavar="P",
        help="probability above which a pixel is hemorrhage; default: 0.5",
    )


def _predict(options: argparse.Namespace) -> None:
    from ich_tf.prediction import predict

    result = predict.predict(
        options.input,
        options.out,
        weights_name=options.weights or predict.DEFAULT_WEIGHTS,
        weights_dir=options.weights_dir,
        spacing_mm=tuple(options.spacing) if options.spacing else None,
        series_uid=options.series,
        force=options.force,
        threshold=options.threshold,
    )
    pixels = sum(result["slice_pixels"])
    positive = sum(count > 0 for count in result["slice_pixels"])
    volume = result["volume_ml"]
    amount = f"{volume:.1f} ml" if volume is not None else f"{pixels} pixels"
    print(f"{amount} in {positive} of {result['slices']} slices; see {options.out}")
    if result["missing_mm"]:
        print(f"{result['missing_mm']:g} mm of the scan have no slice: not in the ml")
    if result["likeness"]["unlike"]:
        print(
            f"unlike the training data: {len(result['likeness']['slices_unlike'])} of "
            f"{result['slices']} slices. Do not trust what is found."
        )
    _show_classification(result["classification"])
    for note in result["notes"]:
        print(f"note: {note}")
    trained_on = result["weights"]["trained_on"]
    print(f"segmented by weights trained on {trained_on}. {result['disclaimer']}")


def _show_classification(classified: dict) -> None:
    if not classified["scan"]:
        print(f"not classified: {classified['reason']}")
        return
    shown = (f"{name} {value:.2f}" for name, value in classified["scan"].items())
    print(f"probability of hemorrhage in the scan: {', '.join(shown)}")
    print(
        f"classified by {classified['network']}, which sees {classified['sees']} and "
        f"was trained on {classified['weights']['trained_on']}"
    )


def _add_detection(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--out", required=True, metavar="DIR", help="folder for numbers and pictures"
    )
    parser.add_argument(
        "--figure",
        metavar="PNG",
        help="also draw the slices of judges with the highest and lowest probability",
    )
    _add_weights(parser)
    shared.add_device(parser)
    shared.add_data(parser)
    shared.add_weights_folder(parser)


def _detection(options: argparse.Namespace) -> None:
    from ich_tf import data
    from ich_tf.prediction import detection, predict

    result = detection.detect(
        data.open_dataset("ct-ich", paths.ct_ich(options.ct_ich)),
        options.out,
        weights_name=options.weights or predict.DEFAULT_WEIGHTS,
        weights_dir=options.weights_dir,
        say=shared.say,
    )
    for unit in ("slice", "patient"):
        auc = display.with_interval(result[unit])
        print(
            f"area under the ROC curve of the largest predicted area, by {unit}: {auc}"
        )
    print(f"{result['data']}; pictures: {options.out}/detection.png")
    if options.figure:
        _draw_judges(options, result)


def _draw_judges(options: argparse.Namespace, result: dict) -> None:
    from ich_tf import data
    from ich_tf.evidence import real_slices
    from ich_tf.prediction import real_heads

    name = options.weights or real_heads.DEFAULT_WEIGHTS
    real_slices.draw(
        options.figure,
        data.open_dataset("ct-ich", paths.ct_ich(options.ct_ich)),
        real_heads.load(options.weights_dir, name),
        real_slices.choose(result["cases"]),
    )


def _add_explain(parser: argparse.ArgumentParser) -> None:
    _add_scan(parser)
    parser.add_argument(
        "--subtype", required=True, help="EDH, IPH, IVH, SAH, SDH, any or in full"
    )
    parser.add_argument(
        "--slices",
        type=shared.count,
        default=3,
        metavar="N",
        help="how many of the most probable slices to show; default: 3",
    )


def _explain(options: argparse.Namespace) -> None:
    from ich_tf.prediction import explain

    result = explain.explain(
        options.input,
        options.out,
        options.subtype,
        series_uid=options.series,
        force=options.force,
        weights_dir=options.weights_dir,
        shown=options.slices,
    )
    print(
        f"{result['subtype']}: probability {result['scan_probability']:.2f} in the "
        f"scan; see {', '.join(result['pictures'])} in {options.out}"
    )
    print(f"classified by {result['network']}, which sees {result['sees']}")
    trained_on = result["weights"]["trained_on"]
    print(f"weights trained on {trained_on}. {result['disclaimer']}")


VERBS = (
    Verb(
        "predict",
        "segment and classify one scan",
        _predict,
        _add_predict,
        (
            "ich-tf predict scan.nii.gz --out OUT",
            "ich-tf predict DICOM_FOLDER --out OUT",
        ),
    ),
    Verb(
        "explain",
        "show where the classifier sees a subtype (Grad-CAM)",
        _explain,
        _add_explain,
        ("ich-tf explain scan.nii.gz --subtype SDH --out OUT",),
    ),
    Verb(
        "detection",
        "score shipped weights against the slice labels of ct-ich",
        _detection,
        _add_detection,
        ("ich-tf detection --ct-ich DIR --out OUT",),
    ),
)
