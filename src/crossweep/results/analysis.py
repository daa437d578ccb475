"""All of it for one table: who is compared, which surface holds, what each axis tolerates.

Runs are grouped by algorithm, by categorical axes and (with several studies) by study. Each group is answered
by one surface over all numeric axes that vary in it, or, where the trials move one axis at a time, by one
curve per axis.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from crossweep.errors import StudyError
from crossweep.results.axes import Axis
from crossweep.results.contour import Contour, contour
from crossweep.results.evaluators import Shares, second_opinion
from crossweep.results.importance import Importance, importance
from crossweep.results.points import Points, points
from crossweep.results.stats import Comparison, Estimate, compare, estimate
from crossweep.results.surface import Refused, Surface, fit, nominal
from crossweep.results.table import Table
from crossweep.results.tolerance import Joint, Tolerance, ideals, joint, tolerances

Array = NDArray[np.float64]
BUDGET = 1.2  # percentage points; the loss that the starting paper reports as acceptable
METRIC = "error_increase"
MAX_GROUPS = 12
MAX_PLANES = 3  # planes drawn per surface, the costliest axes first
STAR_SHARE = 0.9  # of points that move at most one axis: then each axis is looked at alone
GROUP = "group"


@dataclass(frozen=True, kw_only=True)
class Fit:
    """One surface or curve with all that follows from it; without one, why not.

    Args:
        points: the data.
        surface: the fit, also where it must not be used (then `reason` says why).
        reason: why there is no answer; empty where there is one.
        places: harmless place per axis [unit cube].
        at: where the other axes stand [unit cube].
        start: loss at that place: median, low, high [metric].
        contours, joints, tolerances, importance: the answers.
        evaluators: importances by Optuna's evaluators, evaluator -> axis -> share.
    """

    points: Points
    surface: Surface | None = None
    reason: str = ""
    places: tuple[float, ...] = ()
    at: Array = field(default_factory=lambda: np.zeros(0))
    start: tuple[float, float, float] | None = None
    contours: tuple[Contour, ...] = ()
    joints: tuple[Joint, ...] = ()
    tolerances: tuple[Tolerance, ...] = ()
    importance: Importance | None = None
    evaluators: Shares = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Group:
    """Runs that belong together.

    Args:
        name: what distinguishes the group, in words.
        rows: its runs.
        loss: over its seeds: at each seed the mean over conditions.
        fits: one surface, or one curve per axis.
    """

    name: str
    rows: pd.DataFrame
    loss: Estimate
    fits: tuple[Fit, ...]

    @property
    def tolerances(self) -> tuple[Tolerance, ...]:
        return tuple(t for f in self.fits for t in f.tolerances)


@dataclass(frozen=True, kw_only=True)
class Analysis:
    """What a study says.

    Args:
        table: all runs; its rows have a column `group`.
        metric: name of the metric, without prefix.
        budget: acceptable value of it.
        groups: the groups in order of size.
        comparisons: all pairs of groups on equal conditions and seeds.
        left_out: groups beyond the limit, by name.
    """

    table: Table
    metric: str
    budget: float
    groups: tuple[Group, ...]
    comparisons: tuple[Comparison, ...]
    left_out: tuple[str, ...] = ()

    @property
    def column(self) -> str:
        return f"metric.{self.metric}"

    @property
    def metric_title(self) -> str:
        """For figures and tables."""
        known = {"error_increase": "error increase [points]", "test_error": "test error [%]"}
        return known.get(self.metric, self.metric.replace("_", " "))

    @property
    def unit(self) -> str:
        """What follows a number of the metric."""
        return {"error_increase": " points", "test_error": " %"}.get(self.metric, "")

    @property
    def limit(self) -> str:
        """The budget with its unit: `1.2 points`."""
        return f"{self.budget:g}{self.unit}"

    @property
    def tolerances(self) -> tuple[tuple[Group, Tolerance], ...]:
        return tuple((g, t) for g in self.groups for t in g.tolerances)


def analyse(table: Table, *, budget: float = BUDGET, metric: str = METRIC, seed: int = 0) -> Analysis:
    """Fit and answer everything.

    Args:
        table: collected runs.
        budget: acceptable value of the metric.
        metric: a metric for which smaller is better.
        seed: of all draws.

    Raises:
        StudyError: no run has the metric.
    """
    column = f"metric.{metric}"
    if column not in table.rows or table.rows[column].notna().sum() == 0:
        known = sorted(
            c.removeprefix("metric.") for c in map(str, table.rows.columns) if c.startswith("metric.")
        )
        raise StudyError(f"`metric` must be one that the runs have ({', '.join(known)}), got {metric}")
    rows = grouped(table)
    table = Table(rows=rows, studies=table.studies, skipped=table.skipped)
    shown = rows[~_baseline(rows)]
    sizes = shown[GROUP].value_counts()
    names = [str(n) for n in sizes.index]
    kept = names[:MAX_GROUPS]
    groups = tuple(_group(n, shown[shown[GROUP] == n], table, column, budget, seed) for n in kept)
    conditions = [c for a in table.axes if a.numeric and (c := f"axis.{a.name}") in rows]
    usable = shown[shown[column].notna() & shown[GROUP].isin(kept)]
    return Analysis(
        table=table,
        metric=metric,
        budget=budget,
        groups=groups,
        comparisons=compare(usable, column, GROUP, conditions) if len(groups) > 1 else (),
        left_out=tuple(names[MAX_GROUPS:]),
    )


def grouped(table: Table) -> pd.DataFrame:
    """The rows with a column `group`: study (of several), algorithm, and the values of categorical axes."""
    rows = table.rows.copy()
    algorithm = rows["algorithm"].where(rows["algorithm"] != "", rows["algorithm"].mode().iloc[0])
    parts = [algorithm]
    if len(table.studies) > 1:
        parts.insert(0, rows["study"])
    selectors = _selectors(table)
    for axis in table.axes:
        column = f"axis.{axis.name}"
        if not axis.numeric and axis.name not in selectors and column in rows and rows[column].nunique() > 1:
            parts.append(axis.short + " " + rows[column].astype(str))
    used = [p for p in parts if p.nunique() > 1] or [algorithm]
    rows[GROUP] = [", ".join(map(str, values)) for values in zip(*used)]
    return rows


def _selectors(table: Table) -> set[str]:
    """Categorical axes that only say which numeric axis a trial moves; they make no groups."""
    numeric = {a.name for a in table.axes if a.numeric}
    return {a.name for a in table.axes if not a.numeric and len(numeric & set(a.choices)) >= 2}


def _baseline(rows: pd.DataFrame) -> pd.Series:
    """Digital runs are the reference of the others, unless there are no others."""
    digital = rows["algorithm"] == "digital"
    return digital & (not digital.all())


def _group(name: str, rows: pd.DataFrame, table: Table, column: str, budget: float, seed: int) -> Group:
    numeric = [a for a in table.axes if a.numeric]
    data = points(rows, numeric, column)
    fits = tuple(_answered(part, budget, seed) for part in _parts(data))
    finite = rows[rows[column].notna()]
    by_seed = finite.groupby(finite["seed"].fillna(-1))[column].mean()
    return Group(name=name, rows=rows, loss=estimate(by_seed.to_numpy()), fits=fits)


def _parts(data: Points) -> Iterator[Points]:
    """The points as they are, or one set per axis where trials move one axis at a time."""
    if len(data.axes) < 2 or data.n < 3:
        yield data
        return
    rounded = np.round(data.unit, 6)
    usual = np.array([_mode(rounded[:, j]) for j in range(rounded.shape[1])])
    moved = np.abs(rounded - usual) > 1e-6
    if (moved.sum(axis=1) <= 1).mean() < STAR_SHARE:
        yield data
        return
    for j in range(len(data.axes)):
        others = np.delete(moved, j, axis=1).any(axis=1)
        part = data.take(np.flatnonzero(~others))
        yield _one_axis(part, j)


def _one_axis(part: Points, j: int) -> Points:
    return Points(
        axes=(part.axes[j],),
        x=part.x[:, [j]],
        unit=part.unit[:, [j]],
        y=part.y,
        seeds=part.seeds,
        values=part.values,
        diverged=part.diverged,
        folders=part.folders,
        trials=part.trials,
        lost=part.lost[:, [j, -1]],
    )


def _mode(values: Array) -> float:
    found, counts = np.unique(values, return_counts=True)
    return float(found[counts.argmax()])


def _answered(data: Points, budget: float, seed: int) -> Fit:
    surface = fit(data, budget, seed=seed)
    if isinstance(surface, Refused):
        return Fit(points=data, reason=surface.reason)
    if not surface.usable:
        return Fit(points=data, surface=surface, reason="; ".join(surface.problems))
    places = ideals(surface)
    at = nominal(surface.axes, places)
    shares = importance(surface) if len(surface.axes) > 1 else None
    contours = tuple(contour(surface, pair, at) for pair in _planes(surface.axes, shares))
    median, low, high = surface.to_loss(np.quantile(surface.draws(at[None])[:, 0], [0.5, 0.025, 0.975]))
    return Fit(
        points=data,
        surface=surface,
        places=places,
        at=at,
        start=(float(median), float(low), float(high)),
        contours=contours,
        joints=tuple(joint(surface, c, places) for c in contours if c.drawable),
        tolerances=tolerances(surface),
        importance=shares,
        evaluators=second_opinion(surface.points, seed=seed),
    )


def _planes(axes: Sequence[Axis], shares: Importance | None) -> list[tuple[int, int]]:
    """The planes to draw: the costliest axes first, in the study's order within a plane."""
    order = shares.order if shares else range(len(axes))
    pairs = sorted(combinations(range(len(axes)), 2), key=lambda p: sum(list(order).index(j) for j in p))
    return pairs[:MAX_PLANES]
