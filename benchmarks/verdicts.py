"""How often each verdict is given, by simulation.

A report's number and ours are taken from the same patients, as they are where a report
is repeated on its own data: two trainings of a model share the patients' difficulty and
differ by what training adds. A repetition should be equivalent, a model that is clearly
better or worse should be said to be so, and what the patients cannot decide should be
undecided.

    python benchmarks/verdicts.py [--simulations 500]
"""

import argparse
import collections
import pathlib
import statistics
import sys

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from ich_tf.evidence import verdicts
from ich_tf.metrics import seeds
from ich_tf.metrics.resampling import Resampling

RESAMPLES = 1000
# Standard deviations of what another training adds: to the mean Dice of all patients,
# to the Dice of a patient, and to a score of a scan.
OF_TRAINING, OF_PATIENT, OF_SCAN = 0.01, 0.08, 0.3
NAMES = ("equivalent", "better", "worse", "undecided")
REPORTED = 3.0
SEPARATIONS = (3.0, 2.535, 3.42, 2.11)


def dice_verdict(generator, patients: int, runs: int, shift: float) -> str:
    """The verdict on a model whose mean Dice differs by a shift from the report's.

    A patient's Dice is Beta(1.5, 1.45) with 15 % at 0, of mean 0.43 and standard
    deviation 0.29, as in the report's last row of Table II.
    """
    difficulty = generator.beta(1.5, 1.45, patients)
    difficulty[generator.random(patients) < 0.15] = 0

    def trained(move):
        common = generator.normal(0, OF_TRAINING)
        return difficulty + move + common + generator.normal(0, OF_PATIENT, patients)

    reported = round(float(trained(0).mean()), 3)
    ours = [(trained(shift), np.ones(patients)) for _ in range(runs)]
    interval = seeds.bootstrap_ratio(
        ours, np.arange(patients), resampling=Resampling(RESAMPLES)
    )
    return verdicts.decide("dice", reported, interval.low, interval.high, digits=3).name


def scan_verdicts(
    generator, scans: int, runs: int, separation: float
) -> tuple[str, str]:
    """The verdicts on AUC and accuracy of a class that four of ten scans show.

    Scores are normal, positives higher by `REPORTED` standard deviations in the report
    (AUC 0.983, accuracy 0.933) and by `separation` in ours.
    """
    truth = generator.random(scans) < 0.4
    difficulty = generator.normal(size=scans)

    def trained(distance):
        own = generator.normal(0, OF_SCAN, scans)
        noise = (difficulty + own) / np.hypot(1, OF_SCAN)
        return noise + distance * truth

    reference, every = trained(REPORTED), np.ones(scans)
    owners = np.arange(scans)
    area = seeds.bootstrap_auc(
        truth, [reference], owners, resampling=Resampling(2)
    ).mean
    correct = ((reference > REPORTED / 2) == truth).mean()
    ours = [trained(separation) for _ in range(runs)]
    interval = seeds.bootstrap_auc(
        truth, ours, owners, resampling=Resampling(RESAMPLES)
    )
    right = [((run > separation / 2) == truth).astype(float) for run in ours]
    accuracy, gain = (
        seeds.bootstrap_ratio(
            [(run - less, every) for run in right],
            owners,
            resampling=Resampling(RESAMPLES),
        )
        for less in (0, ~truth)
    )
    return (
        verdicts.decide(
            "auc_scan", round(float(area), 4), interval.low, interval.high, digits=4
        ).name,
        verdicts.decide(
            "accuracy_scan",
            round(float(correct), 4),
            accuracy.low,
            accuracy.high,
            digits=4,
            gain_low=gain.low,
        ).name,
    )


def shares(given: list[str]) -> str:
    """Verdicts as cells of a table."""
    counts = collections.Counter(given)
    return " | ".join(f"{counts[name] / len(given):.0%}" for name in NAMES)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--simulations", type=int, default=500)
    count = parser.parse_args().simulations
    print("| number | patients | seeds | ours | " + " | ".join(NAMES) + " |")
    print("|" + " --- |" * 8)
    for patients in (35, 744):
        for runs in (1, 3):
            for shift in (0.0, 0.05, -0.05, 0.1, -0.1, 0.2, -0.2):
                generator = np.random.default_rng(0)
                given = [
                    dice_verdict(generator, patients, runs, shift) for _ in range(count)
                ]
                ours = f"{shift:+.2f}" if shift else "a repetition"
                print(f"| Dice | {patients} | {runs} | {ours} | {shares(given)} |")
    scans = 744
    for separation in SEPARATIONS:
        generator = np.random.default_rng(0)
        given = [scan_verdicts(generator, scans, 1, separation) for _ in range(count)]
        for column, names, root in zip(
            ("AUC", "accuracy"), zip(*given, strict=True), (2**0.5, 2), strict=True
        ):
            ratio = _error(separation / root) / _error(REPORTED / root)
            ours = f"errors x {ratio:.2f}" if ratio != 1 else "a repetition"
            print(f"| {column} | {scans} | 1 | {ours} | {shares(names)} |")


def _error(distance: float) -> float:
    """The upper tail of the normal distribution."""
    return 1 - statistics.NormalDist().cdf(distance)


if __name__ == "__main__":
    main()
