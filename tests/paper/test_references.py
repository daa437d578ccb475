"""A rule is judged by the best digital run there is, chosen by validation loss."""

import pandas as pd

from crossweep.paper.references import referred
from crossweep.results.table import Table

PLACE = {"choice.experiment": "paper/small_swin", "choice.data": "cifar"}


def told(*rows: dict[str, object]) -> Table:
    return Table(rows=pd.DataFrame([PLACE | row for row in rows]), studies=(), skipped=())


def rule(seed: int) -> dict[str, object]:
    own = {"adamw": (48.0, 1.40), "momentum": (49.0, 1.45), "sgd": (52.0, 1.50)}
    numbers = {f"baseline.{name}.test_error": error for name, (error, _) in own.items()}
    losses = {f"baseline.{name}.validation_loss": loss for name, (_, loss) in own.items()}
    return (
        {"seed": seed, "metric.test_error": 50.0, "metric.baseline_error": 48.0, "metric.error_increase": 2.0}
        | numbers
        | losses
    )


def digital(seed: int, error: float, loss: float, momentum: float = 0.0, **place: str) -> dict[str, object]:
    settings = {"training.finetune.optimizer.momentum": momentum}
    return {
        "seed": seed,
        "metric.test_error": error,
        "metric.validation_loss": loss,
        "settings": settings,
    } | place


def test_the_lowest_validation_loss_chooses_whatever_the_test_error() -> None:
    runs = told(
        digital(0, 46.0, 1.35),
        digital(0, 44.0, 1.41),  # the test split chooses nothing
        digital(0, 47.0, 1.38, momentum=0.9),
        digital(1, 40.0, 1.41),  # worse than what seed 1 has
        digital(2, 30.0, 1.0, **{"choice.data": "cifar_second"}),
    )
    found = referred(told(rule(0), rule(1), rule(2)), [runs]).rows
    assert found["metric.baseline_error"].tolist() == [46.0, 48.0, 48.0]
    assert found["metric.error_increase"].tolist() == [4.0, 2.0, 2.0]
    assert found["baseline.momentum.test_error"].tolist() == [47.0, 49.0, 49.0]


def test_without_further_runs_nothing_changes() -> None:
    rules = told(rule(0))
    assert referred(rules, []) is rules
