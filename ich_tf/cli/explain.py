"""Verbs that look closer: explain a scan, score a data set with labels."""

import argparse

from ich_tf import paths
from ich_tf.cli import options as shared
from ich_tf.cli import predict
from ich_tf.cli.options import Verb


def _add_detection(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--out", required=True, metavar="DIR", help="folder for numbers and pictures"
    )
    parser.add_argument(
        "--figure",
        metavar="PNG",
        help="also draw the slices of judges with the highest and lowest probability",
    )
    predict.add_weights(parser)
    shared.add_device(parser)
    shared.add_data(parser)
    shared.add_weights_folder(parser)


def _detection(options: argparse.Namespace) -> None:
    from ich_tf import datasets
    from ich_tf.metrics import display
    from ich_tf.prediction import detection, predict

    result = detection.detect(
        datasets.open_dataset("ct-ich", paths.ct_ich(options.ct_ich)),
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
    from ich_tf import datasets
    from ich_tf.evidence import real_slices
    from ich_tf.prediction import real_heads

    name = options.weights or real_heads.DEFAULT_WEIGHTS
    real_slices.draw(
        options.figure,
        datasets.open_dataset("ct-ich", paths.ct_ich(options.ct_ich)),
        real_heads.load(options.weights_dir, name),
        real_slices.choose(result["cases"]),
    )


def _add_explain(parser: argparse.ArgumentParser) -> None:
    predict.add_scan(parser, predict.ONE_SCAN)
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
    parser.add_argument(
        "--run",
        metavar="ROW",
        help="explain with the slice network of this finished row, as "
        "table1/resnext101, by Grad-CAM, instead of the network of `predict`",
    )
    shared.add_profile(parser)
    shared.add_results(parser)


def _explain(options: argparse.Namespace) -> None:
    from ich_tf.prediction import explain

    explainer = None
    if options.run:
        explainer = explain.GradCam(_network_of_row(options))
    result = explain.explain(
        options.input,
        options.out,
        options.subtype,
        series_uid=options.series,
        force=options.force,
        explainer=explainer,
        weights_dir=options.weights_dir,
        shown=options.slices,
    )
    print(
        f"{result['subtype']}: probability {result['scan_probability']:.2f} in the "
        f"scan; see {', '.join(result['pictures'])} in {options.out}"
    )
    print(f"predicted by {result['network']}, which sees {result['sees']}")
    print(f"the colours show: {result['shows']}")
    trained_on = result["weights"]["trained_on"]
    print(f"weights trained on {trained_on}. {result['disclaimer']}")


def _network_of_row(options: argparse.Namespace):
    from ich_tf.experiments import runner, trained_classifier

    weights = paths.weights(options.weights_dir)
    folders = runner.Folders(paths.results(options.results), weights)
    return trained_classifier.of_row(options.run, options.profile, folders)


VERBS = (
    Verb(
        "explain",
        "show where the network sees a subtype",
        _explain,
        _add_explain,
        (
            "ich-tf explain scan.nii.gz --subtype SDH --out OUT",
            "ich-tf explain SCAN --subtype SDH --run table1/resnext101 --out OUT",
        ),
    ),
    Verb(
        "detection",
        "score shipped weights against the slice labels of ct-ich",
        _detection,
        _add_detection,
        ("ich-tf detection --ct-ich DIR --out OUT",),
    ),
)
