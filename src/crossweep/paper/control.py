"""The digital references beside a plain PyTorch script with the same network, data and epochs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from crossweep.paper.words import CLASSES, share, table
from crossweep.results.stats import CONFIDENCE, estimate
from crossweep.results.table import Table

NETWORK = "paper/small_swin"
Array = NDArray[np.float64]


def control_table(rules: Table, plain: Path) -> str:
    """Test errors here and there; the interval of the difference is Welch's, for the runs share nothing."""
    rows = []
    for (data, optimizer), theirs in pd.read_csv(plain).groupby(["data", "optimizer"], sort=False):
        here = rules.rows[(rules.rows["choice.experiment"] == NETWORK) & (rules.rows["choice.data"] == data)]
        ours = here.groupby("seed")[f"baseline.{optimizer}.test_error"].mean().dropna().to_numpy()
        if not ours.size:
            continue
        there = theirs["test_error"].to_numpy()
        rows.append(
            [
                CLASSES.get(str(data), str(data)),
                str(optimizer),
                share(estimate(ours)),
                share(estimate(there)),
                _difference(ours, there),
            ]
        )
    header = ["classes", "optimizer", "crossweep: test error [%]", "plain PyTorch [%]", "difference [points]"]
    return table(header, rows)


def _difference(ours: Array, theirs: Array) -> str:
    test = stats.ttest_ind(ours, theirs, equal_var=False)
    low, high = test.confidence_interval(CONFIDENCE)
    return f"{ours.mean() - theirs.mean():+.2f} ({low:+.2f} to {high:+.2f})"
