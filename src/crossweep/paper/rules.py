"""How far from digital training every rule ends.

A claim is judged for a network and a rule over both halves of the task: of each seed the mean of its two differences,
because both halves train on the same devices.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from numpy.typing import NDArray

from crossweep.paper.saved import HISTORY
from crossweep.paper.verdict import Judged, Verdict, judge
from crossweep.paper.words import CLASSES, NETWORKS, listed, points, share, table
from crossweep.results.plots.style import COLUMN, INK, LINES, MARKERS, MUTED, Figure, canvas
from crossweep.results.stats import estimate
from crossweep.results.table import Table

BUDGET = 1.2  # percentage points
BOTH = "both"
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Cell:
    """One rule on one network and one half of the task; arrays have one value per seed.

    Args:
        network, classes, rule: what ran.
        seeds: which.
        error: test error [%].
        over_best: less that of the best digital optimizer, chosen by validation loss [points].
        over_sgd: less that of SGD with momentum [points].
        accuracy: test accuracy after each epoch, mean over seeds [%].
    """

    network: str
    classes: str
    rule: str
    seeds: tuple[int, ...]
    error: Array
    over_best: Array
    over_sgd: Array
    accuracy: Array


def cells(tables: list[Table]) -> list[Cell]:
    """All that ran, network by network."""
    return [cell for one in tables for cell in _cells(one.rows)]


def kinds(rows: pd.DataFrame) -> Iterator[tuple[str, str, str, pd.DataFrame]]:
    """Network, half of the task, rule, and its finished runs."""
    done = rows[rows["metric.test_error"].notna()]
    experiment = done.get("choice.experiment", pd.Series(index=done.index, dtype=object))
    network = experiment.where(experiment.notna(), done["choice.model"])
    for (where, which, rule), found in done.groupby([network, done["choice.data"], "algorithm"], sort=False):
        yield NETWORKS.get(str(where), str(where)), CLASSES.get(str(which), str(which)), str(rule), found


def _cells(rows: pd.DataFrame) -> Iterator[Cell]:
    for network, classes, rule, found in kinds(rows):
        error = found["metric.test_error"]
        epochs = [c for c in found.columns if c.startswith(HISTORY)]
        yield Cell(
            network=network,
            classes=classes,
            rule=rule,
            seeds=tuple(int(seed) for seed in found["seed"]),
            error=error.to_numpy(),
            over_best=found["metric.error_increase"].to_numpy(),
            over_sgd=(error - found["baseline.momentum.test_error"]).to_numpy(),
            accuracy=100 * found[epochs].mean().dropna().to_numpy(),
        )


def claims(found: list[Cell]) -> list[Cell]:
    """A cell per network and rule: its halves together, seed by seed, or the one half that ran."""
    groups: dict[tuple[str, str], list[Cell]] = {}
    for cell in found:
        groups.setdefault((cell.network, cell.rule), []).append(cell)
    return [_together(cells) for cells in groups.values()]


def _together(halves: list[Cell]) -> Cell:
    if len(halves) == 1:
        return halves[0]
    seeds = tuple(seed for seed in halves[0].seeds if all(seed in half.seeds for half in halves))

    def mean(name: str) -> Array:
        rows = [[getattr(half, name)[half.seeds.index(seed)] for seed in seeds] for half in halves]
        averaged: Array = np.asarray(rows, dtype=np.float64).mean(axis=0)
        return averaged

    return replace(
        halves[0], classes=BOTH, seeds=seeds,
        error=mean("error"), over_best=mean("over_best"), over_sgd=mean("over_sgd"), accuracy=np.empty(0),
    )  # fmt: skip


def judged(found: list[Cell]) -> tuple[list[Judged], list[Judged]]:
    """Every claim against the best digital optimizer and against SGD; Holm's adjustment over all of them."""
    both = judge([c.over_best for c in found] + [c.over_sgd for c in found], BUDGET)
    return both[: len(found)], both[len(found) :]


def rules_table(tables: list[Table]) -> str:
    """One row per network, half of the task and rule; the claim is judged in the row of both halves."""
    found = cells(tables)
    made = claims(found)
    verdicts = {
        (cell.network, cell.classes, cell.rule): (best.verdict, sgd.verdict)
        for cell, best, sgd in zip(made, *judged(made), strict=True)
    }
    rows = []
    for claim in made:
        halves = [c for c in found if (c.network, c.rule) == (claim.network, claim.rule)]
        for one in halves if len(halves) == 1 else [*halves, claim]:
            best, sgd = verdicts.get((one.network, one.classes, one.rule), ("", ""))
            increases = (points(estimate(one.over_best)), best, points(estimate(one.over_sgd)), sgd)
            rows.append([one.network, one.classes, f"`{one.rule}`", share(estimate(one.error)), *increases])
    limit = f"within {BUDGET:g}"
    header = ["network", "classes", "rule", "test error [%]", "over the best digital [points]", limit]
    return table([*header, "over SGD with momentum [points]", limit], rows)


def limits_table(told: Table) -> str:
    """Error increase of every rule under each change, one change at a time."""
    rows = told.rows[told.rows["metric.error_increase"].notna()]
    changes, rules = (list(dict.fromkeys(rows[column])) for column in ("axis.change", "algorithm"))

    def cell(change: str, rule: str) -> str:
        found = rows[(rows["axis.change"] == change) & (rows["algorithm"] == rule)]
        return points(estimate(found["metric.error_increase"]))

    made = [[change, *(cell(change, rule) for rule in rules)] for change in changes]
    return table(["changed", *(f"`{rule}`: over AdamW [points]" for rule in rules)], made)


def rules_verdict(tables: list[Table]) -> str:
    """The claim in sentences, for each network."""
    found = claims(cells(tables))
    lines = []
    for title, results in zip(
        ("the best digital optimizer", "SGD with momentum"), judged(found), strict=True
    ):
        for verdict in Verdict:
            names: dict[str, list[str]] = {}
            for cell, one in zip(found, results, strict=True):
                if one.verdict == verdict:
                    where = "both halves" if cell.classes == BOTH else f"classes {cell.classes}"
                    names.setdefault(f"{cell.network}, {where}", []).append(f"`{cell.rule}`")
            told = "; ".join(f"{listed(rules)} ({place})" for place, rules in names.items())
            if told:
                lines.append(f"* Within {BUDGET:g} points of {title}: **{verdict}** for {told}.")
    return "\n".join(lines)


def rules_figure(tables: list[Table]) -> Figure:
    """Error increase of every rule, a panel per network and half of the task."""
    found = cells(tables)
    rules, places = _named(found)
    most = max(sum((c.network, c.classes) == place for c in found) for place in places)
    made, panels = _panels(places, 0.7 + 0.24 * most, sharex=True)
    for ax, place in zip(panels, places, strict=True):
        here = [c for c in found if (c.network, c.classes) == place]
        for y, cell in enumerate(here):
            mean, colour = estimate(cell.over_best), LINES[rules.index(cell.rule) % 6]
            ax.scatter(cell.over_best, np.full(len(cell.over_best), y), s=10, color=colour, alpha=0.7, lw=0)
            if mean.n > 1:
                ax.hlines([y + 0.22], mean.low, mean.high, color=INK, lw=1.2)
            ax.plot([mean.mean], [y + 0.22], marker="|", ms=6, mew=1.5, color=INK)
        ax.axvline(BUDGET, color=MUTED, lw=0.8, ls="--")
        ax.axvline(0.0, color=MUTED, lw=0.6)
        ax.set_yticks(range(len(here)), [cell.rule for cell in here])
        ax.set_ylim(most - 0.4, -0.6)
        ax.set_xlabel("error increase [points]")
        ax.tick_params(labelbottom=True)  # also where a panel below shares the axis
    return Figure(
        name="results_rules",
        title="Error increase over the best digital optimizer",
        caption="One mark per seed; black: mean with its 95 % interval; dashed: the budget.",
        canvas=made,
    )


def epochs_figure(tables: list[Table]) -> Figure:
    """Test accuracy after every epoch."""
    found = [cell for cell in cells(tables) if cell.accuracy.size]
    rules, places = _named(found)
    made, panels = _panels(places, COLUMN * 0.8)
    for ax, place in zip(panels, places, strict=True):
        here = [c for c in found if (c.network, c.classes) == place]
        for cell in here:
            i, epochs = rules.index(cell.rule), np.arange(1, cell.accuracy.size + 1)
            style = "-" if i < 6 else "--"
            ax.plot(
                epochs,
                cell.accuracy,
                style,
                color=LINES[i % 6],
                marker=MARKERS[i % 6],
                ms=3.5,
                label=cell.rule,
            )
            ax.set_xticks(epochs)
        digital = 100 - float(np.mean(here[0].error - here[0].over_best))
        ax.axhline(digital, color=INK, lw=0.8, ls=":", label="best digital, at the end")
        ax.set_xlabel("epoch")
        ax.set_ylabel("test accuracy [%]")
    shown = {
        label: line for ax in panels for line, label in zip(*ax.get_legend_handles_labels(), strict=True)
    }
    made.legend(shown.values(), shown.keys(), loc="outside lower center", ncols=4)
    return Figure(
        name="results_epochs",
        title="Test accuracy per epoch",
        caption="Means over the seeds.",
        canvas=made,
    )


def _named(found: list[Cell]) -> tuple[list[str], list[tuple[str, str]]]:
    """All rules, and all pairs of network and classes, in order."""
    return list(dict.fromkeys(c.rule for c in found)), list(
        dict.fromkeys((c.network, c.classes) for c in found)
    )


def _panels(places: list[tuple[str, str]], height: float, **subplots: Any) -> tuple[Canvas, list[Axes]]:
    """A titled panel for each place, two in a row."""
    rows = (len(places) + 1) // 2
    made, axes = canvas(COLUMN * 2, height * rows, ncols=2, nrows=rows, squeeze=False, **subplots)
    panels = list(axes.flat)
    for ax in panels[len(places) :]:
        ax.set_visible(False)
    for ax, (network, classes) in zip(panels, places):
        ax.set_title(f"{network}, classes {classes}")
    return made, panels[: len(places)]
