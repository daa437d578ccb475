"""The same study on every launcher and every storage."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from crossweep.errors import StudyError
from crossweep.sweep.storage import open_storage
from tests.sweep.conftest import done, finished, optuna_states

Start = Callable[..., Any]


@pytest.mark.parametrize(
    "launcher",
    [
        "basic",
        pytest.param("joblib", marks=pytest.mark.slow),
        pytest.param("submitit_local", marks=pytest.mark.slow),
        pytest.param("ray", marks=pytest.mark.slow),
    ],
)
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


@pytest.mark.parametrize("storage", ["journal", "{name: journal, lock: symlink}", "sqlite", "grpc"])
def test_storages_of_several_processes(storage: str, tmp_path: Path, command: Start) -> None:
    if storage == "grpc":
        pytest.importorskip("grpc")
    options = ("study.workers=2", f"+study.storage={storage}", "sleep=[0.1]")
    done(command("study.n_trials=3", *options))
    done(command("study.n_trials=5", *options))
    folder = tmp_path / "multirun" / "map"
    assert [trial["number"] for trial in finished(folder)] == list(range(5))
    inner = "sqlite" if storage == "sqlite" else "journal"
    assert optuna_states(folder, inner) == {"COMPLETE": 5}


def test_memory_goes_on_from_the_trial_folders(tmp_path: Path, command: Start) -> None:
    done(command("study.n_trials=2", "+study.storage=memory"))
    done(command("study.n_trials=4", "+study.storage=memory"))
    assert [trial["number"] for trial in finished(tmp_path / "multirun" / "map")] == list(range(4))
    process = command("study.workers=2", "+study.storage=memory")
    output, _ = process.communicate()
    assert process.returncode != 0
    assert "memory serves one worker" in output


@pytest.fixture
def postgresql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A database server of our own on a socket in a temporary folder."""
    pytest.importorskip("psycopg", reason="psycopg is not installed")
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    initdb = shutil.which("initdb") or (str(found[-1]) if found else None)
    if initdb is None:
        pytest.skip("postgresql is not installed")
    root = tmp_path_factory.mktemp("pg")
    as_user: list[str] = []
    if os.geteuid() == 0:  # the server refuses to run as root
        user = "nobody"
        shutil.chown(root, user)
        for parent in root.parents:
            if parent.stat().st_uid == 0 and parent != Path("/tmp") and Path("/tmp") in parent.parents:
                parent.chmod(parent.stat().st_mode | 0o111)
        as_user = ["setpriv", f"--reuid={user}", "--regid=nogroup", "--clear-groups"]
    control = [str(Path(initdb).with_name("pg_ctl")), "-D", str(root / "data"), "-w"]

    def run(*words: str) -> None:
        subprocess.run([*as_user, *words], check=True, cwd=root, stdout=subprocess.DEVNULL)

    run(initdb, "-D", str(root / "data"), "-U", "sweep", "-A", "trust")
    run(*control, "-l", str(root / "log"), "-o", f"-k {root} -c listen_addresses=''", "start")
    yield f"postgresql+psycopg://sweep@/postgres?host={root}"
    run(*control, "-m", "immediate", "stop")


@pytest.mark.slow
def test_a_database_server(postgresql: str, tmp_path: Path, command: Start) -> None:
    options = (
        "study.workers=3",
        f"+study.storage={{name: rdb, url: '{postgresql}'}}",
        "sleep=[0.1]",
        "chaos.kill=0.1",
    )
    done(command("study.n_trials=12", "+study.max_retries=8", *options))
    folder = tmp_path / "multirun" / "map"
    states = optuna_states(folder, {"name": "rdb", "url": postgresql})
    assert states["COMPLETE"] == len(finished(folder)) == 12
    assert states.keys() <= {"COMPLETE", "FAIL"}


def test_a_server_that_is_not_there_is_one_line_without_its_password(tmp_path: Path) -> None:
    pytest.importorskip("psycopg")
    spec = {"name": "rdb", "url": f"postgresql+psycopg://sweep:secret@/postgres?host={tmp_path}"}
    with pytest.raises(StudyError, match=r"study\.storage: cannot open it, OperationalError") as caught:
        open_storage(spec, tmp_path)
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)
