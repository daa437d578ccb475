"""A study from start to end: check, open or continue, run rounds of workers, report."""

import logging
import os
import re
import shlex
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from crossweep.axis import Axis
from crossweep.configured import configured
from crossweep.errors import ConfigError, CrossweepError, StudyError, file_error, masked
from crossweep.records import remove_forgotten
from crossweep.study_folder import ERROR, START_LOCK, WORKERS
from crossweep.sweep import describe, dry_run
from crossweep.sweep.axes import contains, literal
from crossweep.sweep.hooks import Refresher, run_at_end
from crossweep.sweep.ledger import Ledger, Reason, count_trials
from crossweep.sweep.plugins import split
from crossweep.sweep.pool import Pool
from crossweep.sweep.precheck import precheck, require_metrics
from crossweep.sweep.samplers.named import sampler_for
from crossweep.sweep.settings import Settings, seconds
from crossweep.sweep.signals import Signals
from crossweep.sweep.space import Space, lookup
from crossweep.sweep.status_line import StatusLine, best_of
from crossweep.sweep.storage import lies_in_folder, open_storage, serve, trouble
from crossweep.sweep.study import create, exists, quiet_optuna, restore
from crossweep.sweep.worker import Assignment, Worker, share_of_cores

if TYPE_CHECKING:
    from hydra.types import HydraContext
    from omegaconf import DictConfig

log = logging.getLogger(__name__)
FRUITLESS = 3  # rounds of a launcher without one ended trial, before we give up
PATIENCE = 15.0  # seconds that workers elsewhere get to put their trials back after Ctrl-C


class Controller:
    """Runs one study.

    Args:
        settings, space: what it is.
        fixed: overrides that all trials share.
        directory: its folder.
        config: Hydra's configuration of the sweep.
        hydra_context: Hydra's.
        function: the user's task function.
    """

    def __init__(
        self,
        settings: Settings,
        space: Space,
        fixed: Sequence[str],
        directory: Path,
        config: "DictConfig",
        hydra_context: "HydraContext",
        function: Callable[[Any], Any],
    ) -> None:
        self._settings, self._space, self._fixed = settings, space, tuple(fixed)
        self._directory, self._config = directory.resolve(), config
        self._context, self._function = hydra_context, function
        self._name = directory.name if settings.name is None else settings.name
        self._plain = base_config(config)
        self._changes: list[str] = []

    def run(self) -> dict[str, Any]:
        """Run the study to its end; returns a summary.

        Raises:
            ConfigError, StudyError: it cannot start or go on.
        """
        self._check()
        if self._settings.dry_run:
            return self._dry_run()
        ledger = self._open()
        task = self._task(ledger)
        ledger = self._as_seen_by_workers(ledger, task)
        received = None
        try:
            with Signals() as signals:
                try:
                    self._rounds(ledger, task, signals)
                finally:
                    received = signals.received
        except KeyboardInterrupt as error:
            received = received or getattr(error, "number", signal.SIGINT)
        finally:
            self._settle(ledger)
        if received is not None:
            log.warning("stopped; the same command goes on from here")
            raise SystemExit(128 + received)
        return self._summary(ledger)

    # -- before -----------------------------------------------------------------------------------------

    def _check(self) -> None:
        """Everything that can be known to be wrong before the first trial."""
        settings = self._settings
        if re.search(r"[/\\\x00-\x1f]", self._name) or not self._name.strip(". "):
            raise ConfigError(f"study.name: the name of one folder, without / and \\, got {self._name!r}")
        quiet_optuna()
        sampler_for(settings, self._space)
        if not self._space.axes and not settings.dry_run and settings.n_trials != 1:
            log.info("no axes: every trial is the same configuration")
        if settings.n_trials is None and self._sampler_name not in ("grid", "levelset"):
            raise ConfigError(
                "study.n_trials: null only with the samplers that end by themselves, grid and levelset"
            )
        if split(settings.storage, "storage")[0] == "memory" and (self._uses_pool or not self._in_process):
            raise ConfigError("study.storage: memory serves one worker in this process; use journal")
        fixed = [*self._fixed, *(f"{key}=0" for key in settings.seed_keys)]
        loader = self._context.config_loader
        for metrics in precheck(self._space, fixed, self._config, loader, self._function):
            require_metrics(settings, metrics)
        for anchor in settings.anchors:
            anchor_point(anchor, self._space, self._plain)

    def _dry_run(self) -> dict[str, Any]:
        earlier = describe.read(self._directory)
        study = None
        if earlier is not None:
            study = create(self._settings, self._name, open_storage(self._settings.storage, self._directory))
        else:
            import optuna

            study = optuna.create_study(directions=self._settings.directions)
            self._anchors(Ledger(study, self._directory, self._settings, self._space))
        chooser = sampler_for(self._settings, self._space)
        found = dry_run.points(study, chooser, self._space, self._settings)
        print(dry_run.text(found, self._space, self._settings, self._sampler_name, self._directory))
        return {"dry_run": len(found)}

    def _open(self) -> Ledger:
        """The study, new or continued; of several hosts that start it at one moment, one after the other."""
        self._earlier()  # what must not start leaves no folder behind
        self._directory.mkdir(parents=True, exist_ok=True)
        with FileLock(self._directory / START_LOCK):
            return self._opened(self._earlier())

    def _earlier(self) -> dict[str, Any] | None:
        """The description of the study if it has begun; it must be the same one."""
        settings, directory = self._settings, self._directory
        earlier = describe.read(directory)
        if settings.resume == "require" and earlier is None:
            raise StudyError(f"study.resume: required, but {directory} holds no study")
        if settings.resume == "never" and earlier is not None:
            raise StudyError(
                f"study.resume: never, but {directory} holds study {earlier['name']}; choose another name"
            )
        if earlier is not None:
            self._changes = describe.check_same(
                earlier, settings, self._space, self._plain, allow=settings.allow_changes
            )
        return earlier

    def _opened(self, earlier: dict[str, Any] | None) -> Ledger:
        for change in self._changes:
            log.warning("changed since the study began: %s", change)
        self._settings = settings = replace(self._settings, threads=self._threads(earlier))
        directory = self._directory
        remove_forgotten(directory)
        self._storage = serve(settings.storage, directory)
        storage = open_storage(self._storage, directory)
        if earlier is None and exists(self._name, storage) and not lies_in_folder(settings.storage):
            raise StudyError(
                f"study.name: the storage holds a study {self._name!r} that does not belong to {directory}"
            )
        describe.write(
            directory, self._name, settings, self._space, self._plain, command(self._config), earlier
        )
        ledger = Ledger(create(settings, self._name, storage), directory, settings, self._space)
        with ledger.locked():
            restored = restore(ledger.study, directory, self._space, settings)
            if not ledger.trials():
                self._anchors(ledger)
        missing = ledger.requeue_missing()
        if missing:
            log.warning("%d finished trials have lost their folders; their points are queued again", missing)
        ledger.reap()
        if earlier is not None or restored:
            tally = count_trials(ledger.trials())
            log.info("continuing %s: %d finished, %d failed", self._name, tally.finished, tally.failed)
        if settings.retry_failed:
            log.info("%d failed points queued again", ledger.requeue_failed())
        return ledger

    def _threads(self, earlier: Mapping[str, Any] | None) -> int:
        """Cores per worker: as the study began, wherever it goes on."""
        began = (earlier or {}).get("threads")
        own = self._in_process and not self._uses_pool
        chosen = self._settings.threads or began
        return int(chosen or share_of_cores(self._settings, self._config.hydra.launcher, own=own))

    def _anchors(self, ledger: Ledger) -> None:
        flat = self._plain
        seen = []
        for anchor in self._settings.anchors:
            point = anchor_point(anchor, self._space, flat)
            if point and point not in seen:
                seen.append(point)
                ledger.enqueue(point, anchor=anchor if isinstance(anchor, str) else "given")

    def _task(self, ledger: Ledger) -> Assignment:
        budget = seconds(self._settings.time_budget, "study.time_budget")
        return Assignment(
            name=self._name,
            directory=self._directory,
            settings=self._settings,
            space=self._space,
            fixed=self._fixed,
            storage=self._storage,
            failures_before=count_trials(ledger.trials()).failed,
            deadline=None if budget is None else time.time() + budget,
        )

    def _as_seen_by_workers(self, ledger: Ledger, task: Assignment) -> Ledger:
        return Ledger(
            ledger.study,
            self._directory,
            self._settings,
            self._space,
            sampler_for=sampler_for(self._settings, self._space),
            failures_before=task.failures_before,
            deadline=task.deadline,
        )

    # -- during -----------------------------------------------------------------------------------------

    @property
    def _launcher(self) -> str:
        return str(self._config.hydra.launcher.get("_target_", ""))

    @property
    def _in_process(self) -> bool:
        return self._launcher.endswith("BasicLauncher")

    @property
    def _uses_pool(self) -> bool:
        many = self._settings.n_workers > 1 or self._settings.trials_per_process is not None
        return self._in_process and many

    @property
    def _sampler_name(self) -> str:
        return split(self._settings.sampler, "sampler")[0] or "target"

    def _rounds(self, ledger: Ledger, task: Assignment, signals: Signals) -> None:
        """Workers until the study has what it wants; a launcher's round ends when its last worker does."""
        live = self._uses_pool or not self._in_process
        fruitless, ended = 0, -1
        with StatusLine(ledger, self._expected(), live=live, mode=self._settings.progress):
            while signals.received is None:
                ledger.reap()
                stop = ledger.reason_to_stop_now()
                if stop is not None and stop.reason is Reason.LAST_ARE_RUNNING:
                    time.sleep(0.5)  # they run under another controller; if they die, the round is ours
                    continue
                if stop is not None:
                    break
                tally = count_trials(ledger.trials())
                fruitless = fruitless + 1 if tally.finished + tally.failed == ended else 0
                ended = tally.finished + tally.failed
                if fruitless >= FRUITLESS:
                    raise StudyError(
                        f"{fruitless} rounds of workers ended without one finished trial; see the log above"
                    )
                workers = min(self._settings.n_workers, ledger.target - tally.finished)
                self._round(ledger, task, workers, signals)

    def _round(self, ledger: Ledger, task: Assignment, workers: int, signals: Signals) -> None:
        if self._uses_pool:
            message = {
                "directory": str(task.directory),
                # an address of our own server; anything else a worker reads from its own command line
                "storage": None if task.storage is self._settings.storage else task.storage,
                "failures_before": task.failures_before,
                "deadline": task.deadline,
            }
            Pool(ledger, self._directory, self._settings, message).run(lambda: signals.received is not None)
            return
        from hydra.core.plugins import Plugins
        from hydra.core.singleton import Singleton

        state = Singleton.get_state()
        launcher = Plugins.instance().instantiate_launcher(
            config=self._config,
            hydra_context=self._context,
            task_function=Worker(task, self._config, self._context, self._function),
        )
        round_number = sum(1 for _ in (self._directory / WORKERS).glob("round_*"))
        place = f"hydra.sweep.dir={literal(str(self._directory))}"
        jobs = [
            [*self._fixed, place, f"hydra.sweep.subdir={WORKERS}/round_{round_number}_{i}"]
            for i in range(workers)
        ]
        try:
            with signals.job():
                results = launcher.launch(jobs, initial_job_idx=0)
            for result in results:
                _ = result.return_value
        except CrossweepError:
            raise
        except Exception as error:
            problem = trouble(error) or file_error(error, below=self._directory.parent)
            if problem is not None:
                raise problem from error
            # a launcher reports the death of one worker as the failure of all; the ledger knows what was lost
            log.warning("a round of workers ended early: %s", _first_line(error))
        finally:
            Singleton.set_state(state)

    def _expected(self) -> int | None:
        """Finished trials that the study will have."""
        chooser: Any = sampler_for(self._settings, self._space)(0)
        cells = getattr(chooser, "cells", None)
        bounds = [
            n for n in (self._settings.n_trials, None if cells is None else len(cells)) if n is not None
        ]
        return min(bounds) if bounds else None

    # -- after ------------------------------------------------------------------------------------------

    def _settle(self, ledger: Ledger) -> None:
        """Leave no trial behind as running, and everything written."""
        deadline = time.monotonic() + PATIENCE
        while True:
            ledger.reap()
            if (
                not count_trials(ledger.trials()).running
                or time.monotonic() > deadline
                or not self._in_process
            ):
                break
            time.sleep(0.2)
        Refresher(self._settings.table, self._directory)(force=True)
        if count_trials(ledger.trials()).finished:
            run_at_end(self._settings.report, self._directory)

    def _summary(self, ledger: Ledger) -> dict[str, Any]:
        tally = count_trials(ledger.trials())
        stop = ledger.reason_to_stop_now()
        reason = "stopped" if stop is None else str(stop)
        found = best_of(ledger.study) if tally.complete else ""
        log.info(
            "%s: %d finished, %d failed; %s%s; results in %s",
            self._name,
            tally.finished,
            tally.failed,
            reason,
            f"; {found}" if found else "",
            os.path.relpath(self._directory),
        )
        if stop is not None and stop.reason is Reason.TOO_MANY_FAILURES:
            raise StudyError(
                f"study.max_failures: more than {self._settings.max_failures} trials failed; see "
                f"{os.path.relpath(self._directory)}/trial_*/{ERROR}; study.retry_failed=true repeats them"
            )
        return {"finished": tally.finished, "failed": tally.failed, "reason": reason}


def command(config: "DictConfig") -> str:
    """What was typed to start the study, without passwords."""
    from omegaconf import OmegaConf

    # unresolved: an environment variable in a word may hold a password
    words = OmegaConf.to_container(config.hydra.overrides.task, resolve=False)
    assert isinstance(words, list)
    name = str(config.hydra.job.name)
    program = "crossweep-train" if name == "train" else f"python {name}.py"
    return masked(f"{program} -m {shlex.join(map(str, words))}")


def base_config(config: "DictConfig") -> dict[str, Any]:
    """The flat configuration that trials start from, without what belongs to the sweep itself."""
    from omegaconf import OmegaConf

    plain = OmegaConf.to_container(config, resolve=False)
    assert isinstance(plain, dict)
    if OmegaConf.is_dict(config.get("device")):
        # with what a measured device's file holds: a report gives its conductances, and another file is another study
        plain["device"] = OmegaConf.to_container(config.device, resolve=True)
    nodes = {str(key): value for key, value in plain.items() if key not in ("hydra", "study", "axis")}
    chosen = OmegaConf.to_container(config.hydra.runtime.choices)
    assert isinstance(chosen, dict)
    groups = {
        str(k): v for k, v in chosen.items() if not str(k).startswith("hydra/") and k not in ("study", "axis")
    }
    return lookup(nodes, groups)


def anchor_point(anchor: Any, space: Space, flat: Mapping[str, Any]) -> dict[str, Any]:
    """Values of an anchor on the unconditional axes and those it activates.

    Raises:
        ConfigError: an unknown name, axis or a value off its axis.
    """
    given: Mapping[str, Any] = anchor if isinstance(anchor, Mapping) else {}
    if not isinstance(anchor, Mapping) and anchor not in ("ideal", "nominal"):
        raise ConfigError(f"study.anchors: ideal, nominal or {{axis: value}}, got {anchor!r}")
    for name in given:
        if name not in space.names:
            raise ConfigError(f"study.anchors: no axis {name}; the axes are {', '.join(space.names)}")
    point: dict[str, Any] = {}
    for axis in space.active(point):
        value = given.get(axis.name, ideal(axis) if anchor == "ideal" else nominal(axis, flat))
        if value is None:
            continue  # nothing is known about it, so the sampler chooses
        if not contains(axis, value):
            raise ConfigError(f"study.anchors: {axis.name}={value} is off its axis")
        point[axis.name] = value
    return point


def ideal(axis: Axis) -> Any:
    """The harmless value of an axis."""
    if axis.ideal is not None:
        return axis.ideal
    return axis.low if axis.choices is None else axis.choices[0]


def nominal(axis: Axis, flat: Mapping[str, Any]) -> Any:
    """The usual value of an axis: as given, else what the configuration holds, if that is on the axis."""
    if axis.nominal is not None:
        return axis.nominal
    if axis.choices is not None:
        value = flat.get(axis.keys[0]) if axis.keys else None
    else:
        value = configured(flat, axis.keys)
        value = round(value) if axis.integer and value is not None else value
    return value if value is not None and contains(axis, value) else None


def assigned(task: Assignment, wanted: Mapping[str, Any]) -> Assignment:
    """A worker's task with what only the controlling process knew."""
    return replace(
        task,
        directory=Path(wanted["directory"]),
        storage=wanted["storage"] or task.storage,
        failures_before=wanted["failures_before"],
        deadline=wanted["deadline"],
    )


def _first_line(error: BaseException) -> str:
    lines = masked(str(error)).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else ''}"
