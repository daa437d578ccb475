"""One panel per axis: the loss along it, the other axes held still, with its band and the tolerance."""

from __future__ import annotations

from math import ceil

import numpy as np
from matplotlib.axes import Axes

from crossweep.results.analysis import Analysis, Fit, Group
from crossweep.results.plots.landscape import MAX_MARKS, point_tip
from crossweep.results.plots.style import (
    COLUMN,
    INK,
    LINES,
    MUTED,
    Figure,
    Tip,
    canvas,
    label_axis,
    loss_axis,
)
from crossweep.results.tolerance import Tolerance

STEPS = 81
ON_LINE = 0.02  # a point this close to the line, in edges of the unit cube, is shown with it


def curves(analysis: Analysis, group: Group, number: int) -> Figure | None:
    """The panels of a group; None where no axis could be answered."""
    panels = [(f, j) for f in group.fits if f.surface and not f.reason for j in range(len(f.points.axes))]
    if not panels:
        return None
    columns = 1 if len(panels) == 1 else 2
    rows = ceil(len(panels) / columns)
    width = COLUMN if columns == 1 else 2 * COLUMN
    made, grid = canvas(width, (0.8 * COLUMN) * rows, nrows=rows, ncols=columns, squeeze=False, sharey=True)
    tips: dict[str, list[Tip]] = {}
    for at, (fit, j) in enumerate(panels):
        tips |= _panel(grid.flat[at], analysis, fit, j, f"panel{at}")
    for ax in list(grid.flat)[len(panels) :]:
        ax.set_axis_off()
    for ax in grid[:, 0]:
        loss_axis(ax, analysis.metric_title, "y", analysis.budget)
    return Figure(
        name=f"curves_{number}",
        title=f"{group.name}: {analysis.metric_title} along each axis",
        caption=(
            "Line: posterior median along one axis, the others at their nominal or harmless value; pale "
            "band: "
            f"pointwise 95 % interval. Dashed: the budget of {analysis.budget:g}. Bar at the budget: the "
            "tolerance "
            "with its 95 % interval. Dots: trials on the line (dark) and elsewhere (pale). The loss is "
            "linear up to "
            "four budgets, logarithmic beyond."
        ),
        canvas=made,
        tips=tips,
    )


def _panel(ax: Axes, analysis: Analysis, fit: Fit, j: int, gid: str) -> dict[str, list[Tip]]:
    surface, points = fit.surface, fit.points
    if surface is None or fit.at is None:
        return {}
    line = np.linspace(0.0, 1.0, STEPS)
    unit = np.tile(fit.at, (STEPS, 1))
    unit[:, j] = line
    low, middle, high = surface.to_loss(np.quantile(surface.draws(unit), [0.025, 0.5, 0.975], axis=0))
    ax.fill_between(line, low, high, color=LINES[0], alpha=0.25, lw=0)
    ax.plot(line, middle, color=LINES[0])
    ax.axhline(analysis.budget, color=MUTED, lw=0.8, ls="--")
    near = (np.abs(np.delete(points.unit - fit.at, j, axis=1)) < ON_LINE).all(axis=1)
    many = points.n > MAX_MARKS
    ax.scatter(
        points.unit[~near, j], points.y[~near], s=4, color=MUTED, alpha=0.35, lw=0, rasterized=many, zorder=1
    )
    on = ax.scatter(points.unit[near, j], points.y[near], s=9, color=INK, lw=0, zorder=3, rasterized=many)
    on.set_gid(gid)
    for tolerance in fit.tolerances:
        if tolerance.axis is points.axes[j]:
            _bar(ax, tolerance, analysis.budget)
    label_axis(ax, points.axes[j], "x")
    return {} if many else {gid: [point_tip(points, int(i), analysis) for i in np.flatnonzero(near)]}


def _bar(ax: Axes, tolerance: Tolerance, budget: float) -> None:
    """The tolerance and its interval on the budget's line; an arrow where it leaves the range."""
    ends = [tolerance.place(v) for v in (tolerance.low, tolerance.value, tolerance.high)]
    ax.plot([ends[0], ends[2]], [budget, budget], color=LINES[1], lw=2.4, solid_capstyle="butt", zorder=4)
    if np.isfinite(tolerance.value):
        ax.plot([ends[1]], [budget], marker="|", ms=9, mew=1.6, color=LINES[1], zorder=5)
    if not np.isfinite(tolerance.high) and tolerance.high > 0:
        ax.plot([ends[2]], [budget], marker=">" if tolerance.upward else "<", ms=4, color=LINES[1], zorder=5)
