"""Signals that end a trial early: Ctrl-C and SIGTERM put it back, the alarm says that it took too long.

They raise only while the job itself runs. Between jobs, where a half-done write would hurt, they are
remembered.
"""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any


class Stopped(KeyboardInterrupt):
    """Somebody asked this process to stop; not an ``Exception``, so that no job swallows it."""

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.number = number


class TimedOut(BaseException):
    """The trial ran over its time limit; not an ``Exception``, so that no job swallows it."""


STOPPING = (signal.SIGINT, signal.SIGTERM)
SCHEDULERS = ("submitit", "ray", "distributed")
PATIENT_SIGNALS = 2  # one more ends the process on the spot


class Signals:
    """Handlers of this process while a study runs in it; does nothing outside the main thread."""

    def __init__(self) -> None:
        self.received: int | None = None
        self._count = 0
        self._in_job = False
        self._job_number = 0
        self._expired = -1
        self._saved: dict[int, Any] = {}

    def __enter__(self) -> "Signals":
        if threading.current_thread() is threading.main_thread():
            for number in STOPPING:
                if _replaceable(signal.getsignal(number)):
                    self._saved[number] = signal.signal(number, self._on_stop)
            self._saved[signal.SIGALRM] = signal.signal(signal.SIGALRM, self._on_alarm)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._saved.items():
            signal.signal(number, handler)
        self._saved.clear()

    @contextlib.contextmanager
    def job(self) -> Iterator[int]:
        """While the job runs, a signal raises at once. Yields the token that `expire` needs."""
        if self.received is not None:
            raise Stopped(self.received)
        self._job_number += 1
        try:
            self._in_job = True
            yield self._job_number
        finally:
            self._in_job = False

    @property
    def can_interrupt(self) -> bool:
        """Whether an exception can be raised in the running job from another thread."""
        return signal.SIGALRM in self._saved

    def expire(self, job: int) -> None:
        """Called by the watching thread: the time of this job is up."""
        self._expired = job
        ident = threading.main_thread().ident
        if self.can_interrupt and ident is not None:
            signal.pthread_kill(ident, signal.SIGALRM)

    def stop(self) -> None:
        """Called by the watching thread: stop as if by SIGTERM."""
        ident = threading.main_thread().ident
        if signal.SIGTERM in self._saved and ident is not None:
            signal.pthread_kill(ident, signal.SIGTERM)

    def _on_stop(self, number: int, frame: FrameType | None) -> None:
        del frame
        first = self.received is None
        self.received = number
        self._count += 1
        if self._count > PATIENT_SIGNALS:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        if self._in_job and first:
            self._in_job = False  # one exception is enough; the clean-up must not be interrupted
            raise Stopped(number)

    def _on_alarm(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        if self._in_job and self._expired == self._job_number:
            self._in_job = False
            raise TimedOut


def _replaceable(handler: object) -> bool:
    """Whether a handler may be ours for a while: schedulers have their own way to end a process."""
    module = str(getattr(handler, "__module__", "") or type(handler).__module__)
    return module.partition(".")[0] not in SCHEDULERS
