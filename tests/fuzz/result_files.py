"""Result files in everything that reads them: tables, verdicts and the report page."""

import pathlib
import shutil
import tempfile

import harness
import json_mutations
import numpy as np

from ich_tf import files, metrics
from ich_tf.evidence import render, tables, verify
from ich_tf.experiments import provenance
from ich_tf.experiments import results as stored
from ich_tf.experiments.catalog import CATALOG
from ich_tf.experiments.mask_results import MaskResult
from ich_tf.metrics import evaluation

ROW = "table3/unet-hssayeni"
PROFILE = "demo"
TABLE = tables.TABLES["table3"]


def _counts(case_id: str) -> dict[str, dict]:
    """Counts of a case under every protocol."""
    random = np.random.default_rng(int(case_id))
    truth, predicted = random.random((2, 4, 16, 16)) > 0.8
    return {
        name: metrics.case_counts(
            truth, predicted, protocol, np.ones(4), case_id=case_id, patient_id=case_id
        )
        for name, protocol in metrics.PROTOCOLS.items()
    }


def _result() -> MaskResult:
    row = CATALOG.row(ROW)
    by_case = {case_id: _counts(case_id) for case_id in ("049", "050", "051")}
    counts = {
        name: {case_id: of_case[name] for case_id, of_case in by_case.items()}
        for name in metrics.PROTOCOLS
    }
    facts = {"slices": 4, "mask_voxels": 9, "crc32": "0"}
    data = {"identity": "phantom", "cases": dict.fromkeys(counts["pooled"], facts)}
    data["slices"] = 12
    return MaskResult(
        experiment=ROW,
        title=row.title,
        profile=PROFILE,
        spec={
            **row.spec(row.settings[PROFILE]),
            "data": provenance.digest(data),
            "precision": "float32",
            "seed": 0,
        },
        init=row.wanted_init,
        wanted_init=row.wanted_init,
        data=data,
        folds=[{"train": [], "validation": [], "test": list(counts["pooled"])}],
        states=row.states,
        leaves_open=[],
        assumptions=[],
        deviations=["a test"],
        summary=evaluation.summarise(counts, "phantom"),
        history=[[{"epoch": 1, "seconds": 2.0, "loss": 0.5}]],
        seconds=[{"training": 2.0, "inference": 1.0}],
        peak_memory_gb=[1.0],
        devices=["CPU"],
        versions=[{"keras": "3"}],
        commits=["c"],
        counts=counts,
    )


def _seeds(folder: pathlib.Path) -> list[pathlib.Path]:
    path = folder / "unet-hssayeni.json"
    _result().save(path)
    return [path]


class _Folder:
    """A results folder whose only result is a mutated file."""

    def __init__(self, path: pathlib.Path):
        self._path, self._folder = path, tempfile.TemporaryDirectory()
        self.results = pathlib.Path(self._folder.name)

    def __enter__(self) -> pathlib.Path:
        target = stored.result_file(self.results, PROFILE, ROW)
        target.parent.mkdir(parents=True)
        shutil.copyfile(self._path, target)
        return self.results

    def __exit__(self, kind, error, traceback) -> None:
        self._folder.cleanup()
        if isinstance(error, ValueError) and f"{ROW}.json" in str(error):
            # The harness looks for the name of the mutated file.
            raise ValueError(f"{self._path.name}: {error}") from error


def _tables(path: pathlib.Path) -> None:
    with _Folder(path) as results:
        for form in render.FORMATS:
            render.render([TABLE], results, PROFILE, form)


def _verify(path: pathlib.Path) -> None:
    with _Folder(path) as results:
        verify.text(verify.verify(results, PROFILE, [TABLE.name]))


def _page(path: pathlib.Path) -> None:
    from ich_tf.experiments import runner
    from ich_tf.report import page

    with _Folder(path) as results:
        folders = runner.Folders(results=results, weights=results / "weights")
        page.write(folders, profile=PROFILE, cases=0, say=lambda line: None)


def _fold(path: pathlib.Path) -> None:
    MaskResult.load_fold(path)


def _fold_seeds(folder: pathlib.Path) -> list[pathlib.Path]:
    result = _result()
    path = folder / "fold.json"
    content = {
        "spec": result.spec,
        "fold": result.folds[0],
        "init": result.init,
        "history": result.history[0],
        "seconds": result.seconds[0],
        "peak_memory_gb": 1.0,
        "device": "CPU",
        "versions": {},
        "commit": None,
        "counts": result.counts,
    }
    files.write_json(path, content)
    return [path]


def _prepared(seeds, read):
    """Read a good file once, so that imports are not charged to the first cases."""

    def prepare() -> None:
        with tempfile.TemporaryDirectory() as folder:
            read(seeds(pathlib.Path(folder))[0])

    return prepare


TARGETS = {
    name + ending: harness.Target(
        seeds, read, mutate=mutate, prepare=_prepared(seeds, read)
    )
    for name, seeds, read in (
        ("tables", _seeds, _tables),
        ("verify", _seeds, _verify),
        ("page", _seeds, _page),
        ("fold", _fold_seeds, _fold),
    )
    for ending, mutate in (("", json_mutations.mutate), ("-bytes", None))
}
