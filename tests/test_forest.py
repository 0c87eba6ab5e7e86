import types

import numpy as np
import pytest
from PIL import Image

from ich_tf import owned_folder
from ich_tf.evidence import render, tables
from ich_tf.report import forest


def cell(
    row, column, reported, ours, low=None, high=None, verdict="undecided", same=""
):
    return types.SimpleNamespace(
        table="table2",
        row=row,
        column=column,
        reported=reported,
        ours=ours,
        low=low,
        high=high,
        verdict=verdict,
        same_training=same,
    )


CELLS = [
    cell("VGG16", "dice", 0.433, 0.31, 0.2, 0.42),
    cell("VGG16", "jaccard", 0.338, None, verdict="not run"),
    cell("ResNet50", "dice", None, 0.5, 0.4, 0.6, "not comparable"),
    cell("ResNet50", "jaccard", None, None, verdict="not run"),
    cell("nothing", "dice", None, None, verdict="not run"),
]


def test_each_number_stands_at_its_place():
    dice, jaccard = forest.plot(CELLS).axes
    assert [label.get_text() for label in dice.get_yticklabels()] == [
        "VGG16",
        "ResNet50",
    ]
    points = {(line.get_xdata()[0], line.get_ydata()[0]) for line in dice.lines}
    assert points == {(0.433, 0), (0.31, 0), (0.5, 1)}
    spans = [path.get_segments()[0][:, 0].tolist() for path in dice.collections]
    assert spans == [[0.2, 0.42], [0.4, 0.6]]
    # The margin of Dice is 0.05 on each side.
    (bar,) = dice.patches
    assert bar.get_x() == pytest.approx(0.383)
    assert bar.get_width() == pytest.approx(0.1)
    hollow = {line.get_xdata()[0]: line.get_markerfacecolor() for line in dice.lines}
    assert hollow[0.5] == "white" != hollow[0.31]
    assert [line.get_xdata()[0] for line in jaccard.lines] == [0.338]


def test_columns_are_named_as_in_the_tables():
    scores = [cell("any", name, 0.9, 0.8) for name in ("auc_scan", "peak_memory_gb")]
    titles = [axis.get_title() for axis in forest.plot(scores).axes]
    assert titles == [render.heading("auc_scan"), render.heading("peak_memory_gb")]


@pytest.mark.parametrize(
    "cells, drawn",
    [
        (CELLS[:1], {"reported", "margin of equivalence", "ours, 95 % interval"}),
        (CELLS[2:3], {"ours, 95 % interval, not compared"}),
        (CELLS[1:2], {"reported", "margin of equivalence"}),
        ([cell("2-D", "peak_memory_gb", 9.0, None)], {"reported"}),
    ],
)
def test_the_legend_names_only_what_is_drawn(cells, drawn):
    (legend,) = forest.plot(cells).legends
    assert {text.get_text() for text in legend.get_texts()} == drawn


def test_a_shared_training_is_drawn_once():
    shared = cell("imagenet", "dice", 0.403, 0.31, 0.2, 0.42, same="table2/random")
    (dice,) = forest.plot([*CELLS[:1], shared]).axes
    points = {(line.get_xdata()[0], line.get_ydata()[0]) for line in dice.lines}
    assert points == {(0.433, 0), (0.31, 0), (0.403, 1)}


def test_without_a_number_there_is_no_plot(tmp_path):
    assert forest.plot(CELLS[-1:]) is None
    with pytest.raises(ValueError, match="No row"):
        forest.write(CELLS[-1:], tmp_path)


def test_a_plot_shows_something_and_replaces_no_foreign_file(tmp_path, monkeypatch):
    titles, plot = set(), forest.plot
    monkeypatch.setattr(
        forest, "plot", lambda cells, title: titles.add(title) or plot(cells, title)
    )
    for _ in range(2):
        (path,) = forest.write(CELLS, tmp_path)
    assert path == tmp_path / "forest-table2.png"
    (title,) = titles
    assert title == tables.table("table2").caption
    with Image.open(path) as picture:
        pixels = np.asarray(picture.convert("RGB"))
    assert (pixels != 255).any(axis=-1).mean() > 0.01
    path.write_text("theirs")
    with pytest.raises(owned_folder.ForeignFile):
        forest.write(CELLS, tmp_path)
    assert path.read_text() == "theirs"
