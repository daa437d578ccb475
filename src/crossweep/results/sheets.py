"""The answers as plain tables: the specification sheet, the joint tolerance, the comparison."""

from __future__ import annotations

import numpy as np
import pandas as pd

from crossweep.axis import Axis
from crossweep.results.analysis import Analysis
from crossweep.results.sentences import withheld
from crossweep.results.tolerance import Tolerance


def tolerance_sheet(analysis: Analysis) -> pd.DataFrame:
    """What the device must achieve, one row per group and axis; a censored number is left empty."""
    rows = []
    for group in analysis.groups:
        for fit in group.fits:
            common = {"group": group.name, "budget": analysis.budget, "points": fit.points.n}
            if fit.surface:
                common["q2"] = round(fit.surface.quality.q2, 3)
            none = withheld(analysis, group) if fit.withheld else fit.reason
            rows += [{**common, **_axis(axis), "answer": f"none: {none}"} for axis in fit.points.axes if none]
            for t in fit.tolerances:
                numbers = {"specification": t.safe, "tolerance": t.value, "low": t.low, "high": t.high}
                rows.append(
                    {
                        **common,
                        **_axis(t.axis),
                        "limit": "at most" if t.upward else "at least",
                        **{name: _finite(v) if t.determined else np.nan for name, v in numbers.items()},
                        "answer": t.text,
                        "requirement": t.requirement,
                        "crosses_within_range": round(t.crosses, 3),
                        "above_from_start": round(t.starts_above, 3),
                        "others": _others(analysis, t),
                    }
                )
    leading = [
        "group",
        "axis",
        "label",
        "unit",
        "limit",
        "specification",
        "tolerance",
        "low",
        "high",
        "answer",
        "requirement",
        "others",
    ]
    sheet = pd.DataFrame(rows)
    return sheet.reindex(columns=[*leading, *(c for c in sheet.columns if c not in leading)])


def joint_sheet(analysis: Analysis) -> pd.DataFrame:
    """The curves of joint tolerance, one row per place."""
    frames = []
    for group in analysis.groups:
        for joint in (j for f in group.fits for j in f.joints):
            frames.append(
                pd.DataFrame(
                    {
                        "group": group.name,
                        "given": joint.across.title,
                        "at": joint.at,
                        "tolerated": joint.up.title,
                        "limit": "at most" if joint.upward else "at least",
                        "value": _column(joint.value),
                        "low": _column(joint.low),
                        "high": _column(joint.high),
                        "determined": ~np.isnan(joint.value),
                        "beyond_range": np.isposinf(joint.value),
                        "above_from_start": np.isneginf(joint.value),
                    }
                )
            )
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()


def importance_sheet(analysis: Analysis) -> pd.DataFrame:
    """Shares of every axis: of the surface (alone, with interactions), and by Optuna's evaluators."""
    rows = []
    for group in analysis.groups:
        for fit in (f for f in group.fits if f.importance):
            shares = fit.importance
            for j in shares.order if shares else ():
                axis = fit.points.axes[j]
                row: dict[str, object] = {
                    "group": group.name,
                    "axis": axis.name,
                    "label": axis.short,
                    "unit": axis.unit or "",
                }
                for name, share in (("alone", shares.first[j]), ("total", shares.total[j])) if shares else ():
                    row |= {name: share.value, f"{name}_low": share.low, f"{name}_high": share.high}
                row |= {e: found.get(axis.name) for e, found in fit.evaluators.items()}
                rows.append(row)
    return pd.DataFrame(rows)


def comparison_sheet(analysis: Analysis) -> pd.DataFrame:
    """Paired differences of all pairs of groups."""
    return pd.DataFrame(
        [
            {
                "first": c.first,
                "second": c.second,
                "difference": c.difference.mean,
                "low": c.difference.low,
                "high": c.difference.high,
                "n": c.difference.n,
                "units": c.units,
                "pairs": c.pairs,
                "share_first_better": c.share_better,
                "hedges_g": c.effect,
                "p_holm": c.p,
            }
            for c in analysis.comparisons
        ]
    )


def point_sheet(analysis: Analysis) -> pd.DataFrame:
    """Every point of every group: its place, mean over seeds, spread and 95 % interval."""
    from crossweep.results.stats import estimate

    rows = []
    for group in analysis.groups:
        for fit in group.fits:
            for i in range(fit.points.n):
                e = estimate(fit.points.values[i])
                place = {a.name: fit.points.x[i, j] for j, a in enumerate(fit.points.axes)}
                numbers = {"mean": e.mean, "std": e.std, "low": e.low, "high": e.high, "seeds": e.n}
                rows.append({"group": group.name, "trial": fit.points.trials[i], **place, **numbers})
    return pd.DataFrame(rows)


def _axis(axis: Axis) -> dict[str, object]:
    """What every row says about its axis."""
    described = {"axis": axis.name, "label": axis.short, "unit": axis.unit or ""}
    return {**described, "range_low": axis.ends[0], "range_high": axis.ends[1]}


def _others(analysis: Analysis, t: Tolerance) -> str:
    """Where the other axes stand, in their units."""
    known = {a.name: a for a in analysis.table.axes}
    return "; ".join(f"{known[name].short} = {known[name].text(value)}" for name, value in t.others.items())


def _finite(value: float) -> float:
    return value if np.isfinite(value) else float("nan")


def _column(values: np.ndarray) -> np.ndarray:
    return np.where(np.isfinite(values), values, np.nan)
