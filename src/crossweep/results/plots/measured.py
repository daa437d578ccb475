"""What was measured, no surface needed: the trials of one group, or grids of several side by side."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm, Normalize
from numpy.typing import NDArray

from crossweep.axis import Axis, number_text
from crossweep.results.analysis import Analysis, Fit, Group
from crossweep.results.plots.landscape import loss_norm, marks, point_tip
from crossweep.results.plots.style import COLUMN, LINES, MAP, MUTED, Figure, canvas, label_axis, loss_axis
from crossweep.results.points import Points

Array = NDArray[np.float64]
# ticks of a logarithmic scale
_ROUND = [step * 10.0**decade for decade in range(-6, 9) for step in (1, 2, 5)]
ACROSS = 2  # panels in a row of a page's width
LEAST = 2  # cells along each axis that make a map


def bare(analysis: Analysis, group: Group, fit: Fit, number: int) -> Figure | None:
    """The points over their first two axes, or over their only one; None without axes or points."""
    points = fit.points
    if not points.axes or not points.n:
        return None
    made, ax = canvas(COLUMN, COLUMN * 0.85)
    label_axis(ax, points.axes[0], "x")
    if len(points.axes) > 1:
        norm = loss_norm(analysis.budget, points.y)
        tips = marks(ax, points, (0, 1), norm, analysis)
        label_axis(ax, points.axes[1], "y")
        bar = made.colorbar(
            ScalarMappable(norm, mpl.colormaps[MAP]), ax=ax, pad=0.02, aspect=28, spacing="uniform"
        )
        bar.set_ticks(list(norm.boundaries), labels=[number_text(v) for v in norm.boundaries])
        bar.set_label(analysis.metric_title)
        bar.outline.set_linewidth(0.4)
        what = f"{points.axes[0].short} and {points.axes[1].short}"
    else:
        drawn = ax.scatter(points.unit[:, 0], points.y, s=12, color=LINES[0], lw=0)
        drawn.set_gid("done")
        tips = {"done": [point_tip(points, i, analysis) for i in range(points.n)]}
        ax.axhline(analysis.budget, color=MUTED, lw=0.8, ls="--")
        loss_axis(ax, analysis.metric_title, "y", analysis.budget, points.y)
        what = points.axes[0].short
    return Figure(
        name=f"trials_{number}",
        title=f"{group.name}: trials over {what}",
        caption=f"No surface is drawn: {fit.reason}.",
        canvas=made,
        tips=tips,
    )


def panels(analysis: Analysis) -> Figure | None:
    """Every group's mean in every cell; None where the groups do not share one grid of two axes."""
    grids = [g.fits[0].points for g in analysis.groups if len(g.fits) == 1]
    if len(grids) < 2 or len(grids) < len(analysis.groups) or not _one_grid(grids):
        return None
    columns, rows = (np.unique(np.round(grids[0].unit[:, j], 9)) for j in (0, 1))
    tables = [_table(points, columns, rows) for points in grids]
    norm = _norm(np.stack(tables))
    down = -(-len(tables) // ACROSS)
    made, places = canvas(
        2 * COLUMN, (0.3 + 0.62 * down) * COLUMN, nrows=down, ncols=ACROSS, squeeze=False,
        sharex=True, sharey=True,
    )  # fmt: skip
    flat = list(places.ravel())
    names = sorted(range(len(tables)), key=lambda i: _order(analysis, analysis.groups[i].name))
    for ax, i in zip(flat, names):
        _draw(ax, tables[i], norm)
        ax.set_title(analysis.groups[i].name)
    for ax in flat[len(tables) :]:
        ax.set_visible(False)
    across, up = grids[0].axes
    for ax in places[-1]:
        _ticks(ax, across, columns, "x")
    for ax in places[:, 0]:
        _ticks(ax, up, rows, "y")
    bar = made.colorbar(mpl.cm.ScalarMappable(norm, mpl.colormaps[MAP]), ax=flat, pad=0.02, aspect=40)
    if isinstance(norm, LogNorm):
        low, high = bar.mappable.get_clim()
        shown = [t for t in _ROUND if low <= t <= high]
        bar.set_ticks(shown, labels=[number_text(t) for t in shown], minor=False)
        bar.minorticks_off()
    bar.set_label(analysis.metric_title)
    bar.outline.set_linewidth(0.4)
    seeds = int(min(points.seeds.min() for points in grids))
    return Figure(
        name="panels",
        title=f"{analysis.metric_title} over {across.short} and {up.short}, side by side",
        caption=(
            f"Every cell as it was run{f', mean of {seeds} seeds' if seeds > 1 else ''}; one colour scale for "
            "all panels" + (", logarithmic." if isinstance(norm, LogNorm) else ".")
        ),
        canvas=made,
    )


def _one_grid(grids: list[Points]) -> bool:
    """Whether all groups have a value in every cell of the same grid over the same two axes."""
    first = grids[0]
    if len(first.axes) != 2:
        return False
    sizes = [len(np.unique(np.round(first.unit[:, j], 9))) for j in (0, 1)]
    if min(sizes) < LEAST or first.n != sizes[0] * sizes[1]:
        return False
    names, cells = [a.name for a in first.axes], _cells(first)
    return all([a.name for a in g.axes] == names and _cells(g) == cells for g in grids[1:])


def _cells(points: Points) -> set[tuple[float, ...]]:
    return {tuple(row) for row in np.round(points.unit, 9)}


def _table(points: Points, columns: Array, rows: Array) -> Array:
    """Values [rows, columns] of a complete grid."""
    table = np.full((len(rows), len(columns)), np.nan)
    place = np.round(points.unit, 9)
    table[np.searchsorted(rows, place[:, 1]), np.searchsorted(columns, place[:, 0])] = points.y
    return table


def _norm(values: Array) -> Normalize:
    """Logarithmic where a decade or more lies between the smallest and the largest value."""
    low, high = float(values.min()), float(values.max())
    return LogNorm(low, high) if 0 < 10 * low < high else Normalize(low, max(high, low + 1e-12))


def _draw(ax: Axes, table: Array, norm: Normalize) -> None:
    ax.imshow(table, origin="lower", aspect="auto", cmap=MAP, norm=norm, interpolation="nearest")
    ax.tick_params(length=0)
    for (row, column), value in np.ndenumerate(table):
        dark = norm(value) < 0.5
        ax.text(
            column,
            row,
            number_text(value),
            ha="center",
            va="center",
            color="white" if dark else "black",
        )


def _ticks(ax: Axes, axis: Axis, cells: Array, which: str) -> None:
    target = ax.xaxis if which == "x" else ax.yaxis
    target.set_ticks(list(range(len(cells))), [number_text(v) for v in axis.from_unit(cells)])
    target.set_label_text(axis.title)


def _order(analysis: Analysis, name: str) -> int:
    """The order in which the studies list their categories."""
    told = [axis for s in analysis.table.studies for axis in s.described.get("axes") or []]
    listed = [str(c) for axis in told if isinstance(axis, dict) for c in axis.get("choices") or []]
    return listed.index(name) if name in listed else len(listed)
