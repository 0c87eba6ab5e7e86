"""Plots of result files, the same bytes for the same results."""

import io
import typing
from collections.abc import Mapping, Sequence

import numpy as np

from ich_tf import labels
from ich_tf.experiments.mask_results import MaskResult
from ich_tf.experiments.results import Result
from ich_tf.experiments.slice_results import SliceResult

if typing.TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = ("#1f5fa8", "#d1495b", "#2e8b57", "#edae49", "#6a4c93", "#4c4c4c")
SCORE = "val_soft_jaccard"


def training_curves(
    histories: Mapping[str, Sequence[Mapping[str, float]]],
) -> "Figure":
    """Training loss and validation score of each run over its epochs.

    The losses of two runs may differ in kind, so that each has its own axis; the
    scores share theirs.

    Args:
        histories: A name to the epochs of one fold, as a result's `history` holds
            them.
    """
    if not histories:
        figure, (axis,) = panels(1, 1.2, columns=1)
        axis.set_axis_off()
        axis.text(0.5, 0.5, "No run has more than one epoch.", ha="center")
        return figure
    figure, axes = panels(len(histories), 2.6)
    scored = [name for name, history in histories.items() if SCORE in history[0]]
    highest = max(
        (value for name in scored for value in _column(histories[name], SCORE)),
        default=0.0,
    )
    for axis, (name, history) in zip(axes, histories.items(), strict=True):
        epochs = [epoch["epoch"] for epoch in history]
        marker = "o" if len(epochs) < 3 else None
        axis.plot(epochs, _column(history, "loss"), color=COLOURS[0], marker=marker)
        axis.set_ylabel("training loss", color=COLOURS[0])
        if name in scored:
            right = axis.twinx()
            score = _column(history, SCORE)
            right.plot(epochs, score, color=COLOURS[1], marker=marker)
            right.set_ylim(0, 1.1 * highest or 1)
            right.set_ylabel("validation soft Jaccard", color=COLOURS[1], fontsize=7)
            right.tick_params(labelsize=7)
        axis.set_title(name, fontsize=8)
        axis.set_xlabel("epoch")
        axis.xaxis.get_major_locator().set_params(integer=True)
    return figure


def scores_per_case(scores: Mapping[str, Sequence[float]], label: str) -> "Figure":
    """A dot for every case and a box over them, row by row.

    Args:
        scores: A row's name to the scores of its cases; NaN is left out.
        label: What is scored.
    """
    figure, (axis,) = panels(1, 0.4 * len(scores) + 1.0, columns=1)
    kept = [np.array(values)[~np.isnan(values)] for values in scores.values()]
    places = np.arange(len(kept), 0, -1)
    axis.boxplot(
        kept,
        positions=places,
        orientation="horizontal",
        widths=0.5,
        showfliers=False,
        medianprops={"color": COLOURS[1]},
    )
    for place, values in zip(places, kept, strict=True):
        # Dots of equal value would hide each other.
        shifts = np.random.default_rng(0).uniform(-0.16, 0.16, len(values))
        axis.plot(values, place + shifts, "o", ms=3, alpha=0.6, color=COLOURS[0])
    names = [
        f"{name} (n={len(values)})" for name, values in zip(scores, kept, strict=True)
    ]
    axis.set_yticks(places, names)
    axis.set_xlim(-0.02, 1.02)
    axis.set_xlabel(label)
    return figure


def roc_curves(
    answers: Mapping[str, Mapping[str, tuple[np.ndarray, np.ndarray]]],
) -> "Figure":
    """Receiver operating characteristic of each class, a panel for each class.

    A class of which no slice, or every slice, is positive has no curve and no panel.

    Args:
        answers: A class to a network's name to its truth (n,) and probability (n,).
    """
    from sklearn import metrics

    curved = {
        name: {
            network: answer
            for network, answer in networks.items()
            if 0 < np.count_nonzero(answer[0]) < len(answer[0])
        }
        for name, networks in answers.items()
    }
    curved = {name: networks for name, networks in curved.items() if networks}
    figure, axes = panels(max(len(curved), 1), 2.6)
    if not curved:
        axes[0].set_axis_off()
        axes[0].text(0, 0.5, "No class has positive and negative slices.")
        return figure
    drawn = {}
    for axis, (name, networks) in zip(axes, curved.items(), strict=True):
        axis.plot([0, 1], [0, 1], ":", color="#999999", lw=0.8, label="_chance")
        for network, (truth, probability) in networks.items():
            colour = COLOURS[list(answers[name]).index(network) % len(COLOURS)]
            false, true, _ = metrics.roc_curve(truth, probability)
            (drawn[network],) = axis.plot(false, true, color=colour, lw=1.2)
        axis.set_title(name, fontsize=8)
        axis.set_aspect("equal")
        axis.set_ylabel("sensitivity")
        axis.set_xlabel("1 - specificity")
    figure.legend(
        list(drawn.values()),
        list(drawn),
        loc="outside lower center",
        ncols=3,
        fontsize=7,
    )
    return figure


def histories(results: Mapping[str, Result]) -> dict[str, list[dict]]:
    """Title to the epochs of the first fold, of results with two epochs or more."""
    return {
        result.title: result.history[0]
        for result in results.values()
        if result.history and len(result.history[0]) > 1
    }


def dice_of_heads(results: Mapping[str, Result]) -> dict[str, list[float]]:
    """Title to the Dice of each held-out head with hemorrhage, of rows of masks."""
    return {
        result.title: result.dice_of_cases()
        for result in results.values()
        if isinstance(result, MaskResult)
    }


def slice_answers(results: Mapping[str, SliceResult]) -> dict[str, dict[str, tuple]]:
    """Class to title to truth and probability of each held-out slice."""
    answers = {labels.SHORT[name]: {} for name in (labels.ANY, *labels.SUBTYPES)}
    for result in results.values():
        scans = result.predictions.values()
        truth = np.concatenate([scan["truth"] for scan in scans])
        probability = np.concatenate([scan["probability"] for scan in scans])
        for short, curves in answers.items():
            column = labels.index(short)
            curves[result.title] = truth[:, column] > 0, probability[:, column]
    return answers


def _column(history: Sequence[Mapping[str, float]], name: str) -> list[float]:
    return [epoch[name] for epoch in history]


def panels(count: int, height: float, columns: int = 3):
    """A figure and its `count` axes, in rows of `height` inches.

    Rows hold `columns` axes at most, and fewer where that leaves fewer places empty.
    """
    from matplotlib import figure

    rows = -(-count // columns)
    columns = -(-count // rows)
    made = figure.Figure(figsize=(8.4, rows * height), layout="constrained")
    axes = made.subplots(rows, columns, squeeze=False).ravel()
    for axis in axes[count:]:
        axis.remove()
    for axis in axes[:count]:
        axis.tick_params(labelsize=7)
        axis.xaxis.label.set_fontsize(7)
        axis.yaxis.label.set_fontsize(7)
    return made, axes[:count]


def png(figure: "Figure", dpi: int = 110) -> bytes:
    """A figure as a PNG file, without the version that drew it."""
    data = io.BytesIO()
    _make_literal(figure)
    figure.savefig(data, format="png", dpi=dpi, metadata={"Software": None})
    return data.getvalue()


def svg(figure: "Figure") -> str:
    """A figure as SVG text, the same for the same figure."""
    import matplotlib

    text = io.StringIO()
    _make_literal(figure)
    with matplotlib.rc_context({"svg.hashsalt": "ich_tf", "svg.fonttype": "none"}):
        figure.savefig(text, format="svg", metadata={"Date": None})
    # The declaration before the element is for files of their own.
    return text.getvalue()[text.getvalue().index("<svg") :]


def _make_literal(figure: "Figure") -> None:
    """Draw texts as they are: names in result files are no formulas, nor all UTF-8."""
    from matplotlib import text, ticker

    for drawn in figure.findobj(text.Text):
        drawn.set_parse_math(False)
        drawn.set_text(_escaped(drawn.get_text()))
    # Labels of ticks are set again while a figure is drawn.
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            formatter = axis.get_major_formatter()
            if isinstance(formatter, ticker.FuncFormatter):
                given = formatter.func
                formatter.func = lambda *place, given=given: _escaped(given(*place))


def _escaped(label: str) -> str:
    return label.encode("utf-8", "backslashreplace").decode()
