"""Damaged files, full disks, folders deleted by hand: one line that names path and remedy, and nothing lost."""

import errno
import os
import shutil
from pathlib import Path

import pytest

from crossweep.errors import ConfigError, FileError, StudyError
from crossweep.paths import multirun_dir
from crossweep.records import read_json
from tests.some import some
from tests.sweep.conftest import Sweep, finished, optuna_states

DAMAGE = {"half": b'{"format": 1, "na', "foreign": b"[1, 2]", "binary": b"\x00\xff\x00"}


def points(folder: Path) -> list[dict[str, float]]:
    return [trial["params"] for trial in finished(folder)]


# -- rebuilt from the folders ----------------------------------------------------------------------


def test_a_rebuilt_study_draws_the_points_it_would_have_drawn(sweep: Sweep) -> None:
    whole = points(sweep("study.n_trials=6", "hydra.sweep.dir=multirun/whole").with_name("whole"))
    folder = sweep("study.n_trials=3")
    (folder / "study.journal").unlink()
    sweep("study.n_trials=6")
    assert points(folder) == whole
    assert len({tuple(point.values()) for point in whole}) == 6


def test_an_empty_folder_is_no_trial(sweep: Sweep) -> None:
    folder = sweep("study.n_trials=2")
    (folder / "trial_5000").mkdir()
    (folder / "trial_4000").write_text("a file")
    (folder / "study.journal").unlink()
    sweep("study.n_trials=3")
    assert optuna_states(folder) == {"COMPLETE": 3}
    assert [trial["number"] for trial in finished(folder)] == [0, 1, 2]


def test_numbers_of_lost_folders_are_kept_but_have_not_failed(
    sweep: Sweep, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = sweep("study.n_trials=3")
    shutil.rmtree(folder / "trial_1")
    (folder / "study.journal").unlink()
    sweep("study.n_trials=3", "+study.max_failures=0")
    assert [trial["number"] for trial in finished(folder)] == [0, 2, 3]
    assert "3 finished, 0 failed" in capfd.readouterr().out
    sweep("study.n_trials=3", "+study.retry_failed=true")
    assert "0 failed points queued again" in capfd.readouterr().out


@pytest.mark.few(2)
@pytest.mark.parametrize("harm", ["deleted", *DAMAGE])
def test_a_trial_whose_folder_is_gone_is_repeated(harm: str, sweep: Sweep) -> None:
    folder = sweep("study.n_trials=3")
    before = points(folder)
    if harm == "deleted":
        shutil.rmtree(folder / "trial_1")
    else:
        (folder / "trial_1" / "trial.json").write_bytes(DAMAGE[harm])
    for target in (3, 4):
        sweep(f"study.n_trials={target}")
        left = [read_json(path) for path in folder.glob("trial_[!1]/trial.json")]
        again = [trial for trial in left if trial["retry_of"] == 1]
        assert [trial["params"] for trial in again] == [before[1]]
        assert len([trial for trial in left if trial["state"] == "complete"]) == target


# -- damaged files ---------------------------------------------------------------------------------


@pytest.mark.few(1)
@pytest.mark.parametrize("harm", DAMAGE)
def test_a_damaged_description_is_one_line_and_its_remedy_works(harm: str, sweep: Sweep) -> None:
    folder = sweep("study.n_trials=1")
    path = folder / "study.json"
    path.write_bytes(DAMAGE[harm])
    with pytest.raises(StudyError, match=r"study\.json: .*; remove it") as caught:
        sweep("study.n_trials=2")
    assert "\n" not in str(caught.value)
    path.unlink()
    sweep("study.n_trials=2")
    assert optuna_states(folder) == {"COMPLETE": 2}


CUT = b'{"op_code":4,"wor\n'


@pytest.mark.parametrize("harm", some((CUT, b"\x00\x00\n", b"7\n", b'{"op_code":99,"worker_id":""}\n'), CUT))
def test_a_damaged_journal_names_file_and_line_and_is_rebuilt(harm: bytes, sweep: Sweep) -> None:
    folder = sweep("study.n_trials=2")
    journal = folder / "study.journal"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join([*lines[:4], harm, *lines[5:]]))
    with pytest.raises(StudyError, match=r"study\.journal, line 5: damaged; delete the file, it is rebuilt"):
        sweep("study.n_trials=3")
    journal.unlink()
    sweep("study.n_trials=3")
    assert optuna_states(folder) == {"COMPLETE": 3}


def test_a_damaged_database_is_one_line_and_is_rebuilt(sweep: Sweep) -> None:
    options = ("+study.storage=sqlite", "study.workers=1")
    folder = sweep("study.n_trials=1", *options)
    database = folder / "study.db"
    database.write_bytes(b"no database" * 100)
    with pytest.raises(
        StudyError, match=r"study\.db: damaged \(file is not a database\); delete it, it is rebuilt"
    ):
        sweep("study.n_trials=2", *options)
    database.unlink()
    sweep("study.n_trials=2", *options)
    assert optuna_states(folder, "sqlite") == {"COMPLETE": 2}


# -- places that cannot be used --------------------------------------------------------------------


@pytest.mark.few(3)
@pytest.mark.parametrize(
    "name", [".ledger.lock", "study.journal.flock", "study.journal", "study.json", ".leases"]
)
def test_something_in_the_way_is_one_line_with_its_path(name: str, sweep: Sweep, tmp_path: Path) -> None:
    path = tmp_path / "multirun" / "map" / name
    if name == ".leases":
        path.parent.mkdir(parents=True)
        path.write_text("")
    else:
        path.mkdir(parents=True)
    with pytest.raises(FileError, match="move it away") as caught:
        sweep("study.n_trials=1")
    assert name in str(caught.value) and "\n" not in str(caught.value)
    path.unlink() if name == ".leases" else path.rmdir()
    assert optuna_states(sweep("study.n_trials=1"))["COMPLETE"] == 1


def test_a_file_where_a_trial_belongs_ends_the_study_and_loses_no_point(sweep: Sweep, tmp_path: Path) -> None:
    wanted = points(sweep("study.n_trials=3", "hydra.sweep.dir=multirun/whole").with_name("whole"))
    folder = tmp_path / "multirun" / "map"
    folder.mkdir(parents=True)
    (folder / "trial_1").write_text("mine")
    with pytest.raises(FileError, match=r"trial_1: .*; something else lies where .* move it away"):
        sweep("study.n_trials=3", "+study.max_failures=0")
    (folder / "trial_1").unlink()
    sweep("study.n_trials=3", "+study.max_failures=0")
    assert {tuple(p.items()) for p in points(folder)} >= {tuple(p.items()) for p in wanted[:2]}
    assert len(points(folder)) == 3


class FullDisk:
    """Every flush fails from the ``after``-th on, as on a disk that is full."""

    def __init__(self, after: int, number: int) -> None:
        self.left, self.number, self._fsync = after, number, os.fsync

    def __call__(self, handle: int) -> None:
        self.left -= 1
        if self.left < 0:
            raise OSError(self.number, os.strerror(self.number))
        self._fsync(handle)


@pytest.mark.parametrize("after", some((1, 3, 14, 26), 1, 14))
def test_a_full_disk_is_one_line_and_the_same_command_goes_on(
    after: int, sweep: Sweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        monkeypatch.context() as patch,
        pytest.raises(FileError, match=r"No space left.*; free some") as caught,
    ):
        patch.setattr(os, "fsync", FullDisk(after, errno.ENOSPC))
        sweep("study.n_trials=3", "+study.lease_timeout=1")
    assert "\n" not in str(caught.value)
    folder = sweep("study.n_trials=3", "+study.lease_timeout=1")
    assert len(points(folder)) == 3
    states = optuna_states(folder)
    assert states["COMPLETE"] == 3 and states.keys() <= {"COMPLETE", "FAIL"}
    assert not list(tmp_path.rglob(".*.tmp"))


def test_a_read_only_disk_says_where_to_write_instead(sweep: Sweep, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", FullDisk(0, errno.EROFS))
    with pytest.raises(
        FileError, match=r"study\.json: Read-only file system; choose a folder .*CROSSWEEP_MULTIRUN"
    ):
        sweep("study.n_trials=1")


# -- names and left-overs --------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["../../evil", "''", "a/b", "..", "'a\\b'", "' '"])
def test_a_name_that_is_no_folder_is_refused(name: str, sweep: Sweep, tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"study\.name: (the name of one folder|must be a text that is not empty)"
    ):
        sweep(f"study.name={name}")
    assert not list(tmp_path.rglob("*"))


def test_a_folder_that_hydra_would_read_as_an_interpolation_is_refused(
    sweep: Sweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CROSSWEEP_MULTIRUN", "${b}")
    with pytest.raises(ConfigError, match=r"must not hold '\$\{', got .*\$\{b\}"):
        multirun_dir()
    (tmp_path / "a ${b}").mkdir()
    monkeypatch.chdir(tmp_path / "a ${b}")
    with pytest.raises(ConfigError, match=r"must not hold '\$\{', got .*a \$\{b\}/multirun/map"):
        sweep("study.n_trials=1")
    assert len(list(tmp_path.rglob("*"))) == 1


def test_temporary_files_of_killed_processes_go_at_the_next_start(sweep: Sweep) -> None:
    folder = sweep("study.n_trials=1")
    old, young = folder / "trial_0" / ".trial.json.x.tmp", folder / ".study.json.y.tmp"
    kept = folder / "trial_0" / "mine.tmp"
    for path in (old, young, kept):
        path.write_text("half")
    for path in (old, kept):
        os.utime(path, (0, 0))
    sweep("study.n_trials=1")
    assert [path.exists() for path in (old, young, kept)] == [False, True, True]
