"""The command line: each verb is one call, its result printed."""

import argparse
import logging
import os
import sys

from ich_tf import __version__, paths
from ich_tf.metrics import display

PROFILES = ("demo", "quick", "paper", "paper-by-patient", "shipped")
# As in `distribution.STRATEGIES`, which takes long to import.
STRATEGIES = ("auto", "one", "mirrored", "multiworker", "tpu")

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")


def main(arguments: list[str] | None = None) -> int:
    """Run a verb.

    Returns:
        0 if all went well, 1 if something was found wrong, 2 for a wrong call or bad
        input.
    """
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        return options.run(options) or 0
    except ConnectionError as error:
        print(f"ich-tf {options.verb}: {error}", file=sys.stderr, flush=True)
        # At a regular end TensorFlow would wait for the worker that was lost.
        os._exit(2)
    except (ValueError, OSError) as error:
        print(f"ich-tf {options.verb}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        again = "the same command goes on from here"
        if getattr(options, "fresh", False):
            again = "without --fresh " + again
        print(f"\ninterrupted; {again}", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ich-tf", description=__import__("ich_tf").__doc__
    )
    parser.add_argument("--version", action="version", version=__version__)
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for add in (
        _add_phantom,
        _add_check_data,
        _add_train,
        _add_prepare,
        _add_reproduce,
        _add_compare,
        _add_tables,
        _add_report,
        _add_verify,
        _add_protocols,
        _add_audit,
        _add_predict,
        _add_detection,
        _add_explain,
        _add_weights,
    ):
        verb = add(verbs)
        verb.add_argument("--ct-ich", metavar="DIR", help="folder of ct-ich")
        verb.add_argument("--rsna", metavar="DIR", help="folder of RSNA 2019")
        verb.add_argument("--weights-dir", metavar="DIR", help="folder of weights")
        verb.add_argument("--results", metavar="DIR", help="folder of results")
    return parser


def _verb(verbs, name: str, run, text: str) -> argparse.ArgumentParser:
    verb = verbs.add_parser(name, help=text, description=text)
    verb.set_defaults(run=run)
    return verb


def _add_phantom(verbs):
    verb = _verb(verbs, "phantom", _phantom, "write synthetic head CT as a data set")
    verb.add_argument(
        "--layout", choices=("ct-ich", "ct-ich-v1", "rsna"), default="ct-ich"
    )
    verb.add_argument("--cases", type=_count, default=10, metavar="N")
    verb.add_argument("--seed", type=int, default=0, metavar="S")
    verb.add_argument("--slices", type=_count, help="of each head; default 24 to 60")
    verb.add_argument("--size", type=_count, default=512, help="pixels in-plane")
    verb.add_argument("--out", required=True, metavar="DIR")
    return verb


def _phantom(options) -> None:
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


def _add_check_data(verbs):
    return _verb(verbs, "check-data", _check_data, "look for faults in a data set")


def _check_data(options) -> int:
    from ich_tf import data
    from ich_tf.data import checks

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
    count = 0
    for name, folder in given.items():
        if not folder:
            continue
        dataset, found = data.open_dataset(name, paths.data_set(name, folder)), 0
        for problem in checks.check_dataset(dataset):
            found += 1
            print(f"{problem.kind}: {problem.file}: {problem.message}", flush=True)
        try:
            identity = dataset.fingerprint()["identity"]
        except ValueError:
            identity = f"{name}, not readable as a whole"
        print(f"{identity}: {len(dataset.case_ids())} cases, {found} problems")
        count += found
    return 1 if count else 0


def _add_train(verbs):
    verb = _verb(verbs, "train", _train, "train one experiment, without evaluating it")
    verb.add_argument("experiment", metavar="ID", help="such as table3/unet-hssayeni")
    verb.add_argument("--fold", type=int, default=0, metavar="K", help="from 0 on")
    _add_run_options(verb)
    return verb


def _train(options) -> None:
    from ich_tf.experiments import reproduce

    trained = reproduce.train_one(
        options.experiment, options.fold, _folders(options), **_mode(options)
    )
    scores = ", ".join(f"{name} {value:.4g}" for name, value in trained.scores.items())
    print(f"{scores}: {trained.file}")


def _add_prepare(verbs):
    verb = _verb(
        verbs, "prepare", _prepare, "write a classifier's slices as shards beforehand"
    )
    verb.add_argument("experiment", metavar="ID", help="such as table1/resnext101")
    verb.add_argument("--profile", choices=PROFILES, default="paper")
    verb.add_argument(
        "--beam",
        default="",
        metavar="FLAGS",
        help="for Apache Beam, in one string: '--runner=SparkRunner ...'; default: "
        "processes on this machine",
    )
    return verb


def _prepare(options) -> None:
    import shlex

    from ich_tf.experiments import reproduce

    folder = reproduce.prepare_shards(
        options.experiment,
        _folders(options),
        profile=options.profile,
        options=shlex.split(options.beam),
        say=_say,
    )
    print(f"shards are in {folder}")


def _add_reproduce(verbs):
    verb = _verb(
        verbs, "reproduce", _reproduce, "train and evaluate, then print the tables"
    )
    verb.add_argument(
        "names",
        nargs="+",
        metavar="NAME",
        help="table1, table2, table3, volume3d or ids",
    )
    verb.add_argument(
        "--check", action="store_true", help="only look for data and first weights"
    )
    _add_run_options(verb)
    return verb


def _reproduce(options) -> None:
    from ich_tf.evidence import tables
    from ich_tf.experiments import reproduce

    folders = _folders(options)
    if options.check:
        names, profile = options.names, options.profile
        reproduce.check(names, folders, profile=profile, say=_say)
        print("data and first weights are there")
        return
    done = reproduce.reproduce(options.names, folders, **_mode(options))
    shown = tables.showing(options.names)
    if shown and options.seed == 0:
        print(tables.render(shown, folders.results, options.profile))
    if any(result["experiment"] == "table1/resnext101" for result in done):
        _figures(folders, options)


def _figures(folders, options) -> None:
    from ich_tf import files
    from ich_tf.evidence import localization
    from ich_tf.experiments import reproduce

    run = reproduce.find_run(
        "table1/resnext101", options.profile, folders, print, options.seed
    )
    out = localization.of_run(run, print)
    print(localization.describe(files.read_json(out / localization.MEASURED)))
    print(f"figures 3-7 are in {out}")


def _add_run_options(verb) -> None:
    verb.add_argument("--profile", choices=PROFILES, default="demo")
    verb.add_argument("--seed", type=int, default=0, metavar="S", help="of training")
    verb.add_argument(
        "--strategy",
        choices=STRATEGIES,
        default="auto",
        help="devices to train on, see docs/distributed.md; default: what is there",
    )
    mode = verb.add_mutually_exclusive_group()
    mode.add_argument(
        "--resume", action="store_true", help="insist on an interrupted run"
    )
    mode.add_argument("--fresh", action="store_true", help="forget earlier runs")


def _folders(options):
    from ich_tf.experiments import runner

    return runner.Folders(
        ct_ich=options.ct_ich or os.environ.get("ICH_TF_CT_ICH"),
        rsna=options.rsna or os.environ.get("ICH_TF_RSNA"),
        results=paths.results(options.results),
        weights=paths.weights(options.weights_dir),
    )


def _mode(options) -> dict:
    return {
        "profile": options.profile,
        "seed": options.seed,
        "strategy": options.strategy,
        "resume": options.resume,
        "fresh": options.fresh,
        "say": _say,
    }


def _say(line: str) -> None:
    print(line, flush=True)


def _add_compare(verbs):
    verb = _verb(verbs, "compare", _compare, "two rows on the same scans, draw by draw")
    verb.add_argument("first", metavar="ID", help="such as table1/resnext101")
    verb.add_argument("second", metavar="ID", help="such as table1/resnext101-lstm")
    verb.add_argument("--profile", choices=PROFILES, default="demo")
    verb.add_argument(
        "--seeds", type=int, nargs="+", default=[0], metavar="S", help="default: 0"
    )
    return verb


def _compare(options) -> None:
    from ich_tf.evidence import compare

    print(
        compare.render(
            options.first,
            options.second,
            paths.results(options.results),
            options.profile,
            options.seeds,
        ),
        end="",
    )


def _add_tables(verbs):
    from ich_tf.evidence import tables

    verb = _verb(verbs, "tables", _tables, "print the tables from the results")
    verb.add_argument(
        "names", nargs="*", metavar="TABLE", help="default: all that hold a number"
    )
    verb.add_argument("--format", choices=tables.FORMATS, default="md")
    verb.add_argument("--profile", choices=PROFILES, default="demo")
    verb.add_argument("--protocol", default="hssayeni2020")
    verb.add_argument(
        "--readme", action="store_true", help="paste the demo's numbers into the README"
    )
    verb.add_argument(
        "--docs",
        action="store_true",
        help="write the pages in docs/ that are made from results",
    )
    return verb


def _tables(options) -> None:
    from ich_tf.evidence import readme, tables

    if options.readme:
        readme.update(paths.results(options.results))
    if options.docs:
        from ich_tf.evidence import docs

        docs.write(paths.results(options.results), readme.DOCS, _say)
    results = paths.results(options.results)
    text = tables.render(
        options.names or tables.worth_showing(results, options.profile),
        results,
        options.profile,
        options.format,
        options.protocol,
    )
    print(text, end="")


def _add_report(verbs):
    verb = _verb(verbs, "report", _report, "write all results as one HTML page")
    verb.add_argument("--profile", choices=PROFILES, default="demo")
    verb.add_argument("--out", metavar="FILE", help="default: report.html in results")
    verb.add_argument(
        "--cases", type=_count, default=6, metavar="N", help="in the slice viewer"
    )
    return verb


def _report(options) -> None:
    from ich_tf.report import page

    folders = _folders(options)
    out = options.out or folders.results / options.profile / "report.html"
    page.write(folders, out, profile=options.profile, cases=options.cases, say=_say)
    print(f"the report is in {out}")


def _add_verify(verbs):
    verb = _verb(verbs, "verify", _verify, "a verdict for each number of the report")
    verb.add_argument("names", nargs="*", metavar="TABLE", help="default: all")
    verb.add_argument("--profile", choices=PROFILES, default="demo")
    verb.add_argument("--json", action="store_true")
    verb.add_argument(
        "--recount",
        action="store_true",
        help="count masks again from the stored probabilities and the data",
    )
    return verb


def _verify(options) -> int:
    from ich_tf.evidence import verify

    checks = verify.verify(
        paths.results(options.results),
        options.profile,
        options.names,
        _folders(options) if options.recount else None,
    )
    print(verify.render(checks, options.json), end="")
    return verify.status(checks)


def _add_protocols(verbs):
    verb = _verb(
        verbs, "protocols", _protocols, "one prediction under every convention"
    )
    verb.add_argument("result", metavar="RESULT", help="result file or experiment id")
    verb.add_argument("--profile", choices=PROFILES, default="demo")
    verb.add_argument("--out", metavar="DIR", help="default: beside the probabilities")
    return verb


def _protocols(options) -> None:
    from ich_tf.evidence import protocols as protocol_sweep
    from ich_tf.report import protocols

    folders = _folders(options)
    run = protocol_sweep.open_result(options.result, options.profile, folders, _say)
    found, figure = protocols.write(run, options.out or run.folder, _say)
    print(protocol_sweep.describe(run, found))
    print(f"the figure is {figure}")


def _add_audit(verbs):
    verb = _verb(verbs, "audit", _audit, "the report held against itself and its data")
    verb.add_argument("--profile", choices=PROFILES, default="demo")
    verb.add_argument("--json", action="store_true")
    return verb


def _audit(options) -> None:
    from ich_tf.evidence import audit

    found = audit.audit(
        paths.results(options.results),
        options.profile,
        options.ct_ich or os.environ.get("ICH_TF_CT_ICH"),
    )
    print(audit.render(found, options.json), end="")


def _add_predict(verbs):
    verb = _verb(verbs, "predict", _predict, "segment and classify one scan")
    verb.add_argument(
        "input", help="NIfTI file, DICOM file or folder, or ct-ich patient folder"
    )
    verb.add_argument("--out", required=True, metavar="DIR")
    verb.add_argument(
        "--weights", metavar="NAME", help="of the segmentation, see `ich-tf weights`"
    )
    verb.add_argument(
        "--spacing",
        nargs=3,
        type=float,
        metavar=("Z", "Y", "X"),
        help="in mm, of the mask's pixels: 512x512 for the JPG files of ct-ich",
    )
    verb.add_argument("--series", metavar="UID", help="of several in a DICOM folder")
    verb.add_argument("--threshold", type=float, default=0.5)
    return verb


def _predict(options) -> None:
    from ich_tf.prediction import predict

    found = predict.predict(
        options.input,
        options.out,
        weights_name=options.weights or predict.DEFAULT_WEIGHTS,
        weights_dir=options.weights_dir,
        spacing_mm=tuple(options.spacing) if options.spacing else None,
        series_uid=options.series,
        threshold=options.threshold,
    )
    pixels = sum(found["slice_pixels"])
    positive = sum(count > 0 for count in found["slice_pixels"])
    volume = found["volume_ml"]
    amount = f"{volume:.1f} ml" if volume is not None else f"{pixels} pixels"
    print(f"{amount} in {positive} of {found['slices']} slices; see {options.out}")
    if found["likeness"]["unlike"]:
        print(
            f"unlike the training data: {len(found['likeness']['slices_unlike'])} of "
            f"{found['slices']} slices. Do not trust what is found."
        )
    classified = found["classification"]
    if classified["scan"]:
        shown = (f"{name} {value:.2f}" for name, value in classified["scan"].items())
        print(f"probability of hemorrhage in the scan: {', '.join(shown)}")
        print(
            f"answered by {classified['network']}, which sees {classified['sees']} and "
            f"was trained on {classified['weights']['trained_on']}"
        )
    else:
        print(f"not classified: {classified['reason']}")
    for note in found["notes"]:
        print(f"note: {note}")
    trained_on = found["weights"]["trained_on"]
    print(f"segmented by weights trained on {trained_on}. {found['disclaimer']}")


def _add_detection(verbs):
    verb = _verb(
        verbs,
        "detection",
        _detection,
        "hold what shipped weights find against labels of slices",
    )
    verb.add_argument("--out", required=True, metavar="DIR")
    verb.add_argument(
        "--weights", metavar="NAME", help="of the segmentation, see `ich-tf weights`"
    )
    return verb


def _detection(options) -> None:
    from ich_tf import data
    from ich_tf.prediction import detection, predict

    found = detection.detect(
        data.open_dataset("ct-ich", paths.ct_ich(options.ct_ich)),
        options.out,
        weights_name=options.weights or predict.DEFAULT_WEIGHTS,
        weights_dir=options.weights_dir,
        say=_say,
    )
    for unit in ("slice", "patient"):
        auc = display.with_interval(found[unit])
        print(
            f"area under the ROC curve of the largest predicted area, by {unit}: {auc}"
        )
    print(f"{found['data']}; pictures: {options.out}/detection.png")


def _add_explain(verbs):
    verb = _verb(verbs, "explain", _explain, "show where the classifier sees a subtype")
    verb.add_argument("input", help="NIfTI file, DICOM file or folder")
    verb.add_argument(
        "--subtype", required=True, help="EDH, IPH, IVH, SAH, SDH, any or in full"
    )
    verb.add_argument("--out", required=True, metavar="DIR")
    verb.add_argument("--series", metavar="UID", help="of several in a DICOM folder")
    verb.add_argument(
        "--slices", type=_count, default=3, metavar="N", help="most probable ones"
    )
    return verb


def _explain(options) -> None:
    from ich_tf.prediction import explain

    found = explain.explain(
        options.input,
        options.out,
        options.subtype,
        series_uid=options.series,
        weights_dir=options.weights_dir,
        shown=options.slices,
    )
    print(
        f"{found['subtype']}: probability {found['scan_probability']:.2f} in the scan; "
        f"see {', '.join(found['pictures'])} in {options.out}"
    )
    print(f"answered by {found['network']}, which sees {found['sees']}")
    print(f"weights trained on {found['weights']['trained_on']}. {found['disclaimer']}")


def _add_weights(verbs):
    verb = _verb(verbs, "weights", _weights, "list shipped weights")
    verb.add_argument("--ship", metavar="ID", help="add a finished experiment's first")
    verb.add_argument(
        "--convert", metavar="FILE", help="convert published PyTorch weights first"
    )
    verb.add_argument(
        "--chain",
        metavar="FILE.keras",
        help="save the classifier as one Keras model: HU of a scan to probabilities",
    )
    return verb


def _weights(options) -> None:
    from ich_tf.models import weights

    folder = paths.weights(options.weights_dir)
    if options.ship:
        from ich_tf.experiments import reproduce, ship

        ship.ship(reproduce.find_run(options.ship, "shipped", _folders(options), print))
    if options.convert:
        from ich_tf.models import convert

        print(f"converted to {convert.convert(options.convert, folder)}")
    if options.chain:
        from ich_tf.prediction import classify

        classify.whole(folder).save(options.chain)
        print(f"saved {options.chain}; import ich_tf.models.chain before you load it")
    for name, entry in weights.read_manifest(folder).items():
        print(f"{name}: {entry['file']}, {entry['parameters']:,} parameters,")
        print(f"  trained on {entry['trained_on']}; {entry['metric']}")


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be 1 or more, not {value}")
    return value
