"""The stages of `ich-tf all`, with a stand-in that makes what the verbs would make."""

import os
import pathlib

import pytest

from ich_tf import cli
from ich_tf.cli import all_stages
from ich_tf.cli.all_plans import ORDER, PLANS, VERDICTS
from ich_tf.evidence import study
from ich_tf.experiments.catalog import CATALOG


class Verbs:
    """Stands for the processes: notes each call, writes what the verb would write.

    Args:
        fails: A word; a command that contains it ends with status 1, saying nothing.
        verdict: Exit status of `verify`.
    """

    def __init__(self, fails=None, verdict=2):
        self.calls, self.fails, self.verdict = [], fails, verdict

    def __call__(self, command, environment, log=None, output=None):
        call = " ".join(command).removeprefix("-m ich_tf ")
        self.calls.append(call)
        results = pathlib.Path(environment["ICH_TF_RESULTS"])
        folder = results / environment["ICH_TF_PROFILE"]
        if log is not None:
            log.write_text(f"output of {call}\n")
        failed = self.fails is not None and self.fails in call
        if output is not None:
            output.write_text("" if failed else f"output of {call}\n")
        if failed:
            return 1
        verb = call.split()[0]
        if verb == "reproduce":
            for row in {PLANS[name].swept for name in ("demo", "quick")}:
                path = folder / f"{row}.json"
                if "table2" in call and not path.exists():
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_text("{}")
                    make_old(path)
        elif verb == "protocols":
            figure = folder / call.split()[1] / "protocols.png"
            figure.parent.mkdir(parents=True, exist_ok=True)
            figure.touch()
        elif verb == "report":
            (folder / "report.html").touch()
        elif verb.endswith("build.py"):
            (folder / "notebooks").mkdir(exist_ok=True)
        return self.verdict if verb == "verify" else 0


def make_old(path):
    os.utime(path, (10**9, 10**9))


def run(results, profile="demo", verbs=None, **settings):
    verbs = verbs or Verbs()
    everything = all_stages.AllStages(profile, results, launch=verbs, **settings)
    everything.run()
    return everything, [call.replace(f"{results}/", "") for call in verbs.calls]


def test_every_stage_runs_in_order_and_leaves_a_log(tmp_path, capsys):
    everything, calls = run(tmp_path)
    assert calls[:-1] == [
        "reproduce table2 table3 --profile demo",
        "reproduce table1 --profile demo",
        "reproduce volume3d --profile demo",
        "reproduce related --profile demo",
        f"protocols {PLANS['demo'].swept} --profile demo",
        "audit --profile demo",
        "tables --profile demo",
        "verify --profile demo",
        "report --profile demo",
    ]
    assert calls[-1].endswith("notebooks/build.py --out demo/notebooks")
    assert tuple(everything.took) == ORDER
    assert {path.stem for path in (tmp_path / "logs").iterdir()} == set(ORDER)
    assert (tmp_path / "demo/tables.md").read_text() == f"output of {calls[6]}\n"
    summary = everything.summary()
    for made in ("tables.md", "report.html", "notebooks", "logs", "status 2"):
        assert made in summary
    # 25 + 11 + 5 + 2 + 1 + 1 minutes are planned for the demo.
    assert "about 45 left" in capsys.readouterr().out


def test_a_second_start_makes_again_only_what_changed(tmp_path):
    run(tmp_path)
    _, calls = run(tmp_path)
    # `reproduce` keeps its finished rows itself.
    verbs = [call.split()[0] for call in calls]
    assert verbs == [*["reproduce"] * 4, "audit", "tables", "verify"]
    for made in ("report.html", "notebooks/built"):
        make_old(tmp_path / "demo" / made)
    _, calls = run(tmp_path)
    assert calls[-2].startswith("report ")
    assert "build.py" in calls[-1]


@pytest.mark.parametrize(
    ("fails", "stage", "before"),
    [("volume3d", "volume-3d", 3), ("verify", "verify", 8)],
)
def test_a_failed_stage_ends_it_and_names_its_log(tmp_path, fails, stage, before):
    """`verify` that breaks has the status of a verdict, 1, but says nothing."""
    verbs = Verbs(fails=fails)
    log = tmp_path / "logs" / f"{stage}.log"
    with pytest.raises(
        all_stages.StageFailed, match=f"{stage} failed; its log is {log}"
    ):
        run(tmp_path, verbs=verbs)
    assert len(verbs.calls) == before


@pytest.mark.parametrize("verdict", [0, 1, 2])
def test_a_verdict_is_no_failure(tmp_path, verdict):
    everything, _ = run(tmp_path, verbs=Verbs(verdict=verdict))
    assert f"status {verdict}" in everything.summary()


def test_the_phantom_reproduces_nothing(tmp_path):
    phantom, _ = run(tmp_path / "a", verbs=Verbs(verdict=0))
    assert VERDICTS[True][0] in phantom.summary()
    real, _ = run(tmp_path / "b", "paper", Verbs(verdict=0), on_phantom=False)
    assert VERDICTS[False][0] in real.summary()


def test_the_time_left_grows_where_stages_took_longer(tmp_path):
    everything = all_stages.AllStages("demo", tmp_path)
    assert everything.minutes_left("tables-2-3", 0) == 45
    assert everything.minutes_left("table-1", 25) == 20
    # Twice the planned 25 minutes: what is left takes twice as long too.
    assert everything.minutes_left("table-1", 50) == 40
    assert all_stages.AllStages("paper", tmp_path).minutes_left("table-1", 50) is None


def test_quick_runs_a_row_of_each_table(tmp_path):
    _, calls = run(tmp_path, "quick")
    assert calls[:4] == [
        "reproduce table2/resnet50-random-bce table3/unet-hssayeni --profile quick",
        "reproduce table1 --profile quick",
        "reproduce volume3d/add --profile quick",
        "reproduce related/hu-threshold --profile quick",
    ]


def test_the_study_runs_three_seeds_and_answers(tmp_path):
    everything, calls = run(tmp_path, "study")
    trained = [call for call in calls if call.startswith("reproduce")]
    assert [call.split("--seed ")[-1] for call in trained[5:]] == [*"1111", *"2222"]
    assert {trained[number].split()[1] for number in (0, 5, 9)} == {"table2"}
    assert calls.count("study --profile study") == 1
    # As many stages for each seed, then everything that reads results.
    names = [stage.name for stage in everything.stages()]
    assert names[3:7] == ["related", "options", "tables-2-3-1", "table-1-1"]


def test_the_study_runs_what_its_questions_need(tmp_path):
    _, calls = run(tmp_path, "study")
    ran = set()
    for call in (call for call in calls if call.startswith("reproduce")):
        names = call.split(" --profile")[0].split()[1:]
        seed = int(call.partition("--seed ")[2] or 0)
        ran |= {(row.id, seed) for name in names for row in CATALOG.find(name)}
    assert ran >= set(study.trainings())
    options = {(row, seed) for row, seed in ran if row in study.ONE_SEED}
    assert options == {(row, 0) for row in study.ONE_SEED}


def test_paper_runs_what_there_are_data_for(tmp_path):
    settings = {"arguments": ("--strategy", "one"), "on_phantom": False}
    _, calls = run(tmp_path / "both", "paper", **settings)
    assert calls[:4] == [
        "reproduce table2 table3 --strategy one --profile paper",
        "reproduce table1 --strategy one --profile paper",
        "reproduce volume3d --strategy one --profile paper",
        "reproduce related audit --strategy one --profile paper",
    ]
    _, calls = run(tmp_path / "rsna", "paper", has_masks=False, **settings)
    assert [call.split()[0] for call in calls[:2]] == ["reproduce", "audit"]
    assert "table1" in calls[0]


def test_paper_trains_nothing_while_something_is_missing(tmp_path):
    verbs = Verbs(fails="--check")
    everything = all_stages.AllStages("paper", tmp_path, launch=verbs, has_masks=False)
    with pytest.raises(all_stages.StageFailed, match="nothing was run"):
        everything.check()
    assert verbs.calls == ["reproduce --check table1 --profile paper"]


def test_output_is_shown_logged_and_copied(tmp_path, capfd):
    log, output = tmp_path / "log", tmp_path / "output"
    code = "import os, sys; print(os.environ['X']); print('e', file=sys.stderr)"
    command = ("-c", f"{code}; sys.exit(3)")
    assert all_stages.run_and_log(command, {"X": "row"}, log) == 3
    assert sorted(log.read_text().splitlines()[1:]) == ["e", "row"]
    assert all_stages.run_and_log(command, {"X": "row"}, log, output) == 3
    assert output.read_text() == "row\n"
    assert capfd.readouterr().out == "row\ne\nrow\n"


@pytest.mark.parametrize(
    "arguments",
    [["everything"], ["--profile", "large"], ["--strategy"], ["--seed=1"]],
)
def test_a_wrong_call_is_refused(arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["all", *arguments])
    assert stop.value.code == 2
    assert arguments[0].split("=")[0] in capsys.readouterr().err


@pytest.mark.parametrize("how", [["paper"], ["--profile=paper"]])
def test_paper_needs_the_real_data(how, capsys, monkeypatch):
    for variable in ("ICH_TF_CT_ICH", "ICH_TF_RSNA"):
        monkeypatch.delenv(variable, raising=False)
    assert cli.main(["all", *how]) == 2
    error = capsys.readouterr().err
    assert "--ct-ich" in error and "--rsna" in error
    assert cli.main(["all", "--quick", "paper"]) == 2


def test_every_plan_names_known_stages():
    for plan in PLANS.values():
        assert set(plan.minutes) <= set(ORDER)
