"""Worker processes of our own on one machine.

Each is the user's command line run again, told by the environment that it is a worker. Nothing is pickled, a
killed worker costs nobody else anything, and every worker gets its share of cores and its GPU before torch
is imported.
"""

import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from crossweep.errors import StudyError
from crossweep.study_folder import WORKERS
from crossweep.sweep.ledger import Ledger, Reason, count_trials
from crossweep.sweep.settings import Settings
from crossweep.sweep.worker import resources

log = logging.getLogger(__name__)

ENVIRONMENT = "CROSSWEEP_WORKER"
GRACE = 20.0  # seconds that a worker has to put its trial back
USERS_MISTAKE = 2  # exit code: it has said in one line what has to be mended
FRUITLESS = 3  # worker deaths per worker without one ended trial in between, before we give up


@dataclass
class Child:
    process: "subprocess.Popen[bytes]"
    log: Path
    output: IO[bytes]


def assignment() -> dict[str, Any] | None:
    """What the controlling process wants of this one, None if it is no worker of a pool."""
    text = os.environ.get(ENVIRONMENT)
    if not text:
        return None
    wanted: dict[str, Any] = json.loads(text)
    # a job may start programs of its own; those are not workers
    return wanted if wanted.get("parent") == os.getppid() else None


class Pool:
    """Keeps ``workers`` processes busy until the study has what it wants.

    Args:
        ledger: of the study, opened by the controlling process.
        directory: the study folder; each worker's output goes to ``workers/worker_<i>.log`` below it.
        settings: the study's.
        message: handed to every worker (storage address, deadline, ...).
    """

    def __init__(self, ledger: Ledger, directory: Path, settings: Settings, message: dict[str, Any]) -> None:
        self._ledger, self._settings, self._message = ledger, settings, message
        self._logs = directory / WORKERS
        self._children: dict[int, Child] = {}
        self._deaths = 0
        self._ended = 0

    def run(self, stopped: Callable[[], bool]) -> None:
        """Block until no trial may start and none runs here, or until ``stopped`` says so.

        Raises:
            StudyError: workers keep dying before they end a single trial.
        """
        self._logs.mkdir(parents=True, exist_ok=True)
        try:
            while not stopped():
                self._collect()
                if not self._fill() and not self._children:
                    return
                time.sleep(0.1)
        finally:
            self.stop()

    def stop(self) -> None:
        """Ask every worker to put its trial back, and end those that do not."""
        for child in self._children.values():
            with contextlib.suppress(ProcessLookupError):
                child.process.terminate()
        deadline = time.monotonic() + GRACE
        for child in self._children.values():
            try:
                child.process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(child.process.pid, signal.SIGKILL)
                child.process.wait()
            child.output.close()
        self._children.clear()
        self._ledger.reap()

    def _collect(self) -> None:
        """Workers that have ended."""
        for index, child in list(self._children.items()):
            code = child.process.poll()
            if code is None:
                continue
            child.output.close()
            del self._children[index]
            if code == USERS_MISTAKE:
                raise StudyError(f"{_tail(child.log, 1)} (worker {index}, {child.log})")
            if code != 0:
                log.warning("worker %d ended with %s (see %s)", index, _meaning(code), child.log)
                self._ledger.reap()
                self._count_death(child)

    def _count_death(self, child: Child) -> None:
        tally = count_trials(self._ledger.trials())
        ended = tally.finished + tally.failed
        self._deaths = self._deaths + 1 if ended == self._ended else 1
        self._ended = ended
        if self._deaths >= FRUITLESS * self._settings.n_workers:
            raise StudyError(
                f"{self._deaths} workers died and ended no trial; {child.log} ends with:\n{_tail(child.log)}"
            )

    def _fill(self) -> bool:
        """Start the workers that are missing; whether any work is left."""
        stop = self._ledger.reason_to_stop_now()
        if stop is not None:
            return stop.reason is Reason.LAST_ARE_RUNNING and bool(self._children)
        tally = count_trials(self._ledger.trials())
        useful = min(self._settings.n_workers, self._ledger.target - tally.finished)
        for index in range(self._settings.n_workers):
            if len(self._children) < useful and index not in self._children:
                self._children[index] = self._start(index)
        return True

    def _start(self, index: int) -> Child:
        path = self._logs / f"worker_{index}.log"
        output = path.open("ab")
        message = {**self._message, "index": index, "parent": os.getpid()}
        env = {**os.environ, **resources(index, self._settings, self._settings.n_workers)}
        env.update({ENVIRONMENT: json.dumps(message), "PYTHONFAULTHANDLER": "1", "PYTHONUNBUFFERED": "1"})
        # its own session: Ctrl-C on the terminal reaches us alone, and we tell the workers
        process = subprocess.Popen(
            [sys.executable, *command()],
            env=env,
            stdout=output,
            stderr=output,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        return Child(process, path, output)


def command() -> list[str]:
    """The arguments of the Python interpreter that this program was started with.

    Raises:
        StudyError: the sweep was not started from a command line of its own.
    """
    started = list(sys.orig_argv[1:])
    if not started or any(item not in started for item in sys.argv[1:]):
        raise StudyError(
            "study.workers: several processes need the sweep to be a command of its own; inside others "
            "use hydra/launcher=joblib"
        )
    return started


def _meaning(code: int) -> str:
    if code < 0:
        with contextlib.suppress(ValueError):
            return signal.Signals(-code).name
    return f"exit code {code}"


def _tail(path: Path, lines: int = 15) -> str:
    try:
        return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])
    except OSError:
        return ""
