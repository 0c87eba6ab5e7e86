"""Measure the phantom and draw its picture for the README.

    python benchmarks/phantom.py            table: speed, HU band, volumes, histogram
    python benchmarks/phantom.py network    trains a small U-Net (about 6 minutes)
    python benchmarks/phantom.py picture    writes docs/phantom.png

Exits with 1 if a target is missed: 10 slices/s of one core, no HU band that reaches
Dice 0.5, volumes distributed like the published ones (Kolmogorov-Smirnov, p over 0.05),
and a small U-Net that exceeds the best band by 0.2.

The histogram of a real head is added with `--real FOLDER`, a folder of DICOM slices.
"""

import argparse
import pathlib
import sys
import time

import numpy as np
from scipy import ndimage, stats

from ich_tf import labels
from ich_tf.synthetic.phantom import generate, head, scan
from ich_tf.synthetic.phantom import plan as planning

PROJECT = pathlib.Path(__file__).resolve().parent.parent
SEED = 2024
LOWEST_HU, HIGHEST_HU = 0, 130
SLICES_PER_SECOND, BAND_DICE, MARGIN = 10.0, 0.5, 0.2


def speed(heads: int = 3) -> float:
    """Slices per second of processor time at 512 pixels, whole heads."""
    slices = 0
    start = time.process_time()
    for index in range(heads):
        slices += len(generate(SEED, index, bleeding=True).case.volume.hu)
    return slices / (time.process_time() - start)


def bleeding_heads(count: int, size: int = 512):
    """Yield HU, mask and the inside of the skull of bleeding heads."""
    for index in range(count):
        plan = planning.draw_plan(SEED, index, bleeding=True)
        anatomy, hu, subtypes = head.render(plan, SEED, index, size)
        inside = np.stack(
            [scan.enlarge(layer, size) < 0 for layer in anatomy.skull.inner]
        )
        yield hu, subtypes > 0, inside


def band_search(count: int = 24) -> dict[str, float]:
    """Best mean volume Dice of one HU band inside the skull, and its bounds.

    Both the whole inside of the skull and one shrunk by 3 pixels are tried.
    """
    bins = np.arange(LOWEST_HU, HIGHEST_HU + 1)
    scores = {"whole": [], "shrunk": []}
    for hu, mask, inside in bleeding_heads(count):
        disk = ndimage.iterate_structure(ndimage.generate_binary_structure(2, 1), 3)
        shrunk = np.stack([ndimage.binary_erosion(s, disk) for s in inside])
        for name, region in (("whole", inside), ("shrunk", shrunk)):
            blood = np.histogram(hu[mask & region], bins)[0].cumsum()
            every = np.histogram(hu[region], bins)[0].cumsum()
            blood, every = (np.concatenate([[0], c]) for c in (blood, every))
            hits = blood[None, :] - blood[:, None]
            marked = every[None, :] - every[:, None]
            scores[name].append(2 * hits / np.maximum(marked + mask.sum(), 1))
    result = {}
    for name, values in scores.items():
        mean = np.triu(np.mean(values, axis=0), 1)
        low, high = np.unravel_index(mean.argmax(), mean.shape)
        result[name] = (float(mean.max()), int(bins[low]), int(bins[high] - 1))
    return result


def brain_histogram(hu: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Mean, deviation and percentiles 5, 25, 50, 75, 95 of 0-100 HU in the skull."""
    values = hu[inside & (hu > 0) & (hu < 100)]
    return np.array(
        [values.mean(), values.std(), *np.percentile(values, [5, 25, 50, 75, 95])]
    )


def fill_skull(hu: np.ndarray) -> np.ndarray:
    """The inside of the skull of any head CT, by closing and filling the bone."""
    inside = np.zeros(hu.shape, bool)
    for index, layer in enumerate(hu):
        bone = ndimage.binary_closing(layer > 250, iterations=4)
        filled = ndimage.binary_fill_holes(bone) & ~ndimage.binary_dilation(
            bone, iterations=3
        )
        groups, count = ndimage.label(filled)
        if count:
            sizes = ndimage.sum_labels(filled, groups, np.arange(1, count + 1))
            inside[index] = groups == 1 + int(np.argmax(sizes))
    return inside


def volumes_ml(count: int = 60, size: int = 256) -> tuple[np.ndarray, dict[str, int]]:
    """Painted lesion volumes of bleeding heads, and how often each subtype is seen."""
    volumes, seen = [], dict.fromkeys(labels.SUBTYPES, 0)
    for index in range(count):
        made = generate(SEED, index, size=size, bleeding=True)
        millilitres = made.case.volume.slice_pixel_ml
        volumes.append(float(made.case.mask.sum((1, 2)) @ millilitres))
        for place, name in enumerate(labels.SUBTYPES):
            seen[name] += int(np.any(made.subtypes == place + 1))
    return np.array(volumes), seen


def window(hu: np.ndarray) -> np.ndarray:
    """(..., y, x) HU to (..., y, x, 1): 0-100 HU becomes -1 to 1."""
    return (np.clip(hu, 0, 100) / 50 - 1).astype(np.float32)[..., None]


def small_unet(width: int = 10, levels: int = 4):
    """A plain U-Net: two convolutions a level, transposed upsampling."""
    import keras

    def block(value, filters):
        for _ in range(2):
            value = keras.layers.Conv2D(filters, 3, padding="same", use_bias=False)(
                value
            )
            value = keras.layers.BatchNormalization(momentum=0.9)(value)
            value = keras.layers.ReLU()(value)
        return value

    image = keras.Input((None, None, 1))
    value, skips = block(image, width), []
    for level in range(1, levels + 1):
        skips.append(value)
        value = block(keras.layers.MaxPooling2D()(value), width * 2**level)
    for level in reversed(range(levels)):
        value = keras.layers.Conv2DTranspose(width * 2**level, 2, strides=2)(value)
        value = block(
            keras.layers.Concatenate()([value, skips[level]]), width * 2**level
        )
    rare = keras.initializers.Constant(-3.0)
    output = keras.layers.Conv2D(1, 1, activation="sigmoid", bias_initializer=rare)
    return keras.Model(image, output(value))


def training_slices(heads: int, rng) -> tuple[np.ndarray, np.ndarray]:
    """Slices with blood and a third as many without, windowed, and their masks."""
    images, masks = [], []
    for index in range(heads):
        case = generate(SEED + 1, index, size=256, bleeding=True).case
        bloody = case.mask.any((1, 2))
        quiet = np.flatnonzero(~bloody)
        picked = rng.permutation(quiet)[: max(2, bloody.sum() // 3)]
        picked = np.concatenate([np.flatnonzero(bloody), picked])
        images.append(window(case.volume.hu[picked]))
        masks.append(case.mask[picked, ..., None])
    return np.concatenate(images), np.concatenate(masks).astype(np.float32)


def crops(images, masks, rng, count: int = 12, side: int = 128):
    """A batch of crops, two thirds of them around a pixel with blood."""
    batch = []
    for number in range(count):
        place = rng.integers(len(images))
        middle = rng.integers(64, 192, 2)
        blood = np.argwhere(masks[place, ..., 0])
        if len(blood) and number % 3:
            middle = blood[rng.integers(len(blood))] + rng.integers(-40, 41, 2)
        top, left = np.clip(middle - side // 2, 0, 256 - side)
        turn = slice(None, None, int(rng.choice([-1, 1])))
        part = (place, slice(top, top + side), slice(left, left + side))
        batch.append((images[part][:, turn], masks[part][:, turn]))
    return (np.stack(half) for half in zip(*batch, strict=True))


def train(minutes: float, heads: int = 70):
    """Train the small U-Net for some minutes and return it."""
    import keras

    rng = np.random.default_rng(0)
    keras.utils.set_random_seed(0)
    images, masks = training_slices(heads, rng)

    def loss(truth, guess):
        overlap = keras.ops.sum(truth * guess)
        dice = (2 * overlap + 1) / (keras.ops.sum(truth) + keras.ops.sum(guess) + 1)
        entropy = keras.ops.mean(keras.losses.binary_crossentropy(truth, guess))
        return entropy + 1 - dice

    model = small_unet()
    model.compile(keras.optimizers.Adam(3e-3), loss)
    start, steps = time.monotonic(), 0
    while (spent := (time.monotonic() - start) / (60 * minutes)) < 1:
        model.optimizer.learning_rate = 3e-3 * (0.02 + 0.98 * (1 - spent))
        value = model.train_on_batch(*crops(images, masks, rng))
        steps += 1
    print(f"{steps} steps, last loss {float(value):.2f}")
    return model


def network_dice(model, count: int = 24) -> np.ndarray:
    """Volume Dice of the network on the held-out heads of the band search."""
    dices = []
    for hu, mask, _ in bleeding_heads(count, size=256):
        guess = model.predict(window(hu), batch_size=16, verbose=0)[..., 0] > 0.5
        dices.append(2 * (guess & mask).sum() / max(1, guess.sum() + mask.sum()))
    return np.array(dices)


PICTURE_HEADS = {
    "epidural": 12,
    "intraparenchymal": 13,
    "intraventricular": 2,
    "subarachnoid": 7,
    "subdural": 13,
}


def picture(target: pathlib.Path) -> None:
    """Draw one head for each subtype, with the contour of its blood beneath."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(2, 5, figsize=(10, 4.4), facecolor="black")
    for column, (name, index) in zip(axes.T, PICTURE_HEADS.items(), strict=True):
        made = generate(SEED, index, slices=30, subtypes=[name])
        place = made.case.mask.sum((1, 2)).argmax()
        for axis in column:
            axis.imshow(made.case.volume.hu[place], cmap="gray", vmin=0, vmax=80)
            axis.set_axis_off()
        column[1].contour(made.case.mask[place], [0.5], colors="red", linewidths=0.8)
        column[0].set_title(name, color="white", fontsize=10)
    figure.subplots_adjust(0, 0, 1, 0.94, 0.01, 0.01)
    figure.savefig(target, dpi=90, facecolor="black", pil_kwargs={"optimize": True})


def read_dicom(folder: pathlib.Path) -> np.ndarray:
    """(z, y, x) HU of a folder with one series."""
    import pydicom

    slices = [pydicom.dcmread(path) for path in sorted(folder.glob("*.dcm"))]
    slices.sort(key=lambda part: float(part.ImagePositionPatient[2]))
    return np.stack(
        [
            s.pixel_array * float(s.RescaleSlope) + float(s.RescaleIntercept)
            for s in slices
        ]
    )


def full_brain_histogram(hu: np.ndarray) -> np.ndarray:
    """`brain_histogram` of the eight slices from the widest upwards, edges left out."""
    inside = fill_skull(hu)
    widest = int(np.argmax(inside.sum((1, 2))))
    return brain_histogram(hu[widest : widest + 8], inside[widest : widest + 8])


def print_table(real: pathlib.Path | None) -> bool:
    """Print speed, HU band, volumes and histograms; whether all targets are met."""
    fast, bands = speed(), band_search()
    print(f"speed                    {fast:.1f} slices/s of one core")
    for name, (dice, low, high) in bands.items():
        print(f"best band, {name:13s} mean Dice {dice:.3f} at {low} to {high} HU")
    volumes, seen = volumes_ml()
    published = planning.published_volumes_ml()
    test = stats.ks_2samp(volumes, published)
    for name, values in (("phantom", volumes), ("ct-ich 1.3.1", published)):
        rounded = np.round(np.percentile(values, [0, 25, 50, 75, 100]), 2)
        print(f"volumes, {name:15s} quartiles {rounded} ml")
    print(f"Kolmogorov-Smirnov       p = {test.pvalue:.2f}")
    print(f"subtypes in {len(volumes)} heads     {seen}")
    columns = "mean, deviation, percentiles 5, 25, 50, 75, 95"
    print(f"0-100 HU in the skull    {columns}")
    for index in range(6):
        hu = generate(SEED, index, bleeding=False).case.volume.hu
        print(f"  phantom {index}              {np.round(full_brain_histogram(hu), 1)}")
    if real:
        hu = read_dicom(real)
        print(f"  real                   {np.round(full_brain_histogram(hu), 1)}")
    best = max(dice for dice, _, _ in bands.values())
    return fast >= SLICES_PER_SECOND and best < BAND_DICE and test.pvalue > 0.05


def main() -> int:
    """Run the part of the benchmark that was asked for; 1 if a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", nargs="?", choices=("table", "network", "picture"))
    parser.add_argument("--real", type=pathlib.Path, help="folder of a DICOM series")
    parser.add_argument("--minutes", type=float, default=5.0)
    options = parser.parse_args()
    if options.part == "picture":
        picture(PROJECT / "docs" / "phantom.png")
        return 0
    if options.part == "network":
        dices = network_dice(train(options.minutes))
        best = max(dice for dice, _, _ in band_search(len(dices)).values())
        print(f"small U-Net, {len(dices)} heads mean Dice {dices.mean():.3f}")
        print(f"best HU band, the same heads    {best:.3f}")
        return int(dices.mean() < best + MARGIN)
    return int(not print_table(options.real))


if __name__ == "__main__":
    sys.exit(main())
