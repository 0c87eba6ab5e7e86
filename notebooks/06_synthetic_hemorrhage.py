# %% [markdown]
# # How far synthetic hemorrhage carries
#
# Masks of hemorrhage are hard to come by, heads without hemorrhage are not. So the
# network behind `predict` was trained without a single real mask: blood is painted onto
# slices that show none, and heads of the phantom are mixed in. This notebook shows the
# paint, what each ingredient is worth, and what the network finds. It paints single
# slices, as the earlier and simpler painter does; the network behind `predict` was
# trained on whole scans (`ich_tf/synthetic/scan_painting.py`), where a lesion is one
# solid through neighbouring slices.
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
import PIL.Image
from IPython.display import Image, Markdown, display

from ich_tf import datasets, labels
from ich_tf.evidence import readme, real_heads_ablations, real_slices, synthetic_page
from ich_tf.evidence import real_heads as measured_with
from ich_tf.prediction import figures, real_heads, saving
from ich_tf.report import notebook, plots
from ich_tf.synthetic import landmarks, mimics, painted, painting, phantom

# "phantom", or the folder of ct-ich 1.0.
DATA = "phantom"  # @param {type:"string"}
here = notebook.start(DATA)

# %% [markdown]
# ## Blood where there was none
#
# `painting.paint` finds skull, midline, ventricles and sulci in a slice and paints each
# subtype where it belongs: along the bone, along the falx, into sulci or ventricles, or
# into the brain. Blood pushes the brain aside, edges mix with what lies next to them,
# and the noise of the scan stays. The outline is the truth that a network learns. The
# subdural collection below is chronic: darker than brain.

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
alt = "A slice as it was and with each subtype painted, and below with its outline"
notebook.sheet({**plain, **outlined}, alt, columns=6, side=200)

# %% [markdown]
# ## What only looks like blood
#
# Mimics are painted, but not in the truth: calcifications, a dense falx or sinus, bone
# that fills part of the slice's thickness. Motion and noise of the scanner come on top.
# Below is a lower slice without blood, painted with the five of the first 40 seeds that
# changed it most. The outline shows where it became denser by more than 20 HU, further
# than 5 mm inside the skull; nearer, partial bone brightens the whole rim.

# %%
low = case.volume.hu[round(0.4 * len(case.volume.hu))]
depth_mm = landmarks.find(low, common["pixel_mm"]).depth
inside = (mimics.to_size(depth_mm, len(low)) > 5) & (low < 80)
made = [painting.paint(low, seed, subtypes=(), **common).hu for seed in range(40)]
outlines = [inside & (hu > low + 20) for hu in made]
most = np.argsort([-np.sum(outline) for outline in outlines], kind="stable")[:5]
similar = {f"seed {seed}": figures.gray(made[seed]) for seed in most}
denser = {
    f"seed {seed}, denser": figures.overlay(made[seed], outlines[seed]) for seed in most
}
alt = "A slice with five draws of mimics, and below where they made it denser"
notebook.sheet({**similar, **denser}, alt, columns=5, side=220)

# %% [markdown]
# ## One ingredient less
#
# Small networks, all trained briefly and alike, and judged on ct-ich 1.0. A slice's
# score is the largest area that the network finds in it. AUC: how well it separates
# real slices with hemorrhage from slices without. Dice: on painted slices of held-out
# patients.

# %%
Markdown(synthetic_page.ingredients(here.folders.results, readme.DOCS / "synthetic.md"))

# %% [markdown]
# The network behind `predict` sees three neighbouring slices of whole painted scans.
# Its ingredients, judged on real slices, have [their own table](../docs/real-heads.md),
# shown here as it was recorded. The judges are the patients with hemorrhage who were
# used neither to train nor to calibrate.

# %%
page = readme.DOCS / "real-heads.md"
ablations = real_heads_ablations.section(here.folders.results, page)
Markdown("\n".join(ablations[2:]) or "Not recorded.")

# %% [markdown]
# ## What the network behind `predict` finds
#
# In five phantom heads that it has not seen, one for each subtype, in the slice with
# the largest lesion: truth, prediction, and where the network is unsure: the entropy of
# its probability, 0 where that is 0 or 1, and 1 bit where it is 1/2.

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
    entropy = saving.uncertainty(probability)
    unsure[f"{name}, unsure"] = figures.heat_colours(entropy)
alt = "A head of each subtype: the truth, the prediction, and where it is unsure"
display(notebook.sheet({**truth, **found, **unsure}, alt, columns=5, side=220))
scale = figures.heat_scale("unsure: 0 bits", "1 bit")
notebook.picture(
    scale, "The colours of the last row, from 0 bits (black) to 1 (yellow)"
)

# %%
entry = network.entry
painted_dice = measured_with.read_measured()["painted"]["dice"]["all"]["mean"]
Markdown(
    "Phantom heads are easy: the network was trained on such heads. On painted real "
    f"scans its Dice is {painted_dice:.3f}; real slices came with labels and volumes "
    f"only, without masks.\n\nShipped: {entry['parameters']:,} weights. Measured: "
    f"{entry['metric']}."
)

# %% [markdown]
# ## Real slices
#
# `ich-tf detection --ct-ich DIR --out results/detection/real-heads` draws the
# slices with hemorrhage in which most was found, those in which least was found, and
# the worst false alarms. Without real data, the published figure is shown.

# %%
folder = here.folders.results / "detection" / real_heads.DEFAULT_WEIGHTS
picture = folder / "detection.png"
if picture.is_file() and not here.phantom:
    display(Image(picture, alt="Real slices with the outlines that were predicted"))
else:
    published = PIL.Image.open(readme.DOCS / measured_with.FIGURE)
    display(notebook.picture(published, "Ten real slices with the predicted outlines"))
    display(Markdown(f"{real_slices.CAPTION} The predicted subtypes are often wrong."))

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
