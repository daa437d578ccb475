"""One line for the whole study: done, running, failed, best or boundary so far, time left, how far a run has come."""

import contextlib
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crossweep.sweep.ledger import Ledger, TrialCounts, count_trials

if TYPE_CHECKING:
    from optuna.study import Study

PLAIN_EVERY = 2.0  # seconds between lines where nothing can be redrawn
STILL = 120.0  # seconds after which such a line comes again though nothing has changed
TAIL = 4096  # bytes of a log that are looked at
POLL = 0.5


class StatusLine:
    """Watches the study from a thread while workers run; a context manager.

    Args:
        ledger: of the study.
        cells: finished trials to expect, None if only the sampler knows.
        live: redraw one line in place; only where no job writes to the same terminal.
        mode: the study's ``progress``.
    """

    def __init__(self, ledger: Ledger, cells: int | None, *, live: bool, mode: str) -> None:
        self._ledger, self._target = ledger, cells
        self._live = live and mode == "auto" and sys.stderr.isatty()
        self._silent = mode == "none"
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="progress", daemon=True)
        self._began = time.monotonic()
        self._before = count_trials(ledger.trials()).finished

    def __enter__(self) -> "StatusLine":
        if not self._silent:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        if self._thread.is_alive():
            self._thread.join(timeout=10)

    def line(self) -> str:
        """The line as it stands."""
        trials = self._ledger.trials()
        tally = count_trials(trials)
        total = "" if self._target is None else f"/{self._target}"
        parts = [f"{tally.finished}{total} done", f"{tally.running} running"]
        parts += [f"{tally.pruned} pruned"] * bool(tally.pruned) + [f"{tally.failed} failed"] * bool(
            tally.failed
        )
        found = self._found(tally)
        parts += [found] * bool(found)
        left = self._time_left(tally)
        if left is not None:
            parts.append(f"about {duration(left)} left")
        return f"{self._ledger.study.study_name}: " + ", ".join(parts)

    def _found(self, tally: TrialCounts) -> str:
        boundary = getattr(self._ledger.study.sampler, "boundary", None)
        if boundary is not None:
            known = boundary(self._ledger.study)
            level = getattr(self._ledger.study.sampler, "levels", ("?",))[0]
            return (
                ""
                if known is None
                else f"{known.above:.0%} of the area above {level:g}, {known.ambiguous:.0%} open"
            )
        return best_of(self._ledger.study) if tally.complete else ""

    def _time_left(self, tally: TrialCounts) -> float | None:
        new = tally.finished - self._before
        if self._target is None or new < 1 or tally.finished >= self._target:
            return None
        return (time.monotonic() - self._began) / new * (self._target - tally.finished)

    def _watch(self) -> None:
        show, end = self._plain() if not self._live else self._redrawn()
        while not self._done.wait(POLL):
            show(self._quietly())
        show(self._quietly())
        end()

    def _quietly(self) -> str:
        try:
            return self.line()
        except Exception as error:
            # a line of progress must never end a study; the next one may work again
            return f"{self._ledger.study.study_name}: progress is not available ({error!r})"

    def _plain(self) -> tuple[Callable[[str], None], Callable[[], None]]:
        state: dict[str, Any] = {"shown": "", "at": float("-inf")}

        def show(line: str) -> None:
            core, now = line.split(", about ", maxsplit=1)[0], time.monotonic()
            last, waited = self._done.is_set(), now - state["at"]
            if core != state["shown"]:
                if not last and waited < PLAIN_EVERY:
                    return
            elif last or waited < STILL:
                return
            else:
                line += f", {duration(now - self._began)} so far{self._lately()}"
            print(line, file=sys.stderr, flush=True)
            state.update(shown=core, at=now)

        return show, lambda: None

    def _redrawn(self) -> tuple[Callable[[str], None], Callable[[], None]]:
        from rich.console import Console
        from rich.live import Live
        from rich.text import Text

        live: Any = Live(Text(""), console=Console(stderr=True), refresh_per_second=4)
        live.start()
        return (lambda line: live.update(Text(line + self._lately()))), live.stop

    def _lately(self) -> str:
        """What a running trial said last, in its log: a life sign where single trials take long."""
        with contextlib.suppress(Exception):  # as in _quietly
            numbers = [trial.number for trial in self._ledger.running()]
            logs = [
                (log.stat().st_mtime, n, log)
                for n in numbers
                for log in self._ledger.folder(n).rglob("*.log")
            ]
            _, number, log = max(logs, default=(0.0, 0, None))
            said = _last_line(log) if log is not None else ""
            return f"; trial {number}: {said}" if said else ""
        return ""


def _last_line(log: Path) -> str:
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - TAIL))
        lines = file.read().decode("utf-8", errors="replace").split("\n")
    return next((" ".join(line.split()) for line in reversed(lines) if line.strip()), "")


def best_of(study: "Study") -> str:
    """Best value of one objective, or the number of trade-offs of several."""
    if len(study.directions) > 1:
        return f"{len(study.best_trials)} trade-offs"
    try:
        best = study.best_trial
    except ValueError:
        return ""
    name = (study.metric_names or ["value"])[0]
    return f"best {name} {best.value:.4g} (trial {best.number})"


def duration(seconds: float) -> str:
    """``95`` as ``1 min 35 s``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
