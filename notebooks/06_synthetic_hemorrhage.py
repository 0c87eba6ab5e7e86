# %% [markdown]
# # How far synthetic hemorrhage carries
#
# Masks of hemorrhage are hard to come by, heads without hemorrhage are not. So the
# network behind `predict` was trained without a single real mask: blood is painted onto
# slices that show none, and heads of the phantom are mixed in. This notebook shows the
# paint, what each ingredient is worth, and what the network finds.
#
# Without real data the slices are the phantom's. With ct-ich 1.0 (`DATA`) they are
# real, and never from a patient with hemorrhage.

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
from IPython.display import Image, Markdown, display

from ich_tf import datasets, labels
from ich_tf.evidence import readme, real_heads_ablations, synthetic_page
from ich_tf.prediction import figures, real_heads, saving
from ich_tf.report import notebook, plots
from ich_tf.synthetic import painted, painting, phantom

# "phantom", or the folder of ct-ich 1.0.
DATA = "phantom"  # @param {type:"string"}
here = notebook.start(DATA)

# %% [markdown]
# ## Blood where there was none
#
# `painting.paint` finds skull, midline, ventricles and sulci in a slice and paints each
# subtype where it belongs: along the bone, along the falx, into sulci or ventricles, or
# into the brain. Blood pushes the brain aside, edges mix with what lies next to them,
# and the noise of the scan stays. The outline is the truth that the network learns.

# %%
if here.phantom:
    case = phantom.generate(11, 3, slices=24, size=256, subtypes=[]).case
else:
    dataset = datasets.open_dataset("ct-ich", here.folders.ct_ich)
    case = dataset.load(painted.PaintedHeads(dataset, prepare=None).patients()[0])
z = round(0.6 * len(case.volume.hu))
clean = case.volume.hu[z]
common = {
    "pixel_mm": case.volume.spacing_mm and case.volume.spacing_mm[1],
    "hu_window": case.volume.hu_window,
}
plain = {"as it was": figures.gray(clean)}
outlined = {"no outline": figures.gray(clean)}
for subtype in labels.SUBTYPES:
    of_slice = painting.paint(clean, 5, subtypes=(subtype,), **common)
    plain[labels.SHORT[subtype]] = figures.gray(of_slice.hu)
    name = f"{labels.SHORT[subtype]}, truth"
    outlined[name] = figures.overlay(of_slice.hu, of_slice.mask)
notebook.sheet({**plain, **outlined}, columns=6, side=200)

# %% [markdown]
# ## What only looks like blood
#
# Calcifications, dense falx and sinuses, tips of bone: painted, but not in the truth.
# A lower slice without blood: of the first 40 seeds, the five with the most mimics. The
# outline shows where brain became denser by more than 10 HU.

# %%
low = case.volume.hu[round(0.4 * len(case.volume.hu))]
brain = (low > 0) & (low < 80)
made = [painting.paint(low, seed, subtypes=(), **common).hu for seed in range(40)]
most = np.argsort([-np.sum(brain & (hu > low + 10)) for hu in made])[:5]
similar, denser = {}, {}
for seed in most:
    similar[f"seed {seed}"] = figures.gray(made[seed])
    outline = brain & (made[seed] > low + 10)
    denser[f"seed {seed}, denser"] = figures.overlay(made[seed], outline)
notebook.sheet({**similar, **denser}, columns=5, side=220)

# %% [markdown]
# ## One ingredient less
#
# Small networks, all trained briefly and identically on ct-ich 1.0. A slice's score is
# the largest area that the network finds in it. AUC: how well it separates real slices
# with hemorrhage from slices without. Dice: on painted slices of held-out patients.

# %%
Markdown(synthetic_page.ingredients(here.folders.results, readme.DOCS / "synthetic.md"))

# %% [markdown]
# The network behind `predict` sees three neighbouring slices of whole painted scans.
# Its ingredients, judged on real slices, have [their own table](../docs/real-heads.md),
# shown here as it was recorded.

# %%
page = readme.DOCS / "real-heads.md"
ablations = real_heads_ablations.section(here.folders.results, page)
Markdown("\n".join(ablations[2:]) or "Not recorded.")

# %% [markdown]
# ## What the network behind `predict` finds
#
# In five phantom heads that it has not seen, one for each subtype, in the slice with
# the largest lesion: truth, prediction, and where the network is unsure (entropy of the
# probability).

# %%
network = real_heads.load()
truth, found, unsure = {}, {}, {}
for number, subtype in enumerate(labels.SUBTYPES):
    head = phantom.generate(11, number, slices=24, size=256, subtypes=[subtype]).case
    z = head.mask.sum((1, 2)).argmax()
    hu, mask = head.volume.hu[z], head.mask[z] > 0
    answer = network.segment(head)
    probability, predicted = answer.hemorrhage[z], network.marked(answer)[z]
    name = labels.SHORT[subtype]
    dice = 2 * np.sum(predicted & mask) / (np.sum(predicted) + np.sum(mask))
    truth[f"{name}, truth"] = figures.overlay(hu, mask)
    found[f"{name}, Dice {dice:.2f}"] = figures.overlay(hu, predicted)
    unsure[f"{name}, unsure"] = figures.heat(hu, saving.uncertainty(probability))
notebook.sheet({**truth, **found, **unsure}, columns=5, side=220)

# %%
entry = network.entry
Markdown(f"Shipped: {entry['parameters']:,} weights. Measured: {entry['metric']}.")

# %% [markdown]
# ## Real slices
#
# `ich-tf detection --ct-ich DIR --out results/detection/NAME` draws the
# slices with hemorrhage in which most was found, those in which least was found, and
# the worst false alarms.

# %%
folder = here.folders.results / "detection" / real_heads.DEFAULT_WEIGHTS
picture = folder / "detection.png"
if picture.is_file() and not here.phantom:
    display(Image(picture, alt="Real slices with the outlines that were predicted"))
else:
    display(Markdown("Only with real data: they are not shown where all can see them."))

# %%
detected = synthetic_page.detected(here.folders.results)
if detected:
    figure = plots.roc_curves(detected)
    display(notebook.show(figure, "ROC curves of detection by training data"))
else:
    display(Markdown("Not run here; [what was measured](../docs/synthetic.md)."))

# %% [markdown]
# Data: ct-ich 1.0, doi:10.13026/w8q8-ky94, CC BY 4.0. Research use; not a medical
# device.
