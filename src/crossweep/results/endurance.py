"""What devices have to endure: pulses per device of each group, and the loss that they buy."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from crossweep.axis import number_text
from crossweep.results.analysis import Analysis, Group
from crossweep.results.table import Table

COLUMNS = {
    "pulses_mean": "mean pulses per device",
    "pulses_high": "99.9th percentile",
    "pulses_most": "most",
    "pulses_never": "share never pulsed",
    "endurance": "endurance needed",
    "pulses_to_target": "most up to the target loss",
}
FRONT = "pulses_high"  # what is drawn against the loss


def endurance_sheet(analysis: Analysis) -> pd.DataFrame:
    """One row per group: the mean over its runs of every count, but the largest of ``endurance``."""
    rows = []
    for group in analysis.groups:
        known = {c: v for c in COLUMNS if (v := _values(group.rows, c)).notna().any()}
        if FRONT in known:
            numbers = {c: float(v.max() if c == "endurance" else v.mean()) for c, v in known.items()}
            rows.append({"group": group.name, **numbers, "runs": int(known[FRONT].notna().sum())})
    return pd.DataFrame(rows)


def sentences(analysis: Analysis) -> list[str]:
    """What a device must endure for the runs within the budget, by group."""
    said, trainings = [], _trainings(analysis.table)
    for group in analysis.groups:
        within = group.rows[pd.to_numeric(group.rows[analysis.column], errors="coerce") <= analysis.budget]
        once, life = (_values(within, name).max() for name in ("pulses_most", "endurance"))
        if np.isfinite(once):
            times = (
                f", {count_text(life)} for {trainings} trainings" if trainings and np.isfinite(life) else ""
            )
            said.append(
                f"{group.name}: a device must endure {count_text(once)} pulses for one training{times} (the most of any "
                "device in the runs within the budget, calibration included)."
            )
    return said


def unbeaten(places: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which of places [n, k] no other one beats: none is as small everywhere and smaller somewhere."""
    as_small = (places[:, None] <= places[None]).all(-1)
    smaller = (places[:, None] < places[None]).any(-1)
    return np.asarray(~(as_small & smaller).any(0))


def usable(analysis: Analysis, group: Group) -> pd.DataFrame:
    """The runs of a group that have both pulses and a loss."""
    if f"metric.{FRONT}" not in group.rows:
        return group.rows[:0]
    known = (
        _values(group.rows, FRONT).notna()
        & pd.to_numeric(group.rows[analysis.column], errors="coerce").notna()
    )
    return group.rows[known]


def places_of(analysis: Analysis, group: Group) -> NDArray[np.float64]:
    """Pulses and loss of every run [n, 2]."""
    rows = usable(analysis, group)
    return np.column_stack(
        [_values(rows, FRONT), pd.to_numeric(rows[analysis.column], errors="coerce")]
    ).astype(float)


def _values(rows: pd.DataFrame, metric: str) -> pd.Series:
    column = f"metric.{metric}"
    return (
        pd.to_numeric(rows[column], errors="coerce")
        if column in rows
        else pd.Series(np.nan, index=rows.index)
    )


def _trainings(table: Table) -> int | None:
    """For how many trainings ``endurance`` is meant, where all studies agree."""
    told = {
        ((s.first_record.get("config") or {}).get("evaluation") or {}).get("trainings") for s in table.studies
    }
    return next(iter(told)) if len(told) == 1 else None


def count_text(pulses: float) -> str:
    """A number of pulses."""
    return number_text(float(pulses), 3)
