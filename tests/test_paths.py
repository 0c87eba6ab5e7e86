import pathlib

import pytest

from ich_tf import paths


@pytest.mark.parametrize(
    ("find", "variable"), [(paths.ct_ich, "ICH_TF_CT_ICH"), (paths.rsna, "ICH_TF_RSNA")]
)
class TestDataFolder:
    def test_argument_wins_over_variable(self, find, variable, tmp_path, monkeypatch):
        monkeypatch.setenv(variable, "/does/not/matter")
        assert find(tmp_path) == tmp_path

    def test_variable(self, find, variable, tmp_path, monkeypatch):
        monkeypatch.setenv(variable, str(tmp_path))
        assert find() == tmp_path

    def test_nothing_given_names_option_variable_and_page(
        self, find, variable, monkeypatch
    ):
        monkeypatch.delenv(variable, raising=False)
        with pytest.raises(ValueError, match=f"--.*{variable}.*real-data.md"):
            find()

    def test_a_folder_that_is_not_there(self, find, variable, tmp_path):
        with pytest.raises(ValueError, match=rf"absent is not a folder.*{variable}"):
            find(tmp_path / "absent")


@pytest.mark.parametrize(
    ("find", "variable", "name"),
    [
        (paths.weights, "ICH_TF_WEIGHTS", "weights"),
        (paths.results, "ICH_TF_RESULTS", "results"),
    ],
)
def test_own_folders_have_a_default_and_need_not_exist(
    find, variable, name, tmp_path, monkeypatch
):
    monkeypatch.delenv(variable, raising=False)
    assert find() == paths.PROJECT / name
    monkeypatch.setenv(variable, str(tmp_path / "set"))
    assert find() == tmp_path / "set"
    assert find(tmp_path / "argument") == tmp_path / "argument"


def test_downloads_go_to_the_weights_folder_or_the_cache(tmp_path, monkeypatch):
    monkeypatch.delenv("ICH_TF_WEIGHTS", raising=False)
    monkeypatch.delenv("ICH_TF_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert paths.cache() == tmp_path / "ich_tf"
    monkeypatch.setenv("ICH_TF_CACHE", str(tmp_path / "own"))
    assert paths.cache() == tmp_path / "own"
    assert paths.pretrained() == paths.PROJECT / "weights" / "imagenet"
    assert paths.pretrained(tmp_path) == tmp_path / "imagenet"
    # An installed package may be read-only.
    installed = paths.SHIPPED / "weights"
    assert paths.pretrained(installed) == tmp_path / "own" / "imagenet"


def test_home_is_expanded():
    assert paths.results("~/x") == pathlib.Path.home() / "x"
