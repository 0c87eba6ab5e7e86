"""Numbers and figure of `evaluate`, written to a folder."""

import os
import pathlib

from ich_tf import files, owned_folder
from ich_tf.evidence.mask_scores import Evaluation
from ich_tf.report import sweep_figure

WRITER = "evaluate"
NUMBERS = "evaluation.json"
FIGURE = "evaluation.png"


def check(out: str | os.PathLike) -> None:
    """Refuse, before long work, a folder with files of these names of somebody else.

    Raises:
        ValueError: if `out` is such a folder or cannot be written.
    """
    owned_folder.check(out, WRITER, (NUMBERS, FIGURE))


def write(evaluation: Evaluation, out: str | os.PathLike) -> None:
    """Write `evaluation.json` and `evaluation.png`.

    The figure shows Dice under every convention, with the printed Dice where there is
    one.

    Args:
        evaluation: From `evidence.evaluate.evaluate`.
        out: The folder.

    Raises:
        ValueError: if `out` holds files of these names that `evaluate` did not write.
    """
    printed = [each.printed for each in evaluation.comparisons if each.score == "dice"]
    title = f"{evaluation.title} under every convention"
    with owned_folder.replacing(pathlib.Path(out), WRITER) as folder:
        files.write_json(folder / NUMBERS, evaluation.to_json())
        sweep_figure.draw(
            evaluation.conventions,
            folder / FIGURE,
            title,
            printed[0] if printed else None,
        )
