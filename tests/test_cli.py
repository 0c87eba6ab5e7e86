import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import time

import pytest

import ich_tf
from ich_tf import cli
from ich_tf.cli import options, terminal
from ich_tf.cli.main import CLOSED_PIPE, GROUPS
from ich_tf.evidence import readme


def run(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "ich_tf", *arguments], capture_output=True, text=True
    )


def test_help_names_every_verb():
    process = run("--help")
    assert process.returncode == 0
    for verb in (
        *("phantom", "check-data", "train", "prepare", "reproduce", "compare"),
        *("tables", "verify", "protocols", "audit", "predict", "explain", "weights"),
    ):
        assert verb in process.stdout


def test_help_and_tables_import_nothing_heavy(tmp_path):
    code = (
        "import sys; from ich_tf import cli\n"
        f"cli.main(['tables', '--results', {str(tmp_path)!r}])\n"
        "heavy = {'tensorflow', 'keras', 'scipy', 'numpy.testing', 'matplotlib'}\n"
        "sys.exit(', '.join(heavy & set(sys.modules)) or 0)"
    )
    process = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True
    )
    assert process.returncode == 0, process.stderr
    assert process.stdout.count("not run") > 20


@pytest.mark.parametrize("verb", ["verify", "evaluate"])
def test_the_page_of_a_verb_has_its_options(verb, capsys):
    with pytest.raises(SystemExit):
        cli.main([verb, "--help"])
    options = set(re.findall(r"--[a-z-]+", capsys.readouterr().out))
    # Every verb has the first ones; docs/install.md describes the options for folders.
    options -= {"--help", "--verbose", "--quiet", "--json"}
    options -= {"--ct-ich", "--rsna", "--weights-dir", "--results"}
    page = (readme.DOCS / f"{verb}.md").read_text()
    assert {option for option in options if option not in page} == set()


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_tables_are_printed_in_every_encoding(tmp_path, encoding):
    # Twice: as a table with dashes, and with a folder whose name is no UTF-8.
    folder = os.fsdecode(b"caf\xff")
    for arguments in (["tables"], ["report", "--results", folder]):
        printed = subprocess.run(
            [sys.executable, "-m", "ich_tf", *arguments],
            capture_output=True,
            env={**os.environ, "PYTHONIOENCODING": encoding, "ICH_TF_RESULTS": "none"},
        )
        text = (printed.stdout + printed.stderr).decode(encoding)
        assert "Traceback" not in text
        assert ("not run" in text) if arguments == ["tables"] else ("caf" in text)


@pytest.mark.parametrize(
    ("verb", "folders"),
    [
        ("tables", {"--results"}),
        ("predict", {"--weights-dir"}),
        ("phantom", set()),
        ("check-data", {"--ct-ich", "--rsna"}),
        ("reproduce", {"--ct-ich", "--rsna", "--weights-dir", "--results"}),
    ],
)
def test_a_verb_takes_the_folders_that_it_reads(verb, folders, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main([verb, "--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    every = {"--ct-ich", "--rsna", "--weights-dir", "--results"}
    assert {option for option in every if option in text} == folders


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["check-data"], "--ct-ich"),
        (["check-data", "--ct-ich", "nowhere"], "nowhere is not a folder"),
        (["tables", "table9"], "Known: table1,"),
        (["predict", "absent.nii", "--out", "out"], "absent.nii"),
        (["reproduce", "table2", "--profile", "paper"], "ICH_TF_CT_ICH"),
        (["train", "table9/x"], "Unknown experiment"),
        (["train", "table2/vgg16-random-bce", "--strategy", "tpu"], "no TPU here"),
        (
            ["reproduce", "table2", "--strategy", "multiworker"],
            "multiworker` needs TF_CONFIG",
        ),
        (["prepare", "table1/resnext101"], "ICH_TF_RSNA"),
        (["compare", "table1", "table1"], "table1 is not one row"),
        (
            ["compare", "table1/resnext101", "table1/resnext101-lstm"],
            "ich-tf reproduce table1/resnext101",
        ),
    ],
)
def test_a_wrong_call_is_one_clear_line(
    arguments, message, capsys, monkeypatch, tmp_path
):
    for variable in ("ICH_TF_CT_ICH", "ICH_TF_RSNA", "TF_CONFIG", "TPU_NAME"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("ICH_TF_RESULTS", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert cli.main(arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error


def test_phantom_and_check_data(tmp_path, capsys):
    out = tmp_path / "phantom"
    small = ["--cases", "2", "--slices", "6", "--size", "64", "--seed", "5"]
    assert cli.main(["phantom", *small, "--out", str(out)]) == 0
    assert cli.main(["check-data", "--ct-ich", str(out)]) == 0
    assert "2 cases, 0 problems" in capsys.readouterr().out
    assert cli.main(["phantom", *small, "--out", str(out)]) == 2
    (out / "masks" / "049.nii").write_bytes(b"broken")
    capsys.readouterr()
    assert cli.main(["check-data", "--ct-ich", str(out)]) == 1
    said = capsys.readouterr()
    assert "049.nii" in said.out and said.out.endswith(": 2 cases, 1 problems\n")
    assert said.err == ""


def test_check_data_takes_every_data_set_that_is_named(tmp_path, capsys, monkeypatch):
    small = ["--cases", "2", "--slices", "6", "--size", "64"]
    for layout in ("ct-ich", "rsna"):
        out = str(tmp_path / layout)
        assert cli.main(["phantom", "--layout", layout, *small, "--out", out]) == 0
    folders = {name: str(tmp_path / name) for name in ("ct-ich", "rsna")}
    capsys.readouterr()
    both = ["--ct-ich", folders["ct-ich"], "--rsna", folders["rsna"]]
    assert cli.main(["check-data", *both]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2
    monkeypatch.delenv("ICH_TF_CT_ICH", raising=False)
    monkeypatch.setenv("ICH_TF_RSNA", folders["rsna"])
    assert cli.main(["check-data"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1
    monkeypatch.delenv("ICH_TF_RSNA")
    assert cli.main(["check-data"]) == 2
    error = capsys.readouterr().err
    assert "--ct-ich" in error and "--rsna" in error


def test_written_phantom_is_the_same_for_the_same_seed(tmp_path):
    from ich_tf.synthetic import layouts

    for layout in layouts.WRITERS:
        folders = [tmp_path / layout / name for name in "ab"]
        for folder in folders:
            layouts.write_phantom(layout, folder, cases=2, seed=1, slices=2, size=64)
        first, second = (
            {
                path.relative_to(folder): path.read_bytes()
                for path in sorted(folder.rglob("*"))
                if path.is_file()
            }
            for folder in folders
        )
        assert len(first) > 4
        assert first == second


@pytest.mark.parametrize(
    ("arguments", "suggested"),
    [
        (["predit", "scan.nii"], "'predict'"),
        (["tables", "--fromat", "csv"], "'--format'"),
        (["predict", "scan.nii", "--out", "x", "--treshold=0.4"], "'--threshold'"),
    ],
)
def test_a_mistyped_word_gets_a_suggestion(arguments, suggested, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(arguments)
    assert stop.value.code == 2
    assert suggested in capsys.readouterr().err


def test_progress_is_what_quiet_leaves_out(capsys):
    for verbosity, shown in (((False, False), "row 1\n"), ((False, True), "")):
        terminal.set_verbosity(*verbosity)
        options.say("row 1")
        assert capsys.readouterr().out == shown
    terminal.set_verbosity(verbose=False, quiet=False)


def test_lines_written_during_an_import_are_held_back(tmp_path):
    """They are shown only if the import fails."""
    code = "import os; os.write(2, b'noise')"
    (tmp_path / "noisy.py").write_text(code)
    (tmp_path / "broken.py").write_text(f"{code}; raise OSError('no such library')")
    run = "import sys; from ich_tf.cli import terminal\n"
    run += "sys.meta_path.insert(0, terminal.SilentImport(sys.argv[1]))\n"
    run += "__import__(sys.argv[1])"
    path = os.pathsep.join([str(tmp_path), *sys.path])
    for module, shown in (("noisy", False), ("broken", True)):
        done = subprocess.run(
            [sys.executable, "-c", run, module],
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": path},
        )
        assert ("noise" in done.stderr) is shown
        assert (done.returncode == 0) is not shown


def test_info_names_what_a_bug_report_needs(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("ICH_TF_CT_ICH", str(tmp_path / "patients"))
    monkeypatch.setenv("ICH_TF_RSNA", str(tmp_path))
    for row in ("quick/table2/a.json", "quick/table2/b.json", "other/table2/c.json"):
        (tmp_path / row).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / row).write_text("{}")
    assert cli.main(["info", "--json", "--results", str(tmp_path)]) == 0
    text = capsys.readouterr().out
    content = json.loads(text)
    assert content["ich_tf"] == ich_tf.__version__
    assert {"python", "keras", "tensorflow"} <= content["versions"].keys()
    assert content["devices"] and content["tensorflow_from"]
    assert content["data"] == {"ct-ich": "set, but not a folder", "rsna": "found"}
    assert content["weights"]["unetplusplus-painted"] == "here"
    assert content["results"] == {"quick": 2}
    # No folder's name: the text is published with bug reports.
    assert str(tmp_path) not in text
    assert cli.main(["info", "--results", str(tmp_path)]) == 0
    assert "quick 2" in capsys.readouterr().out


def test_results_of_another_profile_are_pointed_at(tmp_path, capsys):
    row = tmp_path / "quick" / "table2" / "a.json"
    row.parent.mkdir(parents=True)
    row.write_text("{}")
    assert cli.main(["tables", "table2", "--results", str(tmp_path)]) == 0
    assert "--profile quick" in capsys.readouterr().err
    assert cli.main(["tables", "table2", "--results", str(tmp_path / "none")]) == 0
    assert capsys.readouterr().err == ""


def test_a_shell_completes_every_verb(capsys):
    for shell in ("bash", "zsh", "tcsh"):
        assert cli.main(["completion", shell]) == 0
        script = capsys.readouterr().out
        for verb in ("predict", "reproduce", "check-data"):
            assert verb in script


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
@pytest.mark.parametrize(
    ("words", "completed"),
    [
        (["pre"], "predict prepare"),
        (["phantom", "--la"], "--layout"),
        (["phantom", "--layout", "ct"], "ct-ich ct-ich-v1"),
        (["predict", "--se"], "--series"),
    ],
)
def test_bash_completes_verbs_options_and_choices(words, completed, capsys):
    assert cli.main(["completion", "bash"]) == 0
    last, before = words[-1], ["ich-tf", *words][-2]
    script = (
        f"{capsys.readouterr().out}\nCOMP_WORDS=(ich-tf {' '.join(words)})\n"
        f"COMP_CWORD={len(words)}\n_shtab_ich_tf ich-tf '{last}' '{before}'\n"
        'echo "${COMPREPLY[*]}"'
    )
    done = subprocess.run(
        ["bash", "-c", script], check=True, capture_output=True, text=True
    )
    assert done.stdout.split() == completed.split()


def test_tables_fit_a_terminal(tmp_path, capsys):
    calls = [["tables", "--format", "text", "--results", str(tmp_path)]]
    calls.append([*calls[0], "table1", "table3"])
    for call in calls:
        assert cli.main(call) == 0
        lines = capsys.readouterr().out.splitlines()
        assert len(lines) > 10
        assert max(map(len, lines)) <= 100


def test_a_device_hides_the_others(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    options.use_device("auto")
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "0,1"
    options.use_device("cpu")
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "-1"
    with pytest.raises(SystemExit):
        cli.main(["predict", "scan.nii", "--out", "x", "--device", "tpu9"])


class _Recorder(argparse.ArgumentParser):
    """Remembers the options that lack a help text."""

    def add_argument(self, *names, **settings):
        if not settings.get("help") and names != ("-h", "--help"):
            raise AssertionError(f"{names} has no help text")
        return super().add_argument(*names, **settings)


def test_every_verb_has_examples_and_every_option_a_help_text():
    names = [verb.name for verbs in GROUPS.values() for verb in verbs]
    assert len(set(names)) == len(names) > 10
    for verb in (verb for verbs in GROUPS.values() for verb in verbs):
        assert verb.text and verb.examples, verb.name
        verb.add_options(_Recorder())


def test_choices_equal_the_lists_in_modules_that_are_imported_later():
    from ich_tf.evidence import render
    from ich_tf.training import distribute

    assert options.STRATEGIES == distribute.STRATEGIES
    assert options.TABLE_FORMATS == render.FORMATS


@pytest.mark.slow
def test_help_answers_in_half_a_second():
    seconds = []
    for _ in range(5):
        began = time.monotonic()
        run("--help")
        seconds.append(time.monotonic() - began)
    assert min(seconds) < 0.5


def test_missing_weights_are_named_before_training(tmp_path, capsys):
    out = tmp_path / "rsna"
    small = ["--cases", "2", "--slices", "6", "--size", "64"]
    assert cli.main(["phantom", "--layout", "rsna", *small, "--out", str(out)]) == 0
    where = ["--rsna", str(out), "--results", str(tmp_path / "results")]
    where += ["--weights-dir", str(tmp_path / "weights"), "--profile", "paper"]
    capsys.readouterr()
    assert cli.main(["reproduce", "--check", "table1", *where]) == 2
    error = capsys.readouterr().err
    assert error.count("The weights 'wsl' are not in") == 2
    assert {line.split(":")[0] for line in error.splitlines()} >= {
        "table1/resnext101",
        "table1/resnext101-lstm",
    }
    assert not (tmp_path / "results" / "paper" / "table1").exists()


def test_a_closed_pipe_ends_quietly(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-m", "ich_tf", "tables", "--results", tmp_path],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    process.stdout.close()
    with process.stderr as errors:
        said = errors.read()
    assert process.wait() == CLOSED_PIPE
    assert said == b""


@pytest.mark.parametrize("mistyped", [["--outt", "y"], ["--outt=y"]])
def test_a_mistyped_option_is_named_before_what_is_missing(mistyped, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["predict", "x", *mistyped])
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert re.findall(r"--\w+", said)[-2:] == ["--outt", "--out"]
    assert "required" not in said


@pytest.mark.parametrize("rest", [[], ["--", "--outt"], ["--thresh", "0.3"]])
def test_what_is_missing_is_named_where_nothing_is_mistyped(rest, capsys):
    with pytest.raises(SystemExit):
        cli.main(["predict", *rest])
    said = capsys.readouterr().err
    assert "required" in said and "unrecognized" not in said


@pytest.mark.parametrize("verb", ["prepare", "submission"])
def test_a_row_of_the_wrong_kind_is_refused_before_its_data_are_made(
    verb, capsys, monkeypatch, tmp_path
):
    monkeypatch.setenv("ICH_TF_RESULTS", str(tmp_path))
    monkeypatch.delenv("ICH_TF_CT_ICH", raising=False)
    row = "table2/vgg16-random-bce"
    assert cli.main([verb, row, "--profile", "demo"]) == 2
    assert row in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
