"""Markdown of numbers and tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from crossweep.results.stats import MeanEstimate

NETWORKS = {
    "paper/small_swin": "Swin, 0.1 M weights",
    "paper/small_resnet": "ResNet-8, 0.02 M weights",
    "paper/full_swin": "Swin-T",
    "swin_micro": "Swin micro, 2.2 M weights",
}
CLASSES = {"cifar": "0-9", "cifar_second": "10-19"}


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def points(mean: MeanEstimate) -> str:
    """`+1.31 (+0.60 to +2.02)`: a difference with its 95 % interval."""
    if not mean.n:
        return "-"
    if mean.n == 1:
        return f"{mean.mean:+.2f}"
    return f"{mean.mean:+.2f} ({mean.low:+.2f} to {mean.high:+.2f})"


def share(mean: MeanEstimate) -> str:
    """`29.4 ± 0.6`: a mean with the standard deviation over seeds."""
    if not mean.n:
        return "-"
    return f"{mean.mean:.1f}" + (f" ± {mean.std:.1f}" if np.isfinite(mean.std) else "")


def listed(words: Sequence[str]) -> str:
    """`a, b and c`."""
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} and {words[-1]}"


def setting(row: pd.Series) -> str:
    """`fast lr 0.3, chopper 0.1`: what a run has on the axes that its trial varied, but its rule."""
    values = {
        c.removeprefix("axis."): row[c] for c in row.index if c.startswith("axis.") and c != "axis.algorithm"
    }
    varied = set(row["varied"])
    return ", ".join(
        f"{k.replace('_', ' ')} {v:g}" if isinstance(v, float) else f"{k} {v}"
        for k, v in values.items()
        if k in varied
    )
