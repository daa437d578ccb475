"""Every setting of a study, checked once: the keys of ``hydra.sweeper`` and of ``study`` are these fields."""

import difflib
import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Annotated, Any, Literal

from crossweep.errors import ConfigError
from crossweep.published import Published
from crossweep.schema import Checked, Count, Items, Positive, Range, Seed, Whole, checked, hints_of

if TYPE_CHECKING:
    from optuna.study import StudyDirection

UNITS = {"s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
DIRECTIONS = ("minimize", "maximize")
BUDGET = 1.2  # percentage points; the loss that the starting paper reports as acceptable


@dataclass(frozen=True, kw_only=True)
class Settings(Checked):
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
        at_once: runs that a worker has side by side, seeds of a point and further points together, where the task function
            can do that; ``auto`` asks it how many. Points whose worker died or hung run alone.
        gpus: ``auto`` (visible devices in turn), a list of device numbers, or null (leave the choice alone).
        trials_per_process: a worker process is replaced after so many trials; null never; implies processes
            of our own.
        trial_timeout: longest trial [s, or "10m", "2h"]; a longer one is stopped and queued again. Trials that run at once
            have as long as one after the other.
        time_budget: no trial starts later than this after the start [s, or "10m", "2h"].
        max_failures: crashed trials accepted per start before the study stops.
        max_retries: how often one point is queued again after its worker died or hung.
        lease_timeout: silence after which a running trial counts as dead [s].
        resume: ``auto`` continues if the folder holds the study, ``require`` demands it, ``never`` forbids
            it.
        retry_failed: queue the points that failed in earlier starts again.
        allow_changes: go on although the configuration differs from the one the study began with.
        dry_run: list what would run, and stop.
        published: what others measured at these points, for the report; see ``Published``.
        progress: ``auto`` (live on a terminal, lines elsewhere), ``plain`` or ``none``.
        table: keeps the results table, a dotted name called with the study folder (see `hooks`); null for
            none.
        report: builds the report at the end, a dotted name called with a list of study folders; null for
            none.
    """

    name: str | None = None
    n_trials: Count | None = 20
    params: Mapping[str, Any] = field(default_factory=dict)
    conditions: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    seeds: (
        Annotated[Sequence[Seed], Items(least=1, distinct=True)]
        | Annotated[int, Range(least=1, most=1000)]
        | None
    ) = None
    seed_keys: Sequence[str] = ()
    objectives: Mapping[str, str] = field(default_factory=lambda: {"value": "minimize"})
    constraints: Sequence[str] = ()
    anchors: Sequence[Any] = ()
    diverged_value: float | None = None
    budget: float = BUDGET
    sampler: Any = "tpe"
    pruner: Any = "none"
    storage: Any = "journal"
    workers: Annotated[int, Range(least=1, most=10_000)] | Literal["auto"] = 1
    threads: Count | None = None
    at_once: Annotated[int, Range(least=1, most=10_000)] | Literal["auto"] = "auto"
    gpus: Annotated[Sequence[Whole], Items(least=1, distinct=True)] | Literal["auto"] | None = "auto"
    trials_per_process: Count | None = None
    trial_timeout: Positive | str | None = None
    time_budget: Positive | str | None = None
    max_failures: Whole = 20
    max_retries: Whole = 2
    lease_timeout: Positive = 60.0
    resume: Literal["auto", "require", "never"] = "auto"
    retry_failed: bool = False
    allow_changes: bool = False
    dry_run: bool = False
    published: Mapping[str, Any] | None = None
    progress: Literal["auto", "plain", "none"] = "auto"
    table: str | None = "crossweep.results.TableWriter"
    report: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.objectives or any(way not in DIRECTIONS for way in self.objectives.values()):
            raise ConfigError(
                f"study.objectives: {{metric: minimize | maximize}}, got {dict(self.objectives)}"
            )
        if self.seed_list and not self.seed_keys:
            raise ConfigError(f"study.seed_keys: name the keys that receive the seeds {self.seed_list}")
        for key in ("trial_timeout", "time_budget"):
            seconds(getattr(self, key), f"study.{key}")
        for text in self.constraints:
            parse_bound(text)
        if self.published is not None:
            Published.of(self.published, "study.published")

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
            merged[key] = value
    if "objectives" in merged:
        merged["objectives"] = _objectives(merged["objectives"])
    hints = hints_of(Settings)
    return Settings(**{key: checked(value, hints[key], f"study.{key}") for key, value in merged.items()})


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
        if not math.isfinite(bound):
            raise ValueError
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
