"""The report checked against itself, the published data sets and trained rows.

Every verdict is computed from the report's own numbers (reported.yaml), the facts of
the published releases (reference.yaml, ct_ich_1_3_1.csv) and result files.
"""

import dataclasses
import json
import pathlib
from collections.abc import Collection

from ich_tf.evidence import audit_printed, audit_trained
from ich_tf.evidence import render as as_text
from ich_tf.evidence.findings import Finding
from ich_tf.experiments import results as stored
from ich_tf.experiments.catalog import CATALOG, Catalog
from ich_tf.experiments.reported import reported
from ich_tf.experiments.results import Result


def audit(
    results: pathlib.Path,
    profile: str,
    ct_ich_folder: pathlib.Path | None = None,
    without: Collection[str] = (),
    rows: Catalog = CATALOG,
) -> list[Finding]:
    """Every finding.

    Args:
        results: Folder of results, for what needs training; those made with other
            settings than their rows have now count as not run.
        profile: Whose results.
        ct_ich_folder: Folder of ct-ich, for what is only in its files.
        without: Ids of rows that count as not run.
        rows: Where rows are looked up.
    """
    printed = reported()

    def load(row_id: str) -> Result | None:
        return stored.load_current(results, profile, rows.row(row_id), without)

    return [
        *audit_printed.split_sums(printed),
        *audit_printed.overlap_bounds(printed),
        *audit_printed.whole_slices(printed),
        audit_printed.scan_accuracies(printed),
        *audit_printed.ct_ich_release(printed),
        audit_printed.demographics(printed, ct_ich_folder),
        audit_printed.crops_per_slice(printed),
        audit_printed.resnext_blocks(printed),
        audit_printed.lstm_width(printed),
        audit_trained.evaluation_slips(load, profile),
        audit_trained.lesion_crops(load, profile),
        *audit_trained.other_crops(load, profile),
        *audit_trained.second_approach(load, profile),
        audit_trained.contrib_loss(load, profile),
    ]


def render(findings: list[Finding], as_json: bool = False) -> str:
    """The findings as Markdown or JSON."""
    if as_json:
        content = [dataclasses.asdict(finding) for finding in findings]
        return json.dumps(content, indent=1) + "\n"
    header = ["finding", "the report", "evidence", "verdict"]
    return as_text.markdown(header, map(dataclasses.astuple, findings)) + "\n"
