# %% [markdown]
# # How to verify
#
# A table is easy to type. Here every number is computed from a result file that holds
# the counts of each case and how they were made; `verify` recomputes the means
# before it gives a verdict. This notebook shows the verdicts, plants faults into
# a copy of a result to see whether they are found, and checks the report against
# itself.

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
import copy
import pathlib
import tempfile
from collections import Counter

from IPython.display import Markdown, display

from ich_tf.evidence import audit, verify
from ich_tf.experiments import provenance, reproduce, runner
from ich_tf.experiments.catalog import CATALOG
from ich_tf.report import notebook

# "phantom", or the folder of ct-ich.
DATA = "phantom"  # @param {type:"string"}
here = notebook.start(DATA)

# %% [markdown]
# ## The rule

# %%
Markdown("\n".join(f"- {kind}: {rule}" for kind, rule in verify.RULES.items()))

# %% [markdown]
# ## The verdicts
#
# One for each number of each table. On the phantom they are compared with
# `docs/demo.json`, which was recorded from these results, so all agree; after your own
# training expect "within". With real data there is one for each number that the report
# prints. The same on the command line: `python -m ich_tf verify`. What was not run
# never passes.

# %%
checks = verify.verify(here.folders.results, here.profile)
counted = Counter((one.cell.table, one.kind, one.verdict) for one in checks)
lines = [f"| {' | '.join(key)} | {count} |" for key, count in counted.items()]
display(
    Markdown(
        "| table | compared with | verdict | numbers |\n| --- | --- | --- | --- |\n"
        + "\n".join(lines)
    )
)
every = f"```\n{verify.text(checks)}```"
Markdown(f"<details><summary>Every number</summary>\n\n{every}\n\n</details>")

# %%
MEANING = {
    0: "every number passed (on the phantom: is as recorded, which reproduces nothing)",
    1: "a number is better or worse than the report's, or differs from the record",
    2: "nothing differs, but numbers are undecided, not run or not comparable",
}
status = verify.status(checks)
Markdown(f"Exit status {status}: {MEANING[status]}.")

# %% [markdown]
# ## What a result file holds
#
# For one row. If none was run, a threshold on Hounsfield units is evaluated on a few
# phantom heads: a method without a network, which takes seconds.

# %%
results = here.results("table3", "table2")
if results:
    result = list(results.values())[0]
else:
    with tempfile.TemporaryDirectory() as scratch:
        folders = runner.Folders(pathlib.Path(scratch), here.folders.weights)
        (result,) = reproduce.reproduce_by_name(
            ["related/hu-threshold"],
            folders,
            profile="quick",
            say=lambda line: None,
        )
row = CATALOG.row(result.experiment)
counts = result.counts["per_volume"]
scale = result.spec["profile"]
chosen = ("name", "size", "folds", "epochs", "steps_per_epoch", "batch")
facts = {
    "row": result.title,
    "data": f"{result.identity}, {len(result.data['cases'])} cases, "
    f"fingerprint {provenance.digest(result.data)}",
    "held-out cases with counts": len(counts),
    "settings, among others": ", ".join(f"{k} {scale[k]}" for k in chosen),
    "seed": result.spec["seed"],
    "made at commit": ", ".join(filter(None, result.commits)),
    "on": ", ".join(result.devices),
    "with": ", ".join(f"{k} {v}" for k, v in result.versions[0].items()),
    "the report leaves open": "; ".join(result.leaves_open),
}
Markdown(
    "| | |\n| --- | --- |\n"
    + "\n".join(f"| {name} | {value} |" for name, value in facts.items())
)

# %% [markdown]
# ## Planted faults
#
# Each is planted into a copy; `Result.faults` must name it, and must name nothing in
# the unchanged file.

# %%
case_id = next(iter(counts))


def better_mean(content):
    content.summary["hssayeni2020"]["dice"]["mean"] = 0.9


def lost_case(content):
    del content.counts["hssayeni2020"][case_id]


def found_blood(content):
    content.counts["per_volume"][case_id]["tp"][0] += 1


def other_data(content):
    was = content.data["identity"]
    content.data["identity"] = "phantom" if was == "ct-ich 1.3.1" else "ct-ich 1.3.1"


found = {"the file as it is": result.faults(row, result.profile)}
for plant in (better_mean, lost_case, found_blood, other_data):
    copied = copy.deepcopy(result)
    plant(copied)
    found[plant.__name__] = copied.faults(row, result.profile)
Markdown(
    "| planted | found |\n| --- | --- |\n"
    + "\n".join(
        f"| {name.replace('_', ' ')} | {faults[0] if faults else 'nothing'} |"
        for name, faults in found.items()
    )
)

# %%
original, *planted = found.values()
caught = sum(map(bool, planted))
Markdown(
    f"{caught} of {len(planted)} planted faults are found, and {len(original)} in the "
    "file as it is."
)

# %% [markdown]
# ## The report checked against itself
#
# `ich-tf audit`: sums, bounds and whole numbers that the report's own
# numbers must obey, and the published facts of its data sets. These need no data.
# The last findings need rows that `ich-tf reproduce audit` trains;
# [docs/audit.md](../docs/audit.md) has them all.

# %%
findings = audit.audit(here.folders.results, here.profile, here.folders.ct_ich)
Markdown(audit.render(findings))

# %%
verdicts = Counter(one.verdict for one in findings)
Markdown(
    "Findings: "
    + ", ".join(f"{count} {verdict}" for verdict, count in verdicts.items())
    + "."
)

# %% [markdown]
# ## With the real data
#
# ```
# ./run_all.sh paper --ct-ich DIR --rsna DIR
# ich-tf verify --profile paper --recount --ct-ich DIR
# ```
#
# The second also counts all masks again, from the stored probabilities and the data.
#
# Next: [how far synthetic hemorrhage carries](06_synthetic_hemorrhage.ipynb).
