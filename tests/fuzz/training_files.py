"""Weights and states of trainings, read back into a small network."""

import functools
import pathlib
import shutil
import tempfile

import harness


@functools.cache
def _model():
    """A compiled network; built in the child only, for TensorFlow takes long."""
    import keras

    inputs = keras.Input((4,))
    model = keras.Model(inputs, keras.layers.Dense(3)(inputs))
    model.compile("adam", "mse")
    model.optimizer.build(model.trainable_variables)
    return model


def _checkpoint(folder: pathlib.Path):
    from ich_tf.training import checkpoint

    state = checkpoint.Checkpoint(folder, {"row": "fuzz"}, None, epochs=3)
    state.set_model(_model())
    return state


def _state_seeds(folder: pathlib.Path) -> list[pathlib.Path]:
    state = _checkpoint(folder)
    state.on_epoch_begin(0)
    state.on_epoch_end(0, {"loss": 0.5})
    return [folder / "state.npz"]


def _read_state(path: pathlib.Path) -> None:
    from ich_tf.training import checkpoint

    with tempfile.TemporaryDirectory() as folder:
        shutil.copyfile(path, pathlib.Path(folder, checkpoint.STATE))
        try:
            checkpoint.stored_spec(folder)
            _checkpoint(pathlib.Path(folder)).restore(_model())
        except ValueError as error:
            if checkpoint.STATE not in str(error):
                raise
            # The harness looks for the name of the mutated file.
            raise ValueError(f"{path.name}: {error}") from error


def _weights_seeds(folder: pathlib.Path) -> list[pathlib.Path]:
    from ich_tf.models import weights

    path = folder / "small.weights.h5"
    weights.save_weights(_model(), path)
    return [path]


def _read_weights(path: pathlib.Path) -> None:
    from ich_tf.models import weights

    weights.read(_model(), path)


def _prepare() -> None:
    """Import and build everything, with a good file."""
    with tempfile.TemporaryDirectory() as folder:
        (path,) = _state_seeds(pathlib.Path(folder))
        _read_state(path)
        (path,) = _weights_seeds(pathlib.Path(folder))
        _read_weights(path)


TARGETS = {
    "state": harness.Target(_state_seeds, _read_state, prepare=_prepare),
    "weights": harness.Target(_weights_seeds, _read_weights, prepare=_prepare),
}
