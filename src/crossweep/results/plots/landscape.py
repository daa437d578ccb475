"""The map: loss over two axes, the budget's contour with its band, and what was actually run."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.colors import BoundaryNorm
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import NDArray
from scipy.ndimage import zoom

from crossweep.axis import number_text
from crossweep.results.analysis import Analysis, Fit, Group
from crossweep.results.contour import Contour
from crossweep.results.plots.style import COLUMN, INK, MAP, MUTED, Figure, Tip, canvas, label_axis
from crossweep.results.points import Points

Array = NDArray[np.float64]
FINE = 4  # subdivisions of the drawn grid
SURE = 0.95  # probability that a place marked as safe keeps the budget
HATCH = "xxxx"
MAX_MARKS = 1500  # with tips; more marks are drawn small and mute


def landscape(analysis: Analysis, group: Group, fit: Fit, contour: Contour, number: int) -> Figure:
    """One plane of one group's surface.

    Args:
        analysis: for budget and names.
        group: whose surface it is.
        fit: the surface.
        contour: the plane.
        number: of the figure, for its file name.
    """
    axes = fit.points.axes
    across, up = (axes[j] for j in contour.pair)
    made, ax = canvas(COLUMN, COLUMN * 0.98)
    norm = loss_norm(analysis.budget, *_all_losses(analysis))
    fine = np.linspace(0, 1, (len(contour.grid) - 1) * FINE + 1)
    unit = abs(analysis.budget) or 1.0
    # smooth on the scale on which the colours step
    loss = unit * np.sinh(_fine(np.arcsinh(contour.loss / unit)))
    clipped = np.clip(loss, norm.boundaries[0] + 1e-9, norm.boundaries[-1] - 1e-9)
    filled = ax.contourf(fine, fine, clipped, levels=list(norm.boundaries), norm=norm, cmap=MAP)
    _undecided(ax, contour, fine)
    drawn = _line(ax, contour, fine)
    safe = _safe(ax, contour, fine)
    tips = marks(ax, fit.points, contour.pair, norm, analysis)
    bar = made.colorbar(filled, ax=ax, pad=0.02, aspect=28, spacing="uniform")
    bar.set_ticks(list(norm.boundaries), labels=[number_text(v) for v in norm.boundaries])
    bar.set_label(analysis.metric_title)
    bar.outline.set_linewidth(0.4)
    label_axis(ax, across, "x")
    label_axis(ax, up, "y")
    _legend(made, fit.points, drawn, safe, analysis)
    return Figure(
        name=f"landscape_{number}",
        title=f"{group.name}: {analysis.metric_title} over {across.short} and {up.short}",
        caption=_caption(analysis, fit, contour, drawn, safe),
        canvas=made,
        tips=tips,
    )


def _all_losses(analysis: Analysis) -> list[Array]:
    """Every group's losses: maps that are compared must share their colours."""
    fits = [f for g in analysis.groups for f in g.fits if f.contours]
    return [f.points.y for f in fits] + [np.ravel(c.loss) for f in fits for c in f.contours]


def loss_norm(budget: float, *values: Array) -> BoundaryNorm:
    """Colour steps at multiples of the budget, doubling away from it: those near it stay visible."""
    everything = np.concatenate([np.ravel(v) for v in values])
    low, high = float(np.nanmin(everything)), float(np.nanpercentile(everything, 99.5))
    unit = abs(budget) or 1.0
    above = [f * unit for f in (0.0, 0.25, 0.5, 1, 2, 4, 8, 16, 32, 64)]
    below = [-f * unit for f in (64, 32, 16, 8, 4, 2, 1, 0.5)]
    steps = [s for s in below if s > low * 2] + [s for s in above if s < high * 2]
    steps = steps if len(steps) > 2 else [-unit, 0.0, unit, 2 * unit]
    return BoundaryNorm(steps, mpl.colormaps[MAP].N)


def _fine(values: Array) -> Array:
    size = (values.shape[0] - 1) * FINE + 1
    return np.asarray(zoom(values, size / values.shape[0], order=3, grid_mode=False, mode="nearest"))


def _undecided(ax: Axes, contour: Contour, fine: Array) -> None:
    """Hatch what the trials do not decide: the band of the budget's line, and where no trial was near."""
    distance = _fine(contour.excess)
    open_ = np.where(_fine(contour.seen.astype(float)) > 0.5, distance, -1.0)
    if (open_ < 0).any():
        ax.contourf(fine, fine, open_, levels=[-1e9, 0], colors=["none"], hatches=[HATCH])
        if (open_ > 0).any():
            ax.contour(fine, fine, open_, levels=[0], colors=["white"], linewidths=0.6)


def _line(ax: Axes, contour: Contour, fine: Array) -> bool:
    if not contour.drawable:
        return False
    line = ax.contour(fine, fine, _fine(contour.mean), levels=[0], colors=["white"], linewidths=1.8)
    line.set_path_effects(_outlined(3.2))
    return True


def _safe(ax: Axes, contour: Contour, fine: Array) -> bool:
    """Where each place is within the budget with 95 % probability: dotted, and on its good side."""
    sure = _fine(np.where(contour.seen, contour.within, 0.0))
    if not (sure > SURE).any():
        return False
    if (sure < SURE).any():
        line = ax.contour(fine, fine, sure, levels=[SURE], colors=["white"], linewidths=1.4, linestyles=":")
        line.set_path_effects(_outlined(2.6))
    return True


def _outlined(width: float) -> list[patheffects.AbstractPathEffect]:
    return [patheffects.Stroke(linewidth=width, foreground="black"), patheffects.Normal()]


def marks(
    ax: Axes, points: Points, pair: tuple[int, int], norm: BoundaryNorm, analysis: Analysis
) -> dict[str, list[Tip]]:
    """Draw every trial in the plane, by its state; returns what each mark says."""
    x, y = points.unit[:, pair[0]], points.unit[:, pair[1]]
    many = points.n > MAX_MARKS
    tips: dict[str, list[Tip]] = {}
    for name, chosen, marker in (("done", ~points.diverged, "o"), ("diverged", points.diverged, "^")):
        if not chosen.any():
            continue
        drawn = ax.scatter(
            x[chosen],
            y[chosen],
            c=points.y[chosen],
            s=3 if many else 15,
            marker=marker,
            cmap=MAP,
            norm=norm,
            edgecolors="white",
            linewidths=0.2 if many else 0.7,
            zorder=3,
            rasterized=many,
            clip_on=False,
        )
        drawn.set_gid(f"{name}")
        if not many:
            tips[name] = [point_tip(points, int(i), analysis) for i in np.flatnonzero(chosen)]
    _lost(ax, points, pair)
    return tips


def _lost(ax: Axes, points: Points, pair: tuple[int, int]) -> None:
    if not len(points.lost):
        return
    x, y = (points.axes[j].to_unit(points.lost[:, j]) for j in pair)
    pruned = points.lost[:, -1] > 0
    for chosen, marker in ((~pruned, "x"), (pruned, "+")):
        ax.scatter(
            x[chosen], y[chosen], s=18, marker=marker, c="white", linewidths=1.8, zorder=3, clip_on=False
        )
        ax.scatter(
            x[chosen], y[chosen], s=14, marker=marker, c="black", linewidths=0.9, zorder=4, clip_on=False
        )


def point_tip(points: Points, i: int, analysis: Analysis) -> Tip:
    """Everything about one point on one line."""
    where = ", ".join(f"{a.short} {a.text(points.x[i, j])}" for j, a in enumerate(points.axes))
    values = points.values[i][np.isfinite(points.values[i])]
    spread = f" ± {values.std(ddof=1):.2f} over {len(values)} seeds" if len(values) > 1 else ""
    state = ", diverged" if points.diverged[i] else ""
    what = analysis.metric.replace("_", " ")
    text = f"trial {points.trials[i]}: {where}: {what} {points.y[i]:.2f}{spread}{state}"
    return Tip(text=text, folder=points.folders[i])


def _legend(made: mpl.figure.Figure, points: Points, drawn: bool, safe: bool, analysis: Analysis) -> None:
    entries: list[Line2D | Patch] = [
        Patch(facecolor="#c9c9c9", hatch=HATCH, edgecolor="#1b1b1b", lw=0, label="not decided")
    ]
    if drawn:
        entries.insert(
            0,
            Line2D(
                [], [], color="white", lw=1.6, path_effects=_outlined(3.0), label=f"budget {analysis.limit}"
            ),
        )
    if safe:
        entries.append(
            Line2D([], [], color="white", lw=1.4, ls=":", path_effects=_outlined(2.6), label="safe with 95 %")
        )
    for marker, label, present in (("o", "trial", True), ("^", "diverged", points.diverged.any())):
        if present:
            entries.append(Line2D([], [], marker=marker, ls="", mec=MUTED, mfc="#8d8d8d", ms=4, label=label))
    pruned = points.lost[:, -1] > 0
    if (~pruned).any():
        entries.append(Line2D([], [], marker="x", ls="", color=INK, ms=4, label="failed"))
    if pruned.any():
        entries.append(Line2D([], [], marker="+", ls="", color=INK, ms=5, label="pruned"))
    made.legend(handles=entries, loc="outside lower center", ncols=3, handlelength=1.4, columnspacing=1.0)


def _caption(analysis: Analysis, fit: Fit, contour: Contour, drawn: bool, safe: bool) -> str:
    axes = fit.points.axes
    held = [
        f"{a.short} = {a.text(float(a.from_unit(fit.at[j])))}"
        for j, a in enumerate(axes)
        if j not in contour.pair
    ]
    text = f"Colour: {analysis.what}; dots: trials, in the colour of what they measured. "
    if drawn:
        text += f"White line: the budget of {analysis.limit}. "
    else:
        text += (
            f"No line at {analysis.limit}: the {analysis.what} crosses it somewhere in this plane with a probability of "
            f"{contour.crossing:.0%} only. "
        )
    text += "Hatched: not decided, more trials there would help; the whole line lies inside with 95 % probability. "
    if safe:
        text += "Inside the dotted line, on the dark side, each place is within the budget with 95 % probability. "
    text += f"About {contour.safe_share:.0%} of the plane is within the budget. "
    return text + (f"Held at {', '.join(held)}." if held else "")
