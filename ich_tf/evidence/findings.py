"""What the audit says about one statement of the report."""

import dataclasses

HOLDS, CONTRADICTED, OPEN, NOT_RUN = "holds", "contradicted", "open", "not run"


@dataclasses.dataclass(frozen=True)
class Finding:
    """One statement of the report, and what speaks for or against it.

    Attributes:
        name: Short name.
        claim: What the report states, or what is asked.
        evidence: The calculation, with its numbers.
        verdict: "holds", "contradicted", "open" (nothing decides it) or "not run".
    """

    name: str
    claim: str
    evidence: str
    verdict: str


def holds(is_true: bool) -> str:
    """The verdict on a statement that a calculation decides."""
    return HOLDS if is_true else CONTRADICTED
