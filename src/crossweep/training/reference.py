"""What a run is compared with: the best of several tuned digital runs, chosen by validation loss."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log, sqrt

from crossweep.data.base import Split
from crossweep.errors import DivergedError
from crossweep.training.loop import Row

_Z = 3.0  # standard errors above guessing; chosen


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A paired digital run: same pretrained weights, same batches, another optimizer.

    Args:
        name: as listed in ``training.baseline``.
        diverged: whether it ended without a result.
        scores: its row in the record; errors in per cent, None where it diverged.
        history: one row per epoch.
    """

    name: str
    diverged: bool
    scores: Mapping[str, float | None]
    history: Sequence[Row]


def choose(candidates: Sequence[Candidate], train: Split) -> Candidate | None:
    """The candidate with the lowest validation loss; without a validation split the first listed. None of none.

    The test split never takes part. Candidates that diverged are left out.

    Args:
        candidates: in the order of ``training.baseline``, which decides ties.
        train: the split that they were trained on.

    Raises:
        DivergedError: all of them diverged, or the chosen one has learned nothing, so that there is no reference.
    """
    if not candidates:
        return None
    usable = [candidate for candidate in candidates if not candidate.diverged]
    if not usable:
        names = ", ".join(candidate.name for candidate in candidates)
        raise DivergedError(
            f"reference: every digital run diverged ({names}); lower the rates of training.baseline_optimizers"
        )
    chosen = min(usable, key=_validation_loss)
    if chosen.history and not learned(chosen.history[-1], train):
        raise DivergedError(
            f"reference: the best digital run ({chosen.name}) is no better than guessing on its training samples "
            f"(accuracy {chosen.history[-1]['train_accuracy']:.3f}), so there is nothing to compare with; see "
            "training.pretrain and training.baseline_optimizers"
        )
    return chosen


def learned(row: Row, train: Split) -> bool:
    """Whether an epoch's training loss is below, or its training accuracy above, what the class counts alone give.

    The loss of a guess is the entropy of the labels [nat], its accuracy the share of the largest class; the accuracy must
    be 3 standard errors above.
    """
    n = train.labelled
    counts: list[int] = train.labels.flatten().bincount().tolist()
    shares = [count / n for count in counts if count]
    guess = max(shares)
    better = row["train_accuracy"] > guess + _Z * sqrt(guess * (1 - guess) / n)
    return better or row["train_loss"] < -sum(share * log(share) for share in shares)


def _validation_loss(candidate: Candidate) -> float:
    # without a validation split all are equal here, and `min` takes the first
    return candidate.scores.get("validation_loss") or 0.0
