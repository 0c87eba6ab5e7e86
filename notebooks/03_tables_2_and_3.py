# %% [markdown]
# # Tables II and III: segmentation
#
# UNet++ over several encoders, against the U-Net of Hssayeni et al. [2]. The report
# trains on ct-ich and does not state its folds; here they are the folds of [2]. Without
# that data, this notebook shows the demo on the phantom, where every row is trained for
# 300 steps.

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
from IPython.display import Image, Markdown, display

from ich_tf import metrics
from ich_tf.evidence import compare, protocol_sweep, study, tables
from ich_tf.experiments.mask_results import dice
from ich_tf.metrics import evaluation
from ich_tf.prediction import figures, real_heads
from ich_tf.report import notebook, plots, sweep_figure
from ich_tf.synthetic import phantom

# "phantom", or the folder of ct-ich.
DATA = "phantom"  # @param {type:"string"}
here = notebook.start(DATA)

# %% [markdown]
# ## Table II, reported next to ours

# %%
here.table("table2")

# %% [markdown]
# ## Table III

# %%
here.table("table3")

# %% [markdown]
# ## Each head
#
# A mean hides its cases. Each dot is a held-out head with hemorrhage: Dice of the
# whole volume at threshold 0.5; boxes hold the middle half, the line is the median, and
# whiskers reach the last head within 1.5 lengths of the box. Rows that have not learned
# to segment, with a mean Dice of these heads below 0.15, are left out here and from the
# comparison of two rows.

# %%
results = here.results("table2", "table3")
learned = {name: result for name, result in results.items() if study.learned(result)}
scores = plots.dice_of_heads(learned)
if scores:
    figure = plots.scores_per_case(scores, "Dice per volume")
    display(notebook.show(figure, "Dice of each held-out head, by row"))
else:
    display(here.missing("table2", "table3"))

# %% [markdown]
# ## Training

# %%
histories = plots.histories(results)
short = [of.title for of in results.values() if of.title not in histories]
if histories:
    display(notebook.curves(histories))
    if short:
        display(Markdown(f"Rows with one epoch, not drawn: {'; '.join(short)}."))
else:
    display(here.missing("table2", "table3"))

# %% [markdown]
# ## Truth and prediction
#
# For the row with the best mean Dice per volume here (the table's protocol may rank
# rows differently): the worst, a middling and the best held-out head with hemorrhage,
# in its slice with the largest lesion. In the demo the probability is joined from four
# tiles side by side, without overlap: a straight dark bar through a lesion is their
# seam.

# %%
means = {title: np.mean(values) for title, values in scores.items() if values}
best = max(means, key=means.get) if means else None
run = next((here.run(name) for name in learned if learned[name].title == best), None)
pictures = {}
if run:
    counts = results[run.experiment.id].counts["per_volume"]
    bleeding = [name for name in counts if counts[name]["truth_pixels"]]
    bleeding.sort(key=lambda name: dice(counts[name]))
    chosen = [bleeding[0], bleeding[len(bleeding) // 2], bleeding[-1]]
    stored = {
        case.case_id: (case, of)
        for case, of in run.task.stored_predictions(run)
        if case.case_id in chosen
    }
    for name in chosen:
        case, coded = stored[name]
        z = case.mask.sum((1, 2)).argmax()
        of_slice = case.volume.hu[z]
        score = f"{name}, slice {z + 1}: Dice {dice(counts[name]):.2f}"
        pictures[score] = figures.gray(of_slice)
        pictures[f"{name}: truth"] = figures.overlay(of_slice, case.mask[z])
        pictures[f"{name}: predicted"] = figures.overlay(of_slice, coded[z] > 127)
        pictures[f"{name}: probability"] = figures.heat_colours(coded[z] / 255)
    alt = (
        "The worst, a middling and the best head: slice, truth, prediction, probability"
    )
    display(notebook.sheet(pictures, alt, columns=4))
    display(Markdown(f"Row: {best}."))
else:
    display(here.missing("table2", "table3"))

# %% [markdown]
# ## The shipped network on a new head
#
# The small UNet++ behind `predict`, on a phantom head it has not seen, marked at its
# operating point as `predict` does. It was trained longer than the rows above, on whole
# painted scans (`ich_tf/synthetic/scan_painting.py`) and phantom heads
# ([more](06_synthetic_hemorrhage.ipynb)).

# %%
case = phantom.generate(7, 104, slices=20, size=256, subtypes=["IPH"]).case
network = real_heads.load(here.folders.weights)
answer = network.segment(case)
probability = answer.hemorrhage
z = case.mask.sum((1, 2)).argmax()
notebook.sheet(
    {
        "slice": figures.gray(case.volume.hu[z]),
        "truth": figures.overlay(case.volume.hu[z], case.mask[z]),
        "predicted": figures.overlay(case.volume.hu[z], network.marked(answer)[z]),
        "probability": figures.heat_colours(probability[z]),
    },
    "A slice of a phantom head, its truth, the prediction and the probability",
    columns=4,
    side=256,
)

# %% [markdown]
# ## One prediction, many averages
#
# The report does not say how "Avg." is taken. The same prediction under each protocol
# of this project:

# %%
counted = evaluation.count(evaluation.encode(probability), case)
lines = []
for name, of_case in counted.items():
    rule = metrics.protocol(name)
    scored = metrics.summarise([of_case], rule, False)
    values = [scored[column]["mean"] for column in ("dice", "sensitivity")]
    lines.append(f"| {name} | {' | '.join(f'{value:.3f}' for value in values)} |")
Markdown(
    "| protocol | Dice | sensitivity of slices |\n| --- | --- | --- |\n"
    + "\n".join(lines)
)

# %% [markdown]
# The same for a whole row: its stored predictions under every convention that the
# report leaves open.

# %%
if run:
    conventions = protocol_sweep.sweep(run, lambda line: None)
    with tempfile.TemporaryDirectory() as scratch:
        path = pathlib.Path(scratch) / "protocols.png"
        sweep_figure.draw(conventions, path, f"{best}: {run.fingerprint['identity']}")
        alt = f"Dice of {best} under each convention"
        display(Image(path.read_bytes(), width=700, alt=alt))
    display(Markdown(protocol_sweep.describe(run, conventions)))
else:
    display(here.missing("table2", "table3"))

# %% [markdown]
# ## Two rows on the same heads

# %%
pair = list(tables.table("table3").rows)
names = [row.id for row in pair]
if all(name in learned for name in names):
    found = compare.render(*names, here.folders.results, here.profile)
    display(Markdown(found))
else:
    left = [each.title for each in pair if each.id not in learned]
    display(Markdown(f"Not compared: {'; '.join(left)} (not learned, or not run)."))

# %% [markdown]
# ## The report's questions
#
# A study trains each row until it no longer improves, and answers in words
# ([how](../docs/study.md)):

# %%
answers = study.known(here.folders.results, here.profile)
Markdown(study.markdown(answers) if answers else "No study is recorded yet.")

# %% [markdown]
# ## Train a row yourself
#
# The small 2-D UNet++ on 16 phantom heads of 64 pixels, for 300 steps: two or three
# minutes on two cores. `ich-tf reproduce ID` does this for any row, at any scale.

# %%
with tempfile.TemporaryDirectory() as scratch:
    own, result = here.train("volume3d/2d", scratch, epochs=3, steps_per_epoch=100)
    stored = list(own.task.stored_predictions(own))
(epochs,) = plots.histories({"": result}).values()
display(notebook.curves({"2-D UNet++, trained here": epochs}))
case, coded = max(stored, key=lambda pair: pair[0].mask.sum())
z = case.mask.sum((1, 2)).argmax()
notebook.sheet(
    {
        f"{case.case_id}, slice {z + 1}": figures.gray(case.volume.hu[z]),
        "truth": figures.overlay(case.volume.hu[z], case.mask[z]),
        "predicted": figures.overlay(case.volume.hu[z], coded[z] > 127),
        "probability": figures.heat_colours(coded[z] / 255),
    },
    "The largest lesion: slice, truth, prediction and probability of the trained row",
    columns=4,
)

# %%
Markdown(f"2-D UNet++, trained here: {result.details()}.")

# %% [markdown]
# Next: [the 3-D UNet++](04_unetplusplus_3d.ipynb). [2] is Hssayeni et al. 2020,
# doi:10.3390/data5010014.
