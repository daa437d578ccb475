"""A study against what others have published for the same points, cell by cell."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from crossweep.axis import number_text
from crossweep.configured import flattened
from crossweep.errors import ConfigError
from crossweep.published import Published
from crossweep.results.configurations import seed_labels
from crossweep.results.stats import MeanEstimate, estimate
from crossweep.results.table import Study, Table

NEAR = 1e-6  # of a cell, relative


def agreement(table: Table) -> pd.DataFrame:
    """One row for every published cell that the studies have run.

    Columns: ``algorithm, <axis>, <fixed axes>, published, here, low, high, seeds, difference, verdict``; numbers in the
    published table's unit, ``low`` and ``high`` the 95 % interval over seeds.
    """
    found = [
        _cells(table.rows[table.rows["study"] == s.name], p) for s in table.studies if (p := published(s))
    ]
    rows = [row for cells in found for row in cells]
    return pd.DataFrame(rows)


def published(study: Study) -> Published | None:
    """The published table that a study was compared with; None where there is none, or none that can be read."""
    node = study.described.get("published")
    if not isinstance(node, Mapping):
        return None
    try:
        return Published.of(node, "study.published")
    except ConfigError:  # of a file that somebody edited
        return None


def departures(study: Study) -> list[str]:
    """What a study did otherwise than the source, as ``key: here instead of there``."""
    found, config = published(study), study.first_record.get("config") or study.described.get("config")
    if found is None or not isinstance(config, Mapping):
        return []
    flat = flattened(config)
    return [
        f"{key}: {flat[key]} instead of {value}"
        for key, value in found.settings.items()
        if key in flat and flat[key] != value
    ]


def _cells(rows: pd.DataFrame, told: Published) -> list[dict[str, object]]:
    metric = f"metric.{told.metric}"
    if metric not in rows:
        return []
    fixed = rows[_at(rows, told.fixed) & rows[metric].notna()]
    made: list[dict[str, object]] = []
    for algorithm, numbers in told.rows.items():
        for place, number in zip(told.at, numbers, strict=True):
            cell = fixed[(fixed["algorithm"] == algorithm) & _at(fixed, {told.axis: place})]
            if number is None or cell.empty:
                continue
            here = estimate(told.scale * cell.groupby(seed_labels(cell))[metric].mean().to_numpy())
            made.append(
                {
                    "algorithm": algorithm,
                    told.axis: place,
                    **told.fixed,
                    "published": number,
                    "here": here.mean,
                    "low": here.low,
                    "high": here.high,
                    "seeds": here.n,
                    "difference": here.mean - number,
                    "verdict": _verdict(here, number),
                }
            )
    return made


def _at(rows: pd.DataFrame, places: Mapping[str, float]) -> pd.Series:
    """Which runs stand at these values of the axes."""
    chosen = pd.Series(True, index=rows.index)
    for name, value in places.items():
        column = f"axis.{name}"
        known = (
            pd.to_numeric(rows[column], errors="coerce") if column in rows else pd.Series(np.nan, rows.index)
        )
        chosen &= np.isclose(known, value, rtol=NEAR, atol=NEAR)
    return chosen


def _verdict(here: MeanEstimate, number: float) -> str:
    if here.n < 2:
        return "one seed: no interval"
    if here.low <= number <= here.high:
        return "agrees: within the 95 % interval"
    side = "above" if here.mean > number else "below"
    return f"{side} by {number_text(abs(here.mean - number))}"
