"""Sizes, colours and the figure that a page and a paper share."""

from __future__ import annotations

import logging
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import MaxNLocator, NullLocator
from numpy.typing import NDArray

from crossweep.axis import Axis, number_text

COLUMN = 8.5 / 2.54  # width of a paper column [inch]
# Three colours that stand for the page's own in SVG (see `svg.py`); in PNG and PDF they are what they are.
INK, MUTED, PAPER = "#1b1b1c", "#6a6a6d", "#fefefd"
MAP = "cividis"
NEAR = 0.25  # share of the values near the budget from which on a scale spreads them out
# Okabe and Ito's colours without yellow (too pale on white) and black (the ink)
LINES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")
MARKERS = ("o", "s", "D", "^", "v", "P")
RC: dict[Any, Any] = {
    "font.size": 8,
    "font.family": "sans-serif",
    "axes.labelsize": 8,
    "axes.titlesize": 8,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "lines.linewidth": 1.2,
    "hatch.linewidth": 0.4,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": MUTED,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "svg.fonttype": "none",
    "svg.hashsalt": "crossweep",
    "pdf.fonttype": 42,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.constrained_layout.use": True,
}


@dataclass(frozen=True, kw_only=True)
class Tip:
    """What a reader sees on hovering over one mark, and where a click leads."""

    text: str
    folder: str = ""


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A finished figure.

    Args:
        name: file name without ending.
        title: heading on the page.
        caption: how to read it.
        canvas: the matplotlib figure.
        tips: for a collection's group id, one tip per mark in drawing order.
    """

    name: str
    title: str
    caption: str
    canvas: Canvas
    tips: Mapping[str, Sequence[Tip]] = field(default_factory=dict)


@contextmanager
def drawing() -> Iterator[None]:
    """Everything inside is drawn, and must be saved, in this project's style; nothing outside changes."""
    log = logging.getLogger("fontTools")
    level = log.level
    log.setLevel(logging.WARNING)  # a PDF's fonts are told about table by table
    try:
        with mpl.rc_context(RC):
            yield
    finally:
        log.setLevel(level)


def canvas(width: float = COLUMN, height: float = COLUMN * 0.75, **subplots: Any) -> tuple[Canvas, Any]:
    """A figure of its own (never pyplot's global one) with its axes."""
    made = Canvas(figsize=(width, height))
    return made, made.subplots(**subplots)


def label_axis(ax: Axes, axis: Axis, which: str) -> None:
    """Ticks and title of a study's axis drawn in unit coordinates.

    Args:
        ax: the plot, whose coordinate runs over 0..1.
        axis: the study's axis.
        which: "x" or "y".
    """
    values = _ticks(axis)
    target = ax.xaxis if which == "x" else ax.yaxis
    target.set_ticks(list(axis.to_unit(values)), [number_text(v, 4) for v in values])
    target.set_label_text(axis.title)
    (ax.set_xlim if which == "x" else ax.set_ylim)(-0.02, 1.02)


def _ticks(axis: Axis) -> NDArray[np.float64]:
    low, high = axis.ends
    if axis.log:
        decades = np.arange(np.floor(np.log10(low)), np.ceil(np.log10(high)) + 1)
        steps = (1, 3) if len(decades) < 4 else (1,)
        values = np.array([s * 10.0**d for d in decades for s in steps])
    else:
        values = np.asarray(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high))
    inside = values[(values >= low * (1 - 1e-9) - 1e-12) & (values <= high * (1 + 1e-9))]
    return inside if len(inside) > 1 else np.array([low, high])


def loss_axis(ax: Axes, title: str, which: str, budget: float, values: NDArray[np.float64]) -> None:
    """What is judged, on the scale that its values ask for.

    Linear, unless the values spread over many budgets and a good part of them lies near the budget: a cliff must not
    hide it. Then logarithmic beyond four budgets, and the linear part is as long as its share of the values.

    Args:
        ax: the plot.
        title: of the axis.
        which: "x" or "y".
        budget: the acceptable value.
        values: everything that is to be seen.
    """
    unit, target = max(abs(budget), 1e-3), ax.xaxis if which == "x" else ax.yaxis
    low, high = (float(f(values[np.isfinite(values)], initial=budget)) for f in (np.min, np.max))
    low = min(low, 0.0) if low > -budget else low
    near, knee = float((np.abs(values) <= 4 * unit).mean()), 4 * unit
    if high - low <= 12 * unit or near < NEAR or low < -knee:
        margin = 0.04 * (high - low)
        (ax.set_xlim if which == "x" else ax.set_ylim)(low - margin, high + margin)
        target.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))
    else:
        high, share = 1.15 * high, min(max(near, 0.35), 0.7)
        length = share / (1 - share) * float(np.log10(high / knee))
        (ax.set_xscale if which == "x" else ax.set_yscale)("symlog", linthresh=knee, linscale=length)
        (ax.set_xlim if which == "x" else ax.set_ylim)(low - 0.2 * unit, high)
        steps = [
            *(f * unit for f in (-2, 0, 1, 2, 4)),
            *(s * 10.0**d for d in range(-2, 6) for s in (1, 2, 5)),
        ]
        kept = [t for i, t in enumerate(steps) if low <= t <= high and (i < 5 or t > 1.5 * knee)]
        target.set_ticks(kept)
    target.set_major_formatter(lambda value, _: number_text(value))
    target.set_minor_locator(NullLocator())
    target.set_label_text(title)


def wrapped(name: str, width: int = 22) -> str:
    """A name for a tick: broken into lines where it is long."""
    return "\n".join(textwrap.wrap(name, width, break_long_words=False)) or name
