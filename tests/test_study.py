"""The words of the study, from planted results."""

import dataclasses
import shutil

import numpy as np
import pytest
import threshold_run
from threshold_run import BEST, UNET

from ich_tf import cli, files, metrics
from ich_tf.evidence import compare, recorded, study, verify
from ich_tf.experiments import results, runner
from ich_tf.experiments.mask_results import MaskResult
from ich_tf.experiments.rows import table2

FIRST, SECOND = "table2/densenet169-imagenet-bce", study.UNETPP
QUESTION = study.Question("Which loss?", FIRST, SECOND)
RULE = metrics.protocol("hssayeni2020").scaled(16).mask_rule()
SEEDS = (0, 1, 2)


def counts(case_id, hit):
    """A head of one slice: 100 pixels of truth, 100 predicted, `hit` of them right.

    Its Dice is 2 * hit / 200.
    """
    return {
        "case_id": case_id,
        "patient_id": case_id,
        "mask_rule": RULE,
        "shape": [1, 16, 16],
        "tp": [hit],
        "fp": [100 - hit],
        "fn": [100 - hit],
        "tn": [56 + hit],
        "truth_pixels": 100,
        "predicted_pixels": 100,
        "truth_ml": None,
        "predicted_ml": None,
    }


def planted(row, hits, seed=0):
    """A result whose heads have these Dice, in hundredths."""
    cases = {f"head-{k}": counts(f"head-{k}", hit) for k, hit in enumerate(hits)}
    empty = {field.name: [] for field in dataclasses.fields(MaskResult)}
    made = {
        "experiment": row,
        "title": row,
        "profile": "study",
        "init": "imagenet",
        "wanted_init": "imagenet",
        "data": {"identity": "phantom", "cases": {}},
        "counts": {"hssayeni2020": cases, "per_volume": cases},
        "spec": {"seed": seed},
    }
    return MaskResult(**{**empty, **made})


def answer(first, second):
    """What the study says if each seed has these Dice on 30 heads."""
    return study.answer(
        QUESTION,
        [planted(FIRST, [hit] * 30) for hit in first],
        [planted(SECOND, [hit] * 30) for hit in second],
    )


@pytest.mark.parametrize(
    ("second", "verdict", "words"),
    [
        # 0.02 above in every seed, within the margin of 0.05.
        ((62, 62, 62), "equivalent", f"{SECOND} and {FIRST} are equivalent: "),
        # The loss is broken on purpose: Dice falls from 0.62 to 0.30.
        ((30, 30, 30), "worse", f"{SECOND} is worse than {FIRST}: "),
        ((80, 80, 80), "better", f"{SECOND} is better than {FIRST}: "),
        # One seed of three fails: their spread leaves everything open.
        ((62, 62, 5), "undecided", "It is undecided whether "),
    ],
)
def test_words_follow_the_planted_scores(second, verdict, words):
    answered = answer((60, 60, 60), second)
    assert answered["verdict"] == verdict
    assert answered["words"].startswith(words)
    assert answered["difference"][0] == pytest.approx(sum(second) / 300 - 0.6)
    assert (answered["patients"], answered["seeds"]) == (30, 3)
    text = study.markdown([answered])
    assert text.startswith(f"**Which loss?**\n\n- {answered['words']}")


def test_the_words_say_how_many_seeds_and_which_questions_are_left():
    one, two = answer((60,), (62,)), answer((60, 60), (62, 62))
    assert "one seed" in study.markdown([one])
    assert "2 seeds" in study.markdown([two])
    left = study.markdown([one]).splitlines()[-1]
    for question in study.QUESTIONS:
        assert (question.text in left) == (question.text != one["question"])


@pytest.mark.parametrize(("sign", "word"), [(1, "higher"), (-1, "lower")])
def test_a_certain_difference_around_the_margin_is_said(sign, word):
    """Half of the heads gain 0.03, half 0.07: above 0, on both sides of 0.05."""
    hits = [60 + sign * gain for gain in (3, 7) * 15]
    answered = study.answer(
        QUESTION, [planted(FIRST, [60] * 30)], [planted(SECOND, hits)]
    )
    assert answered["verdict"] == "undecided"
    assert answered["words"].startswith(f"{SECOND} scores {word} than {FIRST}; ")


def test_a_row_that_began_with_other_weights_says_so():
    begun = [planted(FIRST, [60] * 30), planted(SECOND, [30] * 30)]
    begun[1] = dataclasses.replace(begun[1], init="random")
    answered = study.answer(QUESTION, begun[:1], begun[1:])
    assert answered["rows"] == [FIRST, f"{SECOND} [run from random weights]"]


def test_rows_that_did_not_learn_are_not_compared():
    answered = answer((1, 2, 1), (3, 2, 4))
    assert answered["verdict"] == "not comparable"
    # One row that learned is enough; the words name the other.
    one = answer((1, 2, 1), (60, 60, 60))
    assert one["verdict"] == "better"
    assert f"({FIRST} has not learned to segment)" in one["words"]
    assert "not learned" not in answer((60, 60, 60), (62, 62, 62))["words"]


def test_at_most_60_trainings_and_no_shared_one():
    listed = study.trainings()
    assert len(listed) == len(set(listed)) <= 60
    assert "table2/resnet50-imagenet-bce" not in dict(listed)
    for row in dict(listed):
        assert "study" in study.CATALOG.row(row).settings
    assert table2.STUDY.size >= 128


def test_the_page_shows_what_is_recorded():
    block = study.PAGE.read_text().split(study.BEGIN)[1].split(study.END)[0]
    made = study.read()
    if made:
        numbers = recorded.read(recorded.RECORDS[study.PROFILE])
        assert block.strip() == study.block(made, numbers).strip()
    else:
        assert block.strip() and "| " not in block


def test_the_packed_results_are_whole_and_current(tmp_path):
    shutil.unpack_archive(study.ARCHIVE, tmp_path)
    listed = {
        results.result_file(tmp_path, study.PROFILE, row, seed): study.CATALOG.row(row)
        for row, seed in study.trainings()
    }
    packed = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert packed and set(packed) <= set(listed)
    for path in packed:
        row = listed[path]
        result = row.result_type.load(path)
        assert result.is_current(row) and result.faults(row, study.PROFILE) == []


def test_without_results_there_are_no_answers(tmp_path, capsys):
    with pytest.raises(ValueError, match="holds no two rows"):
        study.answers(tmp_path, "study", SEEDS)
    assert cli.main(["study", "--list"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == len(study.trainings())


def test_every_question_finds_the_seeds_that_are_trained():
    trained = set(study.trainings())
    compared = {}
    for question in study.QUESTIONS:
        seeds = study.seeds_of(question)
        for row in (question.first, question.second):
            own = study.CATALOG.row(row).random_twin or row
            assert {(own, seed) for seed in seeds} <= trained
        compared[question.second] = tuple(seeds)
    assert compared["table2/approach2"] == (0, 1, 2)
    assert compared["options/transposed"] == compared["audit/approach2-hu"] == (0,)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Two rows with two seeds each; a lower threshold finds more."""
    folder = tmp_path_factory.mktemp("study")
    folders = runner.Folders(folder / "results", folder / "weights")
    for row, levels in {BEST: (0.62, 0.7), UNET: (0.8, 0.9)}.items():
        for seed, level in enumerate(levels):
            threshold_run.run(folders, [row], "study", level=level, seed=seed)
    return folders.results


def test_answers_and_numbers_are_recorded_and_verified(trained, tmp_path):
    paths = path, page, numbers = [
        tmp_path / name for name in ("answers.json", "study.md", "study.json")
    ]
    page.write_text(f"a\n{study.BEGIN}\nold\n{study.END}\nb\n")
    assert study.read(path) == []
    question = study.Question("UNet++ or the U-Net of [2]?", BEST, UNET)
    made = study.answers(trained, "study", (0, 1), [question], threshold_run.CATALOG)
    archived = tmp_path / "results.zip"
    study.record(made, trained, *paths, threshold_run.TABLES.values(), archived)
    assert study.read(path) == made
    # Whoever unpacks the results gets the same answers.
    shutil.unpack_archive(archived, tmp_path / "unpacked")
    assert made == study.answers(
        tmp_path / "unpacked", "study", (0, 1), [question], threshold_run.CATALOG
    )
    shown = study.block(made, recorded.read(numbers))
    assert page.read_text() == f"a\n{study.BEGIN}\n{shown}{study.END}\nb\n"
    assert made[0]["words"] in shown and "**Table III" in shown

    # Numbers of several seeds are recorded and verified as their mean.
    cells = recorded.read(numbers)["table3"]["cells"]
    (dice,) = (
        cell["ours"]
        for cell in cells
        if (cell["experiment"], cell["column"]) == (UNET, "dice")
    )
    of_seeds = [
        result.score("hssayeni2020", "dice")["mean"]
        for result in compare.results_of(
            UNET, trained, "study", (0, 1), threshold_run.CATALOG
        )
    ]
    assert of_seeds[0] != of_seeds[1]
    assert dice == pytest.approx(np.mean(of_seeds))
    known = threshold_run.TABLES
    checks = verify.verify(
        trained, "study", ["table3"], all_tables=known, record=numbers
    )
    assert {check.verdict for check in checks} == {"as recorded"}

    files.write_json(path, [{"question": 1}])
    with pytest.raises(ValueError, match=r"answers\.json.*Restore it with git"):
        study.read(path)
