"""A running trial's sign of life: a small file touched by a thread, understood by every storage and every
host.

Optuna's heartbeat exists for one storage only and is not started by ask and tell. A lease is stale when its
process is known to be gone (same machine) or when it has not been touched for ``lease_timeout`` seconds of
the file system's clock.
"""

import contextlib
import faulthandler
import os
import platform
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from crossweep.records import read_json, write_json

HUNG_EXIT = 75  # EX_TEMPFAIL: the trial may be tried again


def identity() -> dict[str, Any]:
    """This process, such that another one can tell whether it lives."""
    return {"place": _place(), "pid": os.getpid(), "born": _born(os.getpid()), "host": platform.node()}


def is_stale(path: Path, timeout: float) -> bool:
    """Whether the trial behind a lease file is dead; a missing lease is for the caller to judge."""
    try:
        touched = path.stat().st_mtime
        owner = read_json(path)
    except OSError:
        return False
    except ValueError:
        owner = None  # damaged: its age alone counts
    known = isinstance(owner, dict) and owner.keys() >= {"place", "pid", "born"}
    if known and owner["place"] == _place() and _born(owner["pid"]) != owner["born"]:
        return True
    return _clock(path.parent) - touched > timeout


def _place() -> str:
    """Host and process namespace: process numbers mean something only inside one of these."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        space = str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        boot = space = ""
    return f"{platform.node()}:{boot}:{space}"


def _born(pid: int) -> str | None:
    """Start time of a process, None when it is gone or a zombie; numbers are reused, this pair is not."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except FileNotFoundError:
        if Path("/proc/self/stat").exists():
            return None
        return _alive_without_proc(pid)
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[19]


def _alive_without_proc(pid: int) -> str | None:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass
    return "alive"


def _clock(folder: Path) -> float:
    """Now, by the clock that stamps files in ``folder`` (a file server's clock differs from ours)."""
    probe = folder / f".clock-{platform.node()}-{os.getpid()}.tmp"
    try:
        probe.touch()
        return probe.stat().st_mtime
    finally:
        with contextlib.suppress(OSError):
            probe.unlink()


class Lease:
    """Held while a trial runs: touched every few seconds, watches the time limit and the parent process.

    Args:
        path: the lease file.
        timeout: staleness limit [s] that readers use.
        limit: longest life [s]; ``on_limit`` runs in the watching thread, and the process is ended ``grace``
            seconds later if the job still runs (it hangs where no exception reaches it).
        parent: process whose end ends us too, None for none.
        on_lost: called when the parent is gone, or when others took the trial for dead and removed the lease.
        log: where the stacks of a hung process are written.
    """

    def __init__(
        self,
        path: Path,
        *,
        timeout: float,
        limit: float | None = None,
        grace: float = 15.0,
        on_limit: Callable[[], None] | None = None,
        parent: int | None = None,
        on_lost: Callable[[], None] | None = None,
        log: Path | None = None,
    ) -> None:
        self.path, self._timeout, self._limit, self._grace = path, timeout, limit, grace
        self._on_limit, self._parent, self._on_lost, self._log = on_limit, parent, on_lost, log
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, name=f"lease {path.stem}", daemon=True)
        self._started = time.monotonic()

    def acquire(self) -> "Lease":
        """Write the lease and start touching it."""
        write_json(self.path, {**identity(), "started": time.time()})
        self._started = time.monotonic()
        self._thread.start()
        return self

    def release(self) -> None:
        """The trial is told; nobody needs to watch it."""
        self.stop()
        self.path.unlink(missing_ok=True)

    def stop(self) -> None:
        """Stop touching without removing the file."""
        self._done.set()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(timeout=5)

    def forget_limit(self) -> None:
        """The job is over, but the trial is not told yet."""
        self._limit = None

    def _watch(self) -> None:
        interval = min(self._timeout / 4, 10.0)
        while not self._done.wait(min(interval, self._remaining())):
            if not self._renew() and self._on_lost is not None:
                self._on_lost()
                self._on_lost = None
            age, limit = time.monotonic() - self._started, self._limit
            if limit is not None and age > limit and self._on_limit is not None:
                self._on_limit()
                self._on_limit = None
            if limit is not None and age > limit + self._grace:
                self._end_process()

    def _renew(self) -> bool:
        """Touch the lease; whether the trial is still ours."""
        try:
            os.utime(self.path)
        except FileNotFoundError:
            return False
        except OSError:
            pass  # the file system hiccups; the next touch may succeed
        return self._parent is None or os.getppid() == self._parent

    def _remaining(self) -> float:
        limit = self._limit
        if limit is None:
            return self._timeout
        age = time.monotonic() - self._started
        return max(0.05, (limit if age <= limit else limit + self._grace) - age)

    def _end_process(self) -> None:
        if self._log is not None:
            with contextlib.suppress(OSError):
                self._log.parent.mkdir(parents=True, exist_ok=True)
                with self._log.open("a") as file:
                    file.write(
                        "hung: over the time limit and deaf to the exception; stacks of all threads follow\n"
                    )
                    faulthandler.dump_traceback(file)
        os._exit(HUNG_EXIT)
