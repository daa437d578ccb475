"""Optuna's importance evaluators beside the surface's own sensitivity: a second opinion without a surface."""

from __future__ import annotations

from crossweep.results.points import Points

LEAST_POINTS = 20  # PED-ANOVA looks at the best tenth alone
MOST_POINTS = 512  # the first so many; a forest of 64 trees over more takes longer than it tells

Shares = dict[str, dict[str, float]]


def second_opinion(points: Points, *, seed: int = 0) -> Shares:
    """Evaluator -> axis -> share; empty for one axis, for few points, and where Optuna is not installed."""
    if len(points.axes) < 2 or points.n < LEAST_POINTS:
        return {}
    try:
        from crossweep.sweep.optuna_importance import evaluate

        table = [{a.name: float(v) for a, v in zip(points.axes, row)} for row in points.x[:MOST_POINTS]]
        ranges = {a.name: (*a.ends, a.log) for a in points.axes}
        return evaluate(table, points.y[:MOST_POINTS].tolist(), ranges, seed=seed)
    except ImportError:
        return {}
