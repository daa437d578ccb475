"""How far every optimiser comes, each with the setting that the validation loss chose."""

from __future__ import annotations

from collections.abc import Iterator
from math import inf

import pandas as pd

from crossweep.paper.rules import BUDGET
from crossweep.paper.verdict import Verdict, judge
from crossweep.paper.words import points, setting, share, table
from crossweep.results.stats import estimate
from crossweep.results.table import Table

WITHIN = {Verdict.HELD: "yes", Verdict.NOT_HELD: "no", Verdict.OPEN: "cannot be judged"}
_BASELINE, _ERROR = "baseline.", ".test_error"


def optimisers_table(told: Table) -> str:
    """Digital optimisers, then rules, the best first; those are judged with Holm's adjustment over all."""
    rows = told.rows[told.rows["metric.error_increase"].notna()]
    found = list(_chosen(rows))
    found.sort(key=lambda one: estimate(one["metric.error_increase"]).mean)
    runs = rows.drop_duplicates("seed")  # all rules share the digital runs of a seed
    digital = {
        c.removeprefix(_BASELINE).removesuffix(_ERROR): estimate(runs[c])
        for c in map(str, rows)
        if c.startswith(_BASELINE) and c.endswith(_ERROR) and rows[c].notna().any()
    }
    made = [
        [f"digital {name}", "", share(mean), "", ""]
        for name, mean in sorted(digital.items(), key=lambda pair: pair[1].mean)
    ]
    verdicts = judge([one["metric.error_increase"] for one in found], BUDGET)
    for one, judged in zip(found, verdicts, strict=True):
        error = share(estimate(one["metric.test_error"]))
        first = one.iloc[0]
        made.append(
            [f"`{first['algorithm']}`", setting(first), error, points(judged.mean), WITHIN[judged.verdict]]
        )
    header = ["optimiser", "setting", "test error [%]", "over the best digital [points]"]
    return table([*header, f"within {BUDGET:g}"], made)


def _chosen(rows: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """The runs of each rule's best setting, by the mean validation loss over the seeds."""
    for _, own in rows.groupby("algorithm", sort=False):
        trials = [one for _, one in own.groupby("trial", sort=False)]
        # one that diverged anywhere has no loss there
        yield min(trials, key=lambda one: float(one["metric.validation_loss"].fillna(inf).mean()))
