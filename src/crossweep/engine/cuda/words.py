"""Drawn or expected pulses of a mini-batch, for the kernels."""

from dataclasses import dataclass
from functools import cache
from math import prod
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from crossweep import feed
from crossweep.engine.cuda.launch import Numbers, cdiv, keys_of, power
from crossweep.engine.pulse_plan import PulsePlan
from crossweep.rng import Stream

_FULL = float(1 << 16)
_SIGNED = 31  # longest train whose words have room for the sign
_PLANES_FROM = 20  # slots from which on pulses are drawn in bit planes
_LINES, _SAMPLES = 256, 512  # that a program looks at together
_SEGMENTS = 4096  # an update is cut into so many at most


@dataclass(frozen=True)
class Words:
    """The pulses of a mini-batch on all crossbars that draw their own.

    Args:
        rows: words of the rows [drawn, pieces, b, rows] (int32); expected pulses [drawn, b, rows] (float32).
        columns: of the columns, likewise.
        signs: 1 where a value is negative, of rows and columns [drawn, b, lines] (int8); empty where words carry the sign.
        bl: slots of each sample [drawn, b].
        slots: first slot of each sample, and the end [drawn, b + 1] (int32); samples themselves where pulses are expected.
        running: pulses of a typical device before each sample, and in all [drawn, b + 1] (float64).
        coincidences: expected ones of a device in each sample, and expected pairs of them [2, drawn, b] (float64).
        pieces: words of a sample.
        spreads: of rows and columns: what is missing of a Poisson count's variance is their product [drawn, lines].
    """

    rows: Tensor
    columns: Tensor
    signs: tuple[Tensor, Tensor]
    bl: Tensor
    slots: Tensor
    running: Tensor
    coincidences: Tensor
    pieces: int
    spreads: tuple[Tensor, Tensor]

    @property
    def signed(self) -> bool:
        """Whether words carry the sign."""
        return self.signs[0].numel() == 0

    @property
    def lines(self) -> tuple[Tensor, ...]:
        """As kernels take them."""
        return self.rows, self.signs[0], self.columns, self.signs[1]

    @property
    def samples(self) -> int:
        """Number of samples b."""
        return self.bl.shape[-1]

    def kappas(self, first: int, last: int) -> Tensor:
        """Expected ``sum n_b^2 / sum n_b`` over some samples [drawn] (float32)."""
        singles, pairs = self.coincidences[..., first:last].sum(-1)
        return (1 + torch.where(singles > 0, pairs / singles.clamp(min=1e-300), 0.0)).float()

    def parts(self, words_at: Tensor, since: Tensor, until: Tensor, per_part: Numbers) -> Tensor:
        """In how many parts of ``per_part`` typical pulses at most each window is cut [crossbars, windows] (int32).

        Args:
            words_at: see ``words_of``.
            since: first sample each column sees [windows, columns] (int32).
            until: one past the last one.
            per_part: one number, > 0.
        """
        from crossweep.engine.cuda.kernels.samples import parts_of_windows

        many, (windows, columns) = words_at.numel(), since.shape
        parts = torch.empty(many, windows, dtype=torch.int32, device=since.device)
        parts_of_windows[(windows, many)](
            self.running, words_at, since, until, parts, self.samples, columns, windows, per_part,
            C=min(power(columns), _LINES),
        )  # fmt: skip
        return parts

    def edges(
        self, words_at: Tensor, first: int, last: int, relative_step: float | Tensor, most: float
    ) -> tuple[Tensor, Tensor]:
        """Slots that cut some samples into segments of about equal expected pulses [crossbars, room], and how many segments
        there are [crossbars] (int32).

        Args:
            words_at: see ``words_of``.
            first: of the samples.
            last: one past them.
            relative_step: what a pulse relaxes a typical device by [1], of all, or of each crossbar [crossbars, 1].
            most: what a segment may relax it by [1].
        """
        own = words_at.long()
        running = self.running[own, first : last + 1] - self.running[own, first : first + 1]
        slots = self.slots[own, first : last + 1].double()
        total = running[:, -1:]
        wanted = (total * relative_step / most).ceil().clamp(1, _SEGMENTS)
        marks = torch.arange(1, _SEGMENTS, device=running.device) / wanted
        right = torch.searchsorted(running, marks * total, right=True).clamp(1, running.shape[-1] - 1)
        below, above = running.gather(-1, right - 1), running.gather(-1, right)
        share = (marks * total - below) / torch.where(above > below, above - below, 1.0)
        left, after = slots.gather(-1, right - 1), slots.gather(-1, right)
        inner = torch.where(marks < 1, (left + share.clamp(0, 1) * (after - left)).floor(), slots[:, -1:])
        cut = torch.cat((slots[:, :1], inner, slots[:, -1:]), -1)
        new = torch.cat((torch.ones_like(cut[:, :1]), (cut.diff(dim=-1) > 0).to(cut.dtype)), -1)
        place = new.cumsum(-1).long() - 1
        return cut.new_zeros(cut.shape).scatter(-1, place, cut).int(), place[:, -1].int()

    def listed(self, first: int, last: int) -> tuple[Tensor, Tensor, Tensor]:
        """Sample and number of every word with slots, in order [drawn, room], and how many there are [drawn] (int32)."""
        many = ((self.bl[:, first:last] + 31) / 32).floor().long()
        place = torch.arange(self.pieces, device=many.device)
        there = place < many.unsqueeze(-1)
        to = torch.where(there, (many.cumsum(-1) - many).unsqueeze(-1) + place, (last - first) * self.pieces)
        room = many.new_zeros(many.shape[0], (last - first) * self.pieces + 1)
        sample = torch.arange(first, last, device=many.device)[:, None].expand_as(to[0])
        samples = room.scatter(-1, to.flatten(1), sample.expand_as(to).flatten(1))
        pieces = room.scatter(-1, to.flatten(1), place.expand_as(to).flatten(1))
        return samples.int(), pieces.int(), many.sum(-1).int()


def at(lead: tuple[int, ...], place: tuple[int, ...]) -> tuple[int, ...]:
    """Where, in broadcast leading dimensions ``lead``, the index ``place`` lies."""
    short = place[len(place) - len(lead) :]
    return tuple(0 if size == 1 else k for size, k in zip(lead, short, strict=True))


def words_of(
    plan: PulsePlan, stream: Stream, lead: tuple[int, ...], *, expected: bool = False
) -> tuple[Words, Tensor]:
    """The pulses of the whole mini-batch, drawn at first use, and which of them each crossbar uses [crossbars] (int32).

    Args:
        plan: of the mini-batch, or of a part of it.
        stream: of all crossbars.
        lead: leading dimensions of the crossbars.
        expected: pulses are not drawn.
    """
    batch = plan.drawn
    key: Any = ("cuda", expected)
    numbers, firsts = _which(lead, batch.lead)
    if key not in batch.words:
        batch.words[key] = (
            _expected(plan) if expected else _drawn(plan, [stream.at(place) for place in firsts])
        )
    return batch.words[key], feed.constant(lambda: numbers, batch.x)


@cache
def _which(
    lead: tuple[int, ...], drawn: tuple[int, ...]
) -> tuple[NDArray[np.int32], tuple[tuple[int, ...], ...]]:
    """Which of the drawn each crossbar of leading dimensions ``lead`` uses, and the first crossbar of each of the drawn."""
    places = list(np.ndindex(lead))
    own = [int(np.ravel_multi_index(at(drawn, place), drawn)) if drawn else 0 for place in places]
    return np.array(own, np.int32), tuple(places[own.index(k)] for k in range(prod(drawn)))


def _sides(plan: PulsePlan) -> list[tuple[Tensor, Tensor]]:
    """Values [drawn, b, n] and scales [drawn, b] of columns and rows."""
    batch, many = plan.drawn, prod(plan.drawn.lead)
    return [
        (values.detach().float().expand(*batch.lead, *values.shape[-2:]).reshape(many, *values.shape[-2:]),
         scale.detach().float().expand(*batch.lead, scale.shape[-1]).reshape(many, -1).contiguous())
        for values, scale in ((batch.x, batch.scale_x), (batch.d, batch.scale_d))
    ]  # fmt: skip


def _lengths(plan: PulsePlan) -> Tensor:
    batch = plan.drawn
    return (
        batch.bl.detach()
        .float()
        .expand(*batch.lead, batch.bl.shape[-1])
        .reshape(prod(batch.lead), -1)
        .contiguous()
    )


def _drawn(plan: PulsePlan, streams: list[Stream]) -> Words:
    from crossweep.engine.cuda.kernels.samples import first_slots
    from crossweep.engine.cuda.kernels.words import draw_lines

    bl, pieces = _lengths(plan), cdiv(plan.longest, 32)
    signed = plan.longest <= _SIGNED
    many, b = bl.shape
    slots = torch.empty(many, b + 1, dtype=torch.int32, device=bl.device)
    first_slots[(many,)](bl, slots, b, B=_SAMPLES)
    keys = [keys_of([stream.fork(name) for stream in streams], bl) for name in "xd"]
    found, sums = [], []
    for side, (values, scale) in enumerate(_sides(plan)):
        n = values.shape[-1]
        lines = min(power(n), _LINES)
        words = torch.empty(many, pieces, b, n, dtype=torch.int32, device=bl.device)
        signs = torch.empty(0 if signed else (many, b, n), dtype=torch.int8, device=bl.device)
        sums.append(torch.empty(2, many, cdiv(n, lines), b, dtype=torch.int64, device=bl.device))
        if words.numel():
            draw_lines[(b, cdiv(n, lines), many)](
                values, scale, bl, slots, keys[side], words, signs, sums[side][0], sums[side][1], b, n, *values.stride(),
                PIECES=pieces, SIGNED=signed, LONG=plan.longest >= _PLANES_FROM, LINES=lines,
            )  # fmt: skip
        found.append((words, signs))
    (x, x_signs), (d, d_signs) = found
    none = torch.empty(0, device=bl.device)
    running, coincidences = _summed(bl, sums, (x.shape[-1], d.shape[-1]), _FULL)
    return Words(d, x, (d_signs, x_signs), bl, slots, running, coincidences, pieces, (none, none))


def _summed(bl: Tensor, sums: list[Tensor], lines: tuple[int, int], full: float) -> tuple[Tensor, Tensor]:
    """``running`` and ``coincidences`` from sums over the lines of columns and of rows [2, drawn, blocks, b]."""
    from crossweep.engine.cuda.kernels.samples import summarise

    many, b = bl.shape
    running = torch.empty(many, b + 1, dtype=torch.float64, device=bl.device)
    coincidences = torch.empty(2, many, b, dtype=torch.float64, device=bl.device)
    scales = feed.constant(lambda: np.array([1 / (n * full) for n in lines]), bl)
    x, d = ((one[0], one[1]) for one in sums)
    summarise[(many,)](
        bl, x, d, running, coincidences, b, sums[0].shape[2], sums[1].shape[2], scales, B=_SAMPLES
    )
    return running, coincidences


def _expected(plan: PulsePlan) -> Words:
    from crossweep.engine.cuda.kernels.words import expect_lines

    bl = _lengths(plan)
    many, b = bl.shape
    found, sums = [], []
    for weighted, (values, scale) in zip((False, True), _sides(plan), strict=True):
        n = values.shape[-1]
        p = torch.empty(many, b, n, device=bl.device)
        sums.append(torch.empty(2, many, 1, b, device=bl.device))
        if p.numel():
            expect_lines[(b, many)](
                values, scale, bl, p, sums[-1][0], sums[-1][1], b, n, *values.stride(), WEIGHTED=weighted,
                LINES=min(power(n), 1024),
            )  # fmt: skip
        by_slots = torch.where(bl > 0, 1 / bl.clamp(min=1), 0.0) if weighted else bl
        size = p.abs().sum(1) if weighted else torch.bmm(bl.unsqueeze(1), p.abs()).squeeze(1)
        square = torch.bmm(by_slots.unsqueeze(1), p.square()).squeeze(1)
        found.append((p, square / size.clamp(min=1e-12)))
    (x, x_spread), (d, d_spread) = found
    none = torch.empty(0, dtype=torch.int8, device=bl.device)
    slots = torch.arange(b + 1, dtype=torch.int32, device=bl.device).repeat(many, 1)
    running, coincidences = _summed(bl, sums, (x.shape[-1], d.shape[-1]), 1.0)
    return Words(d, x, (none, none), bl, slots, running, coincidences, 1, (d_spread, x_spread))
