"""The network of `predict` in LiteRT, which starts in a second, without TensorFlow."""

import os
import shutil

import numpy as np

from ich_tf import packages, parallel

FILE = "network.tflite"
"""Ending of the file next to the weights."""


def is_usable() -> bool:
    """Whether LiteRT is installed and no GPU would do the work.

    `ICH_TF_LITERT=off` keeps Keras.
    """
    if os.environ.get("ICH_TF_LITERT", "on").lower() == "off":
        return False
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1")
    if shutil.which("nvidia-smi") is not None and not hidden:
        return False
    try:
        import ai_edge_litert.interpreter  # noqa: F401
    except ImportError:
        return False
    return True


class LiteNetwork:
    """A network of whole slices, as `segment.whole_slices` gives one of Keras.

    Attributes:
        input_shape: (None, None, None, channels).
        output_shape: (None, None, None, classes).
    """

    def __init__(self, path: str | os.PathLike, batch: int):
        """Open a file of `models.lite.write_with_features`.

        Args:
            path: The file.
            batch: Images of a batch; the last one is filled up.

        Raises:
            ValueError: if LiteRT cannot read the file.
        """
        from ai_edge_litert.interpreter import Interpreter

        self._batch = batch
        self._interpreter = Interpreter(str(path), num_threads=parallel.cores())
        (given,) = self._interpreter.get_input_details()
        told = self._interpreter.get_output_details()
        self._given = given["index"]
        self._answers = next(of for of in told if len(of["shape_signature"]) == 4)
        self._features = [of for of in told if len(of["shape_signature"]) == 2]
        self.input_shape = (None, None, None, int(given["shape_signature"][-1]))
        classes = int(self._answers["shape_signature"][-1])
        self.output_shape = (None, None, None, classes)

    def __call__(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Answer images.

        Args:
            images: (n, h, w, channels), float32, in [0, 1].

        Returns:
            Answers (n, h, w, classes), and features (n, d) or None, float32.
        """
        shape = (self._batch, *images.shape[1:])
        self._interpreter.resize_tensor_input(self._given, shape)
        # LiteRT says on the terminal that it made its delegate.
        with packages.silent_stderr():
            self._interpreter.allocate_tensors()
        answers, features = [], []
        for first in range(0, len(images), self._batch):
            part = images[first : first + self._batch]
            filled = np.resize(part, shape).astype(np.float32, copy=False)
            self._interpreter.set_tensor(self._given, filled)
            self._interpreter.invoke()
            answers.append(self._told(self._answers)[: len(part)])
            features += [self._told(of)[: len(part)] for of in self._features]
        return np.concatenate(answers), np.concatenate(features) if features else None

    def _told(self, output: dict) -> np.ndarray:
        return self._interpreter.get_tensor(output["index"])
