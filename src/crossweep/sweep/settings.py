"""Every setting of a study, checked once: the keys of ``hydra.sweeper`` and of ``study`` are these fields."""

import difflib
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Literal

from crossweep.errors import ConfigError

if TYPE_CHECKING:
    from optuna.study import StudyDirection

UNITS = {"s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
RESUME = ("auto", "require", "never")
DIRECTIONS = ("minimize", "maximize")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """One study.

    Args:
        name: name of the study; null takes the name of its folder (``hydra.sweep.dir``).
        n_trials: finished trials to reach (completed or pruned), over all starts; null is the grid's number
            of cells.
        params: search space in Hydra's override grammar, ``{key: "interval(0,1)"}``; adds to ``axis`` and
            command line.
        conditions: ``{parameter: {other parameter or config key: value or values}}``; sampled only where all
            hold.
        seeds: replicate seeds per point, run inside one trial and averaged; a number n means 0..n-1; null
            sets none.
        seed_keys: configuration keys that receive the replicate seed (common random numbers across points).
        objectives: metrics taken from what the run returns, ``[{metric: minimize | maximize}, ...]`` or a
            mapping; a bare name is minimised.
        constraints: ``["metric <= bound", "metric >= bound"]``; a point is feasible when all hold.
        anchors: points run first: ``ideal``, ``nominal`` (see the axes) or ``{axis: value}``; missing values
            are nominal.
        diverged_value: value told when an objective is not finite; null records the trial as failed.
        budget: acceptable loss [percentage points], kept for the report and the default level of
            ``levelset``.
        sampler, pruner, storage: a name, or ``{name: ..., option: ...}``, or ``{target: package.Class,
            ...}``.
        workers: workers at a time; ``auto`` is one per GPU, else one per two cores.
        threads: cores per worker; null shares the cores evenly when the study begins. The study keeps the number,
            because sums depend on how many threads add them up.
        gpus: ``auto`` (visible devices in turn), a list of device numbers, or null (leave the choice alone).
        trials_per_process: a worker process is replaced after so many trials; null never; implies processes
            of our own.
        trial_timeout: longest trial [s, or "10m", "2h"]; a longer one is stopped and queued again.
        time_budget: no trial starts later than this after the start [s, or "10m", "2h"].
        max_failures: crashed trials accepted per start before the study stops.
        max_retries: how often one point is queued again after its worker died or hung.
        lease_timeout: silence after which a running trial counts as dead [s].
        resume: ``auto`` continues if the folder holds the study, ``require`` demands it, ``never`` forbids
            it.
        retry_failed: queue the points that failed in earlier starts again.
        allow_changes: go on although the configuration differs from the one the study began with.
        dry_run: list what would run, and stop.
        progress: ``auto`` (live on a terminal, lines elsewhere), ``plain`` or ``none``.
        table: keeps the results table, a dotted name called with the study folder (see `hooks`); null for
            none.
        report: builds the report at the end, a dotted name called with a list of study folders; null for
            none.
    """

    name: str | None = None
    n_trials: int | None = 20
    params: Mapping[str, Any] = field(default_factory=dict)
    conditions: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    seeds: Sequence[int] | int | None = None
    seed_keys: Sequence[str] = ()
    objectives: Mapping[str, str] = field(default_factory=lambda: {"value": "minimize"})
    constraints: Sequence[str] = ()
    anchors: Sequence[Any] = ()
    diverged_value: float | None = None
    budget: float = 1.2
    sampler: Any = "tpe"
    pruner: Any = "none"
    storage: Any = "journal"
    workers: int | str = 1
    threads: int | None = None
    gpus: Sequence[int] | str | None = "auto"
    trials_per_process: int | None = None
    trial_timeout: float | str | None = None
    time_budget: float | str | None = None
    max_failures: int = 20
    max_retries: int = 2
    lease_timeout: float = 60.0
    resume: str = "auto"
    retry_failed: bool = False
    allow_changes: bool = False
    dry_run: bool = False
    progress: str = "auto"
    table: str | None = "crossweep.results.TableWriter"
    report: str | None = None

    def __post_init__(self) -> None:
        if self.n_trials is not None and self.n_trials < 1:
            raise ConfigError(
                f"study.n_trials: at least 1 (or null with the grid sampler), got {self.n_trials}"
            )
        if self.resume not in RESUME:
            raise ConfigError(f"study.resume: one of {', '.join(RESUME)}, got {self.resume!r}")
        if self.progress not in ("auto", "plain", "none"):
            raise ConfigError(f"study.progress: one of auto, plain, none, got {self.progress!r}")
        if not self.objectives or any(way not in DIRECTIONS for way in self.objectives.values()):
            raise ConfigError(
                f"study.objectives: {{metric: minimize | maximize}}, got {dict(self.objectives)}"
            )
        if self.seed_list and not self.seed_keys:
            raise ConfigError(f"study.seed_keys: name the keys that receive the seeds {self.seed_list}")
        if isinstance(self.workers, str) and self.workers != "auto":
            raise ConfigError(f"study.workers: a number or auto, got {self.workers!r}")
        if self.max_failures < 0 or self.max_retries < 0:
            raise ConfigError(
                f"study.max_failures, max_retries: not negative, got {self.max_failures}, {self.max_retries}"
            )
        if self.lease_timeout <= 0:
            raise ConfigError(f"study.lease_timeout: positive seconds, got {self.lease_timeout}")
        for key in ("trial_timeout", "time_budget"):
            seconds(getattr(self, key), f"study.{key}")
        for text in self.constraints:
            parse_bound(text)

    @property
    def seed_list(self) -> tuple[int, ...]:
        """The replicate seeds, empty when the study sets none."""
        if self.seeds is None:
            return ()
        return tuple(range(self.seeds)) if isinstance(self.seeds, int) else tuple(self.seeds)

    @property
    def directions(self) -> "list[Literal['minimize', 'maximize'] | StudyDirection]":
        """Direction per objective, typed as Optuna wants them."""
        return ["maximize" if way == "maximize" else "minimize" for way in self.objectives.values()]

    @property
    def n_workers(self) -> int:
        """Workers at a time, ``auto`` resolved on this machine."""
        if self.workers == "auto":
            return len(visible_gpus()) or max(1, cores() // 2)
        return max(1, int(self.workers))


def from_mappings(*layers: Mapping[str, Any] | None) -> Settings:
    """Settings from plain mappings; a later layer wins key by key.

    Raises:
        ConfigError: an unknown key, or a value that breaks a rule.
    """
    known = {item.name: item for item in fields(Settings)}
    merged: dict[str, Any] = {}
    for layer in layers:
        for key, value in (layer or {}).items():
            if key not in known:
                close = difflib.get_close_matches(str(key), known, n=1)
                hint = f", did you mean {close[0]}?" if close else f"; known are {', '.join(known)}"
                raise ConfigError(f"study.{key}: no such setting{hint}")
            if value is not None or key in NULLABLE:
                merged[key] = value
    if "objectives" in merged:
        merged["objectives"] = _objectives(merged["objectives"])
    for key, value in merged.items():
        _check_type(key, value)
    return Settings(**merged)


NULLABLE = frozenset(item.name for item in fields(Settings) if "None" in str(item.type))
_MAPPINGS = ("params", "conditions", "objectives")
_LISTS = ("seed_keys", "anchors", "constraints")
_NUMBERS = (
    "n_trials",
    "max_failures",
    "max_retries",
    "lease_timeout",
    "budget",
    "threads",
    "trials_per_process",
)
_FLAGS = ("retry_failed", "allow_changes", "dry_run")


def _check_type(key: str, value: Any) -> None:
    if value is None:
        return
    wanted: tuple[tuple[str, ...], tuple[type, ...], str]
    for wanted in (
        (_MAPPINGS, (Mapping,), "a mapping"),
        (_LISTS, (list, tuple), "a list"),
        (_NUMBERS, (int, float), "a number"),
        (_FLAGS, (bool,), "true or false"),
    ):
        names, types, text = wanted
        if key in names and (not isinstance(value, types) or (isinstance(value, bool) and bool not in types)):
            raise ConfigError(f"study.{key}: {text}, got {value!r}")


def _objectives(given: Any) -> Any:
    """One mapping from a list of names and one-entry mappings (the command line can replace a list)."""
    if isinstance(given, str):
        return {given: "minimize"}
    if not isinstance(given, list | tuple):
        return given
    merged: dict[str, str] = {}
    for item in given:
        merged.update(item if isinstance(item, Mapping) else {str(item): "minimize"})
    return merged


def seconds(value: float | str | None, key: str) -> float | None:
    """A duration in seconds from a number or text such as ``"90s"``, ``"10m"``, ``"2h"``.

    Raises:
        ConfigError: neither, or not positive.
    """
    if value is None:
        return None
    match = re.fullmatch(r"\s*(\d+\.?\d*|\.\d+)\s*([a-z]*)\s*", str(value))
    unit = UNITS.get(match[2] or "s") if match else None
    if match is None or unit is None or float(match[1]) <= 0:
        raise ConfigError(f'{key}: positive seconds or a text like "10m" or "2h", got {value!r}')
    return float(match[1]) * unit


def parse_bound(text: str) -> tuple[str, float, float]:
    """Metric, sign and bound of ``"metric <= 3"``; ``sign * (metric - bound) <= 0`` where it is feasible.

    Raises:
        ConfigError: the text is no bound.
    """
    match = re.fullmatch(r"\s*([^\s<>=]+)\s*(<=|>=)\s*([-+0-9.eE]+)\s*", str(text))
    try:
        bound = float(match[3] if match else "")
    except ValueError:
        rule = '"metric <= bound" or "metric >= bound"'
        raise ConfigError(f"study.constraints: {rule}, got {text!r}") from None
    assert match is not None
    return match[1], 1.0 if match[2] == "<=" else -1.0, bound


def cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def visible_gpus() -> list[str]:
    """CUDA devices this process may use, found without importing torch."""
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        return [item for item in chosen.split(",") if item and item != "-1"]
    driver = "/proc/driver/nvidia/gpus"
    return [str(i) for i in range(len(os.listdir(driver)))] if os.path.isdir(driver) else []  # noqa: PTH112, PTH208
