"""Runs to points: replicate seeds averaged, with what the replicates say about noise and about the seeds
themselves.

Under common random numbers every point sees the same seeds. Then y_ij = f_i + s_j(f_i) + e_ij: the seed's own
effect s_j is shared by all points with the same loss f, looks like no noise at all, and must be added to the surface's
uncertainty on its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from crossweep.axis import Axis
from crossweep.results.configurations import seed_labels

Array = NDArray[np.float64]
USED_STATES = ("complete", "diverged")
LEAST_POINTS = 8  # for a line
LEAST_SEEDS = 3  # with two, a standard error with one degree of freedom would swallow every answer


@dataclass(frozen=True, kw_only=True)
class Points:
    """The points of one group.

    Args:
        axes: the k numeric axes that vary.
        x: [n, k] values in the axes' units.
        unit: [n, k] the same in [0, 1].
        y: [n] metric, mean over seeds.
        seeds: [n] how many seeds.
        values: [n, s] single values, nan where a seed is missing at a point.
        diverged: [n] whether any seed diverged.
        folders: [n] folder of the first run at each point.
        trials: [n] trial numbers.
        lost: [m, k + 1] points without a value: their axis values, and 0 failed or 1 pruned.
        unplaced: how many runs have a value, but no known place on every axis.
    """

    axes: tuple[Axis, ...]
    x: Array
    unit: Array
    y: Array
    seeds: NDArray[np.int64]
    values: Array
    diverged: NDArray[np.bool_]
    folders: tuple[str, ...]
    trials: tuple[int, ...]
    lost: Array
    unplaced: int = 0

    @property
    def n(self) -> int:
        return len(self.y)

    def take(self, index: NDArray[np.intp]) -> Points:
        """A part of the points."""
        return Points(
            axes=self.axes,
            x=self.x[index],
            unit=self.unit[index],
            y=self.y[index],
            seeds=self.seeds[index],
            values=self.values[index],
            diverged=self.diverged[index],
            folders=tuple(self.folders[i] for i in index),
            trials=tuple(self.trials[i] for i in index),
            lost=self.lost,
            unplaced=self.unplaced,
        )


def points(rows: pd.DataFrame, axes: Sequence[Axis], metric: str) -> Points:
    """Average the rows of each distinct setting of the axes over seeds.

    A run whose place on an axis is not known, or off the axis, is no point. A run that repeats another one, seeds
    included, counts once.

    Args:
        rows: runs that differ in nothing but the axes and their seeds.
        axes: numeric axes of the study; those that do not vary here are left out.
        metric: column with the value.
    """
    x = np.column_stack([_column(rows, axis) for axis in axes]) if axes else np.zeros((len(rows), 0))
    varies = [j for j, axis in enumerate(axes) if _spread(x[:, j]) > 1e-9 * (axis.ends[1] - axis.ends[0])]
    kept, x = tuple(axes[j] for j in varies), x[:, varies]
    placed = (
        np.array([a.holds(x[:, j]) for j, a in enumerate(kept)]).reshape(len(kept), len(rows)).all(axis=0)
    )
    y = pd.to_numeric(rows[metric], errors="coerce").to_numpy(dtype=float)
    valued = rows["state"].isin(USED_STATES).to_numpy() & np.isfinite(y)
    used, gone = valued & placed, ~valued & placed
    lost = np.column_stack([x[gone], (rows["state"].to_numpy()[gone] == "pruned").astype(float)])
    unit = np.column_stack([a.to_unit(x[:, j]) for j, a in enumerate(kept)]) if kept else x
    _, first, inverse = np.unique(np.round(unit[used], 9), axis=0, return_index=True, return_inverse=True)
    chosen = rows[used].reset_index(drop=True)
    values = _by_seed(y[used], inverse.ravel(), seed_labels(chosen), len(first))
    diverged = np.bincount(inverse.ravel(), chosen["state"] == "diverged", minlength=len(first)) > 0
    return Points(
        axes=kept,
        x=x[used][first],
        unit=unit[used][first],
        y=np.nanmean(values, axis=1) if len(values) else np.zeros(0),
        seeds=np.isfinite(values).sum(axis=1),
        values=values,
        diverged=diverged,
        folders=tuple(chosen["folder"].iloc[first]),
        trials=tuple(int(t) for t in chosen["trial"].iloc[first]),
        lost=lost,
        unplaced=int((valued & ~placed).sum()),
    )


@dataclass(frozen=True, kw_only=True)
class Replication:
    """What replicates say.

    Args:
        noise_variance: of one value beyond point and seed [metric^2]; nan when fewer than 10 degrees of
            freedom tell it.
        shared_std: standard error of the mean over seeds that all points share; 0 for fewer than three seeds.
        shared_freedom: degrees of freedom of that error.
        crossed: whether all points have the same seeds, two or more.
        seeds: the number of seeds per point (the smallest).
    """

    noise_variance: float
    shared_std: float
    shared_freedom: int
    crossed: bool
    seeds: int


def replication(values: Array, level: float) -> Replication:
    """Split values [n, s] into point, seed and rest; a seed's effect may grow with the loss, as chance does.

    So each seed's deviations are a straight line over the points' means, and its effect is read off that line at the level,
    or where the means come closest to it. An average over all points would be that of wherever most of them lie.

    Only points with a loss up to a few times the level count, where there are enough: on a cliff replicates
    scatter by far more, and that scatter says nothing about the loss near the level.
    """
    low = np.nanmean(values, axis=1) < 4 * max(abs(level), 1e-9)
    values = values[low] if low.sum() >= 8 else values
    counts = np.isfinite(values).sum(axis=1)
    least = int(counts.min()) if len(counts) else 0
    crossed = values.shape[1] >= 2 and len(values) >= 2 and bool(np.isfinite(values).all())
    means = np.nanmean(values, axis=1, keepdims=True)
    centred = values - means
    freedom, shared = int((counts - 1).sum()), 0.0
    if crossed and values.shape[1] >= LEAST_SEEDS:
        line = _line(means[:, 0], level)
        effect, *_ = np.linalg.lstsq(line, centred, rcond=None)
        centred = centred - line @ effect
        freedom = (len(values) - line.shape[1]) * (values.shape[1] - 1)
        rest = float((centred**2).sum()) / freedom
        # what is read off the lines scatters by the seeds' own effect and by what the points' noise leaves of itself
        own = float(np.linalg.inv(line.T @ line)[0, 0])
        shared = max(0.0, float(effect[0].var(ddof=1)) - rest * own)
    noise = float(np.nansum(centred**2)) / freedom if freedom >= 10 else float("nan")
    return Replication(
        noise_variance=noise,
        shared_std=float(np.sqrt(shared / max(1, values.shape[1]))),
        shared_freedom=values.shape[1] - 1,
        crossed=crossed,
        seeds=least,
    )


def _line(means: Array, level: float) -> Array:
    """[n, 2] regressors whose first coefficient is what a line over the means says at the level; [n, 1] for too few."""
    if len(means) < LEAST_POINTS or np.ptp(means) == 0:
        return np.ones((len(means), 1))
    return np.column_stack((np.ones(len(means)), means - np.clip(level, means.min(), means.max())))


def _column(rows: pd.DataFrame, axis: Axis) -> Array:
    """[n] places on an axis; nan where the run holds no single number on it."""
    column = f"axis.{axis.name}"
    if column not in rows:
        return np.full(len(rows), np.nan)
    return pd.to_numeric(rows[column], errors="coerce").to_numpy(dtype=float)


def _spread(values: Array) -> float:
    finite = values[np.isfinite(values)]
    return float(np.ptp(finite)) if len(finite) else 0.0


def _by_seed(y: Array, point: NDArray[np.intp], seeds: pd.Series, n: int) -> Array:
    """[n points, s]: equal seeds share a column; a point that repeats a seed has one value for it."""
    if not n:  # every run of the group failed
        return np.zeros((0, 1))
    frame = pd.DataFrame({"y": y, "point": point, "seed": seeds.to_numpy()})
    wide = frame.pivot_table(index="point", columns="seed", values="y")
    return wide.reindex(range(n)).to_numpy(dtype=float).reshape(n, -1)
