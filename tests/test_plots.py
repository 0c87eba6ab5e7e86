import pytest

from ich_tf.report import notebook, plots


def history(losses, scores=None):
    epochs = [{"epoch": k + 1, "loss": loss} for k, loss in enumerate(losses)]
    for epoch, score in zip(epochs, scores or [], strict=False):
        epoch[plots.SCORE] = score
    return epochs


def test_scores_fill_their_axis_and_can_be_compared_between_runs():
    histories = {
        "low": history([0.9, 0.8], [0.001, 0.002]),
        "high": history([0.03, 0.02], [0.01, 0.05]),
        "no score": history([0.5, 0.4]),
    }
    figure = plots.training_curves(histories)
    limits = [
        axis.get_ylim()
        for axis in figure.axes
        if "Jaccard" in axis.get_ylabel() and axis.lines
    ]
    assert len(limits) == 2
    assert limits[0] == limits[1]
    assert limits[0][0] == 0 and 0.05 < limits[0][1] < 0.1


def test_a_score_that_stays_0_is_drawn():
    figure = plots.training_curves({"": history([0.9, 0.8], [0.0, 0.0])})
    assert figure.axes[1].get_ylim() == (0, 1)


@pytest.mark.parametrize(
    "count, grid", [(1, (1, 1)), (2, (1, 2)), (3, (1, 3)), (4, (2, 2)), (8, (3, 3))]
)
def test_panels_leave_few_places_empty(count, grid):
    _, axes = plots.panels(count, 1.0)
    assert len(axes) == count
    assert axes[0].get_gridspec().get_geometry() == grid


def test_the_alt_text_of_curves_names_the_runs_and_the_score_if_drawn():
    shown = notebook.curves({"vgg16": history([0.9, 0.8])})
    alt = shown.alt
    assert "vgg16" in alt and "Jaccard" not in alt
    shown = notebook.curves({"vgg16": history([0.9, 0.8], [0.1, 0.2])})
    assert "Jaccard" in shown.alt
