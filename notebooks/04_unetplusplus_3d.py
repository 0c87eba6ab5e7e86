# %% [markdown]
# # The 3-D UNet++ that the report could not train
#
# Section V of the report: a 3-D UNet++ over whole volumes ran out of GPU memory, so the
# report prints no number; it proposes two remedies: training on the CPU, and adding the
# skip connections instead of concatenating them. A third is to recompute activations
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
# twice, because slices are thick. Below: the same head at the size of the demo's
# slices, from below (axial), from the front (coronal) and from the side (sagittal); the
# frame is a patch of the demo.

# %%
size = volume3d.DEMO.size
case = phantom.generate(7, 105, slices=32, size=size, subtypes=["IPH"]).case
# Slices begin at the foot; the head is shown upright.
hu, mask = case.volume.hu[::-1], case.mask[::-1]
middle = [int(np.median(places)) for places in np.nonzero(mask)]
patch = []
for place, side, whole in zip(middle, volume3d.DEMO.patch, hu.shape, strict=True):
    start = min(max(0, place - side // 2), whole - side)
    patch.append(slice(start, start + side))
spacing_mm = case.volume.spacing_mm
scale = [round(4 * mm / spacing_mm[1]) for mm in spacing_mm]
views = {}
for axis, name in enumerate(("axial", "coronal", "sagittal")):
    place = middle[axis]
    view = figures.overlay(hu.take(place, axis), mask.take(place, axis))
    part, enlarged = (
        tuple(of for k, of in enumerate(every) if k != axis) for every in (patch, scale)
    )
    views[name] = figures.framed(view, part, enlarged)
alt = "A head from below, from the front and from the side; a frame marks the patch"
notebook.sheet(views, alt, columns=3)

# %%
head, part = (" x ".join(map(str, of)) for of in (hu.shape, volume3d.DEMO.patch))
Markdown(
    f"Pixels of {spacing_mm[1]:.1f} mm in slices {spacing_mm[0]:g} mm apart. The head "
    f"is {head}, the patch {part}."
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
# Next to a 2-D UNet++ that was trained for as long on the same heads. The demo's
# patches are so small that the process itself dominates its peak memory, so that column
# cannot show what the skips and recomputation save. Steps that were measured on a whole
# head do ([benchmarks](../benchmarks/README.md)): 19.5 GB concatenated,
# 15.5 GB added, 11.0 GB concatenated and recomputed, 8.9 GB added and recomputed.

# %%
here.table("volume3d")

# %%
results = here.results("volume3d")
scores = plots.dice_of_heads(results)
if scores:
    figure = plots.scores_per_case(scores, "Dice per volume")
    display(notebook.show(figure, "Dice of each held-out head, by row"))
    display(notebook.curves(plots.histories(results)))
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
    alt = "The largest lesion: the truth, and what each row predicts with its Dice"
    display(notebook.sheet(pictures, alt, columns=len(pictures)))
else:
    display(here.missing("volume3d"))

# %% [markdown]
# Next: [how to verify](05_how_to_verify.ipynb). UNet++: Zhou et al. 2018,
# arXiv:1807.10165.
