"""The specification: how much of each examined range every group tolerates, alone and jointly with another axis."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from crossweep.results.analysis import Analysis, Group
from crossweep.results.plots.style import (
    COLUMN,
    INK,
    LINES,
    MARKERS,
    MUTED,
    Figure,
    Tip,
    canvas,
    label_axis,
    wrapped,
)
from crossweep.results.tolerance import Joint, Tolerance


def tolerance_bars(analysis: Analysis) -> Figure | None:
    """One row per axis and direction, one bar per group; None where nothing could be answered."""
    answers = analysis.tolerances
    if not answers:
        return None
    rows = list(dict.fromkeys(_row(t) for _, t in answers))
    groups = [g.name for g in analysis.groups if g.tolerances]
    height = 0.55 + len(rows) * (0.26 + 0.2 * len(groups))
    made, ax = canvas(COLUMN * 1.1, max(1.3, height + 0.3 * (len(groups) > 1)))
    tips = [_bar(ax, g, t, rows, groups) for g, t in answers]
    ax.set_ylim(len(rows) - 0.45, -0.55)
    ax.set_yticks(range(len(rows)), [wrapped(row) for row in rows])
    ax.set_xlim(0, 1.36)
    ax.set_xticks(np.linspace(0, 1, 5), ["0", "25", "50", "75", "100"])
    ax.set_xlabel("share of the examined range [%]")
    ax.axvline(1.0, color=MUTED, lw=0.6, ls=":")
    ax.spines["bottom"].set_bounds(0, 1)
    if len(groups) > 1:
        entries = [
            Line2D([], [], color=LINES[i % 6], marker=MARKERS[i % 6], ms=4, label=n)
            for i, n in enumerate(groups)
        ]
        made.legend(handles=entries, loc="outside upper left", ncols=min(3, len(groups)))
    return Figure(
        name="tolerance",
        title=f"What the device must achieve for an {analysis.what} of at most {analysis.limit}",
        caption=(
            "Thick bar: specify this much, kept with 95 % probability. Mark and thin line: what is tolerated and its "
            "likely range, dotted where that covers everything and so determines nothing. Arrow: not reached within "
            "the examined range. Numbers: the specification in its own unit. Each flaw alone, the others at their "
            "nominal or harmless value."
        ),
        canvas=made,
        tips={f"t{i}": [tip] for i, tip in enumerate(tips)},
    )


def _row(tolerance: Tolerance) -> str:
    both = tolerance.axis.ends[0] < 0 < tolerance.axis.ends[1]
    return tolerance.axis.title + ((" upwards" if tolerance.upward else " downwards") if both else "")


def _bar(ax: Axes, group: Group, t: Tolerance, rows: list[str], groups: list[str]) -> Tip:
    which = groups.index(group.name)
    y = rows.index(_row(t)) + (which - (len(groups) - 1) / 2) * (0.7 / len(groups))
    colour, thick = LINES[which % 6], min(0.5, 0.55 / len(groups))
    safe, low, value, high = (t.distance(v) for v in (t.safe, t.low, t.value, t.high))
    if t.determined:
        ax.barh([y], [safe], height=thick, color=colour, alpha=0.45, lw=0)
    ax.plot([low, high], [y, y], color=colour, lw=1.1, ls="-" if t.determined else ":")
    if not np.isfinite(t.high) and t.high > 0:
        ax.plot([1.0], [y], marker=">", ms=4, color=colour, clip_on=False)
    mark = ax.scatter([min(value, 1.0)], [y], s=16, marker=MARKERS[which % 6], color=colour, zorder=4, lw=0)
    mark.set_alpha(1.0 if t.determined else 0.0)
    mark.set_gid(f"t{len(ax.collections) - 1}")
    ax.text(1.05, y, t.short.replace(" (", "\n("), linespacing=0.95, va="center", ha="left", color=INK)
    return Tip(text=f"{group.name}: {t.axis.short}: {t.text}; {t.requirement}")


def joint_curves(analysis: Analysis) -> list[Figure]:
    """One figure for every pair of axes that some group has a curve for."""
    by_pair: dict[tuple[str, str], list[tuple[int, str, Joint]]] = {}
    for i, group in enumerate(analysis.groups):
        for joint in (j for f in group.fits for j in f.joints):
            key = (joint.across.name, joint.up.name)
            by_pair.setdefault(key, []).append((i, group.name, joint))
    return [_joint(analysis, found, n) for n, found in enumerate(by_pair.values())]


def _joint(analysis: Analysis, found: list[tuple[int, str, Joint]], number: int) -> Figure:
    made, ax = canvas(COLUMN, COLUMN * 0.85)
    across, up = found[0][2].across, found[0][2].up
    for i, name, joint in found:
        x = across.to_unit(joint.at)
        inside = np.isfinite(joint.value)
        value = np.where(inside, up.to_unit(np.where(inside, joint.value, up.ends[0])), np.nan)
        low, high = (joint.edge(v) for v in (joint.low, joint.high))
        ax.fill_between(x, up.to_unit(low), up.to_unit(high), color=LINES[i % 6], alpha=0.2, lw=0)
        ax.plot(x, value, color=LINES[i % 6], marker=MARKERS[i % 6], markevery=6, ms=3, label=name)
    label_axis(ax, across, "x")
    label_axis(ax, up, "y")
    if len(found) > 1:
        made.legend(loc="outside upper left", ncols=3)
    side = "below" if found[0][2].upward else "above"
    return Figure(
        name=f"joint_{number}",
        title=f"Joint tolerance of {across.short} and {up.short}",
        caption=(
            f"Both flaws at once: a device must lie {side} the curve for the {analysis.what} to stay within "
            f"{analysis.limit}. Pale: likely range of {up.short}, given {across.short}."
        ),
        canvas=made,
    )
