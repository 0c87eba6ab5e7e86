"""What the study on the phantom says about the report's questions, in words.

Each question is a pair of rows. The verdict comes from the paired difference over
seeds and patients and the margin of its column (`verdicts`), never from reading the
numbers. The answers hold for the phantom and say nothing about the report's numbers.
"""

import dataclasses
import pathlib
import zipfile
from collections.abc import Callable, Iterable, Sequence
from typing import TypedDict

from ich_tf import files, labels, paths, typed_json
from ich_tf.evidence import compare, readme, recorded, tables, verdicts
from ich_tf.evidence.tables import Table
from ich_tf.experiments import results as stored
from ich_tf.experiments.catalog import CATALOG, Catalog
from ich_tf.experiments.mask_results import LEARNED, MaskResult
from ich_tf.experiments.results import Result
from ich_tf.experiments.rows.audit import VARIANTS
from ich_tf.experiments.rows.table3 import UNETPP
from ich_tf.metrics.resampling import Interval

PROFILE = "study"
SEEDS = (0, 1, 2)
ONE_SEED = (
    *("options/transposed", "options/full-graph"),
    *("audit/approach2-bce", "audit/approach2-hu", "volume3d/concat"),
)
"""Rows of options that are trained with the first seed only."""
RECORDED = paths.recorded("study-answers.json")
ARCHIVE = paths.recorded("study-results.zip")
"""The result file of every recorded training; unpack it in the folder of results."""
PAGE = paths.PROJECT / "docs" / "study.md"
BEGIN, END = "<!-- answers: begin -->", "<!-- answers: end -->"
DICE, AUC = "dice", f"auc_slice {labels.ANY}"
_BCE = "table2/densenet169-imagenet-bce"


@dataclasses.dataclass(frozen=True)
class Question:
    """A question that two rows answer.

    Attributes:
        text: The question.
        first: Id of the row that is compared with.
        second: Id of the row that is judged.
        score: Key of `compare.paired`.
    """

    text: str
    first: str
    second: str
    score: str = DICE


QUESTIONS = (
    *(
        Question("Which backbone?", _BCE, f"table2/{row}")
        for row in (
            "resnet50-imagenet-bce",
            "vgg16-random-bce",
            "densenet121-imagenet-bce",
            "inceptionresnetv2-imagenet-bce",
        )
    ),
    Question("Which loss?", _BCE, UNETPP),
    Question("Nearest or transposed?", UNETPP, "options/transposed"),
    Question("Official or full graph?", UNETPP, "options/full-graph"),
    Question("Approach 1 or 2?", UNETPP, "table2/approach2"),
    *(
        Question("Why does approach 2 fail?", "table2/approach2", VARIANTS[change])
        for change in ("cross-entropy", "windows in HU")
    ),
    Question("2-D or 3-D?", "volume3d/2d", "volume3d/add"),
    Question("Concatenate or add?", "volume3d/concat", "volume3d/add"),
    Question(
        "CNN or CNN and LSTM?", "table1/resnext101", "table1/resnext101-lstm", AUC
    ),
    Question("UNet++ or the U-Net of [2]?", UNETPP, "table3/unet-hssayeni"),
)


def trainings(seeds: Sequence[int] = SEEDS) -> list[tuple[str, int]]:
    """Row and seed of every training, without rows that share a twin's."""
    asked = (row for of in QUESTIONS for row in (of.first, of.second))
    rows = dict.fromkeys(CATALOG.row(row).random_twin or row for row in asked)
    return [
        (row, seed)
        for seed in seeds
        for row in rows
        if row not in ONE_SEED or seed == seeds[0]
    ]


def seeds_of(question: Question, seeds: Sequence[int] = SEEDS) -> Sequence[int]:
    """The seeds with which both rows of a question are trained."""
    once = question.first in ONE_SEED or question.second in ONE_SEED
    return seeds[:1] if once else seeds


class Answer(TypedDict):
    """One answered question.

    Attributes:
        question: The question.
        rows: Titles of the first and of the second row.
        score: Name of the score.
        numbers: Score of each row, mean over seeds.
        difference: Second minus first: mean, lower and upper bound.
        verdict: One of `verdicts.VERDICTS` on the second row.
        patients: Number of values in the mean.
        seeds: Number of seeds.
        words: The answer as a sentence.
    """

    question: str
    rows: list[str]
    score: str
    numbers: list[float]
    difference: list[float]
    verdict: str
    patients: int
    seeds: int
    words: str


def answers(
    results: pathlib.Path,
    profile: str = PROFILE,
    seeds: Sequence[int] = SEEDS,
    questions: Iterable[Question] = QUESTIONS,
    rows: Catalog = CATALOG,
) -> list[Answer]:
    """Every question whose rows were run.

    Args:
        results: Folder of results.
        profile: Name of the profile.
        seeds: Seeds of the trainings.
        questions: The questions.
        rows: Where rows are looked up.

    Raises:
        ValueError: if no question has both of its rows, or a result is damaged or made
            with other settings.
    """

    def load(row_id: str, seeds: Sequence[int]) -> list[Result]:
        first = stored.load_result(results, profile, rows.row(row_id))
        own = rows.row(row_id).same_training(first) or row_id
        return compare.results_of(own, results, profile, seeds, rows)

    made = []
    for question in questions:
        pair = (question.first, question.second)
        files_of_pair = (stored.result_file(results, profile, row) for row in pair)
        if all(path.is_file() for path in files_of_pair):
            shared = seeds_of(question, seeds)
            made.append(answer(question, *(load(row, shared) for row in pair)))
    if not made:
        raise ValueError(
            f"{results / profile} holds no two rows that answer a question. Run "
            f"`ich-tf all --profile {profile}`."
        )
    return made


def known(results: pathlib.Path, profile: str) -> list[Answer]:
    """The answers of a profile's own results, else the recorded ones.

    Raises:
        ValueError: if a result or the record is damaged.
    """
    asked = {row for question in QUESTIONS for row in (question.first, question.second)}
    ran = [stored.result_file(results, profile, row).is_file() for row in asked]
    if profile == PROFILE and all(ran):
        return answers(results, profile)
    return read()


def learned(result: Result) -> bool:
    """Whether a row has learned to segment; a classifier is believed to have."""
    if not isinstance(result, MaskResult):
        return True
    return result.dice_of_heads() >= LEARNED


def answer(
    question: Question, first: Sequence[Result], second: Sequence[Result]
) -> Answer:
    """The answer that two rows give.

    Args:
        question: The question.
        first: Results of its first row, one for each seed.
        second: Results of its second row.

    Raises:
        ValueError: if they were not evaluated on the same scans.
    """
    score = compare.paired(first, second)[question.score]
    ran = (results[0] for results in (first, second))
    titles = [result.title + result.other_weights for result in ran]
    numbers = [score["first"], score["second"]]
    difference = score["difference"]
    able = [any(map(learned, runs)) for runs in (first, second)]
    if not any(able):
        verdict = verdicts.NOT_COMPARABLE
        words = f"{titles[0]} and {titles[1]} have not learned to segment"
    else:
        column = question.score.split()[0]
        verdict = verdicts.decide_pair(column, numbers[0], difference).name
        words = _SENTENCES[verdict](*titles)
        if verdict == verdicts.UNDECIDED and difference.low * difference.high > 0:
            side = "higher" if difference.mean > 0 else "lower"
            words = f"{titles[1]} scores {side} than {titles[0]}; whether by more than "
            words += "the margin is undecided"
        if not all(able):
            words += f" ({titles[able.index(False)]} has not learned to segment)"
    return Answer(
        question=question.text,
        rows=titles,
        score=question.score,
        numbers=numbers,
        difference=[difference.mean, difference.low, difference.high],
        verdict=verdict,
        patients=difference.n,
        seeds=len(first),
        words=f"{words}: {_numbers(question, numbers, difference)}.",
    )


_SENTENCES: dict[str, Callable[[str, str], str]] = {
    verdicts.EQUIVALENT: "{1} and {0} are equivalent".format,
    verdicts.BETTER: "{1} is better than {0}".format,
    verdicts.WORSE: "{1} is worse than {0}".format,
    verdicts.UNDECIDED: "It is undecided whether {1} differs from {0}".format,
}


def _numbers(question: Question, numbers: Sequence[float], difference: Interval) -> str:
    name = {DICE: "Dice", AUC: "AUC of slices"}[question.score]
    mean, low, high = difference[:3]
    return (
        f"{name} {numbers[1]:.3f} and {numbers[0]:.3f}, difference {mean:+.3f} "
        f"[{low:+.3f}, {high:+.3f}]"
    )


def markdown(made: Sequence[Answer]) -> str:
    """The answers as a list, question by question, then what is not answered."""
    lines, answered = [], dict.fromkeys(answer["question"] for answer in made)
    for question in answered:
        lines += [f"**{question}**", ""]
        lines += [f"- {of['words']}" for of in made if of["question"] == question]
        lines.append("")
    lines.append(_basis({of["seeds"] for of in made}))
    asked = dict.fromkeys(question.text for question in QUESTIONS)
    if left := [question for question in asked if question not in answered]:
        lines += ["", f"Not answered yet: {' '.join(left)}"]
    return "\n".join(lines) + "\n"


def _basis(seeds: set[int]) -> str:
    """What numbers and intervals of answers with these numbers of seeds rest on."""
    if seeds == {1}:
        basis = "Rows were trained with one seed; differences are paired, with 95 % "
        basis += "intervals over patients."
    else:
        basis = f"Means of {' or '.join(map(str, sorted(seeds)))} seeds; differences "
        basis += "are paired, with 95 % intervals over patients and seeds."
    return f"{basis} Answers hold for the phantom."


def record(
    made: Sequence[Answer],
    results: pathlib.Path,
    path: pathlib.Path = RECORDED,
    page: pathlib.Path = PAGE,
    numbers: pathlib.Path = recorded.RECORDS[PROFILE],
    shown: Iterable[Table] = tuple(tables.TABLES.values()),
    archived: pathlib.Path = ARCHIVE,
) -> None:
    """Record the answers, the numbers of the tables, and the results behind them.

    Args:
        made: The answers.
        results: Folder of results.
        path: The JSON file of the answers.
        page: The page that shows both between its markers.
        numbers: The JSON file of the numbers.
        shown: The tables.
        archived: The ZIP file of the results.
    """
    made_tables = recorded.record(results, shown, numbers, PROFILE)
    files.write_json(path, list(made))
    archive(results, archived)
    first, rest = page.read_text(encoding="utf-8").split(BEGIN)
    _, last = rest.split(END)
    text = f"{first}{BEGIN}\n{block(made, made_tables)}{END}{last}"
    files.write_bytes(page, text.encode())


def archive(results: pathlib.Path, path: pathlib.Path = ARCHIVE) -> None:
    """Pack the result file of every training, with the counts of each head.

    Args:
        results: Folder of results.
        path: The ZIP file; its names begin at the folder of results.
    """
    made = (stored.result_file(results, PROFILE, *training) for training in trainings())
    with files.atomic(path) as partial, zipfile.ZipFile(partial, "w") as packed:
        for file in filter(pathlib.Path.is_file, made):
            # Without the time, so that the same results make the same file.
            entry = zipfile.ZipInfo(file.relative_to(results).as_posix())
            packed.writestr(entry, file.read_bytes(), zipfile.ZIP_DEFLATED, 9)


def block(made: Sequence[Answer], numbers: recorded.Recorded) -> str:
    """What the page shows: the answers, then the tables with the report's numbers."""
    return f"{markdown(made)}\n{readme.block(numbers)}"


def read(path: pathlib.Path = RECORDED) -> list[Answer]:
    """The recorded answers; none if no study was recorded.

    Raises:
        ValueError: if the file is damaged.
    """
    if not path.is_file():
        return []
    return typed_json.read(path, list[Answer], "Restore it with git.")
