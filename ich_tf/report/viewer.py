"""Cases of a result as pictures that the report's slice viewer takes apart."""

import base64
import io
from collections.abc import Callable

import numpy as np
from PIL import Image

from ich_tf import labels
from ich_tf.experiments import runner
from ich_tf.experiments.mask_results import MaskResult, dice
from ich_tf.prediction import classify, explain
from ich_tf.preprocessing.segmentation import slices

SIZE = 256
"""In-plane pixels at most, so that the page can be sent to somebody."""
HU_OFFSET = 32768


def cases(
    runs: list[runner.Run],
    results: list[MaskResult],
    count: int,
    network: classify.Classifier | None,
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
        For each case: `id`, `slices`, `start` (the slice with most hemorrhage, or the
        middle), `height`, `width`, `truth_ml`, `hu` (HU + 32768 as red * 256 + green),
        `truth` and `heat` (None without), and `predictions`: title of a row to
        `picture` and `dice`. Pictures are PNG data addresses, slices below each other,
        255 = certain.
    """
    made = []
    for case_id in _spread(results[0], count):
        say(f"viewer: case {case_id}")
        run = runs[0]
        case = slices.at_size(run.dataset.load(case_id), run.profile.size)
        predictions = {}
        for run, result in zip(runs, results, strict=True):
            path = run.folder / f"{case_id}.npz"
            if case_id not in result.counts["per_volume"] or not path.is_file():
                continue
            with np.load(path) as stored:
                coded = stored["probability"]
            if coded.shape == case.volume.hu.shape:
                predictions[result.title] = {
                    "picture": _png(_shrink(coded)),
                    "dice": dice(result.counts["per_volume"][case_id]),
                }
        hu, areas = _shrink(case.volume.hu), case.mask.sum((1, 2))
        made.append(
            {
                "id": case_id,
                "slices": len(hu),
                "start": int(areas.argmax()) if areas.any() else len(hu) // 2,
                "height": hu.shape[1],
                "width": hu.shape[2],
                "truth_ml": results[0].counts["per_volume"][case_id]["truth_ml"],
                "hu": _hu_png(hu),
                "truth": _png(_shrink(case.mask * np.uint8(255))),
                "heat": _heat(case, network),
                "predictions": predictions,
            }
        )
    return made


def _spread(result: MaskResult, count: int) -> list[str]:
    counts = result.counts["per_volume"]
    bleeding = [name for name, of_case in counts.items() if of_case["truth_pixels"]]
    bleeding.sort(key=lambda name: (dice(counts[name]), name))
    healthy = sorted(set(counts) - set(bleeding))[: 1 if count > 1 else 0]
    places = np.linspace(0, len(bleeding) - 1, min(count - len(healthy), len(bleeding)))
    # The page opens at the first case.
    return [bleeding[round(place)] for place in places[::-1]] + healthy


def _heat(case, network: classify.Classifier | None) -> str | None:
    if network is None or case.volume.hu_window is not None:
        return None
    every = np.arange(len(case.volume.hu))
    index = labels.index(labels.ANY)
    heat = explain.slice_heatmaps(network, case.volume, index, every)
    probability = classify.slice_answers(network, case.volume)[1][:, index]
    # A heatmap is scaled to its own maximum; where the network calls nothing, its
    # brightest spot says nothing.
    heat = heat * (probability > 0.5)[:, np.newaxis, np.newaxis]
    return _png(_shrink(np.rint(255 * heat).astype(np.uint8)))


def _shrink(volume: np.ndarray) -> np.ndarray:
    """Every n-th pixel, so that no side is above `SIZE`."""
    step = -(-max(volume.shape[1:]) // SIZE)
    return volume[:, ::step, ::step]


def _hu_png(hu: np.ndarray) -> str:
    values = np.clip(np.rint(hu) + HU_OFFSET, 0, 65535).astype(np.uint16)
    channels = [values >> 8, values & 255, np.zeros_like(values)]
    return _png(np.stack(channels, axis=-1).astype(np.uint8))


def _png(volume: np.ndarray) -> str:
    stacked = volume.reshape(-1, *volume.shape[2:])
    data = io.BytesIO()
    Image.fromarray(stacked).save(data, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(data.getvalue()).decode()
