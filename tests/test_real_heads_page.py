"""The page about the network of real heads, and the rule of its figure."""

import numpy as np
import pytest

from ich_tf import files, labels
from ich_tf.evidence import real_heads, real_heads_ablations, real_slices, render
from ich_tf.experiments.catalog import CATALOG
from ich_tf.experiments.rows import real_heads as rows
from ich_tf.experiments.tasks import real_heads_shipping
from ich_tf.metrics import boundary, detection, display

SUBDURAL = labels.index("subdural")


def record(truth, probability):
    rows = np.zeros((len(truth), 6), int)
    rows[:, [SUBDURAL, 5]] = np.array(truth)[:, None]
    given = np.zeros((len(truth), 6))
    given[:, [SUBDURAL, 5]] = np.array(probability)[:, None]
    return {
        "truth": list(truth),
        "labels": rows.tolist(),
        "scores": given.tolist(),
        "probabilities": given.tolist(),
        "pixels": [0] * len(truth),
        "pixel_mm2": 1.0,
        "volume_ml": {"truth": 4.0, "marked": 3.0},
    }


def shipped_content(result):
    """A small result as if it had been made with the row's settings."""
    row = CATALOG.row(result.experiment)
    return {
        **result.as_json(),
        "profile": "shipped",
        "spec": {**result.spec, **row.spec(row.settings["shipped"])},
    }


def painted_row(patient, truth, predicted, both):
    return {
        "patient": patient,
        "labels": [0, 0, 0, 0, int(truth > 0), int(truth > 0)],
        "truth": truth,
        "predicted": predicted,
        "both": both,
        "right_subtype": both // 2,
        "area_mm2": float(truth),
        "predicted_mm2": float(predicted),
        "density_hu": 50.0 if truth else None,
        "boundary_mm": 1.5 if both else None,
    }


ROWS = [painted_row(str(k), 20, 10, 10) for k in (1, 2)] + [
    painted_row(str(k), 0, 3, 0) for k in (1, 2)
]


def test_the_figure_shows_the_extremes_of_judges():
    cases = {
        "049": record([1, 0, 1], [0.7, 0.99, 0.2]),
        "050": record([1], [0.9]),
        "999": record([1], [1.0]),  # no judge
    }
    assert real_slices.choose(cases) == [
        ("subdural", "050", 0, 0.9),
        ("subdural", "049", 2, 0.2),
    ]
    cases["049"]["probabilities"] = None
    with pytest.raises(ValueError, match="calibration"):
        real_slices.choose(cases)


def test_outlines_have_the_colour_of_their_subtype():
    subtypes = np.zeros((40, 40), np.uint8)
    subtypes[10:20, 10:20] = labels.SUBTYPES.index("subdural") + 1
    picture = real_slices.outlined(np.zeros((40, 40), np.float32), subtypes)
    assert tuple(picture[10, 15]) == real_slices.COLOURS["subdural"]
    assert len(np.unique(picture[15, 15])) == 1


def test_the_page_holds_what_was_measured():
    cases = {"049": record([1, 0, 1], [0.7, 0.1, 0.2]), "050": record([1, 0], [0.9, 0])}
    scored = {
        **detection.score(cases),
        "slice": {"mean": 0.5, "low": 0.4, "high": 0.6, "n": 5, "n_undefined": 0},
        "patient": {"mean": 0.5, "low": 0.4, "high": 0.6, "n": 2, "n_undefined": 0},
    }
    measured = {
        "before": "old",
        "threshold": 0.5,
        "slice_threshold": 0.2,
        "operating_point": {
            "painted": {"all": {"threshold": 0.4, "slice_threshold": 0.3}},
            "judges": None,
        },
        "judges": {"data": "ct-ich 1.0", "before": scored, "after": scored},
        "painted": real_heads_shipping.painted_scores(ROWS),
    }
    text = real_heads.render(measured)
    rows = ("| subdural | 0.50 | 0.50 |", "| painted, all numbers | 0.4 | 0.3 |")
    for expected in ("ct-ich 1.0", "`old`", *rows):
        assert expected in text


def test_outlines_three_pixels_apart_are_three_pixels_apart():
    # Two bars of 1 x 3 pixels, three rows apart; pixels of half a millimetre.
    truth, predicted = np.zeros((2, 9, 20), bool)
    truth[2, 3:6] = True
    predicted[5, 3:6] = True
    assert boundary.mean_distance_mm(truth, predicted, 0.5) == 1.5
    assert boundary.mean_distance_mm(truth, truth, 0.5) == 0.0
    assert boundary.mean_distance_mm(truth, np.zeros_like(truth), 0.5) is None


def test_ablations_are_shown_and_stay_recorded(finished, tmp_path):
    made = finished("real-heads/one-slice")
    recorded = tmp_path / "real-heads.md"
    assert real_heads_ablations.section(tmp_path, recorded) == []
    content = shipped_content(made.result)
    files.write_json(tmp_path / "shipped/real-heads/one-slice.json", content)
    lines = real_heads_ablations.section(tmp_path, recorded)
    (row,) = (
        line
        for line in "\n".join(lines).splitlines()
        if line.startswith("| one slice instead of three |")
    )
    # The phantom has no judges of ct-ich, but painted scans.
    assert row.count("no judges") == 6
    dice = made.result.painted["all"]["mean"]
    assert f"| {dice:.3f} [" in row
    # The shipped and the wide network stand below the group; one row was run.
    assert "\n".join(lines).count("not run") == len(rows.ROWS) + 2 - 1
    recorded.write_text("# Page\n\n" + "\n".join(lines) + "\n## Next\n", "utf-8")
    nothing = tmp_path / "nothing"
    again = real_heads_ablations.section(nothing, recorded)
    assert "\n".join(again).strip() == "\n".join(lines).strip()


def test_a_row_run_here_stands_among_recorded_ones(finished, tmp_path):
    made, recorded = finished("real-heads/one-slice"), tmp_path / "real-heads.md"
    other = CATALOG.row("real-heads/jaccard").title
    cells = ["-"] * len(real_heads_ablations.COLUMNS[1:])
    recorded.write_text(
        "\n".join(
            [
                real_heads_ablations.HEADING,
                render.markdown(list(real_heads_ablations.COLUMNS), [[other, *cells]]),
            ]
        ),
        "utf-8",
    )
    target = tmp_path / "shipped/real-heads/one-slice.json"
    files.write_json(target, shipped_content(made.result))
    lines = "\n".join(real_heads_ablations.section(tmp_path, recorded))
    rows_shown = {title: cells for title, *cells in render.parsed_rows(lines)}
    assert rows_shown[other] == cells
    assert "no judges" in rows_shown["one slice instead of three"]
    # Settings that the row no longer has are as good as no run.
    content = shipped_content(made.result)
    content["spec"]["profile"]["epochs"] += 1
    files.write_json(target, content)
    lines = "\n".join(real_heads_ablations.section(tmp_path, recorded))
    rows_shown = {title: cells for title, *cells in render.parsed_rows(lines)}
    assert rows_shown[other] == cells
    assert rows_shown["one slice instead of three"][0] == "not run"


def test_ablations_show_what_the_judges_say(finished, tmp_path):
    made = finished("real-heads/one-slice")
    content = shipped_content(made.result)
    cases = {
        "049": record([1, 0, 1], [0.7, 0.1, 0.2]),
        "101": record([0, 0], [0.3, 0.1]),
        # Hemorrhage, and no judge.
        "085": record([1], [0.0]),
    }
    for scan in cases.values():
        scan["largest"] = scan["pixels"]
    content["slices"]["labelled"] = cases
    content["labelled"]["data"] = "ct-ich 1.0"
    files.write_json(tmp_path / "shipped/real-heads/one-slice.json", content)
    lines = real_heads_ablations.section(tmp_path, tmp_path / "absent.md")
    (row,) = (
        line
        for line in "\n".join(lines).splitlines()
        if line.startswith("| one slice instead of three |")
    )
    cells = [cell.strip() for cell in row.strip("|").split("|")][1:7]
    expected = detection.score({name: cases[name] for name in ("049", "101")})
    auc = expected["auc"]
    for cell, score in zip(
        cells,
        [
            *(auc["any"][unit] for unit in ("slice", "patient")),
            *(auc[name]["slice"] for name in ("subarachnoid", "subdural")),
            expected["false_mm2"],
        ],
        strict=False,
    ):
        assert cell == display.with_interval(score)
    share = expected["volume"]["share"]
    assert cells[5] == display.with_interval(share)
    assert share["mean"] == 0.75
