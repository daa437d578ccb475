"""What a running job may tell its study: ``current_trial().report(step, value)`` and ``should_prune()``.

Outside a study every call does nothing, so training code asks without caring who started it. Importing this
module imports nothing heavy.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class TrialPruned(Exception):
    """The job gave up because its trial should be pruned."""


class Reporter(Protocol):
    """What a sweep puts behind the handle; Optuna's ``Trial`` fits."""

    @property
    def number(self) -> int: ...
    def report(self, value: float, step: int) -> None: ...
    def should_prune(self) -> bool: ...


class TrialHandle:
    """The trial of the running job.

    Several replicate seeds run one after another inside one trial; the steps of each continue those of the
    one before, so a pruner compares like with like.
    """

    def __init__(self, reporter: Reporter | None = None, *, maximize: bool = False) -> None:
        self._reporter, self._maximize = reporter, maximize
        self._offset = 0
        self._last = -1
        self.pruned = False

    @property
    def active(self) -> bool:
        """Whether a study listens."""
        return self._reporter is not None

    @property
    def number(self) -> int | None:
        """Number of the trial, None outside a study."""
        return None if self._reporter is None else self._reporter.number

    def report(self, step: int, value: float, *, higher_is_better: bool | None = None) -> None:
        """Tell the study an intermediate value, for example the validation accuracy after epoch ``step``.

        Args:
            step: a count that grows.
            value: any measure that ranks trials at the same step.
            higher_is_better: which way it ranks; None: the way the objective does. A pruner knows only the
                objective's direction, so a value that ranks the other way is told with its sign reversed.
        """
        if self._reporter is None:
            return
        if higher_is_better is not None and higher_is_better != self._maximize:
            value = -value
        self._last = max(self._last, self._offset + step)
        self._reporter.report(value, self._offset + step)

    def should_prune(self) -> bool:
        """Whether the study would rather stop this trial now."""
        if self._reporter is None:
            return False
        self.pruned = self.pruned or self._reporter.should_prune()
        return self.pruned

    def prune(self) -> None:
        """End the job as pruned.

        Raises:
            TrialPruned: always.
        """
        raise TrialPruned(f"trial {self.number} pruned after step {self._last}")

    def next_replicate(self) -> None:
        """The next seed of the same point starts."""
        self._offset = self._last + 1


_OUTSIDE = TrialHandle()
_current = _OUTSIDE


def current_trial() -> TrialHandle:
    """The trial of the running job; a handle that does nothing outside a study."""
    return _current


@contextmanager
def running(handle: TrialHandle) -> Iterator[TrialHandle]:
    """Make ``handle`` the current trial of this process."""
    global _current  # noqa: PLW0603  one job runs at a time in a process
    _current = handle
    try:
        yield handle
    finally:
        _current = _OUTSIDE
