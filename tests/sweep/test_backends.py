"""The same study on every launcher and every storage."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from crossweep.errors import ConfigError, StudyError
from crossweep.sweep.storage import open_storage
from tests.some import some
from tests.sweep.conftest import Database, Sweep, done, finished, optuna_states, wait_for, workers_of

Start = Callable[..., Any]


@pytest.mark.parametrize(
    "launcher",
    [
        "basic",  # as every command of test_pool.py
        "joblib",
        "submitit_local",
        "ray",
    ],
)
@pytest.mark.slow
def test_launchers(launcher: str, tmp_path: Path, command: Start) -> None:
    package = {"joblib": "joblib", "submitit_local": "submitit", "ray": "ray"}.get(launcher)
    if package is not None:
        pytest.importorskip(
            f"hydra_plugins.hydra_{package}_launcher", reason=f"hydra-{package}-launcher is not installed"
        )
    workers = 1 if launcher == "basic" else 2
    options = ("study.n_trials=6", f"study.workers={workers}", f"hydra/launcher={launcher}", "sleep=[0.2]")
    done(command(*options, RAY_AUTH_MODE="disabled"))
    folder = tmp_path / "multirun" / "map"
    assert optuna_states(folder) == {"COMPLETE": 6}
    assert [trial["number"] for trial in finished(folder)] == list(range(6))


SYMLINK = "{name: journal, lock: symlink}"  # Optuna's own lock; by default one process takes and leaves it


@pytest.mark.parametrize("storage", some(("journal", SYMLINK, "sqlite", "grpc"), "journal"))
def test_storages_of_several_processes(storage: str, tmp_path: Path, command: Start, sweep: Sweep) -> None:
    """Begun in this process, continued by a controller and two workers of their own."""
    if storage == "grpc":
        pytest.importorskip("grpc")
    first = "sqlite" if storage == "sqlite" else "journal"  # what a server of ours keeps the study in
    folder = sweep(
        "study.n_trials=1", f"+study.storage={first if storage == 'grpc' else storage}", "sleep=[0.1]"
    )
    done(command("study.n_trials=5", "study.workers=2", f"+study.storage={storage}", "sleep=[0.1]"))
    assert [trial["number"] for trial in finished(folder)] == list(range(5))
    assert optuna_states(folder, first) == {"COMPLETE": 5}


def test_a_journal_may_be_locked_by_a_link(sweep: Sweep) -> None:
    for target in (1, 2):
        folder = sweep(f"study.n_trials={target}", f"+study.storage={SYMLINK}")
        assert optuna_states(folder) == {"COMPLETE": target}


def test_memory_goes_on_from_the_trial_folders(sweep: Sweep) -> None:
    """Nothing of a study in memory outlives its start, not even in the same process."""
    for target in (2, 4):
        folder = sweep(f"study.n_trials={target}", "+study.storage=memory")
        assert [trial["number"] for trial in finished(folder)] == list(range(target))
    (folder / "trial_1" / "trial.json").unlink()
    sweep("study.n_trials=4", "+study.storage=memory")
    assert [trial["number"] for trial in finished(folder)] == [0, 2, 3, 4]
    with pytest.raises(ConfigError, match="memory serves one worker"):
        sweep("study.workers=2", "+study.storage=memory")


@pytest.mark.slow
def test_a_database_server(postgresql: Database, tmp_path: Path, command: Start) -> None:
    options = (
        "study.workers=3",
        f"+study.storage={{name: rdb, url: '{postgresql.url}'}}",
        "sleep=[0.1]",
        "chaos.kill=0.1",
    )
    done(command("study.n_trials=12", "+study.max_retries=8", *options))
    folder = tmp_path / "multirun" / "map"
    states = optuna_states(folder, {"name": "rdb", "url": postgresql.url})
    assert states["COMPLETE"] == len(finished(folder)) == 12
    assert states.keys() <= {"COMPLETE", "FAIL"}


@pytest.mark.slow
def test_a_database_server_killed_and_restarted(postgresql: Database, tmp_path: Path, command: Start) -> None:
    """Twice in the middle of the study, for longer than any request lasts: it waits, and every trial counts once."""
    storage = f"+study.storage={{name: rdb, url: '{postgresql.url}'}}"
    process = command("study.n_trials=16", "study.workers=3", storage, "sleep=[0.2,0.6]")
    folder = tmp_path / "multirun" / "map"
    for enough in (3, 8):
        wait_for(lambda: len(finished(folder)) >= enough)  # noqa: B023
        postgresql.kill()
        time.sleep(4)  # the study has to meet a server that is away
        postgresql.start()
    done(process)
    assert len(finished(folder)) == 16
    states = optuna_states(folder, {"name": "rdb", "url": postgresql.url})
    assert states["COMPLETE"] == 16 and states.keys() <= {"COMPLETE", "FAIL"}


@pytest.mark.slow
@pytest.mark.parametrize(("launcher", "package"), [("joblib", "joblib"), ("submitit_local", "submitit")])
def test_a_launchers_workers_are_killed(launcher: str, package: str, tmp_path: Path, command: Start) -> None:
    pytest.importorskip(f"hydra_plugins.hydra_{package}_launcher")
    options = ("study.n_trials=8", "study.workers=2", f"hydra/launcher={launcher}", "sleep=[0.5]")
    process = command(*options, "+study.max_retries=8", "+study.lease_timeout=10")
    folder, kills = tmp_path / "multirun" / "map", 0
    for enough in (1, 4):
        victims = wait_for(lambda: len(finished(folder)) >= enough and workers_of(folder))  # noqa: B023
        for victim in sorted(victims)[:1]:
            os.kill(victim, signal.SIGKILL)
            kills += 1
    done(process)
    states = optuna_states(folder)
    assert len(finished(folder)) == states["COMPLETE"] == 8
    assert kills == 2 and states.keys() <= {"COMPLETE", "FAIL"}


def test_a_server_that_is_not_there_is_one_line_without_its_password(tmp_path: Path) -> None:
    pytest.importorskip("psycopg")
    spec = {"name": "rdb", "url": f"postgresql+psycopg://sweep:secret@/postgres?host={tmp_path}"}
    with pytest.raises(StudyError, match=r"study\.storage: cannot open it, OperationalError") as caught:
        open_storage(spec, tmp_path)
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)
