"""What a fitted surface says of itself: prediction of what was left out, and which axis costs most."""

from __future__ import annotations

import numpy as np

from crossweep.results.analysis import Analysis, Group
from crossweep.results.importance import Importance
from crossweep.results.plots.style import COLUMN, INK, LINES, MUTED, Figure, canvas, loss_axis, wrapped
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
    loss_axis(ax, f"measured {analysis.metric_title}", "x", analysis.budget, np.concatenate([y, ends]))
    loss_axis(
        ax, "predicted from the other trials", "y", analysis.budget, np.concatenate([q.predicted, ends])
    )
    return Figure(
        name=f"fit_{number}",
        title=(f"{name}: " if name else "") + "each trial predicted from the others",
        caption=q.text[0].upper() + q.text[1:] + ". Orange: outside its 95 % interval. Dashed: the budget.",
        canvas=made,
    )


def importances(group: Group, shares: Importance, number: int) -> Figure:
    """Bars from the costliest axis down."""
    order = shares.order
    made, ax = canvas(COLUMN, 0.75 + 0.3 * len(order))
    y = np.arange(len(order))
    first = np.array([shares.first[j].value for j in order])
    total = np.array([shares.total[j].value for j in order])
    ax.barh(y, first, height=0.6, color=LINES[0], lw=0, label="alone")
    ax.barh(
        y, np.maximum(total - first, 0), left=first, height=0.6, color=LINES[4], lw=0, label="with others"
    )
    low = np.array([shares.total[j].low for j in order])
    high = np.array([shares.total[j].high for j in order])
    ax.hlines(y, low, high, color=INK, lw=1.0)
    ax.set_yticks(y, [wrapped(shares.axes[j].short) for j in order])
    ax.invert_yaxis()
    ax.set_xlim(0, max(1.0, float(high.max())))
    ax.set_xticks(np.linspace(0, 1, 5), ["0", "25", "50", "75", "100"])
    ax.set_xlabel("share of the variation [%]")
    made.legend(loc="outside upper right", ncols=2)
    return Figure(
        name=f"importance_{number}",
        title=f"{group.name}: which flaw costs most",
        caption=(
            "How much of the variation each flaw causes when all vary evenly over their ranges (Sobol indices). Dark: "
            "alone; light: together with others; line: likely range of the sum."
        ),
        canvas=made,
    )
