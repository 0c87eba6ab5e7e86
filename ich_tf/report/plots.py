"""Plots of result files as SVG text, the same bytes for the same results."""

import io
from collections.abc import Mapping, Sequence

import numpy as np

COLOURS = ("#1f5fa8", "#d1495b", "#2e8b57", "#edae49", "#6a4c93", "#4c4c4c")


def training_curves(histories: Mapping[str, Sequence[Mapping[str, float]]]) -> str:
    """Loss and validation score of each run over its epochs.

    Args:
        histories: A name to the epochs of one fold, as a result's `history` holds
            them.

    Returns:
        SVG.
    """
    figure, axes = _figure(len(histories), 2.6)
    for axis, (name, history) in zip(axes, histories.items(), strict=True):
        epochs = [epoch["epoch"] for epoch in history]
        marker = "o" if len(epochs) < 3 else None
        axis.plot(epochs, _column(history, "loss"), color=COLOURS[0], marker=marker)
        axis.set_ylabel("loss", color=COLOURS[0])
        if "val_soft_jaccard" in history[0]:
            right = axis.twinx()
            score = _column(history, "val_soft_jaccard")
            right.plot(epochs, score, color=COLOURS[1], marker=marker)
            right.set_ylim(0, 1)
            right.set_ylabel("soft Jaccard", color=COLOURS[1])
        axis.set_title(name, fontsize=8)
        axis.set_xlabel("epoch")
    return _svg(figure)


def scores_per_case(scores: Mapping[str, Sequence[float]], label: str) -> str:
    """A dot for every case and a box over them, row by row.

    Args:
        scores: A row's name to the scores of its cases; NaN is left out.
        label: What is scored.

    Returns:
        SVG.
    """
    figure, (axis,) = _figure(1, 0.4 * len(scores) + 1.0, columns=1)
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
    return _svg(figure)


def roc_curves(
    answers: Mapping[str, Mapping[str, tuple[np.ndarray, np.ndarray]]],
) -> str:
    """Receiver operating characteristic of each class, one panel a class.

    Args:
        answers: A class to a network's name to its truth (n,) and probability (n,).

    Returns:
        SVG.
    """
    from sklearn import metrics

    figure, axes = _figure(len(answers), 2.4)
    for axis, (name, networks) in zip(axes, answers.items(), strict=True):
        axis.plot([0, 1], [0, 1], ":", color="#999999", lw=0.8)
        for colour, (network, answer) in zip(COLOURS, networks.items(), strict=False):
            truth, probability = answer
            if 0 < np.count_nonzero(truth) < len(truth):
                false, true, _ = metrics.roc_curve(truth, probability)
                axis.plot(false, true, color=colour, lw=1.2, label=network)
        axis.set_title(name, fontsize=8)
        axis.set_aspect("equal")
    axes[0].set_ylabel("sensitivity")
    axes[0].set_xlabel("1 - specificity")
    handles, names = axes[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=3, fontsize=7)
    return _svg(figure)


def _column(history: Sequence[Mapping[str, float]], name: str) -> list[float]:
    return [epoch[name] for epoch in history]


def _figure(panels: int, height: float, columns: int = 3):
    """A figure and its `panels` axes, `columns` beside each other."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import figure

    rows = -(-panels // columns)
    made = figure.Figure(figsize=(8.4, rows * height), layout="constrained")
    axes = made.subplots(rows, columns, squeeze=False).ravel()
    for axis in axes[panels:]:
        axis.remove()
    for axis in axes[:panels]:
        axis.tick_params(labelsize=7)
        axis.xaxis.label.set_fontsize(7)
        axis.yaxis.label.set_fontsize(7)
    return made, axes[:panels]


def _svg(figure) -> str:
    import matplotlib

    text = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": "ich_tf", "svg.fonttype": "none"}):
        figure.savefig(text, format="svg", metadata={"Date": None})
    # The declaration before the element is for files of their own.
    return text.getvalue()[text.getvalue().index("<svg") :]
