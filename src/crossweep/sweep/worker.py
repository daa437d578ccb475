"""The worker: ask, compose, run, tell, until nothing is left. To a Hydra launcher it is the job.

A task function may carry ``together``, which takes the configurations of several runs with the handle of each one's trial
and returns what each run returns; and ``at_once``, which takes configurations at the ends of the axes and the number of
workers and says how many runs should go at once.
"""

import contextlib
import logging
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crossweep.errors import file_error, masked
from crossweep.study_folder import ERROR, lease_file, run_folder
from crossweep.sweep.compose import Composer
from crossweep.sweep.hooks import Refresher
from crossweep.sweep.lease import Lease
from crossweep.sweep.ledger import Claim, Ledger, Reason, Stop, now
from crossweep.sweep.objective import Outcome, State, combine, metrics_of, state_of
from crossweep.sweep.precheck import samples
from crossweep.sweep.settings import Settings, cores, seconds, visible_gpus
from crossweep.sweep.signals import Signals, Stopped, TimedOut
from crossweep.sweep.space import Space
from crossweep.sweep.trial import TrialHandle, TrialPruned, running

if TYPE_CHECKING:
    from hydra.types import HydraContext
    from omegaconf import DictConfig

log = logging.getLogger(__name__)
THREAD_LIMITS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """What a worker needs to know; travels to other processes and hosts.

    Args:
        name: of the study in its storage.
        directory: the study folder, absolute.
        settings, space: what the study is.
        fixed: overrides that all trials share.
        storage: how to reach the storage (the address of a server is filled in by then), or the storage itself if it is
            in memory.
        failures_before: trials that had failed before this start.
        deadline: no trial starts after it [s since the epoch].
    """

    name: str
    directory: Path
    settings: Settings
    space: Space
    fixed: tuple[str, ...]
    storage: Any
    failures_before: int = 0
    deadline: float | None = None


class Worker:
    """Runs trials until none is left; a module-level class, so that every launcher can send it anywhere."""

    def __init__(
        self,
        task: Assignment,
        config: "DictConfig",
        hydra_context: "HydraContext",
        function: Callable[[Any], Any],
    ) -> None:
        self._task, self._config, self._context, self._function = task, config, hydra_context, function
        self._composer = Composer(
            config, hydra_context.config_loader, task.fixed, task.space, task.settings.seed_keys
        )

    def __call__(self, _: "DictConfig") -> dict[str, Any]:
        """The launcher's job."""
        from hydra.core.hydra_config import HydraConfig

        index = int(HydraConfig.get().job.num or 0)
        use_resources(index, self._task.settings)
        return self.loop(f"{index}")

    def loop(
        self, label: str, *, parent: int | None = None, most: int | None = None, wait: bool = False
    ) -> dict[str, Any]:
        """Run trials until none may start.

        Args:
            label: of this worker, for the log.
            parent: end when this process ends.
            most: give way to a fresh process after so many trials.
            wait: stay while the last trials run elsewhere, in case one has to be repeated.

        Returns:
            Why it ended and how many trials it ran.
        """
        ledger = open_ledger(self._task)
        refresh = Refresher(self._task.settings.table, self._task.directory)
        done, reason = 0, "as many trials as one process may run"
        with Signals() as signals:
            while most is None or done < most:
                if signals.received is not None:
                    raise Stopped(signals.received)
                if parent is not None and os.getppid() != parent:
                    reason = "the controlling process is gone"
                    break
                room = max(1, self._at_once // max(1, len(self._task.settings.seed_list)))
                claims = ledger.claim_several(room if most is None else min(room, most - done))
                if isinstance(claims, Stop):
                    if claims.reason is Reason.LAST_ARE_RUNNING and wait:
                        time.sleep(0.5)
                        continue
                    reason = str(claims)
                    break
                try:
                    self._run_all(claims, ledger, signals, parent)
                finally:
                    refresh()
                done += len(claims)
            refresh(force=done > 0)
        log.info("worker %s: %d trials, %s", label, done, reason)
        return {"trials": done, "reason": reason}

    @cached_property
    def _at_once(self) -> int:
        """Runs that go at once, as far as the task function can do that."""
        settings = self._task.settings
        if getattr(self._function, "together", None) is None:
            return 1
        if settings.at_once != "auto":
            return settings.at_once
        ask: Callable[[Sequence[DictConfig], int], int] | None = getattr(self._function, "at_once", None)
        if ask is None:
            return max(1, len(settings.seed_list))
        seed = settings.seed_list[0] if settings.seed_list else None
        ends = [self._composer(values, seed) for values in samples(self._task.space)]
        # seeds of one point go at once in any case
        return max(ask(ends, settings.n_workers), len(settings.seed_list), 1)

    def _run_all(self, claims: Sequence[Claim], ledger: Ledger, signals: Signals, parent: int | None) -> None:
        """Trials claimed together: those that can go in step at once, one company after the other; all stay signed."""
        companies = self._companies(claims)
        if len(companies) == 1:
            self._run(claims, ledger, signals, parent)
            return
        settings, leases = self._task.settings, []
        try:
            for claim in (claim for company in companies for claim in company):
                path = lease_file(self._task.directory, claim.number)
                lease = Lease(path, timeout=settings.lease_timeout, parent=parent, on_lost=signals.stop)
                leases.append(lease.acquire())
            self._in_turn(companies, leases, ledger, signals, parent)
        finally:
            for lease in leases:
                lease.release()

    def _companies(self, claims: Sequence[Claim]) -> list[list[Claim]]:
        """Who goes together; everybody, where nobody knows."""
        groups: Callable[[Sequence[DictConfig]], list[list[int]]] | None
        groups = getattr(self._function, "groups", None)
        if len(claims) == 1 or groups is None:
            return [list(claims)]
        try:
            found = groups([self._composer(claim.values, self._seeds[0]) for claim in claims])
        except Exception:
            return [list(claims)]  # the runs say what is wrong
        return [[claims[i] for i in company] for company in found]

    def _run(self, claims: Sequence[Claim], ledger: Ledger, signals: Signals, parent: int | None) -> None:
        """Trials at once, whatever becomes of them: each has its own lease, folder and entry in the ledger."""
        settings, started = self._task.settings, now()
        leases: list[Lease] = []
        limit = seconds(settings.trial_timeout, "study.trial_timeout")
        try:
            with signals.job() as token, running(self._handle(claims[0])) as handle:
                for claim in claims:
                    first = not leases
                    lease = Lease(
                        lease_file(self._task.directory, claim.number),
                        timeout=settings.lease_timeout,
                        # one of them watches for all
                        limit=limit * len(claims) if first and limit is not None else None,
                        on_limit=lambda: signals.expire(token),
                        parent=parent,
                        on_lost=signals.stop,
                        log=ledger.folder(claim.number) / ERROR,
                    )
                    leases.append(lease.acquire())
                outcomes = self._outcomes(claims, [handle, *map(self._handle, claims[1:])])
        except TimedOut:
            for claim in claims:
                ledger.lost(claim, f"over the time limit of {settings.trial_timeout}")
        except Exception as error:
            self._broken(claims, ledger, error)
            if len(claims) == 1:
                ledger.fail(claims[0], _one_line(error), _text(error), started)
            else:
                # so that one that fails costs the others nothing
                self._in_turn([[claim] for claim in claims], leases, ledger, signals, parent)
        except BaseException as error:
            # Ctrl-C, SIGTERM, or a scheduler ending this process: the points are not lost
            for claim in claims:
                ledger.put_back(claim, str(error) or type(error).__name__)
            raise
        else:
            for claim, outcome in zip(claims, outcomes, strict=True):
                ledger.finish(claim, outcome, started)
        finally:
            for lease in leases:
                lease.release()

    def _broken(self, claims: Sequence[Claim], ledger: Ledger, error: Exception) -> None:
        """Say what happened; where no other point would fare better, put these back and end."""
        problem = file_error(error, below=self._task.directory.parent)
        if problem is not None:
            for claim in claims:
                with contextlib.suppress(Exception):
                    ledger.put_back(claim, str(problem))
            raise problem from error
        if len(claims) > 1:
            numbers = ", ".join(str(claim.number) for claim in claims)
            log.warning("trials %s: one after the other, because of %s", numbers, _one_line(error))
        else:
            place = ledger.folder(claims[0].number) / ERROR
            log.error("trial %d failed: %s (see %s)", claims[0].number, _one_line(error), place)

    def _in_turn(
        self,
        companies: Sequence[Sequence[Claim]],
        leases: list[Lease],
        ledger: Ledger,
        signals: Signals,
        parent: int | None,
    ) -> None:
        """Companies one after the other; those that wait stay signed, by the leases of their claims in order."""
        for lease in leases:
            lease.forget_limit()
        waiting = list(companies)
        try:
            while waiting and (ended := ledger.ended()) is None:
                company = waiting.pop(0)
                for _ in company:
                    leases.pop(0).stop()  # its trial signs anew
                self._run(company, ledger, signals, parent)
            reason = str(ended) if waiting else ""
        except BaseException as error:
            reason = str(error) or type(error).__name__
            raise
        finally:
            for claim in (claim for company in waiting for claim in company):
                ledger.put_back(claim, reason)

    def _handle(self, claim: Claim) -> TrialHandle:
        """What the job may tell; Optuna takes no intermediate values of several objectives."""
        ways = self._task.settings.directions
        return TrialHandle(claim.trial, maximize=ways == ["maximize"]) if len(ways) == 1 else TrialHandle()

    def _outcomes(self, claims: Sequence[Claim], handles: Sequence[TrialHandle]) -> list[Outcome]:
        """What becomes of trials: of several at once, or of one."""
        if len(claims) == 1:
            return [self._outcome(self._returned(claims[0], handles[0]))]
        seeds = self._seeds
        jobs = [
            (claim, seed, handle) for claim, handle in zip(claims, handles, strict=True) for seed in seeds
        ]
        found = iter(self._jobs(jobs))
        return [self._outcome([next(found) for _ in seeds]) for _ in claims]

    def _outcome(self, returned: Iterable[Any]) -> Outcome:
        """One point from what the runs of all its seeds return."""
        settings = self._task.settings
        runs: list[dict[str, float]] = []
        states: list[State] = []
        for one in returned:
            if isinstance(one, Outcome):
                return one
            states.append(state_of(one))
            if states[-1] == "pruned":
                return Outcome(state="pruned", values=None, metrics=_numbers(one))
            runs.append(metrics_of(one, settings))
        return combine(runs, states, settings)

    @property
    def _seeds(self) -> tuple[int | None, ...]:
        return self._task.settings.seed_list or (None,)

    def _returned(self, claim: Claim, handle: TrialHandle) -> Iterator[Any]:
        """What the runs of all seeds return, as many at once as may go; an outcome where they are pruned."""
        seeds = self._seeds
        try:
            for first in range(0, len(seeds), self._at_once):
                if first:
                    handle.next_replicate()
                part = seeds[first : first + self._at_once]
                if len(part) == 1:
                    yield self._run_job(self._function, self._configured(claim, part[0]))
                else:
                    yield from self._jobs([(claim, seed, handle) for seed in part])
        except Exception as error:
            if not (isinstance(error, TrialPruned) or type(error).__name__ == "TrialPruned"):
                raise
            yield Outcome(state="pruned", values=None)

    def _jobs(self, jobs: Sequence[tuple[Claim, int | None, TrialHandle]]) -> Sequence[Any]:
        """Runs at once: one Hydra job, the first one's, and folders of the others like its own."""
        configs = [self._configured(claim, seed) for claim, seed, _ in jobs]
        handles = [handle for _, _, handle in jobs]
        together: Callable[[Sequence[DictConfig], Sequence[TrialHandle]], Sequence[Any]]
        together = self._function.together  # type: ignore[attr-defined]
        for config in configs[1:]:
            _leave_configuration(config)
        returned: Sequence[Any] = self._run_job(lambda _: together(configs, handles), configs[0])
        return returned

    def _configured(self, claim: Claim, seed: int | None) -> "DictConfig":
        """The configuration of one run, its folder included."""
        from omegaconf import open_dict

        name = run_folder(claim.number, seed if len(self._task.settings.seed_list) > 1 else None)
        config = self._composer(claim.values, seed)
        with open_dict(config):
            config.hydra.sweep.dir = str(self._task.directory)
            config.hydra.sweep.subdir = name
            config.hydra.job.num = claim.number
            config.hydra.job.id = f"{self._task.name}_{claim.number}"
        return config

    def _run_job(self, function: Callable[[Any], Any], config: "DictConfig") -> Any:
        from hydra.core.utils import run_job

        result = run_job(
            task_function=function,
            config=config,
            job_dir_key="hydra.sweep.dir",
            job_subdir_key="hydra.sweep.subdir",
            hydra_context=self._context,
        )
        return result.return_value


def _leave_configuration(config: "DictConfig") -> None:
    """The files that Hydra writes into the folder of a job, unless it shall write none."""
    from omegaconf import OmegaConf

    if config.hydra.output_subdir is None:
        return
    folder = Path(config.hydra.sweep.dir) / config.hydra.sweep.subdir / str(config.hydra.output_subdir)
    folder.mkdir(parents=True, exist_ok=True)
    own = OmegaConf.masked_copy(config, [str(name) for name in config if name != "hydra"])
    for name, content in (("config", own), ("overrides", config.hydra.overrides.task)):
        (folder / f"{name}.yaml").write_text(OmegaConf.to_yaml(content))


def open_ledger(task: Assignment) -> Ledger:
    """The ledger of a study that exists."""
    from crossweep.sweep.samplers.named import sampler_for
    from crossweep.sweep.storage import open_storage
    from crossweep.sweep.study import load

    return Ledger(
        load(task.settings, task.name, open_storage(task.storage, task.directory)),
        task.directory,
        task.settings,
        task.space,
        sampler_for=sampler_for(task.settings, task.space),
        failures_before=task.failures_before,
        deadline=task.deadline,
    )


def share_of_cores(settings: Settings, launcher: Mapping[str, Any], *, own: bool) -> int:
    """Cores per worker of a study that begins here; it keeps them, because sums depend on how many add them up.

    Args:
        settings: the study's; its own number wins.
        launcher: Hydra's launcher, which may reserve cores.
        own: the one worker is this process, which may have been told how many cores to use.
    """
    reserved = settings.threads or launcher.get("cpus_per_task")
    if reserved is None and own:
        reserved = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]
    return int(reserved or max(1, cores() // settings.n_workers))


def resources(index: int, settings: Settings, workers: int) -> dict[str, str]:
    """Environment of one worker among several on one machine: its cores and its GPU."""
    threads = str(settings.threads or max(1, cores() // workers))
    env = dict.fromkeys(THREAD_LIMITS, threads)
    if settings.gpus is None:
        return env
    gpus = visible_gpus() if isinstance(settings.gpus, str) else [str(item) for item in settings.gpus]
    if gpus:
        env["CUDA_VISIBLE_DEVICES"] = gpus[index % len(gpus)]
    return env


def use_resources(index: int, settings: Settings) -> None:
    """Apply the study's number of cores, and an explicit choice of GPUs, in a launcher's process."""
    chosen = settings if isinstance(settings.gpus, list | tuple) else replace(settings, gpus=None)
    os.environ.update(resources(index, chosen, settings.n_workers))
    torch = sys.modules.get("torch")
    if torch is not None and settings.threads is not None:
        torch.set_num_threads(settings.threads)  # it read the environment when it was imported


def _numbers(returned: Any) -> Mapping[str, float]:
    import math

    items = returned.items() if isinstance(returned, Mapping) else ()
    return {
        str(key): float(value)
        for key, value in items
        if isinstance(value, int | float) and math.isfinite(value)
    }


def _one_line(error: BaseException) -> str:
    lines = masked(str(error)).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def _text(error: BaseException) -> str:
    return masked("".join(traceback.format_exception(error)))
