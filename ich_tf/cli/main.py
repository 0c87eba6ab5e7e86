"""The parser of `ich-tf`, and how a verb's errors become an exit status."""

import argparse
import logging
import os
import sys

from ich_tf import __version__
from ich_tf.cli import evidence, experiments, maintain, output, predict

GROUPS = {
    "Scans": predict.VERBS,
    "Experiments": experiments.VERBS,
    "Evidence": evidence.VERBS,
    "Data and weights": maintain.VERBS,
}

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")


def main(arguments: list[str] | None = None) -> int:
    """Run a verb.

    Args:
        arguments: The command line after `ich-tf`; default: this process' own.

    Returns:
        0 on success, 1 if a check found a fault, 2 for a wrong call or bad input.
    """
    output.make_safe()
    options = parser().parse_args(arguments)
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
        again = "the same command resumes here"
        if getattr(options, "fresh", False):
            again = "without --fresh " + again
        print(f"\ninterrupted; {again}", file=sys.stderr)
        return 130


def parser() -> argparse.ArgumentParser:
    """The parser with every verb; the attribute `run` of its result is the verb's."""
    top = argparse.ArgumentParser(
        prog="ich-tf",
        description=__import__("ich_tf").__doc__,
        epilog=_overview(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=__version__)
    verbs = top.add_subparsers(
        dest="verb", required=True, metavar="VERB", help="see below"
    )
    for verb in (verb for group in GROUPS.values() for verb in group):
        examples = "".join(f"\n  {line}" for line in verb.examples)
        sub = verbs.add_parser(
            verb.name,
            description=f"{verb.text[0].upper()}{verb.text[1:]}.",
            epilog=f"examples:{examples}" if examples else None,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        verb.add_options(sub)
        sub.set_defaults(run=verb.run)
    return top


def _overview() -> str:
    lines = []
    for group, verbs in GROUPS.items():
        lines += [f"{group}:", *(f"  {verb.name:12}{verb.text}" for verb in verbs), ""]
    return "\n".join([*lines, "`ich-tf VERB --help` shows a verb's options."])
