"""Groups against each other: the loss of each over its seeds, or paired differences where conditions vary."""

from __future__ import annotations

import numpy as np

from crossweep.results.analysis import Analysis
from crossweep.results.configurations import seed_labels
from crossweep.results.plots.style import COLUMN, INK, LINES, MARKERS, MUTED, Figure, Tip, canvas, wrapped

MOST_PAIRS = 15


def losses(analysis: Analysis) -> Figure | None:
    """A mark per seed, the mean with its interval; None where axes vary, for then a mean says nothing."""
    groups = [g for g in analysis.groups if g.loss.n and all(not f.points.axes for f in g.fits)]
    if not groups:
        return None
    made, ax = canvas(COLUMN * 1.1, 0.6 + 0.3 * max(2, len(groups)))
    tips: dict[str, list[Tip]] = {}
    for y, g in enumerate(groups):
        finite = g.rows[g.rows[analysis.column].notna()]
        by_seed = finite.groupby(seed_labels(finite))[analysis.column].mean()
        place = np.full(len(by_seed), y - 0.12)
        marks = ax.scatter(by_seed, place, s=12, color=LINES[y % 6], marker=MARKERS[y % 6], alpha=0.8, lw=0)
        marks.set_gid(f"g{y}")
        tips[f"g{y}"] = [Tip(text=f"{g.name}, seed {s}: {v:.2f}") for s, v in by_seed.items()]
        if g.loss.n > 1:
            ax.hlines([y + 0.18], g.loss.low, g.loss.high, color=INK, lw=1.2)
        ax.plot([g.loss.mean], [y + 0.18], marker="|", ms=6, mew=1.5, color=INK)
    ax.axvline(analysis.budget, color=MUTED, lw=0.8, ls="--")
    ax.set_yticks(range(len(groups)), [wrapped(g.name) for g in groups])
    ax.set_ylim(len(groups) - 0.4, -0.6)
    ax.set_xlabel(analysis.metric_title)
    return Figure(
        name="losses",
        title=f"{analysis.what[0].upper()}{analysis.what[1:]} of each group",
        caption="One mark per seed; black: mean with its likely range. Dashed: the budget.",
        canvas=made,
        tips=tips,
    )


def differences(analysis: Analysis) -> Figure | None:
    """Paired differences with their intervals; None where no two groups share two or more pairs."""
    pairs = [c for c in analysis.comparisons if c.difference.n > 1][:MOST_PAIRS]
    if not pairs:
        return None
    made, ax = canvas(COLUMN * 1.1, 0.6 + 0.34 * max(2, len(pairs)))
    for y, c in enumerate(pairs):
        colour = INK if c.difference.low > 0 or c.difference.high < 0 else MUTED
        ax.hlines([y], c.difference.low, c.difference.high, color=colour, lw=1.2)
        ax.plot([c.difference.mean], [y], marker="o", ms=3.5, color=colour)
    ax.axvline(0, color=MUTED, lw=0.8, ls="--")
    ax.set_yticks(range(len(pairs)), [wrapped(f"{c.first} − {c.second}") for c in pairs])
    ax.set_ylim(len(pairs) - 0.4, -0.6)
    ax.set_xlabel(f"difference in {analysis.metric_title}")
    return Figure(
        name="differences",
        title="Paired differences",
        caption=(
            "Same devices, batches and conditions; negative: the first is better. Line: likely range over the seeds "
            "where there are two or more, else over the conditions; dark where it leaves out zero."
        ),
        canvas=made,
    )
