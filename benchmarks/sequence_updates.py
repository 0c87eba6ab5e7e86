"""Train the sequence model on synthetic scans: one scan a step, or several.

[1] takes one scan a step: 105,000 updates in 5 epochs over 21,000 scans. With 16 scans
a step at the same learning rate there are 6,565. Each way trains the same network from
the same weights on the same scans. Its validation loss (the mean over scans of each
scan's mean) is written after every part of an epoch, next to that of the slice network
that the scans' probabilities come from.

    python benchmarks/sequence_updates.py --out curve.json
    python benchmarks/sequence_updates.py --scans 1050 --out curve.json

The same command continues a run that was killed, from the last recorded part: the state
of the training lies next to the curve (curve.npz) until the last way has ended.
"""

import argparse
import json
import os
import pathlib
import sys
import time

import numpy as np

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

import keras  # noqa: E402

from ich_tf import files  # noqa: E402
from ich_tf.models import sequence  # noqa: E402
from ich_tf.preprocessing.classification import sequences  # noqa: E402
from ich_tf.training import checkpoint  # noqa: E402

SEED = 2024
COMPONENTS, CLASSES = 120, 6
RATE_OF_1 = 3e-5
# Share of scans with each subtype, in the order of the labels.
PREVALENCE = (0.02, 0.22, 0.16, 0.16, 0.16)
# Of the evidence of a slice with and without, in standard deviations: the slice network
# then has a loss of about 0.056.
SEPARATION = 3.0
HELD_OUT = 744 / 21_000
# Scans a step and learning rate: as [1], several scans at the same rate, several scans
# at a higher one.
WAYS = tuple(
    {"batch": batch, "rate": rate}
    for batch, rate in ((1, RATE_OF_1), (16, RATE_OF_1), (16, 4 * RATE_OF_1))
)


def synthetic_scans(count: int, seed: int) -> sequences.Scans:
    """Scans in which hemorrhage fills neighbouring slices.

    A slice has a logit of each class: the truth, an error that its whole scan shares,
    and an error of its own. Its probabilities come from the best classifier that
    sees this slice alone; the features hold the logits and noise.
    """
    generator = np.random.default_rng([SEED, seed])
    lengths = generator.normal(35, 6, count).round().clip(20, 60).astype(int)
    truth = np.zeros((lengths.sum(), CLASSES), np.uint8)
    start = 0
    for length in lengths:
        for k in np.flatnonzero(generator.random(5) < PREVALENCE):
            extent = int(generator.integers(2, 13))
            first = start + int(generator.integers(0, max(1, length - extent)))
            truth[first : min(first + extent, start + length), k] = 1
        start += length
    truth[:, 5] = truth[:, :5].any(axis=1)
    share = truth.mean(axis=0).clip(1e-3)
    owner = np.repeat(np.arange(count), lengths)
    noise = generator.normal(size=truth.shape)
    noise += 0.3 * generator.normal(size=(count, CLASSES))[owner]
    evidence = SEPARATION * truth + noise
    logits = SEPARATION * (evidence - SEPARATION / 2) / 1.09
    logits += np.log(share / (1 - share))
    probabilities = 1 / (1 + np.exp(-logits))
    mixing = np.random.default_rng(SEED).normal(size=(CLASSES, COMPONENTS))
    features = evidence @ mixing + 2 * generator.normal(size=(len(truth), COMPONENTS))
    return sequences.Scans(
        features.astype(np.float32), probabilities.astype(np.float32), lengths, truth
    )


def mean_of_scans(scans: sequences.Scans, probabilities: np.ndarray) -> float:
    """The validation loss of [1]."""
    clipped = np.clip(probabilities, 1e-7, 1 - 1e-7)
    losses = -np.where(scans.labels > 0, np.log(clipped), np.log(1 - clipped))
    starts = np.cumsum([0, *scans.lengths[:-1]])
    return float((np.add.reduceat(losses.mean(axis=1), starts) / scans.lengths).mean())


class Record:
    """The curve on disk, and the state of a training that was killed.

    The state holds the curve too, so that both are of the same part.
    """

    def __init__(self, out: pathlib.Path, settings: dict, slices: float):
        """Begin a curve, or read the one that a killed run left.

        Raises:
            ValueError: if the files in `out` belong to other settings.
        """
        self.out, self.state = out, out.with_suffix(".npz")
        self.content = {"settings": settings, "slice_network": slices, "curve": []}
        self._arrays: list[np.ndarray] = []
        stored = self._stored()
        if stored and stored["settings"] != settings:
            raise ValueError(
                f"{out} belongs to a run with other settings: {stored['settings']}. "
                "Remove it, or write to another file."
            )
        self.content = stored or self.content

    def _stored(self) -> dict | None:
        if self.state.is_file():
            with np.load(self.state, allow_pickle=False) as state:
                names = sorted(set(state.files) - {"content"})
                self._arrays = [state[name] for name in names]
                return json.loads(str(state["content"]))
        return json.loads(self.out.read_text()) if self.out.is_file() else None

    def parts_of(self, way: dict) -> list[dict]:
        """The points of one way."""
        return [
            point for point in self.content["curve"] if way.items() <= point.items()
        ]

    def restore(self, model: keras.Model) -> None:
        """Give the model and its optimizer the values after the last point."""
        variables = checkpoint.variables_of(model)
        for variable, array in zip(variables, self._arrays, strict=True):
            variable.assign(array)

    def add(self, point: dict, model: keras.Model) -> None:
        """Write a point and the state after it."""
        self.content["curve"].append(point)
        arrays = {
            f"v{number:03d}": keras.ops.convert_to_numpy(variable)
            for number, variable in enumerate(checkpoint.variables_of(model))
        }
        with files.atomic(self.state) as partial:
            np.savez(partial, content=json.dumps(self.content), **arrays)
        self._write()
        print(point, flush=True)

    def close(self) -> None:
        """Remove the state of a curve that is complete."""
        self._write()
        self.state.unlink(missing_ok=True)

    def _write(self) -> None:
        with files.atomic(self.out) as partial:
            partial.write_text(json.dumps(self.content, indent=1) + "\n")


def network(options, rate: float) -> keras.Model:
    """The sequence model over features that are principal components already."""
    keras.utils.set_random_seed(SEED)
    model = sequence.build_sequence(
        features=COMPONENTS,
        components=COMPONENTS,
        hidden=options.hidden,
        layers=options.layers,
        dropout=0.3,
        head_dropout=0.5,
        pca=(np.eye(COMPONENTS, dtype=np.float32), np.zeros(COMPONENTS, np.float32)),
    )
    model.compile(keras.optimizers.Adam(rate), sequence.scan_loss())
    model.optimizer.build(model.trainable_variables)
    return model


def train(way: dict, training, held_out, options, record: Record) -> None:
    """Train one way and record its loss after every part of an epoch."""
    done = record.parts_of(way)
    parts = options.epochs * options.parts
    if len(done) == parts:
        return
    model = network(options, way["rate"])
    if done:
        record.restore(model)
    steps = sequences.steps_per_epoch(training, way["batch"])
    borders = np.linspace(0, steps * options.epochs, parts + 1).astype(int)
    seconds = done[-1]["seconds"] if done else 0.0
    for part in range(len(done), parts):
        began = time.perf_counter()
        first, last = map(int, borders[part : part + 2])
        for inputs, labels, weights in sequences.training_batches(
            training,
            batch=way["batch"],
            first_step=first,
            last_step=last,
            seed=SEED,
        ):
            model.train_on_batch(inputs, labels, weights)
        predicted = sequences.by_scan(held_out, 64, model.predict_on_batch)
        seconds += time.perf_counter() - began
        point = {
            **way,
            "updates": last,
            "epoch": round(last / steps, 3),
            "validation_loss": mean_of_scans(held_out, np.concatenate(predicted)),
            "seconds": round(seconds, 1),
        }
        record.add(point, model)


def main() -> None:
    """Train every way; the file of the curve grows while they train."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scans", type=int, default=21_000)
    parser.add_argument("--hidden", type=int, default=256)
    parser.add_argument("--layers", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--parts", type=int, default=10, help="of an epoch")
    parser.add_argument("--out", type=pathlib.Path, required=True)
    options = parser.parse_args()
    training = synthetic_scans(options.scans, 0)
    held_out = synthetic_scans(max(64, round(HELD_OUT * options.scans)), 1)
    settings = {name: value for name, value in vars(options).items() if name != "out"}
    settings["held_out"] = len(held_out)
    slices = mean_of_scans(held_out, held_out.probabilities)
    record = Record(options.out, settings, slices)
    print(f"slice network alone: {slices:.4f}", flush=True)
    for way in WAYS:
        train(way, training, held_out, options, record)
    record.close()


if __name__ == "__main__":
    main()
