"""Small scans for the tests of RSNA 2019: noise with labels, written as its files."""

import numpy as np

from ich_tf.synthetic import rsna_writer
from ich_tf.volume import Case, Volume

ORIGIN = "ich_tf phantom"
SLICES = 5


def make_case(name, patient, seed):
    """Five slices of 16x16 pixels, tilted; every slice has labels of its own."""
    rng = np.random.default_rng(seed)
    hu = rng.integers(-1000, 3000, (SLICES, 16, 16)).astype(np.float32)
    values = np.zeros((SLICES, 6), np.uint8)
    values[np.arange(SLICES), np.arange(SLICES)] = 1
    values[:3, 5] = values[:3, :5].any(axis=1)
    values[3:] = 0
    affine = np.array([[0, 0, 0.5, -4], [1.5, 0.5, 0, -4], [5, 0, 0, 9], [0, 0, 0, 1]])
    positions = 9 + 5.0 * np.arange(SLICES)
    volume = Volume(hu, (5.0, 0.5, 0.5), positions, affine, origin=ORIGIN)
    return Case(name, patient, volume, None, values)


CASES = {
    name: make_case(name, patient, seed)
    for seed, (name, patient) in enumerate(
        zip("abcd", ("p", "q", "r", "p"), strict=True)
    )
}


def images(name):
    """The names of a case's images from foot to head."""
    return [rsna_writer.identifier(12, ORIGIN, name, index) for index in range(SLICES)]


def series(name):
    return rsna_writer.identifier(10, ORIGIN, name, "series")


def patient(name):
    return rsna_writer.identifier(8, ORIGIN, name)


def write(folder):
    rsna_writer.write_layout(CASES.values(), folder)
    return folder
