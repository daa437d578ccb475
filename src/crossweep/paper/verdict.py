"""A claim about means, judged: it holds, it does not hold, or the runs cannot tell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from numpy.typing import ArrayLike

from crossweep.results.stats import CONFIDENCE, MeanEstimate, estimate, holm, p_value


class Verdict(StrEnum):
    """What the runs say about a claim."""

    HELD = "reproduced"
    NOT_HELD = "not reproduced"
    OPEN = "cannot be judged"


@dataclass(frozen=True)
class Judged:
    """A mean against its limit.

    Args:
        mean: with its 95 % interval.
        p: of a two-sided t-test against the limit, Holm-adjusted over all that are judged together.
        verdict: whether the mean is below the limit.
    """

    mean: MeanEstimate
    p: float
    verdict: Verdict


def judge(samples: Sequence[ArrayLike], limit: float) -> list[Judged]:
    """Whether each mean lies below the limit; with Holm's adjustment one error in twenty over all of them.

    Args:
        samples: paired differences, one value per seed.
        limit: what the mean must not exceed.
    """
    means = [estimate(values) for values in samples]
    adjusted = holm([p_value(mean, limit) for mean in means])
    return [Judged(mean, p, _verdict(mean, p, limit)) for mean, p in zip(means, adjusted, strict=True)]


def _verdict(mean: MeanEstimate, p: float, limit: float) -> Verdict:
    if not p <= 1 - CONFIDENCE:
        return Verdict.OPEN
    return Verdict.HELD if mean.mean < limit else Verdict.NOT_HELD
