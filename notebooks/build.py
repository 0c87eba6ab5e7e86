"""Run the notebooks and write them with their outputs.

    python notebooks/build.py              # what is committed, from the demo's results
    python notebooks/build.py --out DIR    # somewhere else, as run_all.sh does

The .py files are the source, in jupytext's percent format. The same source and results
give the same files, as far as the pictures' library does. What is written next to the
sources is committed, so it is never made of real data. Pictures that are published in
docs may be shown.
"""

import argparse
import functools
import os
import pathlib
import sys
import tempfile
import time

import jupytext
import nbclient
import nbformat
import traitlets.config

FOLDER = pathlib.Path(__file__).resolve().parent
SECONDS = 600
AT_ONCE = 2
"""Notebooks that run at the same time: most of their time is one core's."""
REAL_DATA = ("ICH_TF_CT_ICH", "ICH_TF_RSNA")


def build(source: pathlib.Path) -> nbformat.NotebookNode:
    """Run one notebook from top to bottom; an error in a cell ends it."""
    notebook = jupytext.read(source)
    notebook.metadata = {
        "kernelspec": {
            "display_name": "Python 3",
            "language": "python",
            "name": "python3",
        },
        "language_info": {"name": "python"},
        # What Colab starts with.
        "accelerator": "GPU",
        "colab": {"gpuType": "T4", "provenance": []},
    }
    for number, cell in enumerate(notebook.cells):
        cell.id = f"{source.stem[:2]}-{number:02d}"
    with tempfile.TemporaryDirectory() as sockets:
        # Not over TCP, where others on this machine could listen.
        manager = {"transport": "ipc", "ip": os.path.join(sockets, "kernel")}
        client = nbclient.NotebookClient(
            notebook,
            timeout=SECONDS,
            startup_timeout=SECONDS,
            record_timing=False,
            resources={"metadata": {"path": str(FOLDER.parent)}},
            config=traitlets.config.Config({"KernelManager": manager}),
        )
        client.execute()
    for cell in notebook.cells:
        if cell.cell_type == "code":
            # Libraries log there, with times and numbers of processes.
            cell.outputs = [
                output for output in cell.outputs if output.get("name") != "stderr"
            ]
            # Pictures come as JPEG and PNG; slices are four times as large as PNG.
            for output in cell.outputs:
                if "image/jpeg" in output.get("data", {}):
                    output.data.pop("image/png", None)
    notebook.metadata["language_info"] = {"name": "python"}
    return notebook


def write(source: pathlib.Path, out: pathlib.Path) -> None:
    """Run one notebook and write it, complete or not at all."""
    began = time.monotonic()
    notebook = build(source)
    path = out / f"{source.stem}.ipynb"
    partial = path.with_suffix(".partial")
    partial.write_text(nbformat.writes(notebook) + "\n", encoding="utf-8")
    os.replace(partial, path)
    print(f"{source.name}: {time.monotonic() - began:.0f} seconds", flush=True)


def attempt(out: pathlib.Path, source: pathlib.Path) -> str | None:
    """Write one notebook; return what went wrong in a cell, None if nothing."""
    try:
        write(source, out)
    except nbclient.exceptions.CellExecutionError as error:
        return f"{source.name}: {error}"
    return None


def main() -> int:
    """Build every notebook, or those named; the status is 1 if a cell failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sources", nargs="*", type=pathlib.Path)
    parser.add_argument("--out", type=pathlib.Path, default=FOLDER)
    options = parser.parse_args()
    real = [name for name in REAL_DATA if os.environ.get(name)]
    if options.out.resolve() == FOLDER and real:
        print(f"{real[0]} is set: name another folder with --out.", file=sys.stderr)
        return 2
    options.out.mkdir(parents=True, exist_ok=True)
    # Or the first notebook would take all of a GPU.
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    sources, status = options.sources or sorted(FOLDER.glob("[0-9]*.py")), 0
    from ich_tf import parallel

    # Jupyter's client keeps one event loop in a process.
    run = functools.partial(attempt, options.out)
    for failure in parallel.ordered_map(run, sources, workers=AT_ONCE):
        if failure:
            print(failure, file=sys.stderr)
            status = 1
            break
    return status


if __name__ == "__main__":
    sys.exit(main())
