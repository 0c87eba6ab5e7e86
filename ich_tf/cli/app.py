"""The verb `app`: a local web page that predicts scans."""

import argparse
import contextlib

from ich_tf.cli import options as shared
from ich_tf.cli import predict, terminal
from ich_tf.cli.options import Verb


def _add_app(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--port",
        type=int,
        default=7860,
        metavar="N",
        help="on 127.0.0.1; 0 takes a free one; default: 7860",
    )
    parser.add_argument(
        "--no-browser", action="store_true", help="do not open the page in a browser"
    )
    predict.add_weights(parser)
    shared.add_device(parser)
    shared.add_weights_folder(parser)


def _app(options: argparse.Namespace) -> None:
    import time
    import webbrowser

    from ich_tf.app import server
    from ich_tf.prediction import many

    settings = many.PredictionSettings(
        weights_name=options.weights or many.DEFAULT_WEIGHTS,
        weights_dir=options.weights_dir,
    )
    with (
        terminal.ended_by_signals(),
        contextlib.suppress(KeyboardInterrupt),
        server.serving(options.port, settings) as address,
    ):
        print(f"{address} on this machine only; Ctrl+C ends it", flush=True)
        if not options.no_browser:
            webbrowser.open(address)
        while True:
            time.sleep(1)
    print("ended; uploads and results are deleted")


VERB = Verb(
    "app",
    "open a local web page that takes scans by drag and drop",
    _app,
    _add_app,
    ("ich-tf app", "ich-tf app --port 7861 --no-browser"),
)
