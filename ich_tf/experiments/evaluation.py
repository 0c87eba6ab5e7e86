"""From stored probabilities to counts, and from counts to means with intervals."""

import math

import numpy as np

from ich_tf import intervals, metrics
from ich_tf.volume import Case


def encode(probability: np.ndarray) -> np.ndarray:
    """Probability in [0, 1] as uint8, as result files keep it: rint(255 p)."""
    return np.rint(probability * 255).astype(np.uint8)


def count(coded: np.ndarray, case: Case) -> dict[str, dict]:
    """Counts of a case under every protocol.

    Args:
        coded: (z, y, x), uint8, from `encode`.
        case: With its mask.

    Returns:
        Protocol name to `metrics.case_counts`.
    """
    probability = coded.astype(np.float32) / 255
    truth = case.mask.astype(bool)
    return {
        name: metrics.case_counts(
            truth,
            metrics.binarise(probability, protocol),
            protocol,
            case.volume.slice_pixel_ml,
            case_id=case.case_id,
            patient_id=case.patient_id,
        )
        for name, protocol in metrics.PROTOCOLS.items()
    }


def summarise(counts: dict[str, dict], identity: str) -> dict[str, dict]:
    """Means with 95 % intervals over patients, as JSON.

    Args:
        counts: Protocol name to the counts of each case by case id.
        identity: What the data are; only in ct-ich do patient numbers mean the
            patients that a protocol excludes.

    Returns:
        Protocol name to metric name to `mean`, `low`, `high`, `n`, `n_undefined`;
        what is undefined is None.
    """
    summary = {}
    for name, cases in counts.items():
        protocol = metrics.protocol(name)
        summary[name] = {}
        for metric in metrics.METRICS:
            terms = metrics.terms(
                list(cases.values()), protocol, metric, identity.startswith("ct-ich")
            )
            interval = intervals.bootstrap_ratio(*terms)
            summary[name][metric] = {
                key: None if math.isnan(value) else value
                for key, value in interval._asdict().items()
            }
    return summary
