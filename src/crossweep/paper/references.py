"""Digital runs that were made apart from the rules that they judge, after a search had found better rates."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pandas as pd

from crossweep.results.table import Table

_PLACE = ["choice.experiment", "choice.data", "seed"]
_MOMENTUM = "training.finetune.optimizer.momentum"


def referred(rules: Table, digital: Iterable[Table]) -> Table:
    """Runs of rules, judged by the digital run of their network, half of the task and seed with the lowest validation loss:
    one of their own, or one of ``digital``. SGD with momentum likewise."""
    runs = [told.rows for told in digital]
    if not runs or not set(_PLACE) <= set(rules.rows.columns):
        return rules
    every = pd.concat(runs, ignore_index=True)
    with_momentum = [float(settings.get(_MOMENTUM, 0.0)) > 0 for settings in every["settings"]]
    rows = rules.rows.copy()
    own = [
        f"baseline.{name}" for name in ("adamw", "momentum", "sgd") if f"baseline.{name}.test_error" in rows
    ]
    losses = rows[[f"{name}.validation_loss" for name in own]].min(axis=1)
    _take(rows, every, losses, "metric.baseline_error")
    rows["metric.error_increase"] = rows["metric.test_error"] - rows["metric.baseline_error"]
    momentum = "baseline.momentum"
    _take(rows, every[with_momentum], rows[f"{momentum}.validation_loss"], f"{momentum}.test_error")
    return replace(rules, rows=rows)


def _take(rows: pd.DataFrame, runs: pd.DataFrame, losses: pd.Series, column: str) -> None:
    """Put the test error of the best of ``runs`` into ``column`` where its loss on validation images is lower, in place."""
    best = runs.sort_values("metric.validation_loss").drop_duplicates(_PLACE).set_index(_PLACE)
    found = best.reindex(pd.MultiIndex.from_frame(rows[_PLACE]))
    better = found["metric.validation_loss"].to_numpy() < losses.to_numpy()  # nothing found: not better
    rows.loc[better, column] = found["metric.test_error"].to_numpy()[better]
