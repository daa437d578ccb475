"""What nobody reports: trained weights on other devices, and the pulses that a training takes."""

from __future__ import annotations

import pandas as pd

from crossweep.paper.rules import kinds
from crossweep.paper.words import points, table
from crossweep.results.stats import estimate
from crossweep.results.table import Table

_COLUMNS = ("metric.fresh_error_mean", "metric.pulses_mean", "metric.pulses_most", "metric.pulses_never")


def fresh_table(tables: list[Table]) -> str:
    """One row per network, half of the task and rule: error on fresh devices less the trained one, and pulses."""
    rows = [
        [network, classes, f"`{rule}`", _fresh(found), *_pulses(found)]
        for told in tables
        for network, classes, rule, found in kinds(told.rows)
        if all(column in found and found[column].notna().any() for column in _COLUMNS)
    ]
    header = ["network", "classes", "rule", "fresh devices less trained ones [points]"]
    return table([*header, "pulses per device: mean", "most", "never pulsed"], rows)


def _fresh(found: pd.DataFrame) -> str:
    return points(estimate(found["metric.fresh_error_mean"] - found["metric.test_error"]))


def _pulses(found: pd.DataFrame) -> list[str]:
    mean, most, never = (found[f"metric.pulses_{name}"].mean() for name in ("mean", "most", "never"))
    return [f"{mean:,.0f}", f"{most:,.0f}", f"{never:.1%}"]
