"""The journal of a study: Optuna's log file, with a lock that heals it and with damage that is named."""

import fcntl
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from optuna.storages.journal import JournalFileBackend
from optuna.storages.journal._storage import JournalOperation

from crossweep.errors import StudyError


class Journal(JournalFileBackend):
    """Optuna's log file; a line that is none of its own is named with the file."""

    def __init__(self, file: Path, lock: Any) -> None:
        super().__init__(str(file), lock_obj=lock)
        self._file = file

    def read_logs(self, log_number_from: int) -> Iterator[dict[str, Any]]:  # type: ignore[override]
        """The entries from one number on.

        Raises:
            StudyError: the file is damaged.
        """
        number = log_number_from
        entries = super().read_logs(log_number_from)
        while True:
            number += 1
            try:
                entry = next(entries, None)
                if entry is None:
                    return
                JournalOperation(entry["op_code"])
                _ = entry["worker_id"]
            except (ValueError, TypeError, KeyError) as error:
                raise StudyError(
                    f"{self._file}, line {number}: damaged; delete the file, it is rebuilt from the trial folders"
                ) from error
            yield entry


class HealingLock:
    """Kernel lock around appends to a journal, which first cuts off a half-written last line.

    Unlike a lock file it vanishes with its process, so a killed worker makes nobody wait; and a line torn by
    the kill would otherwise make the journal unreadable for good once another line follows it.
    """

    def __init__(self, journal: Path) -> None:
        self._journal = journal
        self._path = journal.with_name(journal.name + ".flock")
        self._mutex = threading.Lock()
        self._handle: int | None = None

    def acquire(self) -> bool:
        """Take the lock, waiting as long as it needs."""
        self._mutex.acquire()
        handle = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            self._heal()
        except BaseException:
            os.close(handle)
            self._mutex.release()
            raise
        self._handle = handle
        return True

    def release(self) -> None:
        """Give the lock back."""
        handle, self._handle = self._handle, None
        if handle is not None:
            os.close(handle)
            self._mutex.release()

    def _heal(self) -> None:
        with self._journal.open("rb+") as file:
            end = file.seek(0, os.SEEK_END)
            if end == 0:
                return
            file.seek(end - 1)
            if file.read(1) == b"\n":
                return
            block = min(end, 1 << 20)
            file.seek(end - block)
            kept = file.read(block).rfind(b"\n") + 1
            file.truncate(end - block + kept)
