"""Measure an epoch of the sequence model: scans in batches, or one at a time as [1].

    python benchmarks/sequence.py

Both ways train the same network (2048 features, 120 components, three layers of 256
in each direction) in float32 on the same scans of the length of RSNA's, about 35
slices; the one-at-a-time scans are not padded. They take turns within one run. The
ratio grows with the batch (`--batch`). Exits with 1 if the target is missed.
"""

import argparse
import os
import statistics
import sys
import time

import numpy as np

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras  # noqa: E402

from ich_tf.models import sequence  # noqa: E402
from ich_tf.preprocessing.classification import sequences  # noqa: E402

TARGET = 10.0
SEED = 2024
RSNA_TRAINING_SCANS = 21_000


def random_scans(count: int, features: int = 2048, classes: int = 6):
    """Scans of 20 to 60 slices, as features and probabilities."""
    generator = np.random.default_rng(SEED)
    lengths = generator.normal(35, 6, count).round().clip(20, 60).astype(int)
    slices = int(lengths.sum())
    return sequences.Scans(
        generator.standard_normal((slices, features), dtype=np.float32),
        generator.random((slices, classes), dtype=np.float32),
        lengths,
        generator.integers(2, size=(slices, classes), dtype=np.uint8),
    )


def padded_epoch(scans, batch: int):
    """Every scan once, in batches."""
    steps = sequences.steps_per_epoch(scans, batch)
    return sequences.training_batches(
        scans, batch=batch, first_step=0, last_step=steps, seed=SEED
    )


def single_epoch(scans, count: int):
    """The first scans one by one, without padding."""
    for number in range(count):
        length = int(scans.lengths[number])
        inputs, labels, weights = sequences.scan_batch(scans, np.array([number]), 1)
        cut = {name: values[:, :length] for name, values in inputs.items()}
        yield cut, labels[:, :length], weights[:, :length]


def seconds_of(model, batches) -> float:
    """Wall time of training on all batches."""
    began = time.perf_counter()
    for inputs, labels, weights in batches:
        model.train_on_batch(inputs, labels, weights)
    return time.perf_counter() - began


def network() -> keras.Model:
    """The sequence model of [1], compiled as it trains."""
    keras.utils.set_random_seed(SEED)
    model = sequence.build_sequence()
    model.compile(keras.optimizers.Adam(3e-5), sequence.scan_loss())
    return model


def main() -> int:
    """Print seconds per scan of each way and the ratio of the ways."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=128, help="scans of a batch")
    parser.add_argument("--batches", type=int, default=8, help="of a round")
    parser.add_argument("--singles", type=int, default=24, help="scans of a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--no-check", action="store_true", help="only print")
    options = parser.parse_args()
    scans = random_scans(options.batch * options.batches)
    batched, single = network(), network()
    ways = {
        f"{options.batch} at a time": lambda: (
            seconds_of(batched, padded_epoch(scans, options.batch)) / len(scans)
        ),
        "one at a time": lambda: (
            seconds_of(single, single_epoch(scans, options.singles)) / options.singles
        ),
    }
    for run in ways.values():
        run()
    seconds = {way: [] for way in ways}
    for _ in range(options.rounds):
        for way, run in ways.items():
            seconds[way].append(run())
    for way, measured in seconds.items():
        median = statistics.median(measured)
        epoch = median * RSNA_TRAINING_SCANS / 60
        print(
            f"{way}: {1000 * median:.1f} ms a scan, {epoch:.0f} minutes an epoch of "
            f"{RSNA_TRAINING_SCANS} scans"
        )
    fast, slow = seconds.values()
    # Other work on the machine only adds time: the fastest times show the least of it.
    medians = statistics.median(slow) / statistics.median(fast)
    ratio = min(medians, min(slow) / min(fast))
    reached = ratio >= TARGET
    verdict = "reached" if reached else "MISSED"
    print(f"ratio: {ratio:.2f}x, target {TARGET:g}x {verdict}")
    return 0 if reached or options.no_check else 1


if __name__ == "__main__":
    sys.exit(main())
