"""What is pointed out at the end of a run, and what is not."""

from collections.abc import Sequence

import pytest
import torch

from crossweep.data.base import Split, Task
from crossweep.training.caveats import caveats, last_third, trend
from crossweep.training.loop import FitResult, Row
from crossweep.training.reference import Candidate

SETTLED = [1.0, 0.6, 0.4, 0.31, 0.3, 0.29, 0.3, 0.29, 0.29]


def split(n: int) -> Split:
    return Split(images=torch.zeros(n, 1, 2, 2), labels=torch.arange(n) % 5, mean=(0.0,), std=(1.0,))


def task(*, validation: bool = True) -> Task:
    part = split(50) if validation else None
    return Task(
        name="t", train=split(100), validation=part, test=split(400), class_names=("a", "b", "c", "d", "e")
    )


def history(losses: Sequence[float], se: float = 0.01) -> list[Row]:
    return [
        {"epoch": i + 1, "train_loss": loss, "train_loss_se": se, "train_accuracy": 0.9}
        for i, loss in enumerate(losses)
    ]


def found(
    *,
    error: float = 5.0,
    run: Sequence[Row] | None = None,
    state: str = "complete",
    reference: Sequence[Row] | None = None,
    validation: bool = True,
    names: Sequence[str] = ("adamw", "sgd"),
) -> list[str]:
    """The sentences of a run against a reference with 4 % test error."""
    rows = history(SETTLED) if reference is None else reference
    candidates = [
        Candidate(name=name, diverged=name == "momentum", scores={"test_error": 4.0}, history=rows)
        for name in names
    ]
    fit = FitResult(state, list(history(SETTLED) if run is None else run))  # type: ignore[arg-type]
    chosen = candidates[0] if candidates else None
    return caveats(task(validation=validation), fit, candidates, chosen, error)


def test_nothing_is_said_of_a_sound_run() -> None:
    assert found() == [] and found(names=()) == []


def test_a_negative_increase_is_judged_by_the_sampling_error() -> None:
    # two errors of about 4 % on 400 images: 2 sqrt(2 * 4 * 96 / 400) = 2.8 points
    (small,) = found(error=3.5)
    assert "negative, -0.50 points, within the sampling error of 400 test samples" in small
    (large,) = found(error=0.5)
    assert "-3.50 points, beyond the sampling error" in large and "study=tune_digital" in large
    assert found(error=4.0) == []


def test_a_reference_that_still_improves_is_far_from_converged() -> None:
    (sentence,) = found(reference=history([1.6, 1.3, 1.1, 0.95, 0.85]))
    assert (
        "(adamw) is far from converged" in sentence and "fell by 0.25 over the last 3 of 5 epochs" in sentence
    )
    assert found(reference=history([1.6, 1.3, 1.1, 0.95, 0.85], se=0.2)) == []  # may be chance
    assert found(reference=history([0.5, 0.2, 0.1, 0.08, 0.06])) == []  # real, but little is left to gain
    assert found(reference=history([1.6, 1.0, 0.85, 0.95, 1.1])) == []  # worse, not unfinished
    (short,) = found(reference=history([1.6]))
    assert "trained for 1 epoch: too few" in short


@pytest.mark.parametrize(
    ("losses", "seen"),
    [
        ([1.6, 1.3, 1.1, 0.9, 0.7, 0.5], "between 0.50 and 0.90 over the last 3 of 6"),
        ([1.6, 0.3, 0.2, 0.3, 0.5, 0.8], "between 0.30 and 0.80"),
        ([1.6, 0.5, 0.5, 0.5, 0.9, 0.5], "between 0.50 and 0.90"),
    ],
    ids=["falls", "rises", "jumps"],
)
def test_a_run_whose_loss_moves_has_not_settled(losses: list[float], seen: str) -> None:
    (sentence,) = found(run=history(losses))
    assert "has not settled" in sentence and seen in sentence
    assert found(run=history(losses, se=0.3)) == []
    assert found(run=history(losses), state="diverged") == []  # the state says it


def test_how_the_reference_was_chosen_is_said_where_it_matters() -> None:
    (sentence,) = found(validation=False)
    assert "the reference is the first listed, adamw" in sentence
    assert found(validation=False, names=("adamw",)) == []
    (sentence,) = found(names=("adamw", "momentum"))
    assert sentence.startswith("The digital run momentum diverged")


def test_trend_is_a_line_of_least_squares() -> None:
    change, error = trend(history([1.0, 0.8, 0.6, 0.4], se=0.1))
    assert change == pytest.approx(-0.6)
    # slope's variance: se^2 / sum of squared distances from the middle (5), over 3 epochs
    assert error == pytest.approx(3 * 0.1 / 5**0.5)
    assert [len(last_third(history([1.0] * n))) for n in (2, 3, 9, 10, 30)] == [2, 3, 3, 4, 10]
