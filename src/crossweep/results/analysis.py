"""All of it for one table: who is compared, which surface holds, what each axis tolerates.

Runs are grouped by algorithm, by categorical axes, (with several studies) by study, and by whatever else their
configurations differ in. Each group is answered by one surface over all numeric axes that vary in it, or, where
the trials move one axis at a time, by one curve per axis. The device as configured comes first: where it misses
the budget itself, nothing is specified.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from crossweep.axis import Axis
from crossweep.errors import StudyError
from crossweep.results.configurations import as_configured, mixed_keys, moved, seed_labels, split
from crossweep.results.contour import Contour, contour
from crossweep.results.evaluators import Shares, second_opinion
from crossweep.results.importance import Importance, importance
from crossweep.results.points import Points, points
from crossweep.results.stats import Comparison, MeanEstimate, compare, estimate
from crossweep.results.surface import Refused, Surface, fit, nominal
from crossweep.results.table import Table
from crossweep.results.tolerance import Joint, Tolerance, ideals, joint, tolerances
from crossweep.sweep.settings import BUDGET

Array = NDArray[np.float64]
METRIC = "error_increase"
MAX_GROUPS = 12
MAX_PLANES = 3  # planes drawn per surface, the costliest axes first
STAR_SHARE = 0.9  # of points that move at most one axis: then each axis is looked at alone
GROUP = "group"
OF_RUNS = ("choice.device", "choice.model", "choice.data")


@dataclass(frozen=True, kw_only=True)
class Fit:
    """One surface or curve with all that follows from it; without one, why not.

    Args:
        points: the data.
        surface: the fit, also where it must not be used (then `reason` says why).
        reason: why there is no answer; empty where there is one.
        withheld: whether nothing is specified, because the device as configured misses the budget itself.
        places: harmless place per axis [unit cube].
        at: where the other axes stand [unit cube].
        start: loss at that place: median, low, high [metric].
        contours, joints, tolerances, importance: the answers.
        evaluators: importances by Optuna's evaluators, evaluator -> axis -> share.
    """

    points: Points
    surface: Surface | None = None
    reason: str = ""
    withheld: bool = False
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
        configured: loss of the device as configured, over its seeds; None where it was not run.
        fits: one surface, or one curve per axis.
        alone: whether each axis is looked at alone.
    """

    name: str
    rows: pd.DataFrame
    loss: MeanEstimate
    configured: MeanEstimate | None
    fits: tuple[Fit, ...]
    alone: bool

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
        mixed: keys in which configurations differ without being an axis, with their values.
        left_out: groups beyond the limit, by name.
    """

    table: Table
    metric: str
    budget: float
    groups: tuple[Group, ...]
    comparisons: tuple[Comparison, ...]
    mixed: dict[str, list[Hashable]] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()

    @property
    def column(self) -> str:
        return f"metric.{self.metric}"

    @property
    def metric_title(self) -> str:
        """For figures and tables."""
        known = {
            "error_increase": "error increase [points]",
            "test_error": "test error [%]",
            "loss_increase": "loss increase [nat]",
            "test_loss": "test loss [nat]",
            "weight_error": "weight error [% of w_max]",
        }
        return known.get(self.metric, self.metric.replace("_", " "))

    @property
    def what(self) -> str:
        """The metric in words."""
        return self.metric.replace("_", " ")

    @property
    def unit(self) -> str:
        """What follows a number of the metric."""
        return {
            "error_increase": " points",
            "test_error": " %",
            "loss_increase": " nat",
            "test_loss": " nat",
        }.get(self.metric, "")

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
    rows, mixed = grouped(table)
    table = Table(rows=rows, studies=table.studies, skipped=table.skipped)
    shown = rows[~_baseline(rows)]
    sizes = shown[GROUP].value_counts()
    names = [str(n) for n in sizes.index]
    kept = names[:MAX_GROUPS]
    groups = tuple(_group(n, shown[shown[GROUP] == n], table, column, budget, seed) for n in kept)
    conditions = [c for a in table.axes if a.numeric and (c := f"axis.{a.name}") in rows]
    # errors on other data, or of another network, are no condition in common
    conditions += [c for c in ("choice.model", "choice.data") if c in rows]
    usable = shown[shown[column].notna() & shown[GROUP].isin(kept)]
    return Analysis(
        table=table,
        metric=metric,
        budget=budget,
        groups=groups,
        comparisons=compare(usable, column, GROUP, conditions) if len(groups) > 1 else (),
        mixed=mixed,
        left_out=tuple(names[MAX_GROUPS:]),
    )


def grouped(table: Table) -> tuple[pd.DataFrame, dict[str, list[Hashable]]]:
    """The rows with a column `group`: study (of several), algorithm, the values of categorical axes, and keys in which
    the configurations differ without being an axis; and those keys with their values.
    """
    rows = table.rows.copy()
    algorithm = rows["algorithm"].where(rows["algorithm"] != "", rows["algorithm"].mode().iloc[0])
    parts = [algorithm]
    if len(table.studies) > 1:
        parts.insert(0, rows["study"])
    # single runs that nobody made a study of may differ in anything
    parts += [rows[c] for c in OF_RUNS if c in rows and not any(s.described for s in table.studies)]
    selectors = _selectors(table)
    for axis in table.axes:
        column = f"axis.{axis.name}"
        if not axis.numeric and axis.name not in selectors and column in rows and rows[column].nunique() > 1:
            parts.append(axis.short + " " + rows[column].astype(str))
    used = [p for p in parts if p.nunique() > 1] or [algorithm]
    rows[GROUP] = [", ".join(map(str, values)) for values in zip(*used)]
    mixed: dict[str, list[Hashable]] = {}
    numeric = [a for a in table.axes if a.numeric]
    for name, group in list(rows.groupby(GROUP, sort=False)):
        mixed |= mixed_keys(group, numeric)
        for label, part in split(group, numeric):
            rows.loc[part.index, GROUP] = f"{name}, {label}" if label else name
    return rows, mixed


def _selectors(table: Table) -> set[str]:
    """Categorical axes that only say which numeric axis a trial moves; they make no groups."""
    numeric = {a.name for a in table.axes if a.numeric}
    return {a.name for a in table.axes if not a.numeric and len(numeric & set(a.choices or ())) >= 2}


def _baseline(rows: pd.DataFrame) -> pd.Series:
    """Digital runs are the reference of the others, unless there are no others."""
    digital = rows["algorithm"] == "digital"
    return digital & (not digital.all())


def _group(name: str, rows: pd.DataFrame, table: Table, column: str, budget: float, seed: int) -> Group:
    numeric = [a for a in table.axes if a.numeric and f"axis.{a.name}" in rows]
    parts = _parts(rows, numeric)
    if parts is None:
        data = [points(rows, numeric, column)]
    else:  # an axis that was only ever set to what is configured anyway says nothing
        data = [curve for a, r in parts if (curve := points(r, [a], column)).axes]
    finite = rows[rows[column].notna()]
    own = finite[as_configured(finite, numeric)] if numeric else finite[:0]
    configured = _over_seeds(own, column) if len(own) else None
    withheld = configured is not None and configured.mean > budget
    fits = tuple(_answered(part, budget, seed, withheld) for part in data)
    return Group(
        name=name,
        rows=rows,
        loss=_over_seeds(finite, column),
        configured=configured,
        fits=fits,
        alone=parts is not None,
    )


def _over_seeds(rows: pd.DataFrame, column: str) -> MeanEstimate:
    return estimate(rows.groupby(seed_labels(rows))[column].mean().to_numpy())


def _parts(rows: pd.DataFrame, axes: Sequence[Axis]) -> list[tuple[Axis, pd.DataFrame]] | None:
    """For every axis the runs that move nothing else, where trials move one axis at a time; else None."""
    if len(axes) < 2:
        return None
    away = moved(rows, axes)
    varies = [j for j in range(len(axes)) if away[:, j].any()]
    if len(varies) < 2 or (away.sum(axis=1) <= 1).mean() < STAR_SHARE:
        return None
    return [(axes[j], rows.iloc[np.flatnonzero(~np.delete(away, j, axis=1).any(axis=1))]) for j in varies]


def _answered(data: Points, budget: float, seed: int, withheld: bool) -> Fit:
    surface = fit(data, budget, seed=seed)
    if isinstance(surface, Refused):
        return Fit(points=data, reason=surface.reason, withheld=withheld)
    if not surface.usable:
        return Fit(points=data, surface=surface, reason="; ".join(surface.problems), withheld=withheld)
    places = ideals(surface)
    at = nominal(surface.axes, places)
    shares = importance(surface) if len(surface.axes) > 1 else None
    contours = tuple(contour(surface, pair, at) for pair in _planes(surface.axes, shares))
    median, low, high = surface.to_loss(np.quantile(surface.draws(at[None])[:, 0], [0.5, 0.025, 0.975]))
    return Fit(
        points=data,
        surface=surface,
        withheld=withheld,
        places=places,
        at=at,
        start=(float(median), float(low), float(high)),
        contours=contours,
        joints=() if withheld else tuple(joint(surface, c, places) for c in contours if c.drawable),
        tolerances=() if withheld else tolerances(surface),
        importance=shares,
        evaluators=second_opinion(surface.points, seed=seed),
    )


def _planes(axes: Sequence[Axis], shares: Importance | None) -> list[tuple[int, int]]:
    """The planes to draw: the costliest axes first, in the study's order within a plane."""
    order = shares.order if shares else range(len(axes))
    pairs = sorted(combinations(range(len(axes)), 2), key=lambda p: sum(list(order).index(j) for j in p))
    return pairs[:MAX_PLANES]
