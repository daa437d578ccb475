"""Means with honest intervals, and paired comparison under common random numbers.

All intervals are two-sided 95 % Student-t intervals. With one value there is none; with two it is stated, and
it is wide, as it must be. Nothing is pooled over seeds silently.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats

from crossweep.results.configurations import seed_labels

CONFIDENCE = 0.95
FEW = 3  # below this many replicates the report says so


@dataclass(frozen=True, kw_only=True)
class MeanEstimate:
    """A mean over replicates.

    Args:
        mean: of the finite values; nan without any.
        std: sample standard deviation (n - 1); nan for n < 2.
        low, high: 95 % t-interval of the mean; nan for n < 2.
        n: number of finite values.
    """

    mean: float
    std: float
    low: float
    high: float
    n: int

    @property
    def few(self) -> bool:
        return self.n < FEW

    def text(self, unit: str = "") -> str:
        """`1.3 (likely range 0.9 to 1.8, 5 seeds)`, or what is missing."""
        if not self.n:
            return "no value"
        if self.n == 1:
            return f"{self.mean:.2f}{unit} (one seed: no likely range)"
        note = "two seeds, so a guess" if self.n == 2 else f"{self.n} seeds"
        return f"{self.mean:.2f}{unit} (likely range {self.low:.2f} to {self.high:.2f}, {note})"


def estimate(values: ArrayLike) -> MeanEstimate:
    """Mean and t-interval of the finite values."""
    v = np.asarray(values, dtype=np.float64)
    v = v[np.isfinite(v)]
    n = len(v)
    mean = float(v.mean()) if n else float("nan")
    std = float(v.std(ddof=1)) if n > 1 else float("nan")
    half = float(stats.t.isf((1 - CONFIDENCE) / 2, n - 1)) * std / np.sqrt(n) if n > 1 else float("nan")
    return MeanEstimate(mean=mean, std=std, low=mean - half, high=mean + half, n=n)


def p_value(e: MeanEstimate, limit: float = 0.0) -> float:
    """Of a two-sided t-test of a mean against a number; nan for n < 2. Values without any scatter leave no doubt."""
    if e.n < 2:
        return float("nan")
    if e.std == 0:
        return float(e.mean == limit)
    return float(2 * stats.t.sf(abs(e.mean - limit) / (e.std / np.sqrt(e.n)), e.n - 1))


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One group against another on the same conditions and seeds.

    Args:
        first, second: names of the groups.
        difference: metric of first minus second, over independent units.
        units: what the units are, "seeds" or "conditions".
        pairs: number of single pairs behind it.
        effect: paired effect size (Hedges' g of the differences); nan for n < 3.
        share_better: share of pairs in which the first has the smaller metric.
        p: two-sided paired t-test, Holm-adjusted over all comparisons; nan for n < 3.
    """

    first: str
    second: str
    difference: MeanEstimate
    units: str
    pairs: int
    effect: float
    share_better: float
    p: float


def compare(rows: pd.DataFrame, metric: str, group: str, conditions: Sequence[str]) -> tuple[Comparison, ...]:
    """All pairs of groups.

    Differences are taken within (conditions, seed). Conditions of one seed share devices and batches, so with
    two seeds or more the independent unit is the seed: differences are averaged over its conditions first.
    With one seed the units are the conditions, and the interval says nothing about other devices.

    Args:
        rows: tidy rows with finite metric.
        metric: column compared; smaller is better.
        group: column that names the groups.
        conditions: columns that must agree within a pair, beside the seed.
    """
    keys = [c for c in conditions if rows[c].notna().any()]
    rounded = rows.assign(**{c: _rounded(rows[c]) for c in keys}, seed=seed_labels(rows))
    wide = rounded.pivot_table(
        index=["seed", *keys], columns=group, values=metric, aggfunc="mean", dropna=True
    )
    found = [c for a, b in combinations(map(str, wide.columns), 2) if (c := _one(wide, a, b)) is not None]
    adjusted = holm([c.p for c in found])
    return tuple(_replace_p(c, p) for c, p in zip(found, adjusted))


def _one(wide: pd.DataFrame, first: str, second: str) -> Comparison | None:
    difference = (wide[first] - wide[second]).dropna()
    if difference.empty:
        return None
    seeds = difference.groupby(level="seed").mean()
    units = "seeds" if len(seeds) > 1 else "conditions"
    values = (seeds if len(seeds) > 1 else difference).to_numpy()
    e = estimate(values)
    enough = e.n >= FEW and e.std > 0
    return Comparison(
        first=first,
        second=second,
        difference=e,
        units=units,
        pairs=len(difference),
        # Hedges' correction: the plain ratio overstates by about 3 / (4 n - 5) with few values
        effect=e.mean / e.std * (1 - 3 / (4 * e.n - 5)) if enough else float("nan"),
        share_better=float((difference < 0).mean()),
        p=p_value(e) if enough else float("nan"),
    )


def _replace_p(c: Comparison, p: float) -> Comparison:
    return Comparison(**{**c.__dict__, "p": p})


def holm(p: Sequence[float]) -> list[float]:
    """Holm's step-down adjustment; nan stays nan and does not count."""
    order = sorted((i for i, v in enumerate(p) if np.isfinite(v)), key=lambda i: p[i])
    adjusted, largest = [float("nan")] * len(p), 0.0
    for rank, i in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - rank) * p[i]))
        adjusted[i] = largest
    return adjusted


def _rounded(column: pd.Series) -> pd.Series:
    """As text: equal up to nine digits is the same condition, and so is an axis that neither run has a place on."""
    if pd.api.types.is_numeric_dtype(column):
        return column.astype(float).map(lambda v: f"{v:.9g}")
    return column.astype(str)
