import json
import shutil
import types

import numpy as np
import pytest
from PIL import Image

from ich_tf import files, labels
from ich_tf.evidence import held_out_figures, localization
from ich_tf.prediction import classify, explain
from ich_tf.synthetic import phantom

HALF = explain.GradCam(types.SimpleNamespace(entry={}), "stage4_out")


def left_half(network, volume, class_index, chosen, layer):
    """Heat on the left half of every slice."""
    heat = np.zeros((len(chosen), *volume.hu.shape[1:]), np.float32)
    heat[:, :, :32] = 1.0
    return heat


@pytest.fixture
def half(monkeypatch):
    """A classifier that says 0.9 for EDH and looks at the left half of every slice."""
    answer = np.array([0.9, 0.2, 0.2, 0.2, 0.2, 0.9])
    monkeypatch.setattr(explain, "slice_heatmaps", left_half)
    monkeypatch.setattr(
        classify,
        "slice_answers",
        lambda network, volume: (None, np.tile(answer, (len(volume.hu), 1))),
    )


def head(number, *boxes):
    """A head of 8 slices of 64 pixels, with (z, columns, subtype) drawn as blood."""
    made = phantom.generate(3, number, slices=8, size=64, bleeding=False)
    for z, columns, subtype in boxes:
        made.subtypes[z, 30:34, columns] = labels.index(subtype) + 1
    return made


def test_each_subtype_is_measured_against_its_own_blood(half, tmp_path):
    heads = [
        head(0, (3, slice(20, 24), "EDH"), (3, slice(40, 44), "SDH")),
        head(1, (4, slice(30, 34), "EDH"), (5, slice(28, 36), "EDH")),
        head(2),
    ]
    content = localization.draw_and_measure(HALF, heads, tmp_path)
    assert json.loads((tmp_path / "localization.json").read_text()) == content
    assert content["heads"] == 3
    assert (content["network"], content["shows"]) == (classify.SLICES, "Grad-CAM")
    epidural, subdural = (
        content["subtypes"][name] for name in ("epidural", "subdural")
    )
    assert (epidural["slices"], epidural["detected"]) == (3, 3)
    assert (subdural["slices"], subdural["detected"]) == (1, 0)
    # Heat on 64 x 32 pixels; 16, 8 and 16 of the blood lie there.
    share = epidural["energy_share"]
    assert share["mean"] == pytest.approx((16 + 8 + 16) / 3 / 2048)
    assert share["low"] < share["mean"] < share["high"]
    # Of two heads with EDH, one has one slice and the other two.
    assert share["n"] == 3
    assert subdural["energy_share"]["mean"] == 0.0
    assert subdural["energy_share"]["low"] is None
    chance = subdural["chance_head"]["mean"]
    assert 16 / 4096 < chance < 16 / 1000
    assert subdural["above_chance"]["mean"] == -chance
    assert content["subtypes"]["subarachnoid"]["energy_share"]["mean"] is None


def test_a_figure_shows_the_largest_lesion(half, tmp_path):
    heads = [head(0, (3, slice(20, 24), "EDH")), head(1, (5, slice(28, 36), "EDH"))]
    content = localization.draw_and_measure(HALF, heads, tmp_path)
    assert content["subtypes"]["epidural"]["figure"] == "figure-3-EDH.png"
    assert content["subtypes"]["subdural"]["figure"] is None
    assert [path.name for path in tmp_path.glob("*.png")] == ["figure-3-EDH.png"]
    with Image.open(tmp_path / "figure-3-EDH.png") as picture:
        shown = np.asarray(picture)[-256:, 512:]
    red = np.argwhere(np.all(shown == (255, 64, 48), axis=-1))
    # Rows 30 to 33 and columns 28 to 35 at four times the size, outlined outside.
    assert red.min(axis=0).tolist() == [119, 111]
    assert red.max(axis=0).tolist() == [136, 144]


def test_without_real_data_figures_are_of_the_network_of_predict(tmp_path):
    """The caption names it, and what its heatmaps show."""
    lines = []
    out = localization.of_predict(tmp_path, None, lines.append, heads=1)
    assert "real-heads" in lines[0]
    text, shown = held_out_figures.figures_and_captions(tmp_path)
    assert "network of `predict`" in text
    assert sorted(shown) == sorted(out.glob("figure-*.png")) != []
    source = "probability of each pixel by real-heads"
    assert source in text and all(source in caption for caption in shown.values())
    # It is drawn once; what Table I's network drew in an earlier version is ignored.
    assert localization.of_predict(tmp_path, None, lines.append, heads=1) == out
    assert len(lines) == 1
    files.write_json(
        tmp_path / localization.FOLDER / localization.MEASURED,
        {"made_for": {}, "heads": 0, "subtypes": {}},
    )
    assert held_out_figures.figures_and_captions(tmp_path) == (text, shown)
    shutil.rmtree(out)
    text, shown = held_out_figures.figures_and_captions(tmp_path)
    assert f"Grad-CAM by {held_out_figures.TABLE1}" in text and not shown


def test_the_head_is_found_without_its_holder():
    hu = np.full((20, 20), -1000.0)
    hu[3:12, 4:14] = 30.0
    hu[5:7, 6:8] = -1000.0
    hu[15, :] = 100.0
    head = localization.head_pixels(hu)
    assert head.sum() == 90
    assert head[3:12, 4:14].all()
    assert not localization.head_pixels(np.full((8, 8), -1000.0)).any()
