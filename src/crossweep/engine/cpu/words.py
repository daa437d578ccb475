"""Drawn pulses of a mini-batch as 64-bit words, for the compiled engine."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, partial, reduce
from itertools import accumulate
from math import ceil
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from crossweep.engine.cpu.blocks import BAND, padded
from crossweep.engine.pulse_plan import PulsePlan
from crossweep.rng import Stream

Words = NDArray[np.uint64]
_FULL = float(1 << 16)


@dataclass(frozen=True)
class Lines:
    """The pulses of all columns, or of all rows.

    Args:
        pulses: 64 slots to a word, samples packed without gaps [words, n, rounded up to whole blocks].
        signs: 1 where the line's value is negative [words, likewise].
        mean: mean probability over the lines [b].
        square: mean squared probability over the lines [b].
    """

    pulses: NDArray[Any]
    signs: Words
    mean: NDArray[np.float64]
    square: NDArray[np.float64]

    @cached_property
    def slots(self) -> Words:
        """The same, slot by slot: which of each 256 lines pulse with a negative value, and with a positive one
        [lines / 256, slots, 8]."""
        from crossweep.engine.cpu.kernels.counters import turn_over
        from crossweep.engine.cpu.kernels.threads import spread

        words, n = self.pulses.shape
        out = np.zeros((-(-n // BAND), 64 * words, BAND // 32), np.uint64)
        spread(partial(turn_over, self.pulses, self.signs, out), words, 20.0 * words * n)
        return out


@dataclass(frozen=True)
class PulseWords:
    """The pulses of one mini-batch on one crossbar.

    Args:
        x: the columns.
        d: the rows.
        slots: first slot of each sample, and the end [b + 1].
        bl: length of each sample's pulse trains [b].
    """

    x: Lines
    d: Lines
    slots: NDArray[np.int64]
    bl: NDArray[np.int64]

    def edges(self, first: int, last: int, relative_step: float, most: float) -> NDArray[np.int64]:
        """Slots that cut the samples ``first`` to ``last`` into segments, also within samples.

        Each holds about as many expected pulses as the others, so few that a typical device relaxes by
        ``most``.
        """
        running = self._typical(first, last)
        wanted = ceil(running[-1] * relative_step / most)
        ends = [self.slots[first], self.slots[last]]
        if wanted <= 1:
            return np.array(ends, np.int64)
        marks = running[-1] * np.arange(1, wanted) / wanted
        slots = np.interp(marks, running, self.slots[first : last + 1])
        return np.unique(np.concatenate((ends, slots.astype(np.int64))))

    def parts(
        self, since: NDArray[np.int64], until: NDArray[np.int64], relative_step: float, most: float
    ) -> NDArray[np.int64]:
        """In how many parts each window is cut, so that a typical device relaxes by ``most`` in a part at most.

        Args:
            since: first sample each column sees [windows, n].
            until: one past the last one [windows, n].
            relative_step: relaxation of one pulse [1].
            most: largest relaxation of a part [1].
        """
        running = self._typical(0, self.bl.size)
        wanted = (running[until] - running[since]).max(1) * relative_step / most
        parts: NDArray[np.int64] = np.maximum(np.ceil(wanted), 1).astype(np.int64)
        return parts

    def pieces(self, first: int, last: int, most: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """First slots and lengths of the pieces, of ``most`` slots or less, that the samples ``first`` to ``last`` are cut
        into; a sample without slots has none."""
        bl = self.bl[first:last]
        many = -(-bl // most)
        place = np.arange(many.sum()) - np.repeat(np.cumsum(many) - many, many)  # of each piece in its sample
        begins = np.repeat(self.slots[first:last], many) + most * place
        return begins, np.minimum(np.repeat(bl, many) - most * place, most)

    def _typical(self, first: int, last: int) -> NDArray[np.float64]:
        """Pulses of a typical device from sample ``first`` to before each one, and to ``last`` [last - first + 1]."""
        own = slice(first, last)
        pulses = self.bl[own] * np.sqrt(self.x.square[own] * self.d.square[own])
        return np.concatenate((np.zeros(1), np.cumsum(pulses)))

    def blocks(self, first: int, last: int) -> float:
        """kappa: expected ``sum n_b^2 / sum n_b`` over the samples: pulses of a sample share their
        direction."""
        bl = self.bl[first:last]
        singles = float((bl * self.x.mean[first:last] * self.d.mean[first:last]).sum())
        pairs = float((bl * (bl - 1) * self.x.square[first:last] * self.d.square[first:last]).sum())
        return 1 + pairs / singles if singles > 0 else 1.0


def pulse_words(plan: PulsePlan, stream: Stream, place: tuple[int, ...]) -> PulseWords:
    """The pulses of the whole mini-batch at one leading index, drawn at first use."""
    batch = plan.drawn
    own = at(batch.lead, place)
    if own not in batch.words:
        draw_words(plan, {own: stream})
    words: PulseWords = batch.words[own]
    return words


def draw_words(plan: PulsePlan, streams: Mapping[tuple[int, ...], Stream]) -> None:
    """Draw the pulses of the whole mini-batch at several leading indices at once."""
    batch = plan.drawn
    sides = [
        (_whole(values), _whole(scale))
        for values, scale in ((batch.x, batch.scale_x), (batch.d, batch.scale_d))
    ]
    bls, wanted = _whole(batch.bl), []
    for place, stream in streams.items():
        bl = bls[at(bls.shape[:-1], place)].astype(np.int64)
        slots = np.concatenate((np.zeros(1, np.int64), np.cumsum(bl)))
        for name, (values, scale) in zip("xd", sides, strict=True):
            lines, rate = values[at(values.shape[:-2], place)], scale[at(scale.shape[:-1], place)]
            wanted.append(Wanted(lines, rate, stream.fork(name).next_key(), bl, slots))
    drawn = _draw(wanted)
    for k, place in enumerate(streams):
        own = wanted[2 * k]
        batch.words[place] = PulseWords(drawn[2 * k], drawn[2 * k + 1], own.slots, own.bl)


@dataclass(frozen=True)
class Expected(PulseWords):
    """Expected pulses of one mini-batch instead of drawn ones; every sample is one slot.

    ``pulses`` of the rows are ``BL p_d`` and of the columns ``p_x``, both signed, float32 [b, n, in whole blocks].

    Args:
        squares: of rows and columns: what is missing of a Poisson count's variance is their product [n, in whole
            blocks].
    """

    squares: tuple[NDArray[np.float32], NDArray[np.float32]]


def expected_words(plan: PulsePlan, place: tuple[int, ...]) -> Expected:
    """What is expected of the whole mini-batch at one leading index, computed at first use."""
    batch = plan.drawn
    own: Any = ("expected", *at(batch.lead, place))
    if own not in batch.words:
        bl = _array(batch.bl, 1, own[1:])
        lines, squares = [], []
        for values, scale, weighted in ((batch.x, batch.scale_x, False), (batch.d, batch.scale_d, True)):
            line, square = _expect(
                _array(values, 2, own[1:]), _array(scale, 1, own[1:]), bl, weighted=weighted
            )
            lines.append(line)
            squares.append(square)
        steps = np.arange(bl.size + 1)
        batch.words[own] = Expected(lines[0], lines[1], steps, bl.astype(np.int64), (squares[1], squares[0]))
    words: Expected = batch.words[own]
    return words


def at(lead: tuple[int, ...], place: tuple[int, ...]) -> tuple[int, ...]:
    """Where, in broadcast leading dimensions ``lead``, the index ``place`` lies."""
    short = place[len(place) - len(lead) :]
    return tuple(0 if size == 1 else k for size, k in zip(lead, short, strict=True))


def _array(tensor: Tensor, dims: int, place: tuple[int, ...]) -> Any:
    one = tensor.detach()
    if tensor.dim() > dims:
        one = one[at(tuple(tensor.shape[: tensor.dim() - dims]), place)]
    return one.float().contiguous().numpy()


def _whole(tensor: Tensor) -> Any:
    """All of a tensor as the kernels take it."""
    return tensor.detach().float().contiguous().numpy()


class Wanted(NamedTuple):
    """Lines to draw.

    Args:
        values: [b, n].
        scale: [b].
        key: of their numbers.
        bl: slots of each sample [b].
        slots: first slot of each sample, and the end [b + 1].
    """

    values: Any
    scale: Any
    key: int
    bl: NDArray[np.int64]
    slots: NDArray[np.int64]


def _draw(sides: list[Wanted]) -> list[Lines]:
    """Draw the lines of all sides as one job of the threads."""
    from crossweep.engine.cpu.kernels.draw import draw_lines
    from crossweep.engine.cpu.kernels.threads import spread

    firsts = [0, *accumulate(side.values.shape[1] for side in sides)]
    # one word more: samples are written in pieces of 32 slots
    shapes = [(2, (int(side.slots[-1] + 63) >> 6) + 1, padded(side.values.shape[1])) for side in sides]
    drawn = [np.zeros(shape, np.uint64) for shape in shapes]
    parts: list[list[Words]] = [[] for _ in sides]

    def work(first: int, last: int) -> None:
        for side, (pulses, signs), start, stop, own in zip(sides, drawn, firsts, firsts[1:], parts):
            begin, end = max(first, start) - start, min(last, stop) - start
            if begin < end:
                sums = np.zeros((2, side.bl.size), np.uint64)
                own.append(sums)
                draw_lines(
                    side.values,
                    side.scale,
                    side.bl,
                    side.slots,
                    side.key,
                    pulses,
                    signs,
                    sums[0],
                    sums[1],
                    begin,
                    end,
                )

    spread(
        work,
        firsts[-1],
        float(sum(side.values.shape[1] * (2 * side.bl.size + side.slots[-1]) for side in sides)),
    )
    lines = []
    for side, (pulses, signs), own in zip(sides, drawn, parts, strict=True):
        # whole numbers, so that the sums do not depend on the number of threads
        mean, square = reduce(np.add, own) / (side.values.shape[1] * _FULL)
        lines.append(Lines(pulses, signs, mean, square))
    return lines


def _expect(values: Any, scale: Any, bl: Any, *, weighted: bool) -> tuple[Lines, NDArray[np.float32]]:
    """Expected pulses, and the mean square of each line's probabilities over their mean."""
    from crossweep.engine.cpu.kernels.batch import VECTORS, expect_lines
    from crossweep.engine.cpu.kernels.threads import spread

    b, n = values.shape
    p, sums = np.zeros((b, padded(n)), np.float32), np.zeros((2, b), np.float32)
    parts = -(-b // VECTORS)
    lines = np.zeros((parts, 2, padded(n)), np.float32)
    work: Any = partial(expect_lines, values, scale, bl, weighted, p, sums, lines)
    spread(work, parts, 2.0 * values.size)
    size, square = lines.sum(0)
    mean, mean_square = sums.astype(np.float64) / n
    return Lines(p, np.zeros((0, 0), np.uint64), mean, mean_square), square / np.maximum(
        size, np.float32(1e-12)
    )


def column_slots(plan: PulsePlan, words: PulseWords) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First slot, and one past the last, that each column of ``plan`` sees [x, in whole blocks]."""
    first, last = plan.first, plan.first + plan.bl.shape[-1]
    n = plan.x.shape[-1]
    since, until = (np.full(padded(n), words.slots[edge]) for edge in (first, last))
    if plan.since is not None and plan.until is not None:
        since[:n], until[:n] = (words.slots[t.clamp(first, last).numpy()] for t in (plan.since, plan.until))
    return since, until


def turned(sign: Tensor | None, n: int, place: tuple[int, ...]) -> NDArray[np.bool_]:
    """Which lines have their sign turned [n, in whole blocks]."""
    lines = np.zeros(padded(n), np.bool_)
    if sign is not None:
        lines[: sign.shape[-1]] = (sign[at(tuple(sign.shape[:-1]), place)] < 0).numpy()
    return lines
