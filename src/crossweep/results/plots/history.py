"""How a search went: every trial's objective and the best so far."""

from __future__ import annotations

import numpy as np

from crossweep.results.plots.style import COLUMN, LINES, MUTED, Figure, Tip, canvas
from crossweep.results.tuning import Tuning


def history(found: Tuning) -> list[Figure]:
    """A figure for each objective, over the number of the trial."""
    figures = []
    for name, way in found.objectives.items():
        made, ax = canvas(COLUMN, COLUMN * 0.7)
        values = found.values[name]
        best = np.minimum.accumulate(values) if way == "minimize" else np.maximum.accumulate(values)
        ax.step(values.index, best, where="post", color=LINES[0], label="best so far")
        marks = ax.scatter(values.index, values, s=12, color=MUTED, lw=0, label="trial")
        marks.set_gid("trials")
        ax.set_xlabel("trial")
        ax.set_ylabel(name.replace("_", " "))
        made.legend(loc="outside upper right", ncols=2)
        figures.append(
            Figure(
                name=f"history_{name}",
                title=f"{name.replace('_', ' ')} of each trial",
                caption=f"{way.capitalize()}d; mean over the seeds of a trial.",
                canvas=made,
                tips={"trials": [Tip(text=f"trial {n}: {v:.4g}") for n, v in values.items()]},
            )
        )
    return figures
