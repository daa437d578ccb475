"""Groups against each other: the loss of each over its seeds, and paired differences."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from crossweep.results.analysis import Analysis
from crossweep.results.plots.style import COLUMN, INK, LINES, MARKERS, MUTED, Figure, Tip, canvas

MOST_PAIRS = 15


def comparison(analysis: Analysis) -> Figure | None:
    """Losses on the left, paired differences below; None for a single group without seeds."""
    groups = [g for g in analysis.groups if g.loss.n]
    pairs = [c for c in analysis.comparisons if c.difference.n > 1][:MOST_PAIRS]
    if len(groups) < 2 and all(g.loss.n < 2 for g in groups):
        return None
    parts = 2 if pairs else 1
    sizes = [max(2, len(groups)), max(2, len(pairs))][:parts]
    made, axes = canvas(
        COLUMN * 1.25,
        0.5 * parts + 0.27 * sum(sizes),
        nrows=parts,
        squeeze=False,
        gridspec_kw={"height_ratios": sizes},
    )
    tips = _losses(axes[0, 0], analysis)
    if pairs:
        _differences(axes[1, 0], analysis)
    return Figure(
        name="comparison",
        title="Loss of each group, and paired differences" if pairs else "Loss over the seeds",
        caption=(
            "Top: one mark per seed (mean over its conditions), black: mean with 95 % t-interval. "
            + (
                "Bottom: differences on the same devices, batches and conditions; negative: the first is "
                "better. "
                "The interval is over seeds where there are two or more, else over conditions."
                if pairs
                else ""
            )
        ),
        canvas=made,
        tips=tips,
    )


def _losses(ax: Axes, analysis: Analysis) -> dict[str, list[Tip]]:
    tips: dict[str, list[Tip]] = {}
    groups = [g for g in analysis.groups if g.loss.n]
    for y, g in enumerate(groups):
        finite = g.rows[g.rows[analysis.column].notna()]
        by_seed = finite.groupby(finite["seed"].fillna(-1))[analysis.column].mean()
        marks = ax.scatter(
            by_seed,
            np.full(len(by_seed), y),
            s=12,
            color=LINES[y % 6],
            marker=MARKERS[y % 6],
            alpha=0.8,
            lw=0,
        )
        marks.set_gid(f"g{y}")
        tips[f"g{y}"] = [Tip(text=f"{g.name}, seed {s:g}: {v:.2f}") for s, v in by_seed.items()]
        if g.loss.n > 1:
            ax.hlines([y + 0.25], g.loss.low, g.loss.high, color=INK, lw=1.2)
        ax.plot([g.loss.mean], [y + 0.25], marker="|", ms=6, mew=1.5, color=INK)
    ax.axvline(analysis.budget, color=MUTED, lw=0.8, ls="--")
    ax.set_yticks(range(len(groups)), [g.name for g in groups])
    ax.set_ylim(len(groups) - 0.4, -0.6)
    ax.set_xlabel(analysis.metric_title)
    return tips


def _differences(ax: Axes, analysis: Analysis) -> None:
    pairs = [c for c in analysis.comparisons if c.difference.n > 1][:MOST_PAIRS]
    for y, c in enumerate(pairs):
        clear = c.difference.low > 0 or c.difference.high < 0
        ax.hlines([y], c.difference.low, c.difference.high, color=INK if clear else MUTED, lw=1.2)
        ax.plot([c.difference.mean], [y], marker="o", ms=3.5, color=INK if clear else MUTED)
    ax.axvline(0, color=MUTED, lw=0.8, ls="--")
    ax.set_yticks(range(len(pairs)), [f"{c.first} − {c.second}" for c in pairs])
    ax.set_ylim(len(pairs) - 0.4, -0.6)
    ax.set_xlabel("difference [points]")
