"""What a reader must know before believing a number: sentences for the record and the end of the run.

Every criterion needs both: a deviation beyond the sampling error, and one that matters.
"""

from collections.abc import Sequence
from math import log, sqrt

from crossweep.data.base import Task
from crossweep.training.loop import FitResult, Row
from crossweep.training.reference import Candidate

_Z = 3.0  # a change counts as real beyond so many standard errors; chosen: one false alarm in 700 runs
_MARKED = 0.05  # a change of the loss matters beyond this share of a guess' loss, ln(classes) [1]; chosen


def caveats(
    task: Task,
    fit: FitResult,
    candidates: Sequence[Candidate],
    reference: Candidate | None,
    error: float,
) -> list[str]:
    """All that apply to a run, worst first.

    Args:
        task: the target task.
        fit: how the fine-tuning ended.
        candidates: the digital runs.
        reference: the one compared with, None without any.
        error: test error of the run [%].
    """
    found = []
    if reference is not None:
        reference_error = reference.scores["test_error"]
        assert reference_error is not None
        found += _negative(error, reference_error, task.test.labelled)
        found += _unconverged(reference, task.classes)
    if fit.state == "complete":
        found += _unsettled(fit.history, task.classes)
    if reference is not None and task.validation is None and len(candidates) > 1:
        found.append(
            f"data.validation is 0, so nothing could choose among the digital runs: the reference is the first "
            f"listed, {reference.name}."
        )
    found += [
        f"The digital run {candidate.name} diverged and is no candidate for the reference."
        for candidate in candidates
        if candidate.diverged
    ]
    return found


def _negative(error: float, reference: float, n: int) -> list[str]:
    increase = error - reference
    if increase >= 0:
        return []
    # of two independent counts; the runs share their test images, so the truth is smaller
    deviation = sqrt(sum(e * (100 - e) / n for e in (error, reference)))
    errors = f"2 standard errors: {2 * deviation:.2f}"
    if -increase <= 2 * deviation:
        verdict = f"within the sampling error of {n} test samples ({errors}); take it for none"
    else:
        verdict = (
            f"beyond the sampling error of {n} test samples ({errors}); the digital "
            "reference is not at its best here: tune it (study=tune_digital)"
        )
    return [f"The error increase is negative, {increase:.2f} points, {verdict}."]


def _unconverged(reference: Candidate, classes: int) -> list[str]:
    """Whether the reference would gain from more epochs: its training loss still falls."""
    if len(reference.history) < 2:
        n = len(reference.history)
        return [
            f"The reference ({reference.name}) trained for {n} epoch{'s' * (n != 1)}: too few to see convergence."
        ]
    rows = last_third(reference.history)
    change, deviation = trend(rows)
    if not (-change > _Z * deviation and -change > _MARKED * log(classes)):
        return []
    return [
        f"The reference ({reference.name}) is far from converged: its training loss still fell by {-change:.2f} over "
        f"the last {len(rows)} of {len(reference.history)} epochs; train longer (training.finetune.epochs) before "
        "judging the device."
    ]


def _unsettled(history: Sequence[Row], classes: int) -> list[str]:
    """Whether the run's own training loss still falls, rises or jumps."""
    if len(history) < 2:
        return []  # the reference, trained for as many epochs, says it
    rows = last_third(history)
    low, high = (pick(rows, key=lambda row: row["train_loss"]) for pick in (min, max))
    spread = high["train_loss"] - low["train_loss"]
    deviation = sqrt(low["train_loss_se"] ** 2 + high["train_loss_se"] ** 2)
    if not (spread > _Z * deviation and spread > _MARKED * log(classes)):
        return []
    return [
        f"The run has not settled: its training loss moved between {low['train_loss']:.2f} and "
        f"{high['train_loss']:.2f} over the last {len(rows)} of {len(history)} epochs."
    ]


def last_third(history: Sequence[Row]) -> Sequence[Row]:
    """The epochs that are judged: the last third, at least three (two of two)."""
    return history[-max(3, -(-len(history) // 3)) :]


def trend(rows: Sequence[Row]) -> tuple[float, float]:
    """Change of the training loss over ``rows`` [nat] by a straight line of least squares, and its standard error."""
    middle = (len(rows) - 1) / 2
    weights = [i - middle for i in range(len(rows))]
    total = sum(w * w for w in weights)
    slope = sum(w * row["train_loss"] for w, row in zip(weights, rows, strict=True)) / total
    variance = sum((w * row["train_loss_se"]) ** 2 for w, row in zip(weights, rows, strict=True)) / total**2
    return slope * (len(rows) - 1), sqrt(variance) * (len(rows) - 1)
