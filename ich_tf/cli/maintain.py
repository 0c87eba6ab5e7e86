"""Verbs for data sets and weights."""

import argparse
import os

from ich_tf import paths
from ich_tf.cli import info
from ich_tf.cli import options as shared
from ich_tf.cli.options import Verb


def _add_phantom(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--layout",
        choices=("ct-ich", "ct-ich-v1", "rsna"),
        default="ct-ich",
        help="files of which data set; default: ct-ich",
    )
    parser.add_argument(
        "--cases", type=shared.count, default=10, metavar="N", help="default: 10"
    )
    parser.add_argument(
        "--seed", type=int, default=0, metavar="S", help="of the heads; default: 0"
    )
    parser.add_argument(
        "--slices",
        type=shared.count,
        metavar="N",
        help="slices of each head; default: 24 to 60",
    )
    parser.add_argument(
        "--size",
        type=shared.count,
        default=512,
        metavar="PIXELS",
        help="in-plane; default: 512",
    )
    parser.add_argument(
        "--out", required=True, metavar="DIR", help="a new or empty folder"
    )


def _phantom(options: argparse.Namespace) -> None:
    from ich_tf.synthetic import layouts

    layouts.write_phantom(
        options.layout,
        options.out,
        cases=options.cases,
        seed=options.seed,
        slices=options.slices,
        size=options.size,
        say=print,
    )
    print(f"wrote {options.cases} heads to {options.out}")


def _check_data(options: argparse.Namespace) -> int:
    given = {"ct-ich": options.ct_ich, "rsna": options.rsna}
    if not any(given.values()):
        given = {
            "ct-ich": os.environ.get("ICH_TF_CT_ICH"),
            "rsna": os.environ.get("ICH_TF_RSNA"),
        }
    if not any(given.values()):
        raise ValueError(
            "Pass --ct-ich DIR, --rsna DIR or both, or set ICH_TF_CT_ICH or "
            "ICH_TF_RSNA."
        )
    problems = sum(_check(name, folder) for name, folder in given.items() if folder)
    return 1 if problems else 0


def _check(name: str, folder: str) -> int:
    from ich_tf import datasets
    from ich_tf.data import checks

    dataset, count = datasets.open_dataset(name, paths.data_set(name, folder)), 0
    for problem in checks.check_dataset(dataset):
        count += 1
        print(f"{problem.kind}: {problem.file}: {problem.message}", flush=True)
    try:
        identity = dataset.fingerprint()["identity"]
    except ValueError:
        identity = f"{name}, not readable completely"
    print(f"{identity}: {len(dataset.case_ids())} cases, {count} problems")
    return count


def _add_weights(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--ship", metavar="ROW", help="first add the weights of a finished row"
    )
    parser.add_argument(
        "--lite",
        metavar="NAME",
        help="first write the LiteRT file of a network that `predict` uses",
    )
    parser.add_argument(
        "--convert", metavar="FILE", help="first convert published PyTorch weights"
    )
    parser.add_argument(
        "--cards",
        action="store_true",
        help="first write the facts of the manifest into the model cards",
    )
    shared.add_folders(parser)


def _weights(options: argparse.Namespace) -> None:
    from ich_tf.models import weights

    folder = paths.weights(options.weights_dir)
    if options.ship:
        from ich_tf.experiments import lookup, ship

        folders = shared.folders(options)
        ship.ship(lookup.find_run(options.ship, "shipped", folders, print), print)
    if options.lite:
        from ich_tf.prediction import real_heads

        print(f"wrote {real_heads.write_lite(folder, options.lite)}")
    if options.convert:
        from ich_tf.models import convert

        print(f"converted to {convert.convert(options.convert, folder)}")
    if options.cards:
        from ich_tf.models import cards

        for path in cards.write(folder):
            print(f"wrote {path}")
    for name, entry in weights.read_manifest(folder).items():
        print(f"{name}: {entry['file']}, {entry['parameters']:,} parameters,")
        print(f"  trained on {entry['trained_on']}; {entry['metric']}")


def _add_completion(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "shell", choices=("bash", "zsh", "tcsh"), help="shell to complete for"
    )


def _completion(options: argparse.Namespace) -> None:
    import shtab

    from ich_tf.cli.main import parser

    print(shtab.complete(parser(listed=True), shell=options.shell))


def _add_export(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "name",
        metavar="NAME",
        help="a network of `ich-tf weights`, or `chain`: slice network and sequence "
        "model as one, from the Hounsfield units of a scan",
    )
    parser.add_argument(
        "--format",
        required=True,
        choices=("savedmodel", "litert", "onnx", "keras"),
        help="format to write; litert and onnx need the extras of that name",
    )
    parser.add_argument(
        "--out", required=True, metavar="DIR", help="a new or empty folder"
    )
    shared.add_weights_folder(parser)


def _export(options: argparse.Namespace) -> None:
    from ich_tf.prediction import export

    path = export.export(options.name, options.format, options.out, options.weights_dir)
    print(f"wrote {path} and preprocessing.json")


VERBS = (
    info.VERB,
    Verb(
        "check-data",
        "look for faults in a data set",
        _check_data,
        shared.add_data,
        ("ich-tf check-data --ct-ich DIR --rsna DIR",),
    ),
    Verb(
        "phantom",
        "write synthetic head CT in the layout of a data set",
        _phantom,
        _add_phantom,
        ("ich-tf phantom --layout ct-ich --cases 10 --seed 0 --out PHANTOM",),
    ),
    Verb(
        "weights",
        "list the weights that come with the package",
        _weights,
        _add_weights,
        ("ich-tf weights", "ich-tf weights --convert FILE.pth"),
    ),
    Verb(
        "completion",
        "print the completion of verbs and options for a shell",
        _completion,
        _add_completion,
        ("ich-tf completion bash > ~/.local/share/bash-completion/completions/ich-tf",),
    ),
    Verb(
        "export",
        "write a network as SavedModel, LiteRT, ONNX or Keras file",
        _export,
        _add_export,
        ("ich-tf export real-heads --format onnx --out ONNX",),
    ),
)
