"""Verbs that read results: tables, verdicts, comparisons, the report page."""

import argparse
import os
import sys

from ich_tf.cli import evaluate
from ich_tf.cli import options as shared
from ich_tf.cli.options import Verb


def _add_tables(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "names", nargs="*", metavar="TABLE", help="default: all that hold a number"
    )
    parser.add_argument(
        "--format",
        choices=shared.TABLE_FORMATS,
        help="default: text in a terminal, else md",
    )
    shared.add_profile(parser)
    parser.add_argument(
        "--protocol",
        default="hssayeni2020",
        metavar="NAME",
        help="how masks are scored; default: hssayeni2020",
    )
    parser.add_argument(
        "--readme",
        action="store_true",
        help="record the demo in docs/demo.json and docs/demo.md",
    )
    parser.add_argument(
        "--docs",
        action="store_true",
        help="write the pages in docs/ that are made from results",
    )
    shared.add_results(parser)


def _tables(options: argparse.Namespace) -> None:
    from ich_tf.evidence import readme, render, tables

    results = shared.results_of(options)
    if options.readme:
        readme.update(results)
    if options.docs:
        from ich_tf.evidence import docs

        docs.write(results, readme.DOCS, shared.say)
    shown = [tables.table(name) for name in options.names]
    text = render.render(
        shown or tables.worth_showing(results, options.profile),
        results,
        options.profile,
        options.format or _usual_format(),
        options.protocol,
    )
    print(text, end="")


def _usual_format() -> str:
    drawn = sys.stdout.isatty() and (sys.stdout.encoding or "").lower() == "utf-8"
    return "text" if drawn else "md"


def _add_verify(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("names", nargs="*", metavar="TABLE", help="default: all")
    parser.add_argument(
        "--json", action="store_true", help="print the verdicts as JSON"
    )
    parser.add_argument(
        "--plot",
        metavar="DIR",
        help="also draw each table as a forest plot, forest-<table>.png",
    )
    parser.add_argument(
        "--recount",
        action="store_true",
        help="count masks again from the stored probabilities and the data",
    )
    shared.add_profile(parser)
    shared.add_folders(parser)


def _verify(options: argparse.Namespace) -> int:
    from ich_tf.evidence import verify

    checks = verify.verify(
        shared.results_of(options),
        options.profile,
        options.names,
        shared.folders(options) if options.recount else None,
    )
    print(verify.text(checks, options.json), end="")
    if options.plot:
        from ich_tf.report import forest

        for path in forest.write([check.cell for check in checks], options.plot):
            print(f"plotted {path}", file=sys.stderr)
    return verify.status(checks)


def _add_compare(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("first", metavar="ROW", help="such as table1/resnext101")
    parser.add_argument("second", metavar="ROW", help="such as table1/resnext101-lstm")
    parser.add_argument(
        "--seeds",
        type=int,
        nargs="+",
        default=[0],
        metavar="S",
        help="seeds of the trainings; default: 0",
    )
    shared.add_profile(parser)
    shared.add_results(parser)


def _compare(options: argparse.Namespace) -> None:
    from ich_tf.evidence import compare

    text = compare.render(
        options.first,
        options.second,
        shared.results_of(options),
        options.profile,
        options.seeds,
    )
    print(text, end="")


def _add_protocols(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("result", metavar="RESULT", help="result file or row")
    parser.add_argument(
        "--out", metavar="DIR", help="default: the folder of the probabilities"
    )
    shared.add_profile(parser)
    shared.add_folders(parser)


def _protocols(options: argparse.Namespace) -> None:
    from ich_tf.evidence import protocol_sweep
    from ich_tf.report import sweep_files

    folders = shared.folders(options)
    run = protocol_sweep.open_result(
        options.result, options.profile, folders, shared.say
    )
    swept, figure = sweep_files.write(run, shared.say, options.out)
    print(protocol_sweep.describe(run, swept))
    print(f"the figure is {figure}")


def _add_audit(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--json", action="store_true", help="print the findings as JSON"
    )
    shared.add_profile(parser)
    shared.add_data(parser)
    shared.add_results(parser)


def _audit(options: argparse.Namespace) -> None:
    from ich_tf.evidence import audit

    findings = audit.audit(
        shared.results_of(options),
        options.profile,
        options.ct_ich or os.environ.get("ICH_TF_CT_ICH"),
    )
    print(audit.render(findings, options.json), end="")


def _add_study(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--seeds",
        type=int,
        nargs="+",
        default=[0, 1, 2],
        metavar="S",
        help="seeds of the trainings; default: 0 1 2",
    )
    parser.add_argument(
        "--list",
        action="store_true",
        help="print the row and the seed of every training and exit",
    )
    parser.add_argument(
        "--record",
        action="store_true",
        help="record answers and tables in docs/study.md and its JSON files",
    )
    shared.add_profile(parser, "study")
    shared.add_results(parser)


def _study(options: argparse.Namespace) -> None:
    from ich_tf.evidence import study

    if options.list:
        for row, seed in study.trainings(options.seeds):
            print(f"{row} {seed}")
        return
    results = shared.results_of(options)
    made = study.answers(results, options.profile, options.seeds)
    if options.record:
        study.record(made, results)
    print(study.markdown(made), end="")


def _add_report(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--out", metavar="FILE", help="default: report.html in the results"
    )
    parser.add_argument(
        "--cases",
        type=shared.count,
        default=6,
        metavar="N",
        help="heads in the slice viewer; default: 6",
    )
    shared.add_profile(parser)
    shared.add_folders(parser)


def _report(options: argparse.Namespace) -> None:
    from ich_tf.report import page

    out = page.write(
        shared.folders(options),
        options.out,
        profile=options.profile,
        cases=options.cases,
        say=shared.say,
    )
    print(f"the report is in {out}")


VERBS = (
    Verb(
        "tables",
        "print the tables from the results",
        _tables,
        _add_tables,
        ("ich-tf tables", "ich-tf tables table2 --format latex"),
    ),
    Verb(
        "verify",
        "give a verdict for each number of the report",
        _verify,
        _add_verify,
        ("ich-tf verify --profile paper", "ich-tf verify table2 --json"),
    ),
    Verb(
        "compare",
        "compare two rows on the same scans with a paired bootstrap",
        _compare,
        _add_compare,
        ("ich-tf compare table1/resnext101 table1/resnext101-lstm --seeds 0 1",),
    ),
    Verb(
        "protocols",
        "score one prediction under every convention",
        _protocols,
        _add_protocols,
        ("ich-tf protocols table2/vgg16-random-bce",),
    ),
    evaluate.VERB,
    Verb(
        "audit",
        "check the report against its own sums and the published data",
        _audit,
        _add_audit,
        ("ich-tf audit", "ich-tf audit --ct-ich DIR --json"),
    ),
    Verb(
        "study",
        "answer the report's questions on the phantom, in words",
        _study,
        _add_study,
        ("ich-tf study --list", "ich-tf study"),
    ),
    Verb(
        "report",
        "write all results as one HTML page",
        _report,
        _add_report,
        ("ich-tf report --profile demo",),
    ),
)
