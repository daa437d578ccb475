"""How far to trust a surface: every point against its prediction from all others."""

from __future__ import annotations

import numpy as np

from crossweep.results.analysis import Analysis
from crossweep.results.plots.style import COLUMN, LINES, MUTED, Figure, canvas, loss_axis
from crossweep.results.surface import Surface


def left_out(analysis: Analysis, name: str, surface: Surface, number: int) -> Figure:
    """Measured against predicted, with 95 % intervals."""
    q, y = surface.quality, surface.points.y
    made, ax = canvas(COLUMN, COLUMN * 0.8)
    outside = (y < q.low) | (y > q.high)
    for chosen, colour in ((~outside, LINES[0]), (outside, LINES[1])):
        ax.vlines(y[chosen], q.low[chosen], q.high[chosen], color=colour, lw=0.6, alpha=0.5)
        ax.scatter(y[chosen], q.predicted[chosen], s=7, color=colour, lw=0)
    ends = np.array([min(y.min(), q.predicted.min()), max(y.max(), q.predicted.max())])
    ax.plot(ends, ends, color=MUTED, lw=0.8)
    for draw in (ax.axhline, ax.axvline):
        draw(analysis.budget, color=MUTED, lw=0.6, ls="--")
    limits = (float(min(ends[0], np.quantile(q.low, 0.05))), float(max(ends[1], np.quantile(q.high, 0.9))))
    loss_axis(ax, f"measured {analysis.metric_title}", "x", analysis.budget, (ends[0], ends[1]))
    loss_axis(ax, "predicted from all others", "y", analysis.budget, limits)
    return Figure(
        name=f"fit_{number}",
        title=(f"{name}: " if name else "") + "prediction of what was left out",
        caption=q.text[0].upper() + q.text[1:] + ". Orange: outside its 95 % interval. Dashed: the budget.",
        canvas=made,
    )
