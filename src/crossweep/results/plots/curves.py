"""The loss along one axis, the other axes held still: every group's curve with its band and its tolerance."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from crossweep.results.analysis import Analysis, Fit, Group
from crossweep.results.plots.landscape import MAX_MARKS, point_tip
from crossweep.results.plots.style import (
    COLUMN,
    LINES,
    MARKERS,
    MUTED,
    Figure,
    Tip,
    canvas,
    label_axis,
    loss_axis,
)
from crossweep.results.tolerance import Tolerance

STEPS = 81
ON_LINE = 0.02  # a point this close to the line, in edges of the unit cube, belongs to it
Found = tuple[int, Group, Fit, int]  # number of the group, group, fit, index of the axis in the fit


def curves(analysis: Analysis) -> list[Figure]:
    """One figure for each axis that some group has a usable surface over."""
    by_axis: dict[str, list[Found]] = {}
    for i, group in enumerate(analysis.groups):
        for fit in group.fits:
            for j, axis in enumerate(fit.points.axes if fit.surface and not fit.reason else ()):
                by_axis.setdefault(axis.name, []).append((i, group, fit, j))
    return [_figure(analysis, found) for found in by_axis.values()]


def _figure(analysis: Analysis, found: list[Found]) -> Figure:
    made, ax = canvas(COLUMN, COLUMN * (0.75 + 0.08 * (len(found) > 1)))
    axis = found[0][2].points.axes[found[0][3]]
    tips: dict[str, list[Tip]] = {}
    seen = [np.zeros(0)]
    ax.axhline(analysis.budget, color=MUTED, lw=0.8, ls="--")
    for order, (i, _, fit, j) in enumerate(found):
        middle = _curve(ax, fit, j, LINES[i % 6], alone=len(found) == 1)
        seen += [middle, fit.points.y] if len(found) == 1 else [middle]
        tips |= _marks(ax, analysis, fit, j, i, f"on{order}", alone=len(found) == 1)
        for tolerance in fit.tolerances:
            if tolerance.axis is fit.points.axes[j]:
                _bar(ax, tolerance, analysis.budget, LINES[1] if len(found) == 1 else LINES[i % 6])
    label_axis(ax, axis, "x")
    loss_axis(ax, analysis.metric_title, "y", analysis.budget, np.concatenate(seen))
    if len(found) > 1:
        entries = [
            Line2D([], [], color=LINES[i % 6], marker=MARKERS[i % 6], ms=3.5, label=g.name)
            for i, g, _, _ in found
        ]
        made.legend(handles=entries, loc="outside upper left", ncols=3)
    return Figure(
        name=f"along_{axis.name.replace('.', '_').replace('/', '_')}",
        title=f"Along {axis.short}",
        caption=(
            "Line: what the trials say together, the other flaws at their nominal or harmless value; pale: its likely "
            f"range. Dashed: the budget of {analysis.limit}; bar on it: what is tolerated, with its likely range. "
            "Marks: trials on this line" + (" (dark) and elsewhere (pale)." if len(found) == 1 else ".")
        ),
        canvas=made,
        tips=tips,
    )


def _curve(ax: Axes, fit: Fit, j: int, colour: str, *, alone: bool) -> NDArray[np.float64]:
    assert fit.surface is not None, "a curve needs a surface"
    line = np.linspace(0.0, 1.0, STEPS)
    unit = np.tile(fit.at, (STEPS, 1))
    unit[:, j] = line
    low, middle, high = fit.surface.to_loss(np.quantile(fit.surface.draws(unit), [0.025, 0.5, 0.975], axis=0))
    ax.fill_between(line, low, high, color=colour, alpha=0.25 if alone else 0.15, lw=0)
    ax.plot(line, middle, color=colour)
    return np.asarray(middle)


def _marks(
    ax: Axes, analysis: Analysis, fit: Fit, j: int, i: int, gid: str, *, alone: bool
) -> dict[str, list[Tip]]:
    points = fit.points
    near = (np.abs(np.delete(points.unit - fit.at, j, axis=1)) < ON_LINE).all(axis=1)
    many = points.n > MAX_MARKS
    if alone:
        x, y = points.unit[~near, j], points.y[~near]
        ax.scatter(x, y, s=4, color=MUTED, alpha=0.45, lw=0, rasterized=many, zorder=1)
    on = ax.scatter(
        points.unit[near, j], points.y[near], s=10, color=LINES[i % 6], marker=MARKERS[i % 6], lw=0, zorder=3
    )
    on.set_gid(gid)
    return {} if many else {gid: [point_tip(points, int(n), analysis) for n in np.flatnonzero(near)]}


def _bar(ax: Axes, tolerance: Tolerance, budget: float, colour: str) -> None:
    """The tolerance and its interval on the budget's line; an arrow where it leaves the range."""
    low, value, high = (tolerance.place(v) for v in (tolerance.low, tolerance.value, tolerance.high))
    ax.plot([low, high], [budget, budget], color=colour, lw=2.4, solid_capstyle="butt", zorder=4)
    if np.isfinite(tolerance.value):
        ax.plot([value], [budget], marker="|", ms=9, mew=1.6, color=colour, zorder=5)
    if not np.isfinite(tolerance.high) and tolerance.high > 0:
        ax.plot([high], [budget], marker=">" if tolerance.upward else "<", ms=4, color=colour, zorder=5)
