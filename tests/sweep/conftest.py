"""Running the program of ``app/`` as a study: in this process (fast) or as a command (real signals)."""

import json
import logging
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import pytest

from crossweep.sweep.worker import THREAD_LIMITS

APP = Path(__file__).resolve().parent / "app" / "main.py"
BASE = ("-m", "study=map", "+study.progress=none")
Sweep = Callable[..., Path]
Value = TypeVar("Value")


class Database(NamedTuple):
    """A database server: its address, and how to kill and start it."""

    url: str
    kill: Callable[[], None]
    start: Callable[[], None]


@pytest.fixture
def sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sweep]:
    """Run the program with ``study=map`` and more overrides in this process; returns the study folder."""
    from hydra.core.global_hydra import GlobalHydra
    from hydra.core.hydra_config import HydraConfig

    from tests.sweep.app.main import main

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    for name in THREAD_LIMITS:  # a study sets them, and the next test must not inherit them
        monkeypatch.setenv(name, os.environ.get(name, "1"))
    threads = sys.modules["torch"].get_num_threads() if "torch" in sys.modules else None
    root = logging.getLogger()
    saved = root.handlers[:], root.level

    def run(*overrides: str, base: tuple[str, ...] = BASE, program: Callable[[], Any] = main) -> Path:
        monkeypatch.setattr(sys, "argv", ["main.py", *base, *overrides])
        GlobalHydra.instance().clear()
        program()
        return tmp_path / "multirun" / "map"

    yield run
    if threads is not None:
        sys.modules["torch"].set_num_threads(threads)
    GlobalHydra.instance().clear()
    HydraConfig.instance().cfg = None
    for handler in root.handlers:
        if handler not in saved[0]:
            handler.close()
    root.handlers[:], root.level = saved
    # Hydra's logging set-up switches existing loggers off
    for logger in logging.Logger.manager.loggerDict.values():
        if isinstance(logger, logging.Logger):
            logger.disabled = False


@pytest.fixture
def command(tmp_path: Path) -> Iterator[Callable[..., "subprocess.Popen[str]"]]:
    """Start the program as a command in its own session; whatever is left of it ends with the test."""
    started: list[subprocess.Popen[str]] = []

    def start(
        *overrides: str, base: tuple[str, ...] = ("-m", "study=map"), **env: str
    ) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [sys.executable, str(APP), *base, *overrides],
            cwd=tmp_path,
            env={**os.environ, "OMP_NUM_THREADS": "1", **env},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.terminate()
            try:
                process.communicate(timeout=30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()


def done(process: "subprocess.Popen[str]") -> str:
    """Wait for a command that must succeed; returns what it printed."""
    output, _ = process.communicate()
    assert process.returncode == 0, output
    return output


def trials_of(folder: Path) -> list[dict[str, Any]]:
    """Every trial.json of a study, in order of their numbers."""
    found = [json.loads(path.read_text()) for path in folder.glob("trial_*/trial.json")]
    return sorted(found, key=lambda trial: trial["number"])


def finished(folder: Path) -> list[dict[str, Any]]:
    """The trials that count."""
    return [trial for trial in trials_of(folder) if trial["state"] != "failed"]


def optuna_states(folder: Path, storage: Any = "journal") -> dict[str, int]:
    """Number of trials per state as Optuna sees them."""
    import optuna

    from crossweep.sweep.storage import open_storage

    opened = open_storage(storage, folder)
    study = optuna.load_study(study_name=folder.name, storage=opened)
    states: dict[str, int] = {}
    for trial in study.get_trials(deepcopy=False):
        states[trial.state.name] = states.get(trial.state.name, 0) + 1
    if isinstance(opened, optuna.storages.RDBStorage):
        opened.remove_session()
        opened.engine.dispose()
    return states


def wait_for(condition: Callable[[], Value]) -> Value:
    """Block until it is true and return what it gave; how long that may take is the runner's business."""
    while not (found := condition()):
        time.sleep(0.05)
    return found


def workers_of(folder: Path) -> set[int]:
    """Process numbers of the workers that hold a trial; a folder listed while it changes may repeat a name."""
    found = set()
    for lease in (folder / ".leases").glob("*.json"):
        try:
            found.add(json.loads(lease.read_text())["pid"])
        except (OSError, ValueError):
            continue
    return found


def workers_at_work(folder: Path, count: int) -> set[int]:
    """Wait until so many workers are inside the job of a trial each; their process numbers."""
    wait_for(lambda: len(list(folder.glob("trial_*/.hydra/overrides.yaml"))) == count)
    return wait_for(lambda: found if len(found := workers_of(folder)) == count else set())


@pytest.fixture
def postgresql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
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

    def start() -> None:
        run(*control, "-l", str(root / "log"), "-o", f"-k {root} -c listen_addresses=''", "start")

    def kill() -> None:
        run(*control, "-m", "immediate", "stop")

    start()
    yield Database(f"postgresql+psycopg://sweep@/postgres?host={root}", kill, start)
    kill()
