"""The parser of `ich-tf`, and how a verb's errors become an exit status."""

import argparse
import os
import sys

import ich_tf
from ich_tf import packages, suggestions
from ich_tf.cli import (
    app,
    evidence,
    experiments,
    explain,
    maintain,
    output,
    predict,
    terminal,
)
from ich_tf.cli import options as shared

GROUPS = {
    "Scans": (*predict.VERBS, app.VERB, *explain.VERBS),
    "Experiments": experiments.VERBS,
    "Evidence": evidence.VERBS,
    "Data and weights": maintain.VERBS,
}

CLOSED_PIPE = 141
"""Exit status of a shell's command that wrote into a closed pipe."""

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")


def main(arguments: list[str] | None = None) -> int:
    """Run a verb.

    Args:
        arguments: The command line after `ich-tf`; default: this process' own.

    Returns:
        0 on success, 1 if a check found a fault, 2 for a wrong call or bad input, 130
        after Ctrl-C.
    """
    output.make_safe()
    options = _parse(sys.argv[1:] if arguments is None else arguments)
    terminal.set_verbosity(options.verbose, options.quiet)
    try:
        shared.use_device(getattr(options, "device", "auto"))
        return options.run_verb(options) or 0
    except BrokenPipeError:
        # What reads the pipe, such as `head`, has closed it; nothing more is shown.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return CLOSED_PIPE
    except ConnectionError as error:
        _complain(options, error)
        # At a regular end TensorFlow would wait for the worker that was lost.
        os._exit(2)
    except ModuleNotFoundError as error:
        explained = packages.explain(error)
        if explained is error:
            raise
        return _complain(options, explained)
    except (ValueError, OSError) as error:
        return _complain(options, error)
    except KeyboardInterrupt:
        again = "the same command resumes here"
        if getattr(options, "fresh", False):
            again = "without --fresh " + again
        print(f"\ninterrupted; {again}", file=sys.stderr)
        return 130


def parser(listed: bool = False) -> argparse.ArgumentParser:
    """The parser with every verb; the attribute `run_verb` of its result is the verb's.

    Args:
        listed: Whether argparse lists the verbs, too. shtab completes the options of
            listed verbs only; in the help they would stand twice.
    """
    top = argparse.ArgumentParser(
        prog="ich-tf",
        description=ich_tf.__doc__.partition("\n")[0],
        epilog=_overview(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=ich_tf.__version__)
    verbs = top.add_subparsers(
        dest="verb", required=True, metavar="VERB", help="one of the verbs below"
    )
    for verb in _verbs().values():
        examples = "".join(f"\n  {line}" for line in verb.examples)
        sub = verbs.add_parser(
            verb.name,
            **({"help": verb.text} if listed else {}),
            description=f"{verb.text[0].upper()}{verb.text[1:]}.",
            epilog=f"examples:{examples}" if examples else None,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        verb.add_options(sub)
        shared.add_verbosity(sub)
        sub.set_defaults(run_verb=verb.run, error=sub.error)
    return top


def _verbs() -> dict[str, shared.Verb]:
    return {verb.name: verb for verbs in GROUPS.values() for verb in verbs}


def _parse(arguments: list[str]) -> argparse.Namespace:
    top = parser()
    if arguments and not arguments[0].startswith("-"):
        verb = arguments[0]
        if verb not in _verbs():
            near = suggestions.did_you_mean(verb, _verbs())
            top.error(f"there is no verb {verb!r}.{near} `ich-tf --help` lists them")
        _refuse_unknown(_verbs()[verb], arguments[1:])
    options, unknown = top.parse_known_args(arguments)
    if unknown:
        known = _verbs()[options.verb].option_names()
        near = suggestions.did_you_mean(unknown[0].partition("=")[0], known)
        options.error(f"unrecognized: {' '.join(unknown)}.{near}")
    return options


def _refuse_unknown(verb: shared.Verb, arguments: list[str]) -> None:
    """Name a mistyped option before what is missing without it."""
    known = ["--help", *verb.option_names()]
    given = [text for text in arguments if text.startswith("--")]
    given = given[: given.index("--")] if "--" in given else given
    names = [text.partition("=")[0] for text in given]
    # The start of an option's name is enough for argparse.
    unknown = [
        name for name in names if not any(full.startswith(name) for full in known)
    ]
    if unknown and "--help" not in names:
        near = suggestions.did_you_mean(unknown[0], known)
        own = argparse.ArgumentParser(f"ich-tf {verb.name}")
        verb.add_options(own)
        shared.add_verbosity(own)
        own.error(f"unrecognized: {' '.join(unknown)}.{near}")


def _complain(options: argparse.Namespace, error: Exception) -> int:
    message = str(error)
    if isinstance(error, OSError) and error.filename and error.strerror:
        message = f"{error.filename}: {error.strerror}"
    print(f"ich-tf {options.verb}: {message}", file=sys.stderr, flush=True)
    return 2


def _overview() -> str:
    lines = []
    for group, verbs in GROUPS.items():
        lines += [f"{group}:", *(f"  {verb.name:12}{verb.text}" for verb in verbs), ""]
    return "\n".join(
        [
            *lines,
            "examples:",
            "  ich-tf predict scan.nii.gz --out OUT",
            "  ich-tf reproduce table2 --profile quick",
            "  ich-tf tables",
            "",
            "`ich-tf VERB --help` shows a verb's options and examples.",
        ]
    )
