"""The trials alone, where the data do not support a surface: what was measured, and why no more is drawn."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
from matplotlib.cm import ScalarMappable

from crossweep.results.analysis import Analysis, Fit, Group
from crossweep.results.axes import number_text
from crossweep.results.plots.landscape import loss_norm, marks, point_tip
from crossweep.results.plots.style import COLUMN, LINES, MAP, MUTED, Figure, canvas, label_axis, loss_axis


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
        limits = (float(np.min(points.y)), float(np.max([points.y.max(), analysis.budget])))
        loss_axis(ax, analysis.metric_title, "y", analysis.budget, limits)
        what = points.axes[0].short
    return Figure(
        name=f"trials_{number}",
        title=f"{group.name}: trials over {what}",
        caption=f"No surface is drawn: {fit.reason}.",
        canvas=made,
        tips=tips,
    )
