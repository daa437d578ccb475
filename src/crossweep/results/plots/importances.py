"""Which axis costs most: shares of the variance, alone and with interactions."""

from __future__ import annotations

import numpy as np

from crossweep.results.analysis import Group
from crossweep.results.importance import Importance
from crossweep.results.plots.style import COLUMN, INK, LINES, Figure, canvas


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
    ax.set_yticks(y, [shares.axes[j].short for j in order])
    ax.invert_yaxis()
    ax.set_xlim(0, max(1.0, float(high.max())))
    ax.set_xticks(np.linspace(0, 1, 5), ["0", "25", "50", "75", "100"])
    ax.set_xlabel("share of the loss's variance [%]")
    made.legend(loc="outside upper right", ncols=2)
    return Figure(
        name=f"importance_{number}",
        title=f"{group.name}: which axis costs most",
        caption=(
            "Sobol indices of the fitted surface, all axes varied evenly over their ranges. Dark: what "
            "the axis causes "
            "alone; light: what it adds together with others; line: 95 % interval of the sum."
        ),
        canvas=made,
    )
