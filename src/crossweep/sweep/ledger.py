"""Who runs what: numbers are claimed under one lock, finished trials are counted, dead ones queued again.

Optuna has no notion of a trial that may be lost. Every change of a trial's state goes through this file, and
every decision that depends on a count is taken under a lock in the study folder, so the number of finished
trials is exact.
"""

import contextlib
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from crossweep.errors import file_error
from crossweep.records import read_json, write_bytes, write_json
from crossweep.study_folder import ERROR, LEASES, LEDGER_LOCK, TRIAL, lease_file, trial_folder
from crossweep.sweep.lease import identity, is_stale
from crossweep.sweep.objective import Outcome
from crossweep.sweep.settings import Settings
from crossweep.sweep.space import Space

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler
    from optuna.study import Study
    from optuna.trial import FrozenTrial, Trial

log = logging.getLogger(__name__)

TRIAL_FORMAT = 1
STARTUP = 10  # points that Optuna's samplers draw at random before they learn
LOST = "lost"  # attribute of a number whose folder is gone: neither finished nor failed
# what every trial.json says
TOLD = frozenset(
    (
        "format",
        "number",
        "state",
        "params",
        "values",
        "seed_values",
        "metrics",
        "constraints",
        "retry_of",
        "retried",
    )
)


class Reason(Enum):
    """Why no further trial may start."""

    TARGET_REACHED = "target reached"
    LAST_ARE_RUNNING = "the last trials are running"
    TOO_MANY_FAILURES = "too many failures"
    TIME_IS_UP = "time budget used up"
    NOTHING_LEFT = "nothing left to ask"


@dataclass(frozen=True)
class Stop:
    """No further trial may start; ``detail`` is what the sampler says."""

    reason: Reason
    detail: str = ""

    def __str__(self) -> str:
        return self.reason.value + (f": {self.detail}" if self.detail else "")


@dataclass(frozen=True)
class Claim:
    """A trial that this process may run: no other one has it, and the target cannot be overshot."""

    trial: "Trial"
    values: Mapping[str, Any]

    @property
    def number(self) -> int:
        return self.trial.number

    @property
    def suspect(self) -> bool:
        """Whether a worker that ran this point died or hung: others should not share its fate."""
        return bool(self.trial.user_attrs.get("retries", 0))


@dataclass(frozen=True)
class TrialCounts:
    """Trials by what became of them; ``failed`` does not count trials that were queued again."""

    complete: int
    pruned: int
    running: int
    waiting: int
    failed: int

    @property
    def finished(self) -> int:
        return self.complete + self.pruned


class Ledger:
    """The book of one study, opened by every worker and by the controller.

    Args:
        study: the Optuna study.
        directory: the study folder.
        settings, space: what the study is.
        sampler_for: sampler that chooses the point of a trial number, None to keep the study's.
        failures_before: trials that had failed when this start of the study began.
        deadline: no trial starts after this moment [s since the epoch].
    """

    def __init__(
        self,
        study: "Study",
        directory: Path,
        settings: Settings,
        space: Space,
        *,
        sampler_for: "Callable[[int], BaseSampler] | None" = None,
        failures_before: int = 0,
        deadline: float | None = None,
    ) -> None:
        self.study, self.directory, self.settings, self.space = study, directory, settings, space
        self._sampler_for, self._failures_before, self._deadline = sampler_for, failures_before, deadline
        self._lock = FileLock(directory / LEDGER_LOCK)
        self._unleased: dict[int, float] = {}
        self._last_reap = -1e9

    @property
    def target(self) -> int:
        """Finished trials to reach."""
        return self.settings.n_trials or 1 << 60

    def trials(self) -> "list[FrozenTrial]":
        return self.study.get_trials(deepcopy=False)

    def folder(self, number: int) -> Path:
        return trial_folder(self.directory, number)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Alone with the study's counts. The lock goes with the process, so a killed holder blocks nobody."""
        with self._lock:
            yield

    # -- starting a trial -------------------------------------------------------------------------------

    def claim(self) -> Claim | Stop:
        """A new trial, or the reason why none may start now."""
        found = self.claim_several(1)
        return found if isinstance(found, Stop) else found[0]

    def claim_several(self, most: int) -> list[Claim] | Stop:
        """New trials that one process runs at once, or the reason why none may start now.

        They are claimed one after the other under one lock, so each counts for the next: the target holds, and a sampler
        that learns sees the earlier ones as running. A point whose worker died or hung comes alone.

        Args:
            most: no more than these, and no more than this worker's share of what is left.
        """
        claims: list[Claim] = []
        with self.locked():
            self._reap()
            most = min(most, self._share(self.trials()))
            try:
                while len(claims) < max(1, most) and not (claims and self._next_is_suspect()):
                    found = self._claim()
                    if isinstance(found, Stop):
                        return claims or found
                    claims.append(found)
                    if found.suspect:
                        break
            except BaseException as error:
                for claim in claims:  # nobody runs them
                    self._tell_failed(claim.number, f"not begun: {error!r}", requeue=True, free=True)
                raise
        return claims

    def _claim(self) -> Claim | Stop:
        trials = self.trials()
        if self._sampler_for is not None:
            self.study.sampler = self._sampler_for(len(trials))
        stop = self.reason_to_stop(trials)
        if stop is not None:
            return stop
        trial = self.study.ask()
        try:
            write_json(lease_file(self.directory, trial.number), _claimed())
            values = self.space.suggest(trial)
        except BaseException as error:
            # a disk's fault says nothing about the point, which may have been queued
            disk = file_error(error) is not None
            self._tell_failed(trial.number, f"no point could be chosen: {error!r}", requeue=disk, free=disk)
            raise
        return Claim(trial, values)

    def _share(self, trials: "Sequence[FrozenTrial]") -> int:
        """Trials for one worker, so that the others have as many and a sampler that learns learns in between."""
        tally = count_trials(trials)
        if self._sampler_for is not None:
            self.study.sampler = self._sampler_for(len(trials))
        left = self.target - tally.finished - tally.running
        known = blind(self.study)
        if known is not None:
            left = min(left, tally.waiting + known)
        return min(left, -(-(left + tally.running) // self.settings.n_workers))

    def _next_is_suspect(self) -> bool:
        """Whether the queued point that is asked for next was lost before; Optuna takes the lowest number."""
        waiting = (trial for trial in self.trials() if trial.state.name == "WAITING")
        return bool(next((trial.user_attrs.get("retries", 0) for trial in waiting), 0))

    def reason_to_stop(self, trials: "Sequence[FrozenTrial]") -> Stop | None:
        """Why no further trial may start, None if one may."""
        tally = count_trials(trials)
        if tally.finished >= self.target:
            return Stop(Reason.TARGET_REACHED)
        ended = self._ended(tally)
        if ended is not None:
            return ended
        if tally.finished + tally.running >= self.target:
            return Stop(Reason.LAST_ARE_RUNNING)
        if tally.waiting == 0:
            # samplers of our own know when nothing is left to ask
            exhausted = getattr(self.study.sampler, "exhausted", None)
            detail = exhausted(self.study) if exhausted else None
            if detail:
                return Stop(Reason.NOTHING_LEFT, detail)
        return None

    def _ended(self, tally: TrialCounts) -> Stop | None:
        if tally.failed - self._failures_before > self.settings.max_failures:
            return Stop(Reason.TOO_MANY_FAILURES)
        if self._deadline is not None and time.time() > self._deadline:
            return Stop(Reason.TIME_IS_UP)
        return None

    def ended(self) -> Stop | None:
        """Why not even a claimed trial may begin, None if it may."""
        return self._ended(count_trials(self.trials()))

    def reason_to_stop_now(self) -> Stop | None:
        """The same, for a controller that looks from time to time."""
        trials = self.trials()
        if self._sampler_for is not None:
            self.study.sampler = self._sampler_for(len(trials))
        return self.reason_to_stop(trials)

    # -- ending a trial ---------------------------------------------------------------------------------

    def finish(self, claim: Claim, outcome: Outcome, started: str) -> None:
        """Write ``trial.json``, then tell the study: in this order a kill in between loses nothing."""
        with self.locked():
            if self._given_up(claim.number):
                return
            if outcome.metrics:
                claim.trial.set_user_attr("metrics", dict(outcome.metrics))
            if len(self.settings.seed_list) > 1 and outcome.seed_values:
                claim.trial.set_user_attr("seed_values", [list(column) for column in outcome.seed_values])
            for name, value in outcome.constraints.items():
                claim.trial.set_constraint(name, value)
            self._write(claim.number, outcome.state, claim.values, started=started, outcome=outcome)
            self._tell(claim.number, outcome.state, outcome.values)

    def fail(self, claim: Claim, error: str, text: str, started: str) -> None:
        """Record a crash with its traceback; the point is not tried again by itself."""
        with self.locked():
            if self._given_up(claim.number):
                return
            write_bytes(self.folder(claim.number) / ERROR, text.encode())
            self._write(claim.number, "failed", claim.values, started=started, error=error)
            claim.trial.set_user_attr("error", error[:500])
            self._tell(claim.number, "failed", None)

    def _given_up(self, number: int) -> bool:
        """Whether others took this trial for dead and queued its point again: its result comes too late."""
        finished = self._by_number(number).state.is_finished()
        if finished:
            log.warning("trial %d was given up while its worker was silent; its result is dropped", number)
        return finished

    def put_back(self, claim: Claim, reason: str) -> None:
        """The trial in flight was interrupted: its point goes back to the queue, at no cost in retries."""
        with self.locked():
            self._tell_failed(claim.number, reason, requeue=True, free=True)

    def lost(self, claim: Claim, reason: str) -> None:
        """The trial hung or its worker broke: queued again a bounded number of times."""
        with self.locked():
            self._tell_failed(claim.number, reason, requeue=True)

    # -- dead trials ------------------------------------------------------------------------------------

    def reap(self) -> None:
        """Settle every running trial whose worker is gone."""
        with self.locked():
            self._last_reap = -1e9
            self._reap()
            running = {f"{trial.number}.json" for trial in self.running()}
            for lease in (self.directory / LEASES).glob("*.json"):
                if lease.name not in running:
                    lease.unlink(missing_ok=True)

    def _reap(self) -> None:
        # checking leases costs one file access per running trial, so a busy study does it once a second
        if time.monotonic() - self._last_reap < min(1.0, self.settings.lease_timeout / 10):
            return
        self._last_reap = time.monotonic()
        for trial in self.running():
            if self._is_dead(trial.number):
                self._settle(trial)

    def running(self) -> "list[FrozenTrial]":
        """Trials that someone works on."""
        from optuna.trial import TrialState

        return self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))

    def _is_dead(self, number: int) -> bool:
        lease = lease_file(self.directory, number)
        if lease.exists():
            return is_stale(lease, self.settings.lease_timeout)
        # killed between asking and signing: nobody signs later, so wait one timeout from when we first saw it
        first_seen = self._unleased.setdefault(number, time.monotonic())
        return time.monotonic() - first_seen > min(5.0, self.settings.lease_timeout)

    def _settle(self, trial: "FrozenTrial") -> None:
        """A dead worker's trial: told if it had finished, queued again if not."""
        told = read_trial(self.folder(trial.number))
        if told is not None and not told["retried"]:
            log.info("trial %d had ended before its worker died", trial.number)
            self._tell(trial.number, told["state"], told["values"])
        else:
            self._tell_failed(trial.number, "its worker died or fell silent", requeue=True)
        lease_file(self.directory, trial.number).unlink(missing_ok=True)

    def requeue_failed(self) -> int:
        """Queue every point that failed for good again; returns how many."""
        return self._requeue(lambda trial: trial.state.name == "FAIL" and LOST not in trial.user_attrs)

    def requeue_missing(self) -> int:
        """Queue every point again whose trial is told but has no folder any more; returns how many."""
        return self._requeue(
            lambda trial: (
                trial.state.name in ("COMPLETE", "PRUNED") and read_trial(self.folder(trial.number)) is None
            )
        )

    def _requeue(self, wanted: "Callable[[FrozenTrial], bool]") -> int:
        with self.locked():
            trials = self.trials()
            replaced = replaced_in(trials)
            again = [trial for trial in trials if trial.number not in replaced and wanted(trial)]
            for trial in again:
                self.enqueue(trial.params, retry_of=trial.number, retries=0)
        return len(again)

    def _tell_failed(self, number: int, reason: str, *, requeue: bool, free: bool = False) -> None:
        trials = self.trials()
        trial = trials[number]
        if trial.state.is_finished():
            return
        retries = int(trial.user_attrs.get("retries", 0)) + (0 if free else 1)
        again = requeue and retries <= self.settings.max_retries
        self._write(
            number, "failed", trial.params, error=reason, retried=again, started=_iso(trial.datetime_start)
        )
        # queued first and told second: whoever repeats this after a kill finds the successor and adds no
        # other
        if again and not any(later.user_attrs.get("retry_of") == number for later in trials):
            self.enqueue(
                {**trial.user_attrs.get("queued", {}), **trial.params}, retry_of=number, retries=retries
            )
        self._tell(number, "failed", None)
        log.warning("trial %d: %s; %s", number, reason, "queued again" if again else "not tried again")

    def enqueue(self, params: Mapping[str, Any], **attributes: Any) -> None:
        """Queue a point; ``queued`` tells our samplers that they did not choose it."""
        point = dict(params)
        self.study.enqueue_trial(point, user_attrs={"queued": point, **attributes})

    def _by_number(self, number: int) -> "FrozenTrial":
        return self.trials()[number]

    def _tell(self, number: int, state: str, values: Sequence[float] | None) -> None:
        from optuna.trial import TrialState

        final = {"pruned": TrialState.PRUNED, "failed": TrialState.FAIL}.get(state, TrialState.COMPLETE)
        self.study.tell(
            number, list(values) if values and final is TrialState.COMPLETE else None, state=final
        )

    def _write(
        self,
        number: int,
        state: str,
        values: Mapping[str, Any],
        *,
        started: str | None,
        outcome: Outcome | None = None,
        error: str | None = None,
        retried: bool = False,
    ) -> None:
        trial = self._by_number(number)
        content: dict[str, Any] = {
            "format": TRIAL_FORMAT,
            "study": self.study.study_name,
            "number": number,
            "state": state,
            "params": dict(values),
            "values": None if outcome is None or outcome.values is None else list(outcome.values),
            "seeds": list(self.settings.seed_list),
            "seed_values": [] if outcome is None else [list(column) for column in outcome.seed_values],
            "metrics": {} if outcome is None else dict(outcome.metrics),
            "constraints": {} if outcome is None else dict(outcome.constraints),
            "retry_of": trial.user_attrs.get("retry_of"),
            "retried": retried,
            "error": error,
            "started": started,
            "finished": now(),
        }
        write_json(self.folder(number) / TRIAL, content)


def replaced_in(trials: "Sequence[FrozenTrial]") -> set[int]:
    """Numbers of the trials whose point was queued again."""
    return {trial.user_attrs["retry_of"] for trial in trials if "retry_of" in trial.user_attrs}


def blind(study: "Study") -> int | None:
    """Points that the study's sampler can choose well without new results; None: any number.

    Samplers of our own know it. Of Optuna's, those that learn begin with random points and may then choose half as many as
    have been told: all at once would be a random search by another name. That of Gaussian processes would choose the same
    point again and again.
    """
    own = getattr(study.sampler, "blind", None)
    if own is not None:
        return int(own(study))
    from optuna.samplers import GPSampler, QMCSampler, RandomSampler

    if isinstance(study.sampler, RandomSampler | QMCSampler):
        return None
    counts = count_trials(study.get_trials(deepcopy=False))
    chosen = counts.finished + counts.failed + counts.running
    known = 1 if isinstance(study.sampler, GPSampler) else counts.finished // 2
    return max(STARTUP - chosen, known - counts.running, 0)


def count_trials(trials: "Sequence[FrozenTrial]") -> TrialCounts:
    """Count trials by state; what was queued again counts as its successor does."""
    replaced = replaced_in(trials)
    counts = Counter(
        trial.state.name for trial in trials if trial.number not in replaced and LOST not in trial.user_attrs
    )
    return TrialCounts(
        complete=counts["COMPLETE"],
        pruned=counts["PRUNED"],
        running=counts["RUNNING"],
        waiting=counts["WAITING"],
        failed=counts["FAIL"],
    )


def read_trial(folder: Path) -> dict[str, Any] | None:
    """Content of ``trial.json``, None if there is none or if it is damaged or foreign, which is said."""
    path = folder / TRIAL
    try:
        content = read_json(path)
        if (
            isinstance(content, dict)
            and content.keys() >= TOLD
            and folder == trial_folder(folder.parent, content["number"])
        ):
            return content
        problem = "no trial of this version and number"
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValueError as error:
        problem = f"damaged ({error})"
    log.warning("%s: %s; its trial counts as lost and is repeated", path, problem)
    return None


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(UTC).isoformat(timespec="milliseconds")


def _claimed() -> dict[str, Any]:
    return {**identity(), "started": time.time()}
