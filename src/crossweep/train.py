"""The entry point: one training run, from configuration to ``record.json``.

``python -m crossweep.train`` or ``crossweep-train``; ``--help`` shows groups and examples.
"""

import hashlib
import logging
import os
import platform
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobReturn, JobStatus
from hydra.errors import HydraException
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

import crossweep
from crossweep.composition import understood
from crossweep.configured import NOT_IDENTITY
from crossweep.errors import ConfigError, CrossweepError, DivergedError, StudyError, one_line, reported
from crossweep.paths import conf_dir, multirun_dir, version_base
from crossweep.records import CHECKPOINT_NAME, RECORD_NAME, RunRecord, read_record, remove_forgotten
from crossweep.sweep.axes import literal
from crossweep.sweep.resolvers import register

if TYPE_CHECKING:
    from crossweep.console import Screen
    from crossweep.sweep.trial import TrialHandle
    from crossweep.testbeds.testbed import TestbedExperiment
    from crossweep.training.experiment import Experiment, Result

log = logging.getLogger(__name__)
# what belongs to a sweep; a study's storage may hold a password
_OF_SWEEPS = ("study", "axis")
SEED_KEYS = ("seed.device", "seed.training")  # what grows by one from seed to seed
OnEpoch = Callable[[int, Mapping[str, float]], bool]


def _key(*, _root_: DictConfig) -> str:
    """Twelve hex digits that name a run's folder: a hash of everything that determines its result.

    That is also the kind of device that computes it; a CPU, which every machine has, goes without saying.
    """
    from crossweep.training.cache import fingerprint

    names = [name for name in _root_ if name not in NOT_IDENTITY]
    kept = OmegaConf.masked_copy(_root_, names)  # type: ignore[arg-type]
    content = OmegaConf.to_container(kept, resolve=True)
    assert isinstance(content, dict)
    kind = _kind(str(_root_.compute_device))
    where = {} if kind == "cpu" else {"compute_device": kind}
    return fingerprint({str(k): v for k, v in content.items()} | where)[:12]


def _kind(compute_device: str) -> str:
    """``cpu``, ``cuda``, ...: what torch calls the kind of a device; ``auto`` where there are two of them."""
    import torch

    if compute_device == "auto":  # what decides between the two is in the key already
        return "auto" if torch.cuda.is_available() else "cpu"
    return compute_device.partition(":")[0]


register("crossweep_key", _key)


def _help(*, _root_: DictConfig) -> str:
    """The list of all keys for the template of ``--help``, which takes ``$`` for a place to fill."""
    from crossweep.help import text

    names = [name for name in _root_ if name != "hydra"]
    content = OmegaConf.to_container(OmegaConf.masked_copy(_root_, names), resolve=False)  # type: ignore[arg-type]
    assert isinstance(content, dict)
    return text({str(k): v for k, v in content.items()}).replace("$", "$$")


register("crossweep_help", _help)


def _groups() -> str:
    """The configuration groups for the template of ``--help``, those of ``--config-dir`` among them."""
    from crossweep.help import groups

    loader = GlobalHydra.instance().config_loader()
    names = sorted(name for name in loader.list_groups("") if name != "hydra")
    return groups({name: loader.get_group_options(name) for name in names}).replace("$", "$$")


register("crossweep_groups", _groups)


@dataclass
class Faults:
    """What went wrong under one command, for ``main`` to print: Hydra would add lines of its own or drop some.

    Args:
        mistake: of a single run.
        failed: runs of a grid; Hydra itself would name the first alone.
    """

    mistake: CrossweepError | None = None
    failed: list[str] = field(default_factory=list)


_faults: ContextVar[Faults] = ContextVar(
    "faults"
)  # those of the command that runs; Hydra stands between it and `run`


def run(cfg: DictConfig) -> dict[str, float | str]:
    """One run in the folder that Hydra made, and as many more as there are ``seeds``.

    Returns:
        The record's metrics, of several seeds the means, and its ``state``.
    """
    try:
        records = jobs(cfg)
    except CrossweepError as error:
        faults = _faults.get(None)
        if HydraConfig.get().mode != RunMode.RUN or faults is None:
            raise
        faults.mistake = error
        return {}
    return _returned(records)


def _returned(records: Sequence[Mapping[str, Any]]) -> dict[str, float | str]:
    """Means of the metrics that all records have, and a state."""
    names = [name for name in records[0]["metrics"] if all(r["metrics"][name] is not None for r in records)]
    states = {record["state"] for record in records}
    state = states.pop() if len(states) == 1 else "diverged"
    return {name: fmean(r["metrics"][name] for r in records) for name in names} | {"state": state}


def job(cfg: DictConfig) -> dict[str, Any]:
    """The record of one run in the folder that Hydra made, see ``jobs``."""
    return jobs(cfg)[0]


def jobs(cfg: DictConfig) -> list[dict[str, Any]]:
    """The records of one run in the folder that Hydra made and, for further ``seeds``, in folders beside it.

    Raises:
        ConfigError: a setting breaks its rule; nothing has trained, and a folder of its own is gone again.
        DivergedError: a run has no result, see ``RunRecord``; its record says so too.
    """
    hydra_cfg = HydraConfig.get()
    single = hydra_cfg.mode == RunMode.RUN
    folder, on_epoch = Path(hydra_cfg.runtime.output_dir), _sweep_hook()
    try:
        if single and cfg.get("study"):
            raise ConfigError("study: is a sweep and needs -m: python -m crossweep.train -m study=...")
        if cfg.seeds != 1 and cfg.get("study"):
            raise ConfigError(f"seeds: must be 1 in a study, which has study.seeds, got {cfg.seeds}")
        runs = [_run(own, hydra_cfg, here, on_epoch, words) for own, here, words in _of_seeds(cfg, folder)]
        records = _succeeded(train_all(runs))
    except CrossweepError:
        if single:
            _leave_nothing(folder)
        raise
    if len(runs) > 1 and not cfg.quiet:
        _show_seeds(records, [run.folder for run in runs])
    return records


def _succeeded(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The records, if every run has a result."""
    for record in records:
        if record["state"] == "failed":
            # in a study: a failed trial, which no sampler and no map takes for a value
            raise DivergedError(record["warnings"][0])
    return records


def together(configs: Sequence[DictConfig], trials: Sequence["TrialHandle"]) -> list[dict[str, float | str]]:
    """What `run` returns for several jobs of a study, which train side by side where they can go in step.

    Args:
        configs: of the jobs, with their ``hydra`` node.
        trials: of each; seeds of one point have one trial.
    """
    many = Counter(map(id, trials))
    hooks = {id(trial): _sweep_hook(trial, many[id(trial)]) for trial in trials}
    runs = []
    for config, trial in zip(configs, trials, strict=True):
        folder = Path(config.hydra.sweep.dir) / config.hydra.sweep.subdir
        runs.append(_run(config, config.hydra, folder, hooks[id(trial)], []))
    return [_returned([record]) for record in _succeeded(train_all(runs))]


def at_once(configs: Sequence[DictConfig], workers: int) -> int:
    """How many runs of a study one process should train at once: one where none of these go in step, else by memory.

    Args:
        configs: of jobs that differ as much as any of the study do.
        workers: processes that share the machine.
    """
    from crossweep.training.company import ROOM

    experiments, companies = _grouped(configs)
    if len(companies) == len(experiments):
        return 1
    return min(ROOM.useful, *(ROOM.fits(experiments[company[0]], workers) for company in companies))


def groups(configs: Sequence[DictConfig]) -> list[list[int]]:
    """Places of the runs of a study that go in step, company by company."""
    return _grouped(configs)[1]


def _grouped(configs: Sequence[DictConfig]) -> "tuple[list[Experiment | TestbedExperiment], list[list[int]]]":
    from crossweep.build import build, plain
    from crossweep.training.company import groups as found

    experiments = [build(plain(config)) for config in configs]
    return experiments, found(experiments)


# a study trains seeds and trials at once; see `crossweep.sweep.worker`
setattr(run, "together", together)  # noqa: B010
setattr(run, "at_once", at_once)  # noqa: B010
setattr(run, "groups", groups)  # noqa: B010


def _of_seeds(cfg: DictConfig, folder: Path) -> Iterator[tuple[DictConfig, Path, list[str]]]:
    """Configuration, folder and further overrides of the run of each seed; its folder is that of the seed alone."""
    if not isinstance(cfg.seeds, int) or cfg.seeds < 1:
        raise ConfigError(f"seeds: must be a whole number >= 1, got {cfg.seeds!r}")
    key = _key(_root_=cfg)
    for i in range(cfg.seeds):
        own, words = cfg.copy(), []
        own.seeds = 1
        for name in SEED_KEYS if i else ():
            OmegaConf.update(own, name, OmegaConf.select(cfg, name) + i)
            words.append(f"{name}={OmegaConf.select(own, name)}")
        name = folder.name.replace(key, _key(_root_=own)) if key in folder.name else f"{folder.name}-{i}"
        yield own, folder.with_name(name) if i else folder, words


def _run(cfg: DictConfig, hydra_cfg: Any, folder: Path, on_epoch: OnEpoch | None, words: list[str]) -> "Run":
    """The run of one configuration, under what the user typed and ``words``."""
    from crossweep.build import plain

    choices = {
        group: choice for group, choice in hydra_cfg.runtime.choices.items() if not group.startswith("hydra/")
    }
    # unresolved: an environment variable in an override may hold a password
    overrides = OmegaConf.to_container(hydra_cfg.overrides.task, resolve=False)
    assert isinstance(overrides, list)
    config = plain(cfg)
    _check_pruner(config)
    return Run(
        cfg={key: value for key, value in config.items() if key not in _OF_SWEEPS},
        folder=folder,
        choices=choices,
        overrides=[word for word in overrides if not word.startswith("seeds=")] + words,
        on_epoch=on_epoch,
    )


def _show_seeds(records: Sequence[Mapping[str, Any]], folders: Sequence[Path]) -> None:
    """The closing table of several seeds."""
    from crossweep.console import OF_GRIDS, Screen, seeds_table
    from crossweep.results.stats import estimate

    found = [record["metrics"] for record in records]
    shared = [name for name in found[0] if all(own.get(name) is not None for own in found)]
    names = [name for name in OF_GRIDS if name in shared] or shared[:3]
    means = {name: estimate([own[name] for own in found]) for name in names}
    screen = Screen()
    rows = {name: (one.mean, one.low, one.high) for name, one in means.items()}
    screen.say(seeds_table(records, rows), result=True)
    screen.say(f"results in {folders[0]} and {len(folders) - 1} more beside it", result=True)


def _leave_nothing(folder: Path) -> None:
    """Remove the folder that Hydra made for a run which was refused before it wrote anything."""
    log = folder / "train.log"
    if {path.name for path in folder.iterdir()} <= {".hydra", log.name} and not (
        log.exists() and log.stat().st_size
    ):
        shutil.rmtree(folder)


def check(cfg: DictConfig) -> tuple[str, ...]:
    """Refuse what `run` would refuse, before anything trains; returns the names of the run's metrics.

    Raises:
        ConfigError: a key or a value breaks its rule.
    """
    from crossweep.build import build, plain

    config = plain(cfg)
    _check_pruner(config)
    experiment = build(config)
    experiment.check()
    return experiment.metric_names


# a study checks its points first; see `crossweep.sweep.precheck`
setattr(run, "check", check)  # noqa: B010


def _is_grid(config: DictConfig) -> bool:
    """Whether Hydra's own sweeper is at work; a study checks its points and counts its failures itself."""
    return str(config.hydra.sweeper.get("_target_", "")).endswith("BasicSweeper")


class CheckGrid(Callback):
    """A grid, Hydra's own multirun: every value of every key is checked before the first run; failed runs are collected."""

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **_: Any) -> None:
        faults = _faults.get(None)
        if faults is not None and _is_grid(config) and job_return.status is JobStatus.FAILED:
            words = OmegaConf.to_container(config.hydra.overrides.task, resolve=False)
            assert isinstance(words, list)
            faults.failed.append(f"{','.join(map(str, words))}: {one_line(job_return._return_value)}")

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        from crossweep.sweep.precheck import precheck
        from crossweep.sweep.space import parse

        if not _is_grid(config):
            return
        loader = GlobalHydra.instance().config_loader()
        try:
            words = [
                *(f"{k}={v}" for k, v in (config.hydra.sweeper.params or {}).items()),
                *config.hydra.overrides.task,
            ]
            space, fixed = parse(words, {}, {}, {}, {}, loader)
            precheck(space, fixed, config, loader, run)
        except CrossweepError as error:
            # Hydra turns an exception of a callback into a warning
            print(f"crossweep: {one_line(error)}", file=sys.stderr)
            sys.exit(2)


@dataclass(frozen=True, kw_only=True)
class Run:
    """One run.

    Args:
        cfg: plain, resolved configuration.
        folder: where checkpoint, history and record go.
        choices: the chosen option of every group, for the record.
        overrides: what the user typed, for the record.
        on_epoch: called after every epoch of the fine-tuning; True stops it.
    """

    cfg: Mapping[str, Any]
    folder: Path
    choices: Mapping[str, Any]
    overrides: list[str]
    on_epoch: OnEpoch | None = None

    def finished(self) -> dict[str, Any] | None:
        """Its record, if it is finished and is not to be run again."""
        done = self.folder / RECORD_NAME
        if self.cfg["resume"] == "never":
            for name in (RECORD_NAME, CHECKPOINT_NAME):
                (self.folder / name).unlink(missing_ok=True)
            return None
        return read_record(done) if done.exists() else None


def train(
    cfg: Mapping[str, Any],
    folder: Path,
    *,
    choices: Mapping[str, Any],
    overrides: list[str],
    on_epoch: OnEpoch | None = None,
) -> dict[str, Any]:
    """Run one experiment in ``folder``, or go on with it, or return its record if it is finished; see ``Run``."""
    run = Run(cfg=cfg, folder=folder, choices=choices, overrides=overrides, on_epoch=on_epoch)
    return train_all([run])[0]


def train_all(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """The records of several runs; they train side by side where they can go in step and as memory allows."""
    from crossweep.build import build
    from crossweep.console import LOG_NAME, Screen, show_result

    experiments = [build(run.cfg, together=len(runs)) for run in runs]
    records = [run.finished() for run in runs]
    going = [k for k, record in enumerate(records) if record is None]
    single, quiet, layers = len(runs) == 1, runs[0].cfg["quiet"], runs[0].cfg["show_layers"]
    if single and not going:
        screen = Screen(quiet=quiet)
        screen.say("already finished; resume=never runs it again", result=True)
        show_result(records[0], runs[0].folder, screen, layers=layers)  # type: ignore[arg-type]
    for k in going:
        runs[k].folder.mkdir(parents=True, exist_ok=True)
        remove_forgotten(runs[k].folder)
    screens = [Screen(run.folder / LOG_NAME, quiet=quiet or not single) for run in runs]
    began, started = time.perf_counter(), datetime.now(UTC).isoformat(timespec="seconds")
    for group, results in _trained({k: experiments[k] for k in going}, runs, screens):
        wall = (time.perf_counter() - began) / len(group)
        for k, result in zip(group, results, strict=True):
            record = _record(runs[k], experiments[k], result, started, wall)
            record.write(runs[k].folder)
            if not runs[k].cfg["keep_checkpoint"]:
                (runs[k].folder / CHECKPOINT_NAME).unlink(missing_ok=True)
            records[k] = asdict(record)
            show_result(records[k], runs[k].folder, screens[k], layers=layers)  # type: ignore[arg-type]
        began, started = time.perf_counter(), datetime.now(UTC).isoformat(timespec="seconds")
    return [record for record in records if record is not None]


def _trained(
    experiments: Mapping[int, "Experiment | TestbedExperiment"],
    runs: Sequence[Run],
    screens: Sequence["Screen"],
) -> Iterator[tuple[list[int], list["Result"]]]:
    """Places of runs that trained at once, and what they found; where memory runs out, the next are half as many."""
    from crossweep.training.allocation import out_of_memory
    from crossweep.training.company import ROOM, groups

    places = list(experiments)
    waiting = [[places[i] for i in group] for group in groups(list(experiments.values()))]
    while waiting:
        group = waiting.pop(0)
        most = ROOM.fits(experiments[group[0]]) if len(group) > 1 else 1
        group, rest = group[:most], group[most:]
        waiting = [rest, *waiting] if rest else waiting
        try:
            results = _results([runs[k] for k in group], [screens[k] for k in group])
        except Exception as error:
            if len(group) == 1 or not out_of_memory(error):
                raise
            ROOM.limit = len(group) // 2
            waiting = [group, *waiting]
        else:
            yield group, results
            continue
        # after the error's frames have let go of their tensors
        log.warning("not enough memory for %d trainings at once: %d at a time", len(group), ROOM.limit)


def _results(runs: Sequence[Run], screens: Sequence["Screen"]) -> list["Result"]:
    """What runs find at once."""
    from crossweep.build import build
    from crossweep.console import ConsoleProgress, Shared
    from crossweep.training.experiment import Experiment, run_together

    experiments = [build(run.cfg) for run in runs]  # another attempt begins with the same draws
    shared = Shared(len(runs), quiet=runs[0].cfg["quiet"]) if len(runs) > 1 else None
    progresses = [
        ConsoleProgress(screen, run.on_epoch, shared=shared)
        for run, screen in zip(runs, screens, strict=True)
    ]
    try:
        networks = [one for one in experiments if isinstance(one, Experiment)]
        if len(networks) == len(experiments):
            return run_together(networks, [run.folder for run in runs], progresses)
        return [
            one.run(run.folder, progress)
            for one, run, progress in zip(experiments, runs, progresses, strict=True)
        ]
    finally:
        for progress in progresses:
            progress.close()


def _record(
    run: Run, experiment: "Experiment | TestbedExperiment", result: "Result", started: str, wall: float
) -> RunRecord:
    cfg = run.cfg
    return RunRecord(
        state=result.state,  # type: ignore[arg-type]
        algorithm=str(run.choices.get("algorithm", type(experiment.rule).__name__)),
        metrics=result.metrics,
        baselines=result.baselines,
        reference=result.reference,
        warnings=list(result.warnings),
        history=result.history,
        seed=cfg["seed"],
        choices=run.choices,
        overrides=run.overrides,
        config=cfg,
        learning_rates=_learning_rates(cfg, experiment),
        conversion=[asdict(row) for row in result.conversion],
        cost=result.cost,
        endurance=[asdict(array) for array in result.endurance],
        estimate=result.estimate,
        versions=_versions(),
        git=_git(),
        hardware=_hardware(str(experiment.torch_device)) | {"engine": experiment.factory.choice._asdict()},
        started=started,
        wall_seconds=wall,
    )


def _sweep_hook(trial: "TrialHandle | None" = None, many: int = 1) -> OnEpoch:
    """The study's view of a trial, where one is going on: report every epoch, stop when the pruner says so.

    Args:
        trial: None: the one that is going on.
        many: seeds of the trial that train at once; it is judged by their mean, once all of them are through the epoch.
    """
    from crossweep.sweep.trial import current_trial

    listener = trial or current_trial()
    through: dict[int, list[float]] = {}

    def on_epoch(epoch: int, row: Mapping[str, float]) -> bool:
        # the test split never chooses anything; `_check_pruner` makes sure that a pruner has another one
        if "validation_accuracy" not in row:
            return listener.should_prune()
        known = through.setdefault(epoch, [])
        known.append(row["validation_accuracy"])
        if len(known) < many:
            return listener.pruned
        listener.report(epoch, fmean(known), higher_is_better=True)
        return listener.should_prune()

    return on_epoch


def _check_pruner(cfg: Mapping[str, Any]) -> None:
    """A pruner judges by the validation split, so there must be one."""
    pruner = (cfg.get("study") or {}).get("pruner", "none")
    name = pruner.get("name") if isinstance(pruner, Mapping) else pruner
    if name not in (None, "none") and not cfg.get("task") and cfg["data"].get("validation") == 0:
        raise ConfigError(
            f"study.pruner: judges by the validation split and needs data.validation > 0, got {name} with "
            f"{cfg['data']['validation']}"
        )


# -- provenance ------------------------------------------------------------------------------------------------------


def _learning_rates(cfg: Mapping[str, Any], experiment: "Experiment | TestbedExperiment") -> dict[str, Any]:
    """The rates at the start of the schedule, by what they drive; only those that the run uses."""
    from crossweep.testbeds.testbed import TestbedExperiment

    algorithm, finetune = cfg["algorithm"], cfg["training"]["finetune"]
    # a rule with a fast tile takes the one or the other for it, and the analog rate where both are zero
    fast = "fast_change" if algorithm.get("fast_change") else "fast_lr"
    own = {name: algorithm[name] for name in (fast, "transfer_lr") if algorithm.get(name)}
    if isinstance(experiment, TestbedExperiment):
        return {"analog": experiment.bed.lr, **own}
    rates: dict[str, Any] = {} if experiment.rule.is_digital else {"analog": finetune["analog_lr"], **own}
    optimizers = cfg["training"]["baseline_optimizers"]
    baselines = {name: optimizers[name] for name in cfg["training"]["baseline"]}
    return rates | {"digital": finetune["optimizer"]["lr"], "baselines": baselines}


def _versions() -> dict[str, str]:
    packages = ("torch", "timm", "numpy", "hydra-core", "optuna")
    return {"crossweep": crossweep.__version__, "python": platform.python_version()} | {
        p: version(p) for p in packages
    }


def _git() -> dict[str, Any] | None:
    """Commit of the code, if it runs from a checkout."""
    here = Path(__file__).parent

    def ask(*words: str) -> str:
        return subprocess.run(
            ["git", *words], cwd=here, capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        tracked = ask("ls-files", Path(__file__).name)
        return (
            {"commit": ask("rev-parse", "HEAD"), "dirty": bool(ask("status", "--porcelain"))}
            if tracked
            else None
        )
    except (OSError, subprocess.CalledProcessError):
        return None


def _hardware(device: str) -> dict[str, Any]:
    import torch

    found: dict[str, Any] = {"device": device, "cpu": platform.processor() or platform.machine()}
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [
            line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line
        ]
        found["cpu"] = names[0] if names else found["cpu"]
    if device.startswith("cuda"):
        found["gpu"] = torch.cuda.get_device_name(device)
    return found | {"threads": torch.get_num_threads(), "host": platform.node()}


# -- command line ----------------------------------------------------------------------------------------------------


@reported("crossweep", HydraException, OmegaConfBaseException)
def main() -> None:
    """Console script: like Hydra's own, but a user's mistake is one line and exit code 2."""
    # Hydra would print its own mixture of hints and cut tracebacks; with this it lets exceptions through
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")
    multirun_dir()  # refuses a name that Hydra cannot take
    sys.argv[1:] = _arguments(sys.argv[1:])
    # neither switches nor what belongs to one, as in --config-dir FOLDER
    words = [word for word in sys.argv[1:] if not word.startswith("-") and ("=" in word or word[0] == "~")]
    grid = _grid(words) if {"-m", "--multirun"} & {*sys.argv[1:]} else None
    if grid is not None:
        sys.argv.append(f"hydra.sweep.dir={literal(str(grid.folder))}")
    token = _faults.set(faults := Faults())
    try:
        with understood(words):
            hydra.main(config_path=str(conf_dir()), config_name="train", **version_base())(run)()
    except CrossweepError:
        if faults.failed:
            many = len(faults.failed)
            raise StudyError(
                f"{many} run{'s' * (many > 1)} of the grid failed; the others are complete"
            ) from None
        raise
    finally:
        for line in faults.failed:
            print(f"crossweep: {line}", file=sys.stderr)
        _faults.reset(token)
        if grid is not None:
            grid.show()
    if faults.mistake is not None:
        raise faults.mistake


@dataclass(frozen=True)
class _Grid:
    """A grid of runs, Hydra's own multirun, and its folder, where the same command finds them again."""

    keys: tuple[str, ...]
    folder: Path

    def show(self) -> None:
        """Print a table of the runs that there are."""
        from rich.console import Console

        from crossweep.console import grid_table
        from crossweep.results.collecting import collect

        if not any(self.folder.glob(f"*/{RECORD_NAME}")):
            return
        rows = [{str(k): v for k, v in row.items()} for row in collect(self.folder).rows.to_dict("records")]
        console = Console(file=sys.stdout)
        console.print(grid_table(rows, self.keys))
        console.print(
            f"results in {self.folder}; crossweep-report draws them", highlight=False, soft_wrap=True
        )


def _grid(words: Sequence[str]) -> _Grid | None:
    """The grid that the words of a command ask for; None where they say themselves how and where to sweep."""
    if any(word.startswith(("study=", "hydra/sweeper=", "hydra.sweep.dir=")) for word in words):
        return None
    try:
        parsed = OverridesParser.create().parse_overrides(list(words))
    except HydraException:
        return None  # Hydra says so itself
    swept = {
        override.input_line: override.key_or_group for override in parsed if override.is_sweep_override()
    }
    # by keys, not by their values: a grid that is widened keeps the runs that it has
    own = sorted(swept.get(word, word) for word in words if word.partition("=")[0] not in NOT_IDENTITY)
    keys = tuple(swept.values())
    name = "-".join(key.rpartition(".")[2].replace("/", "_") for key in keys)[:60] or "runs"
    digest = hashlib.blake2b("\n".join(own).encode(), digest_size=4).hexdigest()
    return _Grid(keys, multirun_dir() / "grid" / f"{name}-{digest}")


def _arguments(given: list[str]) -> list[str]:
    """``--dry-run`` as the study's own key, beside the choice of the study, where Hydra expects overrides."""
    if "--dry-run" not in given:
        return given
    if not any(item.startswith("study=") for item in given):
        raise ConfigError("--dry-run: lists what a study would run, so it needs -m study=NAME")
    kept = [item for item in given if item != "--dry-run"]
    return [word for item in kept for word in (item, *["study.dry_run=true"] * item.startswith("study="))]


if __name__ == "__main__":
    main()
