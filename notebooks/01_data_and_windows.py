# %% [markdown]
# # The data and the windows
#
# A head CT is a stack of slices in Hounsfield units (HU): air is -1000, water 0, fresh
# blood 50 to 80, bone several hundred. A screen cannot show that range, so a *window*
# cuts out a part of it. This notebook shows what goes into the networks: slices,
# masks, windows, tiles, augmentation and folds.
#
# It needs no results. Without real data it shows the embedded phantom, a synthetic
# head with the five subtypes of hemorrhage and exact masks.

# %%
# Only on Colab: fetch and install the project (a minute). It can run twice.
KEEP_ON_DRIVE = False  # @param {type:"boolean"}

import sys

if "google.colab" in sys.modules:
    import os
    import subprocess

    repository, folder = "https://github.com/OWNER/ich_tf", "/content/ich_tf"
    if not os.path.isdir(folder):
        clone = ["git", "clone", "-q", "--depth=1", repository, folder]
        subprocess.run(clone, check=True)
    os.chdir(folder)
    install = [sys.executable, "-m", "pip", "install", "-q", "-e", "."]
    subprocess.run(install, check=True)
    if KEEP_ON_DRIVE:
        from google.colab import drive

        drive.mount("/content/drive")
        os.environ["ICH_TF_RESULTS"] = "/content/drive/MyDrive/ich_tf/results"

# %%
import numpy as np
from IPython.display import Markdown

from ich_tf import datasets, labels
from ich_tf.data import splits
from ich_tf.prediction import figures
from ich_tf.preprocessing import augment, windows
from ich_tf.preprocessing.segmentation import tiles
from ich_tf.report import notebook, plots
from ich_tf.synthetic import phantom

# "phantom", or the folder of ct-ich.
DATA = "phantom"  # @param {type:"string"}
here = notebook.start(DATA)

# %% [markdown]
# ## Five heads
#
# From the phantom: one head for each subtype: epidural (EDH), intraparenchymal (IPH),
# intraventricular (IVH), subarachnoid (SAH) and subdural hemorrhage (SDH). From ct-ich:
# the first five patients with hemorrhage. Each is shown in its slice with the largest
# lesion, without and with the outline of the mask.

# %%
if here.phantom:
    cases = {
        labels.SHORT[name]: phantom.generate(
            11, number, slices=24, size=256, subtypes=[name]
        ).case
        for number, name in enumerate(labels.SUBTYPES)
    }
else:
    dataset = datasets.open_dataset("ct-ich", here.folders.ct_ich)
    facts = dataset.fingerprint()["cases"]
    bleeding = [name for name in facts if facts[name]["mask_voxels"]]
    cases = {name: dataset.load(name) for name in bleeding[:5]}

largest = {name: case.mask.sum((1, 2)).argmax() for name, case in cases.items()}
plain = {
    f"{name}, slice {largest[name] + 1}": figures.gray(case.volume.hu[largest[name]])
    for name, case in cases.items()
}
outlined = {
    f"{name}, mask": figures.overlay(
        case.volume.hu[largest[name]], case.mask[largest[name]]
    )
    for name, case in cases.items()
}
notebook.sheet(
    {**plain, **outlined},
    "Five heads in the slice with the largest lesion, without and with its outline",
    columns=5,
    side=200,
)

# %%
rows = []
for name, case in cases.items():
    pixels = case.mask.sum((1, 2))
    pixel_ml = case.volume.slice_pixel_ml
    volume = "–" if pixel_ml is None else f"{pixels @ pixel_ml:.1f}"
    shape = "x".join(map(str, case.volume.hu.shape))
    rows.append(f"| {name} | {shape} | {np.count_nonzero(pixels)} | {volume} |")
Markdown(
    "| head | slices x rows x columns | slices with blood | blood, ml |\n"
    "| --- | --- | --- | --- |\n" + "\n".join(rows)
)

# %% [markdown]
# ## One head from foot to head

# %%
name, case = list(cases.items())[-1]
shown = np.linspace(0, len(case.volume.hu) - 1, 24).astype(int)
notebook.sheet(
    {str(z + 1): figures.overlay(case.volume.hu[z], case.mask[z]) for z in shown},
    "Slices of one head from foot to head, with the outline of the mask",
    columns=8,
    side=128,
)

# %% [markdown]
# ## The windows
#
# Level and width in HU. Segmentation and classification use the same three windows,
# except for the width of the brain window. Approach 1 of the report copies that window
# into three channels; approach 2 takes the three windows as the three channels, shown
# last as red, green and blue.

# %%
hu = case.volume.hu[largest[name]]
pictures = {}
for task, known in windows.WINDOWS.items():
    for window, of in known.items():
        title = f"brain ({task})" if window == "brain" else window.replace("_", " ")
        title += f", {of.level:g}/{of.width:g}"
        pictures[title] = figures.gray(hu, of.level, of.width)
three = windows.channels(hu, "approach2", 3)
pictures["approach 2 as colours"] = (255 * three).astype(np.uint8)
alt = "One slice in each window, and three of the windows as red, green and blue"
notebook.sheet(pictures, alt, columns=5, side=200)

# %% [markdown]
# Where blood lies in Hounsfield units, and how much of it the windows separate from
# brain: the shaded band is the brain window of segmentation.

# %%
inside = np.concatenate([case.volume.hu[case.mask > 0] for case in cases.values()])
around = np.concatenate(
    [
        case.volume.hu[(case.mask == 0) & (case.volume.hu > 0) & (case.volume.hu < 100)]
        for case in cases.values()
    ]
)
figure, (axis,) = plots.panels(1, 2.8, columns=1)
bins = np.arange(0, 151, 2)
axis.hist(around, bins, density=True, alpha=0.6, label="other tissue, 0 to 100 HU")
axis.hist(inside, bins, density=True, alpha=0.6, label="hemorrhage")
axis.axvspan(*windows.WINDOWS["segmentation"]["brain"].bounds_hu, alpha=0.1)
axis.set_xlim(0, 150)
axis.set_xlabel("HU")
axis.set_ylabel("density")
axis.legend(fontsize=8)
notebook.show(figure, "Densities of Hounsfield units: hemorrhage overlaps other tissue")

# %%
low, median, high = np.percentile(inside, [5, 50, 95])
Markdown(
    f"In these heads, hemorrhage lies between {low:.0f} and {high:.0f} HU (5th and "
    f"95th percentile), with a median of {median:.0f} HU; other tissue between 0 and "
    f"100 HU, so without bone, has a median of {np.median(around):.0f} HU. The two "
    "overlap, so no threshold separates them."
)

# %% [markdown]
# ## Tiles
#
# In the report's setting the 2-D networks see crops of 128 pixels of slices of 512, at
# a stride of half a crop: 49 in a slice. Where crops overlap at inference,
# probabilities are averaged. The demo has crops of 32 pixels of slices of 64, nine in a
# slice, and no overlap at inference: four tiles side by side. Below is the report's
# grid.

# %%
side = hu.shape[0] // 4
grid = tiles.TileGrid(*hu.shape, tile=side, stride=side // 2)
crops = grid.cut(hu[np.newaxis])
overlaps = grid.overlaps()
notebook.sheet(
    {str(number + 1): figures.gray(crop) for number, crop in enumerate(crops)},
    "All crops of one slice, row by row",
    columns=grid.columns,
    side=grid.tile + 2,
)

# %%
Markdown(
    f"{grid.count} crops of {grid.tile} pixels; a pixel lies in {overlaps.min():.0f} "
    f"to {overlaps.max():.0f} of them."
)

# %% [markdown]
# ## Augmentation
#
# As in [2], plus left-right mirroring: image and mask move together.

# %%
change = augment.augmenter("hssayeni2020_flip")
mask = case.mask[largest[name]]
moved = [change(hu[..., np.newaxis], mask, seed) for seed in range(5)]
notebook.sheet(
    {"as it is": figures.overlay(hu, mask)}
    | {
        f"seed {seed}": figures.overlay(image[..., 0], drawn)
        for seed, (image, drawn) in enumerate(moved)
    },
    "A slice with its mask, and five augmented copies of both",
    columns=6,
    side=170,
)

# %% [markdown]
# ## Folds
#
# Tables II and III: five folds by patient, in the fixed order of [2], so that no
# patient is in training and test at once.

# %%
patients = splits.subject_order_75()
lines = [
    f"| {number + 1} | {len(fold.train)} | {len(fold.validation)} | {len(fold.test)} | "
    f"{', '.join(fold.test[:5])}, ... |"
    for number, fold in enumerate(splits.folds_hssayeni2020(patients))
]
Markdown(
    f"The {len(patients)} patients of ct-ich 1.3.1:\n\n"
    "| fold | training | validation | test | first test patients |\n"
    "| --- | --- | --- | --- | --- |\n" + "\n".join(lines)
)

# %% [markdown]
# Next: [Table I and Figures 3-7](02_table_1_and_figures.ipynb). [2] is Hssayeni et al.
# 2020, doi:10.3390/data5010014.
