"""A study in two small files says what its folder says, and not where that folder was."""

import shutil
from pathlib import Path

import pytest

from crossweep.paper.saved import _typed, load, save
from crossweep.results.analysis import analyse
from crossweep.results.collecting import collect
from crossweep.results.sheets import tolerance_sheet
from tests.results.studies import cliff, record, study, write


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return study(tmp_path / "somebody" / "skew", cliff, n=16, seeds=2, algorithms=("cttv2", "ttv2"))


def test_the_answer_of_the_saved_study_is_that_of_its_folder(folder: Path, tmp_path: Path) -> None:
    files = save(folder, tmp_path / "kept" / "skew")
    assert [path.name for path in files] == ["skew.csv", "skew.json"]
    kept = load(tmp_path / "kept" / "skew")
    assert kept is not None
    sheets = [tolerance_sheet(analyse(table)) for table in (collect(folder), kept)]
    assert len(sheets[0]) == 4
    # numbers are kept with six digits
    for column in ("requirement", "answer"):
        assert sheets[0][column].notna().all() and list(sheets[0][column]) == list(sheets[1][column])


def test_epochs_are_kept_and_places_are_not(folder: Path, tmp_path: Path) -> None:
    run = next(folder.glob("trial_3/seed_1")) / "record.json"
    private = {"data": {"root": str(tmp_path), "file": str(tmp_path)}, "device": {"n_states": 20}}
    write(run, record(1.0, config=private, hardware={"cpu": "any", "host": "mine"}))
    files = save(folder, tmp_path / "kept" / "skew")
    kept = load(tmp_path / "kept" / "skew")
    assert kept is not None
    assert list(kept.rows["epoch.5"]) == [0.9] * len(kept.rows)
    assert any(settings.get("device.n_states") == 20 for settings in kept.rows["settings"])
    for path in files:
        text = path.read_text()
        assert str(tmp_path) not in text and "mine" not in text


def test_a_trial_that_failed_is_kept(folder: Path, tmp_path: Path) -> None:
    lost = folder / "trial_5"
    shutil.rmtree(lost)
    write(lost / "trial.json", {"number": 5, "state": "failed", "params": {"skew": 0.1}, "error": "it broke"})
    save(folder, tmp_path / "kept" / "skew")
    kept = load(tmp_path / "kept" / "skew")
    assert kept is not None
    assert list(kept.rows["state"]).count("failed") == 1 and analyse(kept).groups


def test_what_was_never_saved_is_none(tmp_path: Path) -> None:
    assert load(tmp_path / "nothing") is None


def test_a_command_is_kept_without_where_files_lie() -> None:
    told = (
        "crossweep-train -m study=states data.root=/home/me/data 'axis.x.points=[1, 2]' data.file=/b seeds=2"
    )
    assert _typed(told) == "crossweep-train -m study=states 'axis.x.points=[1, 2]' seeds=2"
