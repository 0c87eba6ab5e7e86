"""Scores of segmentations, computed from kept counts under named protocols.

Counts of pixels are kept for each slice of each case; every score is computed from
them, so another score or average needs no new run. A score that is undefined is NaN
and is counted, never 0 or 1.
"""

from ich_tf.metrics.counts import case_counts
from ich_tf.metrics.protocols import PROTOCOLS, Protocol, binarise, protocol
from ich_tf.metrics.scores import (
    METRICS,
    case_scores,
    excluded,
    kept,
    summarise,
    terms,
)

__all__ = [
    "METRICS",
    "PROTOCOLS",
    "Protocol",
    "binarise",
    "case_counts",
    "case_scores",
    "excluded",
    "kept",
    "protocol",
    "summarise",
    "terms",
]
