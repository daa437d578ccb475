"""Optuna's own importance evaluators on a table of points, wherever the points came from."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

Range = tuple[float, float, bool]  # low, high, logarithmic


def evaluate(
    points: Sequence[Mapping[str, float]],
    losses: Sequence[float],
    ranges: Mapping[str, Range],
    *,
    seed: int = 0,
) -> dict[str, dict[str, float]]:
    """Importance of every axis by fANOVA (a random forest's variance) and PED-ANOVA (the best tenth).

    Args:
        points: for every point the value of every axis.
        losses: the loss of every point; smaller is better.
        ranges: the examined range of every axis.
        seed: of the forest.

    Returns:
        evaluator -> axis -> share; each evaluator's shares add up to one.
    """
    import optuna
    from optuna.distributions import FloatDistribution
    from optuna.importance import (
        FanovaImportanceEvaluator,
        PedAnovaImportanceEvaluator,
        get_param_importances,
    )

    space: dict[str, BaseDistribution] = {
        name: FloatDistribution(low, high, log=log) for name, (low, high, log) in ranges.items()
    }
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        study = optuna.create_study()
        for point, loss in zip(points, losses):
            clipped = {k: min(max(v, ranges[k][0]), ranges[k][1]) for k, v in point.items()}
            study.add_trial(optuna.trial.create_trial(params=clipped, distributions=space, value=float(loss)))
        evaluators = {
            "fANOVA": FanovaImportanceEvaluator(seed=seed),
            "PED-ANOVA": PedAnovaImportanceEvaluator(),
        }
        return {name: get_param_importances(study, evaluator=e) for name, e in evaluators.items()}
    finally:
        optuna.logging.set_verbosity(verbosity)
