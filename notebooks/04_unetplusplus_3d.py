# %% [markdown]
# # The 3-D UNet++ that the report could not train
#
# Section V of the report: a 3-D UNet++ over whole volumes ran out of GPU memory, so it
# prints no number. It proposes two remedies: training on the CPU, and adding the skip
# connections instead of concatenating them. A third is to recompute activations
# for the gradients. This notebook shows what each saves, and what the networks reach.

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
from IPython.display import Markdown, display

from ich_tf import models
from ich_tf.experiments.mask_results import dice
from ich_tf.experiments.rows import volume3d
from ich_tf.models import memory as step_memory
from ich_tf.prediction import figures
from ich_tf.report import notebook, plots
from ich_tf.synthetic import phantom

# "phantom", or the folder of ct-ich.
DATA = "phantom"  # @param {type:"string"}
here = notebook.start(DATA)

# %% [markdown]
# ## What the network sees
#
# A patch of slices. The network halves it four times in-plane and along the axis only
# twice, because slices are thick. Below: the same head from below, from the side and
# from the front; the frame is a patch of the demo.

# %%
case = phantom.generate(7, 105, slices=32, size=128, subtypes=["IPH"]).case
hu, mask = case.volume.hu, case.mask
z, y, x = (int(np.median(places)) for places in np.nonzero(mask))
thick = round(case.volume.spacing_mm[0] / case.volume.spacing_mm[1])
views = {
    "axial": figures.overlay(hu[z], mask[z]),
    "coronal": figures.overlay(hu[::-1, y], mask[::-1, y]),
    "sagittal": figures.overlay(hu[::-1, :, x], mask[::-1, :, x]),
}
depth, height, width = volume3d.DEMO.patch
top = min(max(0, y - height // 2), hu.shape[1] - height)
left = min(max(0, x - width // 2), hu.shape[2] - width)
views["axial"][[top, top + height - 1], left : left + width] = (255, 255, 0)
views["axial"][top : top + height, [left, left + width - 1]] = (255, 255, 0)
for name in ("coronal", "sagittal"):
    views[name] = views[name].repeat(thick, axis=0)
notebook.sheet(views, columns=3)

# %%
Markdown(
    f"Pixels of {case.volume.spacing_mm[1]:.1f} mm in slices "
    f"{case.volume.spacing_mm[0]:g} mm apart; the patch is "
    f"{depth} x {height} x {width}."
)

# %% [markdown]
# ## What a training step costs
#
# Weights, and the memory of one step with one volume of 32 slices in bfloat16 and 16
# filters, estimated from the graph (`benchmarks/volume3d.py` compares it with measured
# peaks). No network is trained for this.

# %%
VARIANTS = {
    "concatenated": {"skip": "concat"},
    "concatenated, recomputed": {"skip": "concat", "remat": True},
    "added": {"skip": "add"},
    "added, recomputed": {"skip": "add", "remat": True},
}
SIDES = (128, 256, 512)
memory, parameters = {}, {}
for name, arguments in VARIANTS.items():
    for side in SIDES:
        network = models.build(
            "unetplusplus_3d", input_shape=(32, side, side, 1), filters=16, **arguments
        )
        gigabytes = step_memory.training_gigabytes(network, 1, "mixed_bfloat16")
        gigabytes += step_memory.PROCESS_GIGABYTES
        memory.setdefault(name, []).append(gigabytes)
    parameters[name] = network.count_params()

figure, (axis,) = plots.panels(1, 2.8, columns=1)
for number, (name, gigabytes) in enumerate(memory.items()):
    places = np.arange(len(SIDES)) + 0.2 * (number - 1.5)
    bars = axis.bar(places, gigabytes, 0.18, label=name, color=plots.COLOURS[number])
    axis.bar_label(bars, fmt="%.1f", fontsize=7)
axis.set_xticks(range(len(SIDES)), [f"32 x {side} x {side}" for side in SIDES])
axis.set_ylabel("GB")
axis.margins(y=0.1)
axis.legend(fontsize=8)
notebook.show(figure, "Memory of a training step by variant and volume")

# %%
saved = 1 - memory["added, recomputed"][-1] / memory["concatenated"][-1]
fewer = 1 - parameters["added"] / parameters["concatenated"]
Markdown(
    f"Adding the skips leaves {parameters['added']:,} of "
    f"{parameters['concatenated']:,} weights ({fewer:.0%} fewer). Added and "
    f"recomputed, a step with slices of {SIDES[-1]} pixels takes an estimated "
    f"{memory['added, recomputed'][-1]:.1f} GB "
    f"instead of {memory['concatenated'][-1]:.1f} GB ({saved:.0%} less). Recomputation "
    "changes no result, only time."
)

# %% [markdown]
# ## What the networks reach
#
# Next to a 2-D UNet++ that was trained for as long on the same heads.

# %%
here.table("volume3d")

# %%
results = here.results("volume3d")
scores = plots.dice_of_heads(results)
if scores:
    figure = plots.scores_per_case(scores, "Dice per volume")
    display(notebook.show(figure, "Dice of each held-out head, by row"))
    figure = plots.training_curves(plots.histories(results))
    display(notebook.show(figure, "Loss and soft Jaccard by epoch, by row"))
else:
    display(here.missing("volume3d"))

# %% [markdown]
# ## Truth and prediction
#
# A held-out head with hemorrhage, in the slice with its largest lesion: every row that
# was run.

# %%
pictures = {}
for result in results.values():
    run = here.run(result.experiment)
    counts = result.counts["per_volume"]
    largest = max(counts, key=lambda name: counts[name]["truth_pixels"])
    for case, coded in run.task.stored_predictions(run):
        if case.case_id == largest:
            z = case.mask.sum((1, 2)).argmax()
            of_slice = case.volume.hu[z]
            pictures["truth"] = figures.overlay(of_slice, case.mask[z])
            predicted = figures.overlay(of_slice, coded[z] > 127)
            name = result.experiment.split("/")[1]
            pictures[f"{name}: {dice(counts[largest]):.2f}"] = predicted
            break
if pictures:
    display(notebook.sheet(pictures, columns=min(4, len(pictures))))
else:
    display(here.missing("volume3d"))

# %% [markdown]
# Next: [how to verify](05_how_to_verify.ipynb). UNet++: Zhou et al. 2018,
# arXiv:1807.10165.
