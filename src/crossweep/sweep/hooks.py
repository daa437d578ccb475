"""What happens with the study folder: after every trial the results table, at the end the report.

They are named, not imported: results stand above sweeps in the order of imports, and a sweep of another
program has none.
"""

import logging
from pathlib import Path
from typing import Protocol

from filelock import FileLock, Timeout

from crossweep.study_folder import TABLE_LOCK
from crossweep.sweep.plugins import locate

log = logging.getLogger(__name__)


class TableKeeper(Protocol):
    """Keeps a table up to date; decides itself how often that is worth its cost unless forced."""

    def update(self, *, force: bool = False) -> bool: ...


class Refresher:
    """Brings the results table up to date after every trial.

    Args:
        dotted: name of a function or class that makes a `TableKeeper` from the study folder; None for no
            table.
        directory: the study folder.
    """

    def __init__(self, dotted: str | None, directory: Path) -> None:
        self._dotted, self._directory = dotted, directory
        self._writer: TableKeeper | None = None

    def __call__(self, *, force: bool = False) -> None:
        """A trial has ended, or (``force``) the last one."""
        if self._dotted is None:
            return
        try:
            # one writer at a time: the later one has read more trials and must not be overwritten by the
            # earlier
            with FileLock(self._directory / TABLE_LOCK, timeout=30):
                if self._writer is None:
                    self._writer = locate(self._dotted, "study.table")(self._directory)
                self._writer.update(force=force)
        except Timeout:
            return  # somebody else is writing; our trial comes with the next one
        except Exception as error:
            # a table can be rebuilt from the trial folders at any time; a study must not die of it
            log.warning("the results table could not be written: %r", error)


def run_at_end(dotted: str | None, directory: Path) -> None:
    """Build the report, if there is one to build."""
    if dotted is None:
        return
    try:
        locate(dotted, "study.report")([directory])
    except Exception as error:
        log.warning("%s failed: %r; the trials are safe, build it again later", dotted, error)
