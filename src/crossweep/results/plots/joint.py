"""The joint tolerance of two axes: a curve per group, in one plane."""

from __future__ import annotations

import numpy as np

from crossweep.results.analysis import Analysis
from crossweep.results.plots.style import COLUMN, LINES, MARKERS, Figure, canvas, label_axis
from crossweep.results.tolerance import Joint


def joint_curves(analysis: Analysis) -> list[Figure]:
    """One figure for every pair of axes that some group has a curve for."""
    by_pair: dict[tuple[str, str], list[tuple[int, str, Joint]]] = {}
    for i, group in enumerate(analysis.groups):
        for joint in (j for f in group.fits for j in f.joints):
            key = (joint.across.name, joint.up.name)
            by_pair.setdefault(key, []).append((i, group.name, joint))
    return [_figure(analysis, found, n) for n, found in enumerate(by_pair.values())]


def _figure(analysis: Analysis, found: list[tuple[int, str, Joint]], number: int) -> Figure:
    made, ax = canvas(COLUMN, COLUMN * 0.85)
    across, up = found[0][2].across, found[0][2].up
    for i, name, joint in found:
        x = across.to_unit(joint.at)
        inside = np.isfinite(joint.value)
        value = np.where(inside, up.to_unit(np.where(inside, joint.value, up.low)), np.nan)
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
            f"Both flaws at once: a device must lie {side} the curve for its loss to stay within "
            f"{analysis.limit}. Band: pointwise 95 % interval of {up.short}, given {across.short}."
        ),
        canvas=made,
    )
