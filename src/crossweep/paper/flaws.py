"""What flaws cost: specification sheets and maps of the error that a flaw adds to the same run without it.

The budget is spent on the flaw alone. How far the rule itself is from digital training is another claim (`rules`).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from crossweep.errors import StudyError
from crossweep.paper.rules import BUDGET
from crossweep.paper.words import table
from crossweep.results.analysis import Analysis, Group, analyse
from crossweep.results.plots.style import Figure
from crossweep.results.plots.tolerances import tolerance_bars
from crossweep.results.reporting import maps
from crossweep.results.table import Table

COST = "flaw_cost"
_PAIR = ["algorithm", "seed"]


def costs(told: Table) -> Table:
    """The runs with a further metric: test error less that of the same rule and seed without a flaw [points].

    Raises:
        StudyError: no run is without a flaw.
    """
    rows = told.rows
    numeric = [axis for axis in told.axes if axis.numeric]
    harmless = pd.Series(True, index=rows.index)
    for axis in numeric:
        varied = rows["varied"].map(lambda names, name=axis.name: name in names)
        harmless &= ~varied | np.isclose(pd.to_numeric(rows[f"axis.{axis.name}"]), axis.ideal or 0.0)
    clean = rows[harmless].groupby(_PAIR)["metric.test_error"].mean()
    if clean.empty:
        raise StudyError(f"{told.studies[0].name}: no run without a flaw, so nothing to compare with")
    own = rows[_PAIR].merge(clean.rename("own"), left_on=_PAIR, right_index=True, how="left")["own"]
    return replace(told, rows=rows.assign(**{f"metric.{COST}": rows["metric.test_error"] - own}))


def analysed(told: Table) -> Analysis:
    """Surfaces and specifications of the cost."""
    return analyse(costs(told), budget=BUDGET, metric=COST)


def sheet(analysis: Analysis) -> str:
    """The specification: one row per flaw and rule."""
    several = len(analysis.groups) > 1
    rows = []
    for group in analysis.groups:
        for fit in group.fits:
            rows += [[*_name(group, several), t.axis.title, t.requirement, t.text] for t in fit.tolerances]
            if not fit.tolerances:
                names = ", ".join(axis.title for axis in fit.points.axes)
                rows.append(
                    [*_name(group, several), names, "none", fit.reason or "above the budget as configured"]
                )
    first = ["rule"] if several else []
    return table([*first, "flaw", f"the device must keep, for {BUDGET:g} points", "tolerated"], rows)


def _name(group: Group, several: bool) -> list[str]:
    return [f"`{group.name}`"] if several else []


def bars(analysis: Analysis, name: str) -> Figure | None:
    """The specification as a figure."""
    made = tolerance_bars(analysis)
    return None if made is None else replace(made, name=name)


def maps_of(analysis: Analysis, name: str) -> list[Figure]:
    """The landscapes."""
    return [replace(figure, name=f"{name}_{i}" if i else name) for i, figure in enumerate(maps(analysis))]
