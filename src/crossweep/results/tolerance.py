"""Tolerance: how bad may one flaw become before the loss exceeds the budget.

Along one axis, from its harmless end outwards and with the other axes held still, the tolerance is the first
place where the loss crosses the budget. Every posterior draw of the surface has one; the interval is the
middle 95 % of them, and the specification is the value that the device must keep with 95 % probability. A
draw that never crosses within the range counts as "beyond the range", one that starts above the budget as
"nowhere": such answers are censored and say so ("> 0.3: not crossed within the range"). An interval that spans
the whole range says nothing: the tolerance is then not determined, whatever its median.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.stats import qmc

from crossweep.axis import Axis, number_text
from crossweep.results.contour import Contour
from crossweep.results.surface import Surface, nominal

Array = NDArray[np.float64]
STEPS = 129  # places along the line
INTERVAL = (0.025, 0.5, 0.975)
SURE = 0.95  # probability that the specification is meant to have
SURE_DOWNWARD = 0.99  # probability from which on an axis is taken to hurt downwards (few states, few bits)
LEAST_FALL = 0.1  # by how much the loss must then fall along it, in budgets


@dataclass(frozen=True, kw_only=True)
class Tolerance:
    """The answer for one axis in one direction.

    Args:
        axis: which axis.
        upward: whether the axis hurts upwards (a largest value) or downwards (a smallest value).
        value: posterior median [axis unit]; infinite where the loss does not cross within the range, and
            minus infinite (seen from the harmless end) where it is above the budget from the start.
        low, high: the 95 % interval, low being the stricter end; infinite ends are censored likewise.
        safe: the value kept with 95 % probability (the specification); minus infinite where even the harmless
            end is not that sure.
        crosses: probability that the loss crosses within the range.
        starts_above: probability that it is above the budget at the harmless end already.
        start: the harmless place, where the search begins [axis unit].
        others: where the other axes stand, name to value.
        samples: the tolerance of every draw, larger is laxer (negated for a downward axis), censored by
            infinities.
    """

    axis: Axis
    upward: bool
    value: float
    low: float
    high: float
    safe: float
    crosses: float
    starts_above: float
    start: float
    others: dict[str, float]
    samples: Array = field(repr=False)

    @property
    def end(self) -> float:
        """The far end of the range [axis unit]."""
        return self.axis.ends[self.upward]

    @property
    def determined(self) -> bool:
        """Whether the interval leaves out any part of the examined range."""
        return self.distance(self.low) > 1 / STEPS or self.distance(self.high) < 1 - 1 / STEPS

    @property
    def status(self) -> str:
        """`undetermined`, else `crossed`, `beyond` the range or `above` from the start, judged by the median."""
        if not self.determined:
            return "undetermined"
        if np.isfinite(self.value):
            return "crossed"
        return "beyond" if self.value > 0 else "above"

    def bound(self, value: float) -> str:
        """One end in words, censored where it is."""
        better, worse = (">", "<") if self.upward else ("<", ">")
        if np.isfinite(value):
            return self.axis.text(value)
        if value > 0:
            return f"{better} {self.axis.text(self.end)}"
        return f"{worse} {self.axis.text(self.start)}"

    def distance(self, value: float) -> float:
        """Share of the way from the harmless to the far end of the range, censored to 0 or 1."""
        if not np.isfinite(value):
            return 1.0 if value > 0 else 0.0
        start, end = (float(self.axis.to_unit(v)) for v in (self.start, self.end))
        return (float(self.axis.to_unit(value)) - start) / (end - start)

    def place(self, value: float) -> float:
        """A value in unit coordinates of the axis, censored to the ends."""
        start, end = (float(self.axis.to_unit(v)) for v in (self.start, self.end))
        return start + self.distance(value) * (end - start)

    @property
    def short(self) -> str:
        """The specification as a label: `≤ 0.12 w_max`."""
        if not self.determined:
            return "not determined"
        sign = "≤" if self.upward else "≥"
        if np.isfinite(self.safe):
            return f"{sign} {self.axis.text(self.safe)}"
        return f"{sign} {self.axis.text(self.end)} (range end)" if self.safe > 0 else "not met"

    @property
    def requirement(self) -> str:
        """The specification: `at most 0.12 w_max`."""
        if not self.determined:
            return "not determined"
        word, censored = ("at most", "up to") if self.upward else ("at least", "down to")
        if np.isfinite(self.safe):
            return f"{word} {self.axis.text(self.safe)}"
        if self.safe > 0:
            return f"{censored} {self.axis.text(self.end)} allowed (end of the range)"
        return "not met with 95 % probability even at the harmless end"

    @property
    def specify(self) -> str:
        """The specification as part of a sentence."""
        told = self.determined and np.isfinite(self.safe)
        return f"specify {self.requirement}" if told else self.requirement

    @property
    def text(self) -> str:
        """Value with interval, in words."""
        low = number_text(self.low) if np.isfinite([self.low, self.high]).all() else self.bound(self.low)
        interval = f"likely range {low} to {self.bound(self.high)}"
        if not self.determined:
            return f"not determined: the {interval} covers everything that was examined"
        if self.status == "crossed":
            return f"{self.axis.text(self.value)} ({interval})"
        if self.status == "beyond":
            chance = f" ({self.crosses:.0%} chance that it is)" if self.crosses >= 0.005 else ""
            return f"{self.bound(self.value)}: not crossed within the range{chance}"
        return f"{self.bound(self.value)}: above the budget from the start ({self.starts_above:.0%} sure)"


def ideals(surface: Surface) -> tuple[float, ...]:
    """The harmless place of each axis [unit cube]: as described, zero in the middle of a range, else the
    lower loss.

    Returns:
        For each axis one place.
    """
    k = len(surface.axes)
    base = qmc.Sobol(k, rng=surface.seed).random(64)
    found = []
    for j, axis in enumerate(surface.axes):
        if axis.ideal is not None:
            place = float(axis.to_unit(axis.ideal))
        elif axis.ends[0] < 0 < axis.ends[1]:
            place = float(axis.to_unit(0.0))
        else:
            ends = [np.insert(np.delete(base, j, axis=1), j, end, axis=1) for end in (0.0, 1.0)]
            draws = surface.draws(np.concatenate(ends), each=8)
            falls = (draws[:, : len(base)].mean(axis=1) > draws[:, len(base) :].mean(axis=1)).mean()
            lower, upper = (float(surface.loss(unit).mean()) for unit in ends)
            clear = lower - upper > LEAST_FALL * abs(surface.level)
            place = 1.0 if clear and falls > SURE_DOWNWARD else 0.0
        found.append(float(np.clip(place, 0.0, 1.0)))
    return tuple(found)


def tolerances(surface: Surface, *, each: int = 64) -> tuple[Tolerance, ...]:
    """The tolerance of every axis; an axis whose harmless place lies inside its range has two."""
    places = ideals(surface)
    at = nominal(surface.axes, places)
    found = []
    for j, place in enumerate(places):
        found += [_along(surface, j, place, end, at, each) for end in (0.0, 1.0) if abs(end - place) > 1e-3]
    return tuple(found)


def _along(surface: Surface, j: int, start: float, end: float, at: Array, each: int) -> Tolerance:
    axis, line = surface.axes[j], np.linspace(start, end, STEPS)
    unit = np.tile(at, (STEPS, 1))
    unit[:, j] = line
    draws = surface.draws(unit, each=each)
    first = first_crossing(draws)
    own = _in_units(axis, line, first, upward=end > start)
    low, value, high = np.quantile(own, INTERVAL, method="inverted_cdf")
    safe = float(np.quantile(own, 1 - SURE, method="inverted_cdf"))
    sign = 1.0 if end > start else -1.0
    others = {a.name: float(a.from_unit(at[i])) for i, a in enumerate(surface.axes) if i != j}
    return Tolerance(
        axis=axis,
        upward=end > start,
        value=_unsigned(float(value), sign),
        low=_unsigned(float(low), sign),
        high=_unsigned(float(high), sign),
        safe=_unsigned(safe, sign),
        crosses=float(np.isfinite(first).mean()),
        starts_above=float(np.isneginf(first).mean()),
        start=float(axis.from_unit(start)),
        others=others,
        samples=own,
    )


def first_crossing(draws: Array) -> Array:
    """[d] step at which each draw [d, m] first exceeds zero; inf: never, -inf: from the start."""
    above = draws > 0
    index = above.argmax(axis=1)
    rows = np.arange(len(draws))
    after, before = draws[rows, index], draws[rows, np.maximum(index - 1, 0)]
    with np.errstate(invalid="ignore", divide="ignore"):
        place = index - 1 + before / (before - after)
    return np.where(~above.any(axis=1), np.inf, np.where(index == 0, -np.inf, place))


def _in_units(axis: Axis, line: Array, steps: Array, *, upward: bool) -> Array:
    """Steps along the line in the axis's units, negated for a downward axis so that larger is laxer."""
    finite = np.isfinite(steps)
    unit = np.interp(np.where(finite, steps, 0.0), np.arange(len(line)), line)
    return np.where(finite, axis.from_unit(unit) * (1.0 if upward else -1.0), steps)


def _unsigned(value: float, sign: float) -> float:
    return value * sign if np.isfinite(value) else value


@dataclass(frozen=True, kw_only=True)
class Joint:
    """The joint tolerance of two axes: for each value of one, the tolerance of the other.

    Args:
        across: the axis that is given.
        up: the axis that is answered.
        upward: whether `up` hurts upwards.
        at: [g] values of `across` [its unit].
        value, low, high: [g] median and pointwise 95 % interval of the tolerance [up's unit], censored by
            infinities; all nan where the interval spans the whole range.
    """

    across: Axis
    up: Axis
    upward: bool
    at: Array
    value: Array
    low: Array
    high: Array

    def edge(self, values: Array) -> Array:
        """Censored values at the ends of the range, for drawing."""
        near, far = self.up.ends if self.upward else reversed(self.up.ends)
        return np.where(np.isposinf(values), far, np.where(np.isneginf(values), near, values))


def joint(surface: Surface, contour: Contour, places: Sequence[float]) -> Joint:
    """The curve of joint tolerance, from the draws of a contour.

    Args:
        surface: the surface that was drawn.
        contour: its draws over the plane.
        places: the harmless place of every axis [unit cube].
    """
    across, up = (surface.axes[i] for i in contour.pair)
    upward = places[contour.pair[1]] < 0.5
    order = slice(None) if upward else slice(None, None, -1)
    line = contour.grid[order]
    columns = []
    for i in range(len(contour.grid)):
        first = first_crossing(contour.draws[:, order, i].astype(np.float64))
        own = _in_units(up, line, first, upward=upward)
        columns.append(np.quantile(own, INTERVAL, method="inverted_cdf"))
    low, value, high = np.array(columns).T
    sign = 1.0 if upward else -1.0
    low, value, high = (np.where(np.isfinite(v), v * sign, v) for v in (low, value, high))
    told = ~(np.isneginf(low) & np.isposinf(high))
    low, value, high = (np.where(told, v, np.nan) for v in (low, value, high))
    return Joint(
        across=across,
        up=up,
        upward=upward,
        at=across.from_unit(contour.grid),
        value=value,
        low=low,
        high=high,
    )
