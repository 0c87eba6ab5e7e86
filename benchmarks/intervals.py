"""How often 95 % intervals cover the truth, by simulation.

Patients are drawn from a known distribution; an interval is right if it covers what
the distribution says. Exits with 1 if a coverage leaves 93 to 97 %.

    python benchmarks/intervals.py [--patients 35] [--simulations 1000]
    python benchmarks/intervals.py --patients 65 --positive 2 4 8 20 --no-check
"""

import argparse
import functools
import pathlib
import statistics
import sys

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from ich_tf.metrics import auc_intervals, intervals
from ich_tf.metrics.resampling import Interval, Resampling

TARGET = (0.93, 0.97)
# Half of the default, to save time.
RESAMPLES = 1000


def mean(generator, patients, seed):
    """Dice of each patient: skewed, with some at 0."""
    values = generator.beta(1.2, 1.6, patients)
    values[generator.random(patients) < 0.15] = 0
    estimate = intervals.bootstrap_mean(values, resampling=Resampling(RESAMPLES, seed))
    return estimate, 0.85 * 1.2 / 2.8


def difference(generator, patients, seed):
    """Dice of two rows on the same patients."""
    values = generator.beta(1.2, 1.6, patients)
    other = np.clip(values + generator.normal(0.05, 0.1, patients), -1, 2)
    ones = np.ones(patients)
    estimate = intervals.bootstrap_ratio_difference(
        (values, ones), (other, ones), resampling=Resampling(RESAMPLES, seed)
    )
    return estimate, 0.05


def ratio(generator, patients, seed):
    """Sensitivity over all positive slices of patients who differ."""
    shares = generator.beta(3, 1.5, patients)
    slices = generator.integers(1, 20, patients)
    hits = generator.binomial(slices, shares)
    return intervals.bootstrap_ratio(
        hits, slices, resampling=Resampling(RESAMPLES, seed)
    ), 2 / 3


def _scores(generator, patients, positive=None):
    """One scan of each patient, half of them or so many positive; and the true AUC."""
    truth = np.arange(patients) < (positive or (patients + 1) // 2)
    scores = generator.normal(size=patients) + 1.2 * truth
    return truth, scores, statistics.NormalDist().cdf(1.2 / 2**0.5)


def auc(generator, patients, seed, positive=None):
    """AUC over scans, resampled."""
    truth, scores, true = _scores(generator, patients, positive)
    estimate = auc_intervals.bootstrap_auc(
        truth, scores, resampling=Resampling(RESAMPLES, seed)
    )
    return estimate, true


def delong(generator, patients, seed, positive=None):
    """AUC over scans, DeLong."""
    truth, scores, true = _scores(generator, patients, positive)
    return auc_intervals.delong_auc(truth, scores), true


def delong_difference(generator, patients, seed):
    """AUC of two classifiers over the same scans, DeLong."""
    truth, scores, true = _scores(generator, patients)
    other = scores + generator.normal(size=patients)
    estimate = auc_intervals.delong_auc_difference(truth, scores, other)
    return estimate, statistics.NormalDist().cdf(1.2 / 3**0.5) - true


def _slices(generator, patients):
    """Ten slices of each patient, which are alike; owners, and the true AUC."""
    bleeds, _, _ = _scores(generator, patients)
    owner = np.repeat(np.arange(patients), 10)
    truth = generator.random(10 * patients) < np.where(bleeds, 0.6, 0.1)[owner]
    scores = generator.normal(size=10 * patients) + 1.5 * truth
    scores += generator.normal(size=patients)[owner]
    return truth, scores, owner, statistics.NormalDist().cdf(1.5 / 2)


def auc_slices(generator, patients, seed):
    """AUC over slices, patients resampled."""
    *drawn, true = _slices(generator, patients)
    estimate = auc_intervals.bootstrap_auc(
        *drawn, resampling=Resampling(RESAMPLES, seed)
    )
    return estimate, true


def delong_slices(generator, patients, seed):
    """AUC over ten slices of each patient, which are alike: Obuchowski."""
    *drawn, true = _slices(generator, patients)
    return auc_intervals.delong_auc(*drawn), true


def proportion(generator, patients, seed):
    """Wilson, of independent trials."""
    hits = int(generator.binomial(patients, 0.8))
    bounds = intervals.wilson(hits, patients)
    return Interval(hits / patients, *bounds, patients, 0), 0.8


INTERVALS = (
    mean,
    difference,
    ratio,
    auc,
    delong,
    delong_difference,
    auc_slices,
    delong_slices,
    proportion,
)


def coverage(interval, patients: int, simulations: int, seed: int = 0) -> float:
    """Share of simulations whose interval covers the truth."""
    generator = np.random.default_rng(seed)
    covered = 0
    for number in range(simulations):
        bounds, true = interval(generator, patients, number)
        covered += bounds.low <= true <= bounds.high
    return covered / simulations


def main() -> int:
    """Print a table; 1 if a coverage is outside the target."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--patients", type=int, default=35)
    parser.add_argument("--simulations", type=int, default=1000)
    parser.add_argument(
        "--positive",
        type=int,
        nargs="+",
        help="only AUCs, of so many positive patients",
    )
    parser.add_argument("--no-check", action="store_true", help="only print")
    options = parser.parse_args()
    missed = False
    print(f"| interval | covers, of {options.simulations} | target |")
    print("| --- | --- | --- |")
    tried = [(interval, interval.__doc__) for interval in INTERVALS]
    if options.positive:
        tried = [
            (functools.partial(interval, positive=count), f"{name} {count} positive.")
            for interval, name in ((auc, auc.__doc__), (delong, delong.__doc__))
            for count in options.positive
        ]
    for interval, name in tried:
        share = coverage(interval, options.patients, options.simulations)
        missed |= not TARGET[0] <= share <= TARGET[1]
        print(f"| {name} | {share:.1%} | {TARGET[0]:.0%}-{TARGET[1]:.0%} |")
    return int(missed and not options.no_check)


if __name__ == "__main__":
    sys.exit(main())
