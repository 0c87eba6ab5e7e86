"""Measure UNet++ over DenseNet169: its speed, a whole scan's, its input pipeline's.

    python benchmarks/segmentation.py throughput   against segmentation-models-pytorch
    python benchmarks/segmentation.py scan         against one tile after the other
    python benchmarks/segmentation.py pipeline     against what training consumes

Competitors take turns within one run. Exits with 1 if a target is missed.
"""

import argparse
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from ich_tf import models  # noqa: E402
from ich_tf.experiments.rows import table2  # noqa: E402
from ich_tf.prediction import segment  # noqa: E402
from ich_tf.preprocessing import augment, windows
from ich_tf.preprocessing.segmentation import pipeline, slices, tiles
from ich_tf.synthetic import phantom  # noqa: E402
from ich_tf.training import plans  # noqa: E402

HERE = pathlib.Path(__file__).resolve().parent
SMP_PYTHON = HERE.parent / ".venv-smp" / "bin" / "python"
TILE, STRIDE, CHANNELS = 128, 64, 3
TRAINING_BATCH, INFERENCE_BATCH = 8, 16
TARGETS = {"training": 2.5, "inference": 2.0, "scan": 3.0, "pipeline": 5.0}
SEED = 2024


def network(precision: str, loss: str = "bce", **changes):
    """UNet++ over DenseNet169, compiled as the project trains it."""
    plan = plans.Plan(1, 1, TRAINING_BATCH, precision=precision, **changes)
    plans.start(plan)
    model = models.build(
        "unetplusplus", backbone="densenet169", input_shape=(TILE, TILE, CHANNELS)
    )
    plans.compile_model(model, loss, plan, [plans.SoftJaccard()])
    return model


def times_of(action) -> tuple[float, float]:
    """Wall and processor seconds of one call."""
    wall, processor = time.perf_counter(), time.process_time()
    action()
    return time.perf_counter() - wall, time.process_time() - processor


def seconds_of(action) -> float:
    """Wall time of one call."""
    return times_of(action)[0]


def check(name: str, ratio: float) -> bool:
    """Print a ratio and its target; return whether it was reached."""
    reached = ratio >= TARGETS[name]
    verdict = "reached" if reached else "MISSED"
    print(f"{name}: {ratio:.2f}x, target {TARGETS[name]:g}x {verdict}")
    return reached


def slowdown(slow: list[float], fast: list[float]) -> float:
    """How many times slower: the smaller ratio, of medians or of fastest times.

    Other work on the machine only adds time, and not to both alike: the fastest times
    show the least of it.
    """
    medians = statistics.median(slow) / statistics.median(fast)
    return min(medians, min(slow) / min(fast))


def print_row(*cells) -> None:
    """Print one row of a markdown table."""
    print("| " + " | ".join(str(cell) for cell in cells) + " |", flush=True)


# ------------------------------------------------------------------ throughput


class Ours:
    """Steps of this project's network."""

    def __init__(self, precision: str):
        self.model = network(precision, learning_rate=1e-5)
        self.parameters = self.model.count_params()
        self.precision = self.model.dtype_policy.name
        self.generator = np.random.default_rng(SEED)

    def step(self, kind: str, batch: int) -> tuple[float, float]:
        """Wall and processor seconds of one step on random images."""
        images = self.generator.random((batch, TILE, TILE, CHANNELS), np.float32)
        if kind == "infer":
            return times_of(lambda: self.model.predict_on_batch(images))
        masks = self.generator.random((batch, TILE, TILE, 1), np.float32) > 0.9
        masks = masks.astype(np.float32)
        return times_of(lambda: self.model.train_on_batch(images, masks))


class Theirs:
    """Steps of segmentation-models-pytorch, in a process of its own."""

    def __init__(self):
        if not SMP_PYTHON.exists():
            sys.exit(f"{SMP_PYTHON} is missing. Run benchmarks/smp_environment.sh.")
        self.process = subprocess.Popen(
            [SMP_PYTHON, HERE / "smp_worker.py"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            # OpenMP's threads wait for each other in a loop; on a machine that also
            # does other work that made a step four times longer. Sleeping does not.
            env={**os.environ, "OMP_WAIT_POLICY": "PASSIVE"},
        )
        self.parameters = int(self._answer())

    def step(self, kind: str, precision: str, batch: int) -> tuple[float, float]:
        """Wall and processor seconds of one step on random images."""
        self.process.stdin.write(f"{kind} {precision} {batch}\n")
        self.process.stdin.flush()
        wall, processor = self._answer().split()
        return float(wall), float(processor)

    def close(self) -> None:
        """End the process."""
        self.process.stdin.close()
        self.process.wait()

    def _answer(self) -> str:
        line = self.process.stdout.readline()
        if not line:
            sys.exit("smp_worker.py ended early; its message is above.")
        return line


def throughput(rounds: int) -> bool:
    """Steps of both networks by turns; the first round warms up and is not counted."""
    theirs = Theirs()
    ours = {name: Ours(name) for name in ("auto", "float32")}
    runners = {
        ("ours", "default"): ours["auto"].step,
        ("ours", "float32"): ours["float32"].step,
        ("smp", "float32"): lambda kind, n: theirs.step(kind, "float32", n),
        ("smp", "bfloat16"): lambda kind, n: theirs.step(kind, "bfloat16", n),
    }
    batches = {"train": TRAINING_BATCH, "infer": INFERENCE_BATCH}
    seconds = {(who, kind): [] for who in runners for kind in batches}
    for turn in range(rounds + 1):
        for (who, kind), measured in seconds.items():
            spent = runners[who](kind, batches[kind])
            if turn:
                measured.append(spent)
    theirs.close()
    print_throughput(seconds, batches, ours, theirs)
    return check_throughput(seconds)


def check_throughput(seconds: dict) -> bool:
    """Our default against their default, by wall time; processor time is shown too."""
    reached = []
    for name, kind in (("training", "train"), ("inference", "infer")):
        (slow, slow_processor), (fast, fast_processor) = (
            zip(*seconds[who, kind], strict=True)
            for who in (("smp", "float32"), ("ours", "default"))
        )
        print(
            f"{name}, processor time: {slowdown(slow_processor, fast_processor):.2f}x"
        )
        reached.append(check(name, slowdown(slow, fast)))
    return all(reached)


def print_throughput(seconds: dict, batches: dict, ours: dict, theirs: Theirs) -> None:
    """Print images per second of every runner, by the median (and fastest) step."""
    print_row("network", "precision", "parameters", "training", "inference")
    print_row(*["---"] * 5)
    for who in dict.fromkeys(who for who, _ in seconds):
        speeds = []
        for kind, batch in batches.items():
            walls = [wall for wall, _ in seconds[who, kind]]
            middle, best = batch / statistics.median(walls), batch / min(walls)
            speeds.append(f"{middle:.2f} ({best:.2f}) images/s")
        name, precision = who
        if name == "ours":
            model = ours["auto" if precision == "default" else precision]
            print_row(name, model.precision, f"{model.parameters:,}", *speeds)
        else:
            print_row(name, precision, f"{theirs.parameters:,}", *speeds)
    print(
        f"\nMedian (fastest) of {len(walls)} steps; training {batches['train']}, "
        f"inference {batches['infer']} images of 128x128x3. The encoders are the same, "
        "the decoders differ: ours is the official graph of 11 nodes. Both defaults "
        f"are compared. Load of the machine: {os.getloadavg()[0]:.1f}.\n"
    )


# ------------------------------------------------------- phantom crops, training


def to_channels(hu: np.ndarray, approach: str = "approach1") -> np.ndarray:
    """Hounsfield units to the network's channels."""
    return windows.channels(hu, approach, CHANNELS)


def phantom_crops(folder: str, heads: int = 2) -> pipeline.Crops:
    """All crops of some heads, whose slices are stored in `folder`."""
    cases = (
        phantom.generate(SEED, index, slices=24, bleeding=True).case
        for index in range(heads)
    )
    stored = slices.store(
        pathlib.Path(folder) / "slices", cases, lambda case: range(len(case.mask))
    )
    grid = tiles.TileGrid(*stored.hu.shape[1:], TILE, STRIDE)
    return pipeline.crops(stored, grid.positions, TILE)


def batches_of(crops, approach: str, batch: int, first: int, last: int, share=None):
    """Augmented training batches, as training draws them."""
    return pipeline.training_batches(
        crops,
        lambda hu: to_channels(hu, approach),
        channels=CHANNELS,
        batch=batch,
        first_step=first,
        last_step=last,
        seed=SEED,
        lesion_share=share,
        augment=augment.augmenter("hssayeni2020"),
    )


# ------------------------------------------------------------------------ scan


def plain_loop(forward, hu: np.ndarray) -> np.ndarray:
    """The same probabilities, one tile after the other.

    Args:
        forward: From (1, tile, tile, channels) to (1, tile, tile, 1).
        hu: (z, h, w), Hounsfield units.
    """
    total, count = np.zeros(hu.shape, np.float32), np.zeros(hu.shape, np.float32)
    for number, image in enumerate(to_channels(hu)):
        for row in range(0, hu.shape[1] - TILE + 1, STRIDE):
            for column in range(0, hu.shape[2] - TILE + 1, STRIDE):
                place = (slice(row, row + TILE), slice(column, column + TILE))
                answer = forward(image[place][np.newaxis])
                total[number][place] += np.asarray(answer, np.float32)[0, ..., 0]
                count[number][place] += 1
    return total / count


def trained(crops, precision: str, steps: int):
    """A network after some steps, whose masks are neither empty nor noise."""
    model = network(
        precision, "bce_jaccard", learning_rate=1e-3, batch_norm_momentum=0.8
    )
    for batch in batches_of(crops, "approach1", TRAINING_BATCH, 0, steps, share=0.7):
        model.train_on_batch(*batch)
    return model


def scan(slices_count: int, steps: int) -> bool:
    """A scan slice after slice, each by all ways in turn, in two precisions."""
    with tempfile.TemporaryDirectory() as folder:
        default = trained(phantom_crops(folder), "auto", steps)
    exact = network("float32", learning_rate=1e-5)
    exact.set_weights(default.get_weights())
    hu = phantom.generate(SEED, 12, slices=24, bleeding=True).case.volume.hu
    hu = hu[:slices_count]
    print_row(
        "precision",
        "`predict` a tile",
        "traced call a tile",
        "this project",
        "ratios",
        "masks",
        "difference",
    )
    print_row(*["---"] * 7)
    ways = [compare_ways(model, hu) for model in (default, exact)]
    print(f"\n{len(hu)} slices of 512x512, 49 tiles each; {steps} training steps.")
    print(f"Load of the machine: {os.getloadavg()[0]:.1f}.\n")
    (default_seconds, default_masks), (exact_seconds, exact_masks) = ways
    unequal = np.count_nonzero(exact_masks["predict"] != default_masks["ours"])
    print(
        "Keras' defaults (float32, `predict` a tile) against this project's: "
        f"{exact_seconds['predict'] / default_seconds['ours']:.2f}x; {unequal} of "
        f"{hu.size} voxels of the masks differ, by rounding to bfloat16.\n"
    )
    equal = np.array_equal(exact_masks["predict"], exact_masks["ours"])
    if not equal:
        print("float32 masks differ: MISSED")
    return check("scan", default_seconds["predict"] / default_seconds["ours"]) and equal


def compare_ways(model, hu: np.ndarray) -> tuple[dict, dict]:
    """Print one row; return the seconds and the masks of each way.

    The ratio that counts is against `model.predict` for each tile, as the published
    code of [2] does it; the traced call shows what batching alone is worth.
    """
    ours = segment.predictor(model, to_channels, TILE, STRIDE)
    ways = {
        "predict": lambda part: plain_loop(
            lambda tile: model.predict(tile, verbose=0), part
        ),
        "traced": lambda part: plain_loop(model.predict_on_batch, part),
        "ours": lambda part: segment.predict_volume(ours, part),
    }
    for way in ways.values():
        way(hu[:1])
    seconds, answers = {way: 0.0 for way in ways}, {way: [] for way in ways}
    for number in range(len(hu)):
        for name_of_way, way in ways.items():
            began = time.perf_counter()
            answers[name_of_way].append(way(hu[number : number + 1]))
            seconds[name_of_way] += time.perf_counter() - began
    first, other = (np.concatenate(answers[way]) for way in ("predict", "ours"))
    unequal = np.count_nonzero((first > 0.5) != (other > 0.5))
    ratios = [seconds[way] / seconds["ours"] for way in ("predict", "traced")]
    print_row(
        model.dtype_policy.name,
        *(f"{spent:.1f} s" for spent in seconds.values()),
        ", ".join(f"{ratio:.2f}" for ratio in ratios),
        f"{np.count_nonzero(other > 0.5)} of {other.size} voxels, {unequal} differ",
        f"{np.abs(first - other).max():.1e}",
    )
    return seconds, {way: np.concatenate(part) > 0.5 for way, part in answers.items()}


# -------------------------------------------------------------------- pipeline


def feed(rounds: int, batches: int = 20) -> bool:
    """Crops per second of the pipeline and of training, by turns."""
    batch = table2.PAPER.batch
    model = network("auto", learning_rate=1e-5)
    training_seconds, made = [], {"approach1": [], "approach2": []}
    with tempfile.TemporaryDirectory() as folder:
        crops = phantom_crops(folder)
        data = next(iter(batches_of(crops, "approach1", batch, 0, 1)))
        model.train_on_batch(*data)
        for turn in range(rounds):
            spent = seconds_of(lambda: model.train_on_batch(*data))
            training_seconds.append(spent)
            for approach, measured in made.items():
                first = turn * batches
                stream = batches_of(crops, approach, batch, first, first + batches)
                spent = seconds_of(lambda s=stream: [None for _ in s])
                measured.append(spent / batches)
    print_row("what", "crops/s")
    print_row("---", "---")
    print_row("training", f"{batch / statistics.median(training_seconds):.1f}")
    for approach, measured in made.items():
        print_row(f"pipeline, {approach}", f"{batch / statistics.median(measured):.0f}")
    print(f"\nBatches of {batch}, median of {rounds} rounds.")
    print(f"Load of the machine: {os.getloadavg()[0]:.1f}.\n")
    ratios = [slowdown(training_seconds, measured) for measured in made.values()]
    return check("pipeline", min(ratios))


def main() -> None:
    """Run the part that was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", choices=("throughput", "scan", "pipeline"))
    parser.add_argument("--rounds", type=int, default=7, help="counted turns of each")
    parser.add_argument("--slices", type=int, default=24, help="of the scan, up to 24")
    parser.add_argument("--steps", type=int, default=40, help="of training, for scan")
    parser.add_argument("--no-check", action="store_true", help="only print")
    options = parser.parse_args()
    if options.part == "throughput":
        reached = throughput(options.rounds)
    elif options.part == "scan":
        reached = scan(options.slices, options.steps)
    else:
        reached = feed(options.rounds)
    if not (reached or options.no_check):
        sys.exit(1)


if __name__ == "__main__":
    main()
