"""The held-out cases of results that the report's slice viewer shows."""

import pathlib
from collections.abc import Callable

import numpy as np

from ich_tf import arrays, labels
from ich_tf.experiments import runner
from ich_tf.experiments.mask_results import MaskResult, dice
from ich_tf.prediction import classify, explain
from ich_tf.preprocessing.segmentation import slices
from ich_tf.viewer import component

SIZE = 256
"""In-plane pixels at most, so that the page can be sent to somebody."""
NO_PREDICTION = "none"


def cases(
    runs: list[runner.Run],
    results: list[MaskResult],
    count: int,
    network: classify.SliceNetwork | None,
    say: Callable[[str], None],
) -> list[dict]:
    """Held-out cases with every row's prediction.

    Args:
        runs: Finished runs of segmentation rows on the same data.
        results: Their results; the first one chooses the cases: from the highest to
            the lowest Dice per volume, evenly spread, and one case without
            hemorrhage.
        count: Number of cases.
        network: Slice network for heatmaps of "any"; None draws none.
        say: Takes a line of progress.

    Returns:
        Each case as `component.case` makes it, with a view for each row.
    """
    made = []
    for case_id in _spread(results[0], count):
        say(f"viewer: case {case_id}")
        run = runs[0]
        case = slices.at_size(run.dataset.load(case_id), run.profile.size)
        hu, areas = _shrink(case.volume.hu), case.mask.sum((1, 2))
        volumes = {"truth": _shrink(case.mask * np.uint8(255))}
        heat = _heat(case, network)
        if heat is not None:
            volumes["heat"] = heat
        truth_ml = results[0].counts["per_volume"][case_id]["truth_ml"]
        views = {}
        for run, result in zip(runs, results, strict=True):
            coded = _stored(run.folder, case_id, case.volume.hu.shape)
            if coded is None or case_id not in result.counts["per_volume"]:
                continue
            name = f"prediction{len(views)}"
            volumes[name] = _shrink(coded)
            measured = dice(result.counts["per_volume"][case_id])
            views[result.title] = _view(name, heat is not None, truth_ml, measured)
        start = int(areas.argmax()) if areas.any() else len(hu) // 2
        views = views or {NO_PREDICTION: _view(None, heat is not None, truth_ml, None)}
        made.append(component.case(case_id, hu, volumes, views, start=start))
    return made


def _stored(folder: pathlib.Path, case_id: str, shape: tuple) -> np.ndarray | None:
    """The stored probabilities of a case, (z, h, w), 255 = certain, if they fit."""
    path = folder / f"{case_id}.npz"
    if not path.is_file():
        return None
    coded = arrays.read(path, ["probability"])["probability"]
    return coded if coded.shape == shape else None


def _view(
    prediction: str | None, heat: bool, truth_ml: float | None, measured: float | None
) -> component.View:
    truth = f"{truth_ml:.1f} ml" if truth_ml else "none"
    said = "undefined" if measured is None else f"{measured:.3f}"
    return component.View(
        layers=(
            component.Layer(
                *("heat", "heatmap", "h", "heat"),
                picture="heat" if heat else None,
                shown=False,
            ),
            component.Layer(
                *("prediction", "prediction", "p", "filled"),
                picture=prediction,
                colours=(component.RED,),
            ),
            component.Layer(
                *("truth", "mask", "m", "outline", "truth"), colours=(component.GREEN,)
            ),
        ),
        facts=f"Hemorrhage: {truth}. Dice of this prediction: {said}.",
    )


def _spread(result: MaskResult, count: int) -> list[str]:
    counts = result.counts["per_volume"]
    bleeding = [name for name, of_case in counts.items() if of_case["truth_pixels"]]
    bleeding.sort(key=lambda name: (dice(counts[name]), name))
    healthy = sorted(set(counts) - set(bleeding))[: 1 if count > 1 else 0]
    places = np.linspace(0, len(bleeding) - 1, min(count - len(healthy), len(bleeding)))
    # The page opens at the first case.
    return [bleeding[round(place)] for place in places[::-1]] + healthy


def _heat(case, network: classify.SliceNetwork | None) -> np.ndarray | None:
    if network is None or case.volume.hu_window is not None:
        return None
    every = np.arange(len(case.volume.hu))
    index = labels.index(labels.ANY)
    heat = explain.slice_heatmaps(network, case.volume, index, every)
    probability = classify.slice_answers(network, case.volume)[1][:, index]
    # A heatmap is scaled to its own maximum: in a slice that the network finds free of
    # hemorrhage its brightest spot means nothing.
    heat = heat * (probability > 0.5)[:, np.newaxis, np.newaxis]
    return _shrink(np.rint(255 * heat).astype(np.uint8))


def _shrink(volume: np.ndarray) -> np.ndarray:
    """Every n-th pixel, so that no side is above `SIZE`."""
    step = -(-max(volume.shape[1:]) // SIZE)
    return volume[:, ::step, ::step]
