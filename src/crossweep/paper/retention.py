"""What is left of the accuracy when devices drift after training."""

from __future__ import annotations

import pandas as pd

from crossweep.configured import AFTER
from crossweep.paper.words import points, table
from crossweep.results.stats import estimate
from crossweep.results.table import Table

_SPANS = ((31_536_000, "year"), (2_592_000, "month"), (86_400, "day"), (3_600, "hour"))


def retention_table(told: Table) -> str:
    """A row per rule and drift exponent: increase over AdamW, and what waiting adds to the test error [points]."""
    rows = told.rows[told.rows["metric.test_error"].notna()]
    times = {
        float(match[1]): c for c in rows.columns if (match := AFTER.fullmatch(c.removeprefix("metric.")))
    }
    made = [
        [f"`{rule}`", f"{nu:g}", points(estimate(found["metric.error_increase"])), *_added(found, times)]
        for (rule, nu), found in rows.groupby(["algorithm", "axis.drift"], sort=True)
    ]
    header = ["rule", "drift exponent", "over AdamW [points]"]
    return table([*header, *(f"after {_span(time)} [points]" for time in sorted(times))], made)


def _added(found: pd.DataFrame, times: dict[float, str]) -> list[str]:
    return [points(estimate(found[times[time]] - found["metric.test_error"])) for time in sorted(times)]


def _span(time: float) -> str:
    """`a day`, or seconds where no larger unit fits."""
    for unit, name in _SPANS:
        if time % unit == 0:
            n = round(time / unit)
            return f"{'an' if name == 'hour' else 'a'} {name}" if n == 1 else f"{n} {name}s"
    return f"{time:g} s"
