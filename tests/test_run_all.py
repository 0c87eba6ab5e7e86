"""`run_all.sh` with a stand-in for Python: stages, logs, second start, failures."""

import os
import pathlib
import shutil
import subprocess

import pytest

PROJECT = pathlib.Path(__file__).resolve().parent.parent
STAGES = [
    "tables-2-3",
    "table-1",
    "volume-3d",
    "related",
    "protocols",
    "audit",
    "tables",
    "verify",
    "report",
    "notebooks",
]
# Writes down its call, and makes what the verb would make.
PYTHON = r"""#!/usr/bin/env bash
echo "$*" >> calls
echo "said by $*"
results=${ICH_TF_RESULTS:-results}
case "$*" in
  *"reproduce table2"*)
    mkdir -p "$results/demo/table2/vgg16-random-bce"
    [ -e "$results/demo/table2/vgg16-random-bce.json" ] ||
      touch -d "1 hour ago" "$results/demo/table2/vgg16-random-bce.json" ;;
esac
case "$*" in
  *"${FAILS:-nothing}"*) echo "broken" >&2; exit 1 ;;
  *"ich_tf verify"*)
    [ -n "${CRASH:-}" ] || echo "regression: the rule"
    exit "${VERDICT:-2}" ;;
  *"ich_tf protocols"*) touch "$results/${@: -1}/$4/protocols.png" ;;
  *"ich_tf report"*) touch "$results/${@: -1}/report.html" ;;
  *build.py*) mkdir -p "${@: -1}" ;;
esac
"""


@pytest.fixture
def project(tmp_path):
    """A project with nothing but the script, its stand-in and one source file."""
    for name in ("run_all.sh", "requirements.txt", "pyproject.toml"):
        shutil.copy(PROJECT / name, tmp_path)
    for name in ("ich_tf", "notebooks", ".venv/bin"):
        (tmp_path / name).mkdir(parents=True)
    python = tmp_path / ".venv/bin/python"
    python.write_text(PYTHON)
    python.chmod(0o755)
    (tmp_path / "ich_tf" / "code.py").write_text("")
    _long_ago(tmp_path / "ich_tf" / "code.py")
    return tmp_path


def _long_ago(path):
    os.utime(path, (10**9, 10**9))


def run(project, *arguments, **variables):
    ours = {"ICH_TF_CT_ICH", "ICH_TF_RSNA", "ICH_TF_RESULTS", "ICH_TF_WEIGHTS"}
    kept = {name: value for name, value in os.environ.items() if name not in ours}
    return subprocess.run(
        ["bash", "run_all.sh", *arguments],
        cwd=project,
        env={**kept, **variables},
        capture_output=True,
        text=True,
    )


def calls(project):
    path = project / "calls"
    made = path.read_text().splitlines() if path.exists() else []
    path.unlink(missing_ok=True)
    return [call.removeprefix("-m ich_tf ") for call in made if "pip" not in call]


def test_every_stage_runs_and_leaves_a_log(project):
    done = run(project)
    assert done.returncode == 0, done.stderr
    assert calls(project) == [
        "reproduce table2 table3 --profile demo",
        "reproduce table1 --profile demo",
        "reproduce volume3d --profile demo",
        "reproduce related --profile demo",
        "protocols table2/vgg16-random-bce --profile demo",
        "audit --profile demo",
        "tables --profile demo",
        "verify --profile demo",
        "report --profile demo",
        "notebooks/build.py --out results/demo/notebooks",
    ]
    logs = project / "results/logs"
    assert sorted(path.stem for path in logs.iterdir()) == sorted(STAGES)
    for stage in STAGES:
        said = (logs / f"{stage}.log").read_text()
        assert "said by" in said
        assert said.splitlines()[1] in done.stdout
    summary = done.stdout.split("== done in ")[1]
    for made in ("tables.md", "report.html", "notebooks", "logs", "reproduce nothing"):
        assert made in summary
    assert "status 2: nothing differs, but rows were not run" in summary
    for stage in STAGES:
        assert f"{stage} 0" in summary
    assert "0 minutes so far, about 45 left on two cores" in done.stdout


def test_a_second_start_makes_nothing_anew(project):
    run(project)
    calls(project)
    done = run(project)
    assert done.returncode == 0
    swept = "results/demo/table2/vgg16-random-bce/protocols.png"
    assert f"the sweep is up to date: {swept}" in done.stdout
    assert "the report is up to date: results/demo/report.html" in done.stdout
    assert "the notebooks are up to date: results/demo/notebooks" in done.stdout
    # `reproduce` is asked, and keeps its finished rows itself.
    assert [call.split()[0] for call in calls(project)] == [
        *["reproduce"] * 4,
        "audit",
        "tables",
        "verify",
    ]


def test_a_new_result_makes_report_and_notebooks_anew(project):
    run(project)
    calls(project)
    for path in ("report.html", "notebooks/built"):
        _long_ago(project / "results/demo" / path)
    (project / "results/demo/row.json").write_text("{}")
    run(project)
    assert [call.split()[0] for call in calls(project)][-2:] == [
        "report",
        "notebooks/build.py",
    ]


def test_a_failed_stage_ends_it_and_names_its_log(project):
    done = run(project, FAILS="volume3d")
    assert done.returncode == 1
    assert "the stage volume-3d failed; its log is results/logs/volume-3d.log" in (
        done.stderr
    )
    assert "broken" in (project / "results/logs/volume-3d.log").read_text()
    assert len(calls(project)) == 3
    assert "== done" not in done.stdout


@pytest.mark.parametrize(
    ("verdict", "said"),
    [("0", "0: every number"), ("1", "1: something differs"), ("2", "2: nothing")],
)
def test_a_verdict_is_no_failure(project, verdict, said):
    done = run(project, VERDICT=verdict)
    assert done.returncode == 0
    assert f"status {said}" in done.stdout.split("== done in ")[1]


def test_a_verify_that_breaks_is_a_failure(project):
    done = run(project, VERDICT="1", CRASH="yes")
    assert done.returncode == 1
    assert "the stage verify failed; its log is results/logs/verify.log" in done.stderr


def test_quick_runs_rows_of_each_table(project):
    assert run(project, "--quick").returncode == 0
    made = calls(project)
    assert made[:4] == [
        "reproduce table2/resnet50-random-bce table3/unet-hssayeni --profile quick",
        "reproduce table1 --profile quick",
        "reproduce volume3d/add --profile quick",
        "reproduce related/hu-threshold --profile quick",
    ]
    assert made[-1] == "notebooks/build.py --out results/quick/notebooks"


def test_an_equals_sign_is_as_good_as_a_space(project):
    spaced = ["paper", "--ct-ich", "/a", "--results", "out", "--strategy", "one"]
    joined = ["--profile=paper", "--ct-ich=/a", "--results=out", "--strategy=one"]
    made = []
    for arguments in (spaced, joined):
        assert run(project, *arguments).returncode == 0
        made.append(calls(project))
        assert (project / "out/paper/tables.md").is_file()
        shutil.rmtree(project / "out")
    assert made[0] == made[1]
    assert not (project / "results").exists()


@pytest.mark.parametrize("how", [["paper"], ["--profile", "paper"]])
def test_paper_runs_what_there_are_data_for(project, how):
    done = run(project, *how)
    assert done.returncode == 2
    assert "paper needs the real data: --ct-ich DIR, --rsna DIR or both" in done.stderr
    assert calls(project) == []
    both = run(project, *how, "--ct-ich", "a", "--rsna", "/b", "--strategy", "one")
    assert both.returncode == 0
    assert calls(project)[:6] == [
        "reproduce --check table2 table3 table1 volume3d related audit "
        "--profile paper --strategy one",
        "reproduce table2 table3 --profile paper --strategy one",
        "reproduce table1 --profile paper --strategy one",
        "reproduce volume3d --profile paper --strategy one",
        "reproduce related audit --profile paper --strategy one",
        "audit --profile paper",
    ]
    assert "reproduce nothing" not in both.stdout
    assert run(project, *how, "--rsna", "/b").returncode == 0
    assert calls(project)[:3] == [
        "reproduce --check table1 --profile paper",
        "reproduce table1 --profile paper",
        "audit --profile paper",
    ]


def test_paper_trains_nothing_while_something_is_missing(project):
    done = run(project, "paper", "--rsna", "/b", FAILS="--check")
    assert done.returncode != 0
    assert "broken" in done.stderr
    assert calls(project) == ["reproduce --check table1 --profile paper"]


def test_folders_are_those_of_the_caller(project):
    python = project / ".venv/bin/python"
    python.write_text(PYTHON + 'echo "$ICH_TF_CT_ICH $ICH_TF_RESULTS" >> folders\n')
    (project / "below").mkdir()
    done = subprocess.run(
        ["bash", "../run_all.sh", "--ct-ich", "x", "--results", "out"],
        cwd=project / "below",
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    first = (project / "folders").read_text().splitlines()[-1].split()
    below = project.resolve() / "below"
    assert [pathlib.Path(name) for name in first] == [below / "x", below / "out"]
    assert (below / "out/logs/audit.log").is_file()


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["everything"], "unknown mode: everything"),
        (["--profile", "large"], "unknown profile: large (demo, paper, quick)"),
        (["--ct-ich"], "--ct-ich needs a value"),
        (["--strategy"], "--strategy needs a value"),
        (["--quick", "paper"], "paper is no option; a profile comes first"),
        (["--seed", "1"], "--seed is for one row"),
        (["--seed=1"], "--seed is for one row"),
    ],
)
def test_a_wrong_call_says_why(project, arguments, reason):
    done = run(project, *arguments)
    assert done.returncode == 2
    assert reason in done.stderr
    assert calls(project) == []


def test_help_tells_every_mode(project):
    said = run(project, "--help").stdout
    for mode in ("--quick", "paper ARGS", "test [ARGS]", "install", "--results DIR"):
        assert mode in said
    assert said.splitlines()[-1].startswith("A second start")
