"""The direction of pulses from the readings alone, where a file names none."""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from crossweep.errors import ConfigError

Array = NDArray[np.float64]
_SWING = 0.5  # of the range that a train has to cover before its direction counts as known ...
_RETREAT = 0.25  # ... and that it may go back on the way
_SHORTEST = 5  # pulses of a train


def scatter(g: Array, breaks: NDArray[np.bool_]) -> float:
    """Scatter of single readings [S], from second differences that cross none of the ``breaks``."""
    bend = g[2:] - 2 * g[1:-1] + g[:-2]
    inside = np.isfinite(bend) & ~breaks[1:-1] & ~breaks[2:]
    return float(1.4826 * np.median(np.abs(bend[inside])) / np.sqrt(6)) if inside.any() else 0.0


def inferred(number: Array, start: NDArray[np.bool_], g: Array, here: str) -> tuple[Array, str]:
    """Polarity of every reading [t], and in words how it was found.

    Trains that are counted anew each have the direction in which they end; else trains of one length are looked for.

    Raises:
        ConfigError: neither gives a clear answer.
    """
    fresh = start | (np.diff(number, prepend=number[0]) < 0)
    fresh[0] = True
    edges = [*np.flatnonzero(fresh), g.size]
    spans = list(pairwise(edges))
    ways = np.array([direction(g[a:b]) for a, b in spans])
    if ways.all():
        words = f"{int((ways > 0).sum())} rising, {int((ways < 0).sum())} falling"
        return np.repeat(ways, np.diff(edges)), f"polarity from the readings: {words} trains"
    length, first = _length(g, spans, here)
    sign = np.concatenate([_alternating(b - a, length, first) for a, b in spans])
    one, other = ("rising", "falling")[:: int(first)]
    return sign, f"polarity from the readings: {length} {one}, {length} {other}"


def direction(g: Array) -> float:
    """+1 or -1 for readings that only rise or only fall, but for noise; else 0."""
    known = g[np.isfinite(g)]
    if known.size < _SHORTEST or not np.ptp(known) > 0:
        return 0.0
    way = float(np.sign(np.median(known[-3:]) - np.median(known[:3])))
    path = way * known / np.ptp(known)
    retreat = float((np.maximum.accumulate(path) - path).max())
    return way if np.median(path[-3:]) - np.median(path[:3]) > _SWING and retreat < _RETREAT else 0.0


def _alternating(n: int, length: int, first: float) -> Array:
    return np.where(np.arange(n) // length % 2 == 0, first, -first)


def _length(g: Array, spans: list[tuple[int, int]], here: str) -> tuple[int, float]:
    """The length of trains that follows the readings best, and the direction of the first."""
    longest = max(b - a for a, b in spans)
    lengths = np.arange(_SHORTEST, longest - _SHORTEST)
    filled = np.interp(np.arange(g.size), np.flatnonzero(np.isfinite(g)), g[np.isfinite(g)])

    def climbed(length: int) -> float:
        change = [np.diff(filled[a:b]) @ _alternating(b - a, length, 1.0)[1:] for a, b in spans]
        return float(np.sum(change))

    found = np.array([climbed(int(length)) for length in lengths])
    if found.size:
        best = int(np.abs(found).argmax())
        length, first = int(lengths[best]), float(np.sign(found[best]))
        turns = sum(-(-(b - a) // length) for a, b in spans)
        others = np.abs(np.delete(found, best))
        margin = float(np.abs(found[best]) - others.max(initial=0.0))
        clear = margin > 3 * scatter(g, np.zeros(g.size, bool)) * np.sqrt(2 * turns)
        ways = [
            first * direction(filled[k : min(k + length, b)]) for a, b in spans for k in range(a, b, length)
        ]
        signs = [(-1.0) ** n for a, b in spans for n in range(-(-(b - a) // length))]
        # a train cut short at the end may be too short to show its direction
        agree = all(way in (sign, 0.0) for way, sign in zip(ways, signs, strict=True))
        if clear and agree and np.mean(np.abs(ways)) > 0.5:
            return length, first
    raise ConfigError(
        f"{here}: no column tells up pulses from down pulses and the readings do not either; "
        "add a column polarity (+1/-1), or give --columns polarity=NAME"
    )
