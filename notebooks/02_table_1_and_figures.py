# %% [markdown]
# # Table I and Figures 3-7: classification
#
# A ResNeXt classifies each slice; its features, reduced by PCA, go through a
# bidirectional LSTM that sees the whole scan, after Burduja et al. [1]. The report
# trains this on RSNA 2019. Without that data, this notebook shows the demo on the
# phantom: a small ResNeXt from random weights.

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
from IPython.display import Markdown, display
from PIL import Image

from ich_tf import labels
from ich_tf.evidence import compare, held_out_figures, localization
from ich_tf.experiments import results as stored
from ich_tf.prediction import classify
from ich_tf.report import notebook, plots
from ich_tf.synthetic import phantom

# "phantom", or the folder of RSNA 2019.
DATA = "phantom"  # @param {type:"string"}
here = notebook.start(DATA, "rsna")
SLICES, SCANS = "table1/resnext101", "table1/resnext101-lstm"

# %% [markdown]
# ## Table I, reported next to ours
#
# "Never predicted" is the accuracy of a network that never says hemorrhage; an accuracy
# no higher than that shows nothing.

# %%
display(here.table("table1"), here.table("table1-losses"))

# %% [markdown]
# ## ROC curves
#
# Slices of the held-out scans, each class against all other slices.

# %%
results = here.results("table1")
if results:
    figure = plots.roc_curves(plots.slice_answers(results))
    display(notebook.show(figure, "ROC curves of each class, by network"))
else:
    display(here.missing("table1"))

# %% [markdown]
# ## Training

# %%
if results:
    display(notebook.curves(plots.histories(results)))
else:
    display(here.missing("table1"))

# %% [markdown]
# ## What the sequence model adds
#
# Both networks on the same held-out scans. The difference is taken on the same draws
# of patients, so its interval is usually narrower than if the two networks had been
# tested on different patients.

# %%
if SLICES in results and SCANS in results:
    found = compare.render(SLICES, SCANS, here.folders.results, here.profile)
    display(Markdown(found))
else:
    display(here.missing(SLICES, SCANS))

# %% [markdown]
# ## One head, slice by slice
#
# The shipped networks (small, trained on the phantom) on a new phantom head: the slice
# network sees each slice on its own, the sequence model all of them together. The
# shaded slices hold blood.

# %%
head = phantom.generate(7, 103, slices=24, size=256, subtypes=["SDH"])
network = classify.load(weights_dir=here.folders.weights)
alone = classify.slice_answers(network, head.case.volume)[1]
together, _ = classify.scan_answers(head.case.volume, here.folders.weights)
every = labels.index(labels.ANY)
figure, (axis,) = plots.panels(1, 2.6, columns=1)
numbers = np.arange(1, len(alone) + 1)
truth = head.case.labels[:, every]
axis.fill_between(numbers, truth, step="mid", alpha=0.15, color="black", lw=0)
axis.plot(numbers, alone[:, every], "o-", ms=3, label="each slice on its own")
axis.plot(numbers, together[:, every], "o-", ms=3, label="all slices together")
axis.set_ylim(0, 1.02)
axis.set_xlabel("slice, from foot to head")
axis.set_ylabel("probability of hemorrhage")
axis.legend(fontsize=8)
notebook.show(figure, "Probability of hemorrhage by slice, alone and together")

# %%
right = [
    f"{np.mean((answer[:, every] > 0.5) == truth):.0%}" for answer in (alone, together)
]
Markdown(
    f"Of the {len(truth)} slices of this head, {right[0]} are right one by one and "
    f"{right[1]} together. One head shows how it works, not how well."
)

# %% [markdown]
# ## Figures 3-7: where a network sees each subtype
#
# Heatmap, overlay and slice, as in the report. With RSNA 2019: Grad-CAM of Table I's
# slice network, on the held-out slices that show a subtype and have the highest
# probability of it. Without: the network of `predict` on phantom heads; the heatmap is
# each pixel's probability of the subtype. On the phantom the blood is outlined, to show
# whether the heat is on it. The heatmap of a subtype to which the network gives a low
# probability (p in a title) means little.

# %%
run_folder = stored.result_file(here.folders.results, here.profile, SLICES)
text, shown = held_out_figures.figures_and_captions(run_folder.with_suffix(""))
if not shown:
    # Drawn here, into a folder that is removed with the notebook's kernel.
    drawn = tempfile.TemporaryDirectory()
    localization.of_predict(pathlib.Path(drawn.name), here.folders.weights, print)
    text, shown = held_out_figures.figures_and_captions(pathlib.Path(drawn.name))
display(Markdown(text))
for path, caption in shown.items():
    display(Markdown(caption), notebook.picture(Image.open(path), caption))

# %% [markdown]
# How often the heat of Table I's network is on the blood is measured in
# [docs/classification.md](../docs/classification.md). Next: [Tables II and
# III](03_tables_2_and_3.ipynb). [1] is Burduja et al. 2020, doi:10.3390/s20195611.
