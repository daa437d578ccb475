"""What flaws cost: specification sheets and maps of the error that a flaw adds to the same run without it.

The budget is spent on the flaw alone. How far the rule itself is from digital training is another claim (`rules`).
"""

from __future__ import annotations

from dataclasses import replace

import pandas as pd

from crossweep.axis import Axis
from crossweep.errors import StudyError
from crossweep.paper.rules import BUDGET
from crossweep.paper.words import table
from crossweep.results.analysis import Analysis, Fit, Group, analyse
from crossweep.results.configurations import as_configured
from crossweep.results.plots.style import COLUMN, LINES, MARKERS, MUTED, Figure, canvas
from crossweep.results.reporting import maps
from crossweep.results.stats import estimate
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


def curves(told: Table, name: str) -> list[Figure]:
    """What each flaw alone costs each rule: a panel per flaw, a line per rule."""
    rows, axes = costs(told).rows, [axis for axis in told.axes if axis.numeric]
    shown = [(axis, _alone(rows, axes, axis)) for axis in axes]
    shown = [(axis, found) for axis, found in shown if len(found)]
    if not shown:
        return []
    rules = list(dict.fromkeys(rows["algorithm"]))
    lines = (len(shown) + 1) // 2
    made, panels = canvas(COLUMN * 2, COLUMN * 0.75 * lines, ncols=2, nrows=lines, squeeze=False, sharey=True)
    for ax, (axis, found) in zip(panels.flat, shown, strict=False):
        for i, rule in enumerate(rules):
            groups = found[found["algorithm"] == rule].groupby(f"axis.{axis.name}")[f"metric.{COST}"]
            means = [estimate(values) for _, values in groups]
            ax.errorbar(
                [place for place, _ in groups],
                [mean.mean for mean in means],
                yerr=[[mean.mean - mean.low for mean in means], [mean.high - mean.mean for mean in means]],
                color=LINES[i % 6],
                marker=MARKERS[i % 6],
                ms=3.5,
                lw=1.0,
                label=rule,
            )
        ax.axhline(BUDGET, color=MUTED, lw=0.8, ls="--")
        ax.set_xlabel(axis.title)
    for ax in panels.flat[len(shown) :]:
        ax.set_visible(False)
    for ax in panels[:, 0]:
        ax.set_ylabel("added error [points]")
    panels[0, 0].legend(loc="upper left")
    return [
        Figure(
            name=name,
            title="What each flaw alone adds to a rule's error",
            caption="Means over the seeds with their 95 % intervals; dashed: the budget.",
            canvas=made,
        )
    ]


def _alone(rows: pd.DataFrame, axes: list[Axis], axis: Axis) -> pd.DataFrame:
    """The runs in which this flaw alone is varied; those without any flaw stand where the configuration has it."""
    column = f"axis.{axis.name}"
    varied = rows[[axis.name in names for names in rows["varied"]]]
    if axis.configured is None or varied.empty:
        return varied
    clean = rows[as_configured(rows, axes)].assign(**{column: axis.configured})
    return pd.concat([clean, varied[varied[column] != axis.configured]])


def maps_of(analysis: Analysis, name: str) -> list[Figure]:
    """The landscapes."""
    return [replace(figure, name=f"{name}_{i}" if i else name) for i, figure in enumerate(maps(analysis))]
