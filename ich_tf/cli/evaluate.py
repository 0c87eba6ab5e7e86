"""The verb `evaluate`: any masks scored against true ones."""

import argparse
import json
import sys

from ich_tf.cli import options as shared
from ich_tf.cli.options import Verb


def _add_evaluate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "prediction", metavar="PRED", help="predicted masks: a NIfTI file or a folder"
    )
    parser.add_argument(
        "truth", metavar="TRUTH", help="true masks: a NIfTI file or a folder"
    )
    parser.add_argument(
        "--out", metavar="DIR", help="folder for evaluation.json and evaluation.png"
    )
    parser.add_argument("--json", action="store_true", help="print everything as JSON")
    parser.add_argument(
        "--reported",
        action="append",
        default=[],
        metavar="SCORE=NUMBER",
        help="compare with a printed number, such as dice=0.433; may be repeated",
    )
    parser.add_argument(
        "--ct-ich-subjects",
        action="store_true",
        help="the cases are patients of ct-ich: apply a protocol's exclusions",
    )


def _evaluate(options: argparse.Namespace) -> int:
    from ich_tf.evidence import evaluate
    from ich_tf.report import evaluation_files

    if options.out:
        evaluation_files.check(options.out)
    scores = evaluate.evaluate(
        options.prediction,
        options.truth,
        ct_ich_subjects=options.ct_ich_subjects,
        reported=dict(_score(text) for text in options.reported),
        say=lambda line: shared.say(line, sys.stderr),
    )
    if options.json:
        print(json.dumps(scores.to_json(), indent=1, allow_nan=False))
    else:
        print(scores.to_markdown(), end="")
    if options.out:
        evaluation_files.write(scores, options.out)
    return 1 if scores.faults else 0


def _score(text: str) -> tuple[str, str]:
    name, separator, number = text.partition("=")
    if not separator:
        raise ValueError(
            f"--reported takes SCORE=NUMBER, such as dice=0.433, not {text!r}."
        )
    return name, number


VERB = Verb(
    "evaluate",
    "score any masks under every protocol",
    _evaluate,
    _add_evaluate,
    (
        "ich-tf evaluate PREDICTED TRUE --out OUT",
        "ich-tf evaluate PREDICTED TRUE --reported dice=0.433",
    ),
)
