"""What flaws cost: specification sheets and maps of the error that a flaw adds to the same run without it.

The budget is spent on the flaw alone. How far the rule itself is from digital training is another claim (`rules`).
"""

from __future__ import annotations

from dataclasses import replace

from crossweep.errors import StudyError
from crossweep.paper.rules import BUDGET
from crossweep.paper.words import table
from crossweep.results.analysis import Analysis, Fit, Group, analyse
from crossweep.results.configurations import as_configured
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
    clean = rows[as_configured(rows, [axis for axis in told.axes if axis.numeric])]
    if clean.empty:
        raise StudyError(f"{told.studies[0].name}: no run without a flaw, so nothing to compare with")
    errors = clean.groupby(_PAIR)["metric.test_error"].mean().rename("own")
    own = rows[_PAIR].merge(errors, left_on=_PAIR, right_index=True, how="left")["own"]
    return replace(told, rows=rows.assign(**{f"metric.{COST}": rows["metric.test_error"] - own}))


def analysed(told: Table, metric: str = COST) -> Analysis:
    """Surfaces and specifications: of what the flaw costs, or of the whole error increase."""
    return analyse(costs(told) if metric == COST else told, budget=BUDGET, metric=metric)


def sheet(analysis: Analysis) -> str:
    """The specification: one row per flaw and rule."""
    several = len(analysis.groups) > 1
    rows = []
    for group in analysis.groups:
        for fit in group.fits:
            rows += [[*_name(group, several), t.axis.title, t.requirement, t.text] for t in fit.tolerances]
            if not fit.tolerances:
                names = ", ".join(axis.title for axis in fit.points.axes)
                rows.append([*_name(group, several), names, "not determined", _seen(fit)])
    first = ["rule"] if several else []
    return table([*first, "flaw", f"the device must keep, for {BUDGET:g} points", "tolerated"], rows)


def _seen(fit: Fit) -> str:
    """What was measured where no curve could be drawn through it."""
    if fit.withheld:
        return "above the budget as configured"
    if not fit.points.n:
        return fit.reason
    return f"{fit.points.y.min():+.2f} to {fit.points.y.max():+.2f} points at {fit.points.n} places; no curve explains it"


def _name(group: Group, several: bool) -> list[str]:
    return [f"`{group.name}`"] if several else []


def bars(analysis: Analysis, name: str) -> list[Figure]:
    """The specification as a figure, where there is one."""
    made = tolerance_bars(analysis)
    return [] if made is None else [replace(made, name=name)]


def maps_of(analysis: Analysis, name: str) -> list[Figure]:
    """The landscapes."""
    return [replace(figure, name=f"{name}_{i}" if i else name) for i, figure in enumerate(maps(analysis))]
