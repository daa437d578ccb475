"""Loss against what devices have to endure for it."""

from __future__ import annotations

import numpy as np

from crossweep.results.analysis import Analysis
from crossweep.results.endurance import count_text, places_of, unbeaten, usable
from crossweep.results.plots.style import COLUMN, LINES, MARKERS, MUTED, Figure, Tip, canvas, loss_axis

FEWEST = 3  # runs of a front


def front(analysis: Analysis) -> Figure | None:
    """Loss against pulses, a mark per run, and what no other run of the group beats in both; None without pulses."""
    groups = [g for g in analysis.groups if len(places_of(analysis, g)) >= FEWEST]
    if not groups:
        return None
    made, ax = canvas(COLUMN * 1.2, COLUMN * 0.9)
    tips: dict[str, list[Tip]] = {}
    seen = []
    for i, group in enumerate(groups):
        places = places_of(analysis, group)
        seen.append(places)
        colour = LINES[i % len(LINES)]
        marks = ax.scatter(
            *places.T, s=14, color=colour, marker=MARKERS[i % len(MARKERS)], lw=0, label=group.name
        )
        marks.set_gid(f"p{i}")
        tips[f"p{i}"] = [
            Tip(text=f"{group.name}: {count_text(x)} pulses, {y:.2f}{analysis.unit}", folder=folder)
            for (x, y), folder in zip(places, usable(analysis, group)["folder"], strict=True)
        ]
        best = places[unbeaten(places)]
        best = best[np.argsort(best[:, 0])]
        ax.step(*best.T, where="post", color=colour, lw=1.0)
    every = np.concatenate(seen)
    if every[:, 0].min() > 0:
        ax.set_xscale("log")
    ax.axhline(analysis.budget, color=MUTED, lw=0.8, ls="--")
    loss_axis(ax, analysis.metric_title, "y", analysis.budget, every[:, 1])
    ax.set_xlabel("pulses of a device, 99.9th percentile of the array pulsed most")
    if len(groups) > 1:
        ax.legend()
    return Figure(
        name="endurance",
        title="What pulses buy",
        caption="One mark per run. The line joins the runs that no other of their group beats in both. Dashed: the budget.",
        canvas=made,
        tips=tips,
    )
