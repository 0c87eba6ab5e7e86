"""The page itself: Gradio on this machine's own address, closed to all others."""

import contextlib
import html
import logging
import os
import pathlib
import tempfile
import threading
import time
import typing
from collections.abc import Iterator

from ich_tf import files, packages
from ich_tf.app import sessions, work
from ich_tf.prediction import inputs, many

if typing.TYPE_CHECKING:
    import fastapi
    import gradio

HOST = "127.0.0.1"
NO_GRADIO = f"`ich-tf app` needs Gradio: {packages.command('app')}"
TITLE = "ich_tf: hemorrhage in head CT"
POLICY = (
    "default-src 'self' data: blob: 'unsafe-inline' 'unsafe-eval'; object-src 'none'; "
    "base-uri 'self'; form-action 'self'; frame-ancestors 'self'"
)
"""The browser contacts only this machine, whatever Gradio's page refers to."""
PREFIX = "ich-tf-app-"
"""How the names of servers' temporary folders begin."""
UPLOADS = "uploads"
"""Gradio's own folder, below that."""
ABOUT = (
    "Drop a NIfTI file, the DICOM files of a scan or a ZIP archive. Nothing leaves "
    "this machine; uploads are deleted after reading, results when the page is closed "
    "or reloaded, or the program ends."
)


@contextlib.contextmanager
def serving(port: int, settings: many.PredictionSettings) -> Iterator[str]:
    """Serve the page; give its address. At the end everything stored is deleted.

    What a killed server left is deleted first.

    Args:
        port: 0 takes a free one.
        settings: For every scan.

    Raises:
        ValueError: if Gradio is not installed or the port is taken.
    """
    own = f"{PREFIX}{files.PROCESS}-"
    files.remove_left(pathlib.Path(tempfile.gettempdir()), PREFIX, keep=own)
    # A prediction that still runs may write; the next server deletes what it leaves.
    with tempfile.TemporaryDirectory(
        files.partial_name(""), own, ignore_cleanup_errors=True
    ) as folder:
        server, listening = _server(pathlib.Path(folder), port, settings)
        thread = threading.Thread(
            target=server.run, kwargs={"sockets": [listening]}, daemon=True
        )
        thread.start()
        try:
            while not server.started and thread.is_alive():
                time.sleep(0.05)
            yield f"http://{HOST}:{listening.getsockname()[1]}/"
        finally:
            # Open pages keep a connection; uvicorn reports each that it ends.
            logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
            server.should_exit = True
            thread.join(timeout=10)
            listening.close()


def _server(folder: pathlib.Path, port: int, settings: many.PredictionSettings):
    import socket

    # Read by Gradio when it is imported.
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["GRADIO_TEMP_DIR"] = str(folder / UPLOADS)
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    try:
        import uvicorn

        app = build(folder, settings)
    except ImportError as error:
        raise ValueError(NO_GRADIO) from error
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((HOST, port))
    except OSError as error:
        listening.close()
        raise ValueError(f"Port {port} is taken; name another with --port.") from error
    config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=2)
    return uvicorn.Server(config), listening


def build(folder: pathlib.Path, settings: many.PredictionSettings) -> "fastapi.FastAPI":
    """The web application.

    Args:
        folder: For uploads and results.
        settings: For every scan.
    """
    import fastapi
    import gradio
    from starlette.middleware.trustedhost import TrustedHostMiddleware

    app = fastapi.FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    # A page elsewhere could otherwise reach this one under a name of its own.
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=[HOST, "localhost"])

    @app.middleware("http")
    async def closed(request, call_next):
        response = await call_next(request)
        response.headers["Content-Security-Policy"] = POLICY
        response.headers["Referrer-Policy"] = "no-referrer"
        response.headers["Cache-Control"] = "no-store"
        return response

    return gradio.mount_gradio_app(
        app,
        _blocks(folder, settings),
        path="/",
        footer_links=[],
        max_file_size=work.MAX_UPLOAD_BYTES,
        allowed_paths=[str(folder)],
        show_error=True,
        theme=gradio.themes.Default(
            font=("system-ui", "sans-serif"), font_mono=("monospace",)
        ),
    )


def _blocks(folder: pathlib.Path, settings: many.PredictionSettings) -> "gradio.Blocks":
    import gradio

    # Of results elsewhere Gradio would make a copy that outlives the page.
    opened = sessions.Sessions(folder / UPLOADS)
    with gradio.Blocks(title=TITLE, analytics_enabled=False) as blocks:
        gradio.Markdown(f"# {TITLE}\n\n{ABOUT}\n\n**{inputs.DISCLAIMER}**")
        uploads = gradio.File(
            label="Scan", file_count="multiple", elem_id="uploads", type="filepath"
        )
        start = gradio.Button("Predict", variant="primary", elem_id="start")
        said = gradio.HTML(elem_id="said")
        table = gradio.Dataframe(
            headers=["scan", "status", "ml", "any hemorrhage", "note"],
            label="Scans",
            interactive=False,
            elem_id="table",
        )
        results = gradio.File(label="All results", elem_id="results")
        choice = gradio.Radio([], label="Show", elem_id="choice", visible=False)
        page = gradio.HTML(elem_id="page")

        def keep(given, request: gradio.Request):
            opened.keep(request.session_hash, given or [])

        def run(given, request: gradio.Request, progress=gradio.Progress()):  # noqa: B008
            hidden = gradio.update(choices=[], value=None, visible=False)
            nothing = None, [], None, hidden, ""
            try:
                answer, own = _predict(
                    opened, request.session_hash, given, settings, progress
                )
            except sessions.PageClosed:
                return "", *nothing
            except ValueError as error:
                return _alert(str(error)), *nothing
            names = list(answer.pages)
            first = names[0] if names else None
            chosen = gradio.update(choices=names, value=first, visible=len(names) > 1)
            rows = [_row(outcome) for outcome in answer.outcomes]
            rows += [
                [name, "not read", "", "", reason]
                for name, reason in answer.unread.items()
            ]
            return "", None, rows, str(answer.results), chosen, _frame(own, first)

        def show(name, request: gradio.Request):
            return _frame(opened.results(request.session_hash), name)

        def end(request: gradio.Request):
            opened.end(request.session_hash)

        uploads.upload(keep, uploads, api_name=False, show_progress="hidden")
        start.click(
            run,
            uploads,
            [said, uploads, table, results, choice, page],
            show_progress_on=results,
            concurrency_limit=1,
            api_name=False,
        )
        choice.input(show, choice, page, api_name=False)
        blocks.unload(end)
    return blocks


def _predict(
    opened: sessions.Sessions, session: str, given, settings, progress
) -> tuple[work.PageContent, pathlib.Path]:
    with opened.working(session) as own:

        def report(share: float, said: str) -> None:
            opened.check_open(session, own)
            progress(share, desc=said)

        return work.predict(given or [], own, settings, report), own


def _alert(message: str) -> str:
    """A message on the page; it may name files, whose names may be hostile."""
    return (
        '<p role="alert" style="color: #b00020; white-space: pre-wrap">'
        f"{html.escape(message)}</p>"
    )


def _row(outcome: many.Outcome) -> list[str]:
    ml = probability = ""
    if outcome.numbers is not None:
        if outcome.numbers["volume_ml"] is not None:
            ml = f"{outcome.numbers['volume_ml']:.1f}"
        probability = f"{outcome.numbers['probabilities']['scan']['any']:.2f}"
    note = "; ".join(filter(None, [", ".join(outcome.remarks), outcome.reason]))
    return [outcome.scan, outcome.status, ml, probability, note]


def _frame(own: pathlib.Path | None, name: str | None) -> str:
    """A scan's page in a frame that may run its own script and nothing else."""
    if not own or not name:
        return ""
    # The name comes back from the browser.
    path = (own / name / "report.html").resolve()
    if not path.is_relative_to(own.resolve()) or not path.is_file():
        return ""
    content = html.escape(path.read_text(encoding="utf-8"), quote=True)
    return (
        '<iframe sandbox="allow-scripts" title="Prediction" style="width: 100%; '
        f'height: 60rem; border: 0" srcdoc="{content}"></iframe>'
    )
