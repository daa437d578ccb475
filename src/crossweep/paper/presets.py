"""What every rule loses on every preset device."""

from __future__ import annotations

from crossweep.paper.words import table
from crossweep.results.stats import estimate
from crossweep.results.table import Table


def presets_table(told: Table) -> str:
    """Error increase [points], mean over the seeds: a row per device, a column per rule."""
    rows = told.rows[told.rows["metric.error_increase"].notna()]
    devices, rules = (_in_order(told, f"axis.{name}") for name in ("device", "algorithm"))
    found = rows.groupby(["axis.device", "axis.algorithm"])["metric.error_increase"]
    means = {pair: estimate(values) for pair, values in found}

    def cell(device: str, rule: str) -> str:
        mean = means.get((device, rule))
        return "-" if mean is None else f"{round(mean.mean, 1) + 0:+.1f}"  # no -0.0

    made = [[f"`{device}`", *(cell(device, rule) for rule in rules)] for device in devices]
    return table(["device", *(f"`{rule}`" for rule in rules)], made)


def _in_order(told: Table, column: str) -> list[str]:
    """The values of a column that have run, as the study lists them."""
    listed: dict[str, list[str]] = {
        f"axis.{axis['name']}": axis.get("choices") or []
        for axis in told.studies[0].described.get("axes", ())
    }
    there = set(told.rows[column].dropna())
    return [value for value in listed.get(column, []) if value in there]


def presets_scatter(told: Table) -> str:
    """How far to trust the table: standard deviation between the seeds of a cell, pooled where the rule trains."""
    rows = told.rows[told.rows["metric.error_increase"].notna()]
    groups = rows.groupby(["axis.device", "axis.algorithm"])["metric.error_increase"]
    cells = groups.agg(["var", "mean", "count"])
    near = cells[(cells["mean"] < 10) & (cells["count"] > 1)]
    deviation = float((near["var"] * (near["count"] - 1)).sum() / (near["count"] - 1).sum()) ** 0.5
    seeds = sorted({int(seed) for seed in rows["seed"]})
    return (
        f"Means of {len(seeds)} seeds. Between the seeds of a cell the increase scatters by {deviation:.1f} points "
        f"(standard deviation, cells below 10 points), so a mean is uncertain by about "
        f"±{2 * deviation / len(seeds) ** 0.5:.1f}."
    )
