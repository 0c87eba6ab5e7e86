"""Compare LiteRT with Keras: start, a batch of slices, and whether answers are equal.

`python benchmarks/lite_runtime.py [--weights NAME] [--batches 8] [--out FILE]` needs
`ai-edge-litert`. The shipped network is exported once. Then two processes answer the
same random batches of four slices, by turns: one imports TensorFlow and Keras, the
other LiteRT alone. Processor seconds, which depend little on what else runs, stand next
to wall seconds.
"""

import argparse
import datetime
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import numpy as np

from ich_tf.prediction.real_heads import DEFAULT_WEIGHTS

BATCH = 4
ROUNDS = 3
CLOCK = """
import json, resource, sys, time
import numpy as np

def now():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return time.perf_counter(), used.ru_utime + used.ru_stime

began = now()
images = np.load(sys.argv[2])
"""
KERAS = """
from ich_tf.models import weights
model = weights.load_shipped(sys.argv[1])
model.compile(jit_compile=False)
answer = lambda batch: np.asarray(model.predict_on_batch(batch))
"""
LITERT = """
from ai_edge_litert.interpreter import Interpreter
interpreter = Interpreter(model_path=sys.argv[1], num_threads=int(sys.argv[4]))
(place,) = interpreter.get_input_details()
interpreter.resize_tensor_input(place["index"], images[0].shape)
interpreter.allocate_tensors()
(result,) = interpreter.get_output_details()

def answer(batch):
    interpreter.set_tensor(place["index"], batch)
    interpreter.invoke()
    return interpreter.get_tensor(result["index"]).copy()
"""
MEASURE = """
first = answer(images[0])
started = now()
answers = [first, *(answer(batch) for batch in images[1:])]
ended = now()
np.save(sys.argv[3], np.stack(answers))
start = [b - a for a, b in zip(began, started)]
further = [(b - a) / (len(images) - 1) for a, b in zip(started, ended)]
print(json.dumps({"start": start, "batch": further}))
"""


def measure(engine: str, network: str, images: pathlib.Path) -> tuple[dict, np.ndarray]:
    """Seconds (wall, processor) until the first answer and of a further batch.

    Args:
        engine: `KERAS` or `LITERT`.
        network: Name of the weights, or the exported file.
        images: An .npy file: (batches, `BATCH`, side, side, channels).

    Returns:
        The seconds, and all answers.
    """
    answers = images.with_name("answers.npy")
    threads = str(len(os.sched_getaffinity(0)))
    done = subprocess.run(
        [
            *(sys.executable, "-c", CLOCK + engine + MEASURE),
            *(network, str(images), str(answers), threads),
        ],
        check=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    return json.loads(done.stdout.splitlines()[-1]), np.load(answers)


def compare(name: str, batches: int) -> str:
    """The table as Markdown."""
    from ich_tf.models import weights
    from ich_tf.prediction import export

    side = weights.shipped(name)[1]["preprocessing"]["size"]
    channels = weights.load_shipped(name).input_shape[-1]
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        exported = export.export(name, "litert", folder / "litert")
        images = folder / "images.npy"
        generator = np.random.default_rng(0)
        shape = (batches, BATCH, side, side, channels)
        np.save(images, generator.random(shape, dtype=np.float32))
        rows: dict[str, list] = {"Keras": [], "LiteRT": []}
        for _ in range(ROUNDS):
            for title, engine, network in (
                ("Keras", KERAS, name),
                ("LiteRT", LITERT, str(exported)),
            ):
                seconds, answers = measure(engine, network, images)
                rows[title].append((seconds, answers))
    difference = np.abs(rows["Keras"][0][1] - rows["LiteRT"][0][1]).max()
    return _page(name, side, rows, float(difference))


def _page(name: str, side: int, rows: dict[str, list], difference: float) -> str:
    lines = [
        "# LiteRT next to Keras",
        "",
        f"Made by `python benchmarks/lite_runtime.py --out docs/litert.md` on "
        f"{datetime.date.today()}, {len(os.sched_getaffinity(0))} cores, load "
        f"{os.getloadavg()[0]:.0f}: `{name}`, batches of {BATCH} slices of {side} x "
        f"{side} pixels, minimum of {ROUNDS} processes. The start includes imports, "
        "loading and the first batch. Under load, compare processor seconds, not wall "
        "seconds.",
        "",
        "| | start, processor s | start, wall s | batch, processor s | batch, wall s |",
        "| --- | --- | --- | --- | --- |",
    ]
    for title, runs in rows.items():
        least = [
            min(seconds[part][clock] for seconds, _ in runs)
            for part, clock in (("start", 1), ("start", 0), ("batch", 1), ("batch", 0))
        ]
        lines.append(f"| {title} | " + " | ".join(f"{s:.2f}" for s in least) + " |")
    lines += ["", f"Largest difference between probabilities: {difference:.1e}.", ""]
    return "\n".join(lines)


def main() -> None:
    """Print the table, or write it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", default=DEFAULT_WEIGHTS)
    parser.add_argument("--batches", type=int, default=8)
    parser.add_argument("--out", type=pathlib.Path)
    options = parser.parse_args()
    page = compare(options.weights, options.batches)
    if options.out:
        options.out.write_text(page)
    print(page)


if __name__ == "__main__":
    main()
