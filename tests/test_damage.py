"""Damaged files of a run: refused by name, moved aside by a fresh start."""

import dataclasses
import shutil

import pytest
import small

from ich_tf.experiments import damage, reproduce, results, runner
from ich_tf.training import checkpoint

ROW = "related/hu-threshold"
TRAINED = "table3/unet-hssayeni"
pytestmark = pytest.mark.usefixtures("float32")


def flipped(content: bytes) -> bytes:
    """One bit in the middle is another."""
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 64]) + content[middle + 1 :]


DAMAGES = {
    "empty": lambda content: b"",
    "cut": lambda content: content[: len(content) // 2],
    "garbage": lambda content: bytes(range(256)) * 4,
    "another type": lambda content: b"[1, 2]",
    "flipped bits": flipped,
}


@pytest.fixture
def copied(finished, tmp_path):
    """The folders of finished rows with a copy of the results, to be spoilt."""
    folders = finished(TRAINED).run.folders
    copy = tmp_path / "results"
    ignore = shutil.ignore_patterns("phantom", "slices", "shards")
    shutil.copytree(folders.results, copy, ignore=ignore)
    (copy / "phantom").symlink_to(folders.results / "phantom")
    return dataclasses.replace(folders, results=copy)


def silent(line: str) -> None:
    """Take a line of progress."""


@pytest.mark.parametrize("kind", DAMAGES)
@pytest.mark.parametrize("name", ["result", results.FOLD_FILE])
def test_reproduce_names_a_damaged_file_and_fresh_moves_it_aside(copied, name, kind):
    run = small.run(ROW, copied)
    runner.execute(run, say=silent)
    path = run.file
    if name != "result":
        run.file.unlink()
        path = run.fold_folder(0) / name
    content = DAMAGES[kind](path.read_bytes())
    path.write_bytes(content)
    # A flipped bit may leave a number or a text of the right type.
    if damage.of_run(run):
        with pytest.raises(ValueError, match=rf"{path.name}.*--fresh"):
            reproduce.reproduce([run], say=silent)
    else:
        assert kind == "flipped bits"
        return
    lines = []
    (result,) = reproduce.reproduce([run], fresh=True, say=lines.append)
    assert result.experiment == run.experiment.id
    aside = run.file.with_name(f"{run.file.name}.damaged")
    if name != "result":
        aside = run.folder.with_name("hu-threshold.damaged") / path.relative_to(
            run.folder
        )
    assert aside.read_bytes() == content
    assert any(str(aside) in line for line in lines)


@pytest.mark.parametrize("kind", DAMAGES)
@pytest.mark.parametrize(
    "name", [checkpoint.STATE, checkpoint.FINAL, "best", "probabilities"]
)
def test_damage_of_arrays_and_weights_is_found_and_moved_aside(copied, name, kind):
    run = small.run(TRAINED, copied)
    if name == "probabilities":
        path = sorted(run.folder.glob("*.npz"))[0]
    elif name == "best":
        (path,) = run.fold_folder(0).glob("best-*.weights.h5")
    else:
        path = run.fold_folder(0) / name
    content = DAMAGES[kind](path.read_bytes())
    # The best weights and the final ones are one file with two names.
    path.unlink()
    path.write_bytes(content)
    assert damage.of_run(run).keys() == {path}
    lines = []
    damage.set_aside(run, lines.append)
    kept = run.folder.with_name(f"{run.folder.name}.damaged")
    aside = kept / path.relative_to(run.folder)
    assert aside.read_bytes() == content and not path.exists()
    (line,) = lines
    assert str(path) in line and str(aside) in line


def test_a_damaged_state_stops_a_resumed_run_by_name_and_not_a_fresh_one(copied):
    run = small.run(TRAINED, copied)
    run.file.unlink()
    (run.fold_folder(0) / results.FOLD_FILE).unlink()
    state = run.fold_folder(0) / checkpoint.STATE
    state.write_bytes(b"garbage")
    with pytest.raises(ValueError, match=rf"{checkpoint.STATE} is damaged.*--fresh"):
        reproduce.reproduce([run], say=silent)
    assert state.read_bytes() == b"garbage"
    spec, interrupted = runner.begin_fold(
        run, 0, init="random", resume=False, fresh=True, say=silent
    )
    assert (spec["init"], interrupted) == ("random", False)


def test_an_undamaged_run_has_nothing_to_move(copied):
    run = small.run(TRAINED, copied)
    assert damage.of_run(run) == {}
    assert damage.of_run(small.run(ROW, copied)) == {}


@pytest.mark.parametrize("kind", ["folder", "dead link"])
def test_what_stands_in_the_place_of_a_result_is_moved_aside(copied, kind):
    run = small.run(ROW, copied)
    run.file.parent.mkdir(parents=True, exist_ok=True)
    run.file.unlink(missing_ok=True)
    if kind == "folder":
        run.file.mkdir()
    else:
        run.file.symlink_to(run.file.with_name("nowhere.json"))
    damage.set_aside(run, silent)
    aside = run.file.with_name(f"{run.file.name}.damaged")
    assert aside.is_dir() if kind == "folder" else aside.is_symlink()


def test_a_second_damaged_file_does_not_replace_the_first(copied):
    run = small.run(ROW, copied)
    for content in ("first", "second"):
        run.file.parent.mkdir(parents=True, exist_ok=True)
        run.file.write_text(content)
        damage.set_aside(run, silent)
    aside = run.file.with_name(f"{run.file.name}.damaged")
    assert aside.read_text() == "first"
    assert aside.with_name(f"{aside.name}-2").read_text() == "second"


def test_a_folder_that_cannot_hold_results_is_named_before_the_work(copied):
    run = small.run(ROW, copied)
    run.folder.parent.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(run.folder, ignore_errors=True)
    run.folder.write_text("theirs")
    with pytest.raises(ValueError, match="is a file"):
        reproduce.reproduce([run], say=silent)
    assert run.folder.read_text() == "theirs"
