"""A study that searches for good parameters: the best trials as words to paste, and what mattered. No budget, no map."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from crossweep.axis import Axis, number_text
from crossweep.results.evaluators import Shares, second_opinion
from crossweep.results.html import Link, document, html_table, section
from crossweep.results.page import closing, explained, head, names
from crossweep.results.points import points
from crossweep.results.table import Table
from crossweep.results.trials import trials
from crossweep.sweep.axes import overrides

SEARCHERS = ("tpe", "gp", "cmaes", "nsgaii", "nsgaiii")
BEST = 5  # trials that are listed


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """What a search found.

    Args:
        table: of the one study.
        objectives: name to ``minimize`` or ``maximize``.
        values: [trials, objectives] mean over the seeds of each finished trial, by trial number.
        best: numbers of the best trials: of one objective the best first, of several all that no other beats.
        importance: evaluator -> axis -> share, for the first objective.
    """

    table: Table
    objectives: Mapping[str, str]
    values: pd.DataFrame
    best: tuple[int, ...]
    importance: Shares

    def words(self, trial: int) -> list[str]:
        """The overrides of a trial, as a command line takes them."""
        row = self.table.rows[self.table.rows["trial"] == trial].iloc[0]
        return [w for axis in self.table.axes if axis.name in row["varied"] for w in _words(axis, row)]

    @property
    def summary(self) -> list[str]:
        """The answer in a few lines."""
        first, way = next(iter(self.objectives.items()))
        if len(self.objectives) > 1:
            lead = f"{len(self.best)} trials that no other beats in {' and '.join(self.objectives)}; the first of them:"
        else:
            lead = (
                f"Best of {len(self.values)} trials: number {self.best[0]}, {first.replace('_', ' ')} "
                f"{number_text(float(self.values[first].loc[self.best[0]]), 4)} ({way}d)."
            )
        return [lead, f"To use it: {' '.join(self.words(self.best[0])) or 'nothing to set'}"]


def is_tuning(table: Table) -> bool:
    """Whether a table is one study that searches for parameters instead of mapping what a flaw costs."""
    if len(table.studies) != 1:
        return False
    told = table.studies[0].described
    objectives = told.get("objectives")
    judged = [str(o) for o in objectives] if isinstance(objectives, list) else []
    return bool(judged) and (
        told.get("sampler") in SEARCHERS or all(o.startswith("validation_") for o in judged)
    )


def tuned(table: Table, *, seed: int = 0) -> Tuning | None:
    """The search in a table; None where no trial has finished."""
    told = table.studies[0].described
    objectives = dict(zip(map(str, told["objectives"]), map(str, told.get("directions") or ["minimize"])))
    columns = [f"metric.{name}" for name in objectives]
    if any(column not in table.rows for column in columns):
        return None
    finished = table.rows[table.rows["state"].isin(["complete", "diverged"])]
    values = finished.groupby("trial")[columns].mean().dropna()
    values.columns = list(objectives)
    if values.empty:
        return None
    signs = np.array([1.0 if way == "minimize" else -1.0 for way in objectives.values()])
    numeric = [a for a in table.axes if a.numeric and f"axis.{a.name}" in finished]
    judged = finished.assign(judged=signs[0] * finished[columns[0]])
    return Tuning(
        table=table,
        objectives=objectives,
        values=values,
        best=_best(values, signs),
        importance=second_opinion(points(judged, numeric, "judged"), seed=seed),
    )


def _best(values: pd.DataFrame, signs: NDArray[np.float64]) -> tuple[int, ...]:
    costs = values.to_numpy() * signs
    order = np.argsort(costs[:, 0], kind="stable")
    if costs.shape[1] > 1:
        order = np.array([i for i in order if not _beaten(costs, i)])
    return tuple(int(values.index[i]) for i in order[:BEST])


def _beaten(costs: NDArray[np.float64], i: int) -> bool:
    return bool(((costs <= costs[i]).all(axis=1) & (costs < costs[i]).any(axis=1)).any())


def _words(axis: Axis, row: pd.Series) -> list[str]:
    value = row[f"axis.{axis.name}"]
    if axis.choices is not None:
        return [f"{key}={value}" for key in axis.keys]  # a table keeps a choice as it was typed
    return overrides(axis, int(value) if axis.integer else float(f"{value:.4g}"))


def tuning_page(found: Tuning, figures: Sequence[str], link: Link, *, at_home: str = "") -> str:
    """The whole document; for the arguments see `page.page`."""
    body = [
        *head(found.table),
        *_answer(found),
        *_listed(found),
        section("The search", figures) if figures else "",
        *_importance(found),
        *trials(found.table, {f"metric.{name}": name.replace("_", " ") for name in found.objectives}, link),
        *closing(
            found.table, {"objectives": ", ".join(f"{way} {name}" for name, way in found.objectives.items())}
        ),
    ]
    return document(names(found.table), explained(body), at_home=at_home)


def _answer(found: Tuning) -> list[str]:
    lead, _ = found.summary
    words = " \\\n  ".join(found.words(found.best[0]))
    return [f'<div class="answer"><p>{escape(lead)} To paste:</p><pre>{escape(words)}</pre></div>']


def _listed(found: Tuning) -> list[str]:
    rows = []
    for trial in found.best:
        row = found.table.rows[found.table.rows["trial"] == trial].iloc[0]
        scores = {name.replace("_", " "): float(found.values[name].loc[trial]) for name in found.objectives}
        places = {a.title: row[f"axis.{a.name}"] for a in found.table.axes if f"axis.{a.name}" in row}
        rows.append({"trial": trial, **scores, **places})
    title = "The best trials" if len(found.objectives) == 1 else "Trials that no other beats"
    return [f"<h2>{title}</h2>", html_table(pd.DataFrame(rows), stacks=True)]


def _importance(found: Tuning) -> list[str]:
    if not found.importance:
        return []
    axes = {a.name: a.short for a in found.table.axes}
    shares = pd.DataFrame(found.importance)
    shares.insert(0, "parameter", [axes.get(str(name), str(name)) for name in shares.index])
    first = next(iter(found.objectives)).replace("_", " ")
    return [
        f"<h2>What mattered for {escape(first)}</h2>",
        html_table(shares, words_in=["parameter"], stacks=True),
        '<p class="sub">Shares by Optuna\'s evaluators: fANOVA over all trials, PED-ANOVA over the best tenth.</p>',
    ]
