# %% [markdown]
# # Start here: one head, from file to millilitres
#
# A synthetic head CT with hemorrhage goes through `predict`: where is blood, which
# subtype, how much? Two minutes, no data and no GPU needed. Put the path of your own
# scan into `SCAN` (NIfTI, a DICOM file or folder, a zip) to see it instead.

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
import pathlib
import tempfile

import numpy as np
from IPython.display import Markdown

import ich_tf
from ich_tf.prediction import figures
from ich_tf.report import notebook
from ich_tf.synthetic import phantom

# No data set is read here; SCAN is a scan of your own, or empty for a synthetic head.
DATA = "phantom"  # @param {type:"string"}
SCAN = ""  # @param {type:"string"}
here = notebook.start(DATA)

# %% [markdown]
# ## A head, and what the network finds
#
# The phantom is made, not measured: skull, brain, ventricles, a bleed, and the noise of
# a scanner. Its true outline is known, which no real scan can offer.

# %%
head = phantom.generate(7, 104, slices=24, size=256, subtypes=["IPH"]).case
prediction = ich_tf.predict(SCAN or head.volume)
hu, found = prediction.volume.hu, prediction.probability
z = int(prediction.slice_pixels.argmax())
panels = {
    f"slice {z + 1}": figures.gray(hu[z]),
    "predicted": figures.overlay(hu[z], prediction.mask[z]),
    "probability": figures.heat_colours(found[z]),
}
if not SCAN:
    panels["truth"] = figures.overlay(hu[z], head.mask[z])
alt = "The slice with most predicted blood: as it is, outlined, and its probability"
notebook.sheet(panels, alt if SCAN else f"{alt}, next to the true outline", columns=4)

# %%
volume = prediction.volume_ml
amount = "unknown, without spacing" if volume is None else f"{volume:.1f} ml"
true_ml = head.mask.sum((1, 2)) @ head.volume.slice_pixel_ml
truth = "" if SCAN else f" True volume: {true_ml:.1f} ml."
Markdown(
    f"Predicted hemorrhage: {amount}, in {np.count_nonzero(prediction.slice_pixels)} "
    f"of {len(hu)} slices.{truth}"
)

# %% [markdown]
# ## Every slice
#
# From foot to head, with the predicted outline; of a scan with more than 24 slices, 24
# of them.

# %%
shown = np.linspace(0, len(hu) - 1, min(24, len(hu))).astype(int)
notebook.sheet(
    {str(k + 1): figures.overlay(hu[k], prediction.mask[k]) for k in shown},
    "Slices from foot to head with the predicted outline",
    columns=8,
    side=128,
)

# %% [markdown]
# ## Change the window
#
# A CT holds thousands of grey levels, and a screen shows 256. Level and width choose
# which: change the numbers and run the cell again.

# %%
LEVEL = 50  # @param {type:"integer"}
WIDTH = 150  # @param {type:"integer"}
notebook.sheet(
    {
        f"yours, {LEVEL}/{WIDTH}": figures.gray(hu[z], LEVEL, WIDTH),
        "brain, 40/80": figures.gray(hu[z], 40, 80),
        "subdural, 80/200": figures.gray(hu[z], 80, 200),
        "bone, 600/2800": figures.gray(hu[z], 600, 2800),
    },
    "The same slice in your window, the brain, the subdural and the bone window",
    columns=4,
)

# %% [markdown]
# ## Keep it
#
# `save` writes masks in the scan's own geometry, millilitres, probabilities and a page
# to look at; `ich-tf predict SCAN --out OUT` does all of this from a terminal.

# %%
with tempfile.TemporaryDirectory() as scratch:
    prediction.save(pathlib.Path(scratch) / "out")
    written = sorted(path.name for path in pathlib.Path(scratch, "out").iterdir())
Markdown("Files: " + ", ".join(f"`{name}`" for name in written))

# %% [markdown]
# This is not a medical device, and one synthetic head says nothing about real ones:
# [what the network finds in real slices](../docs/real-heads.md). Next:
# [data and windows](01_data_and_windows.ipynb).
