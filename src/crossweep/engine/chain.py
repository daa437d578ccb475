"""The chain of tiles that a program works on, and the run of a program in torch: the reference.

Letters: I slices (columns of the chain's tiles), O their length, r columns that are read at once.
"""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import pad

from crossweep import feed
from crossweep.common import differ, lift, own
from crossweep.engine.base import Tile, granularity
from crossweep.engine.program import (
    Buffered,
    Chopper,
    Normalised,
    Own,
    Program,
    Pulses,
    Smoothed,
    Trains,
    Transfer,
)
from crossweep.engine.pulse_plan import PulsePlan
from crossweep.engine.rounded import BELOW, fixed, floating
from crossweep.engine.schedule import Numbers, Schedule, TransferClock, Windows, schedule, shares
from crossweep.engine.slice_pulses import pulse_counts, train_counts
from crossweep.rng import Stream

Count = int | NDArray[np.int64] | Tensor  # of each instance, where several lie side by side
# after how many reads of a column by the first transfer: transfer, windows and columns
Agenda = dict[int, list[tuple[int, Tensor, Tensor]]]


class TransferState(nn.Module):
    """What one transfer remembers beside the tiles.

    Attributes:
        held: digital numbers that reads change: buffer, or running average [..., O, I].
        mean: running mean of the reads [..., O, I].
        past: what is subtracted from them [..., O, I].
        second: mean square that they are normalised by [..., O, I].
        switched: columns whose chopper flipped after their last read, where there is a mean [..., I].
        row_factor: where the mean square is factored, share of each row in that of a column [..., O].
        column_factor: mean square of each column [..., I].
        row_sums: squares of the reads of a mini-batch, summed over its columns [..., O].
        column_sums: summed over rows [..., I].
        clock: which column is next.
    """

    held: Tensor
    mean: Tensor
    past: Tensor
    second: Tensor
    switched: Tensor
    row_factor: Tensor
    column_factor: Tensor
    row_sums: Tensor
    column_sums: Tensor

    def __init__(self, transfer: Transfer, like: Tensor) -> None:
        super().__init__()
        self.memory = transfer.what.memory
        self.follows = isinstance(transfer.what, Buffered) and transfer.what.follows
        for name in self.memory:
            self.register_buffer(name, torch.zeros_like(like))
        if "mean" in self.memory:
            self.register_buffer("switched", torch.zeros_like(like[..., 0, :], dtype=torch.bool))
        normalise = transfer.what.normalise if isinstance(transfer.what, Buffered) else None
        self.factored = normalise is not None and normalise.factored
        if self.factored:
            self.register_buffer("row_factor", torch.zeros_like(like[..., 0]))
            self.register_buffer("column_factor", torch.zeros_like(like[..., 0, :]))
        self.clock = TransferClock(slices=like.shape[-1], at_once=transfer.at_once)

    def instance(self, i: int) -> "TransferState":
        """One of several instances side by side; its numbers are parts of these."""
        one = copy.copy(self)
        one._buffers = {name: None if t is None else t[i] for name, t in self._buffers.items()}
        sums = {name: item[i] for name, item in vars(self).items() if isinstance(item, Tensor)}
        vars(one).update(sums)
        return one

    @property
    def values(self) -> float:
        """Digital numbers per weight."""
        if not self.factored:
            return len(self.memory)
        return len(self.memory) + 1 / self.row_factor.shape[-1] + 1 / self.column_factor.shape[-1]

    def begin(self) -> None:
        """A mini-batch: nothing has been read yet."""
        if self.factored:
            self.row_sums, self.column_sums = map(torch.zeros_like, (self.row_factor, self.column_factor))
            feed.also(self._mark)

    def _mark(self) -> None:
        self._before = self.clock.reads

    def finish(self, what: Buffered) -> None:
        """The end of a mini-batch: the factors of the mean square move."""
        assert what.normalise is not None
        decay, silent, rows = what.normalise.decay, what.silent_passes, self.row_factor.shape[-1]

        def before_and_now() -> tuple[Numbers, Numbers]:
            return self._before - silent, self.clock.reads - self._before

        def passes() -> Tensor:
            before, now = before_and_now()
            return shares(decay, np.maximum(before, 0).mean(), now.mean())

        many = feed.given(lambda: before_and_now()[1].astype(np.float32), self.row_factor)
        own = self.column_sums / (many * rows).clamp(min=1)
        weight = feed.given(lambda: shares(decay, *before_and_now()), self.row_factor)
        self.column_factor = self.column_factor + weight * (own - self.column_factor)
        expected = (many * self.column_factor).sum(-1, keepdim=True)
        share = self.row_sums / torch.where(expected > 0, expected, 1.0)
        weight = feed.given(passes, self.row_factor)
        self.row_factor = self.row_factor + weight * (share - self.row_factor)

    def keep(self, what: Buffered | Smoothed | Own, draws: Stream) -> None:
        """The end of a mini-batch: what its memory holds of the digital numbers."""
        if many := differ(what):
            for i in range(many):
                self.instance(i).keep(own(what, i), draws.at((i,)))
        elif isinstance(what, Buffered) and what.rounded is not None:
            for name in self.memory:
                numbers = getattr(self, name)
                chance = draws.fork("rounding").uniform(*numbers.shape, like=numbers, portable=True)
                numbers.copy_(_rounded(what, name, numbers, chance))

    @property
    def reference(self) -> Tensor:
        """What the next reads are relative to, where there is a mean [..., O, I]."""
        return self.mean if self.follows else torch.where(self.switched.unsqueeze(-2), self.mean, self.past)

    def forget_reference(self) -> None:
        """Reads are relative to zero again."""
        for name in {"mean", "past"} & set(self.memory):
            setattr(self, name, torch.zeros_like(self.mean))
        self.switched = torch.zeros_like(self.switched)

    def restart(self) -> None:
        """Begin with the first column again; the numbers stay."""
        self.clock.samples = self.clock.column = self.clock.passes = 0

    def get_extra_state(self) -> dict[str, int]:
        return self.clock.as_dict()

    def set_extra_state(self, state: dict[str, int]) -> None:
        self.restart()
        for name, value in state.items():
            setattr(self.clock, name, value)


@dataclass(kw_only=True)
class Events:
    """What runs did, for the cost, of each instance; its crossbars count as one each. Counts that a device makes stay
    tensors there, until somebody asks.

    Args:
        slice_reads: columns (or rows) of a fast tile read for a transfer.
        transfers: slices written to the next tile (or rows, in mixed precision) that asked for a pulse at all.
        transfer_slots: slots of the pulse trains of these transfers, at most: ``desired_bl`` for each.
        digital_operations: additions and multiplications outside the crossbar, conversions to pulses included.
    """

    slice_reads: int = 0
    transfers: Count = 0
    transfer_slots: Count = 0
    digital_operations: int = 0

    def add(self, **counts: int) -> None:
        """Count what the host knows."""
        feed.also(partial(self._add, **counts))

    def _add(self, **counts: int) -> None:
        for name, count in counts.items():
            setattr(self, name, getattr(self, name) + count)

    def sent(self, many: Count, slots: int) -> None:
        """Count transfers, each with so many slots."""
        self.transfers = _plus(self.transfers, many)
        self.transfer_slots = _plus(self.transfer_slots, many * slots)


def _plus(count: Count, more: Count) -> Count:
    """Their sum; a tensor stays where it is."""
    if isinstance(count, Tensor):
        return count.add_(torch.as_tensor(more, device=count.device))
    if isinstance(count, np.ndarray) and isinstance(more, Tensor):
        return torch.from_numpy(count).to(more.device) + more
    return count + more


@dataclass
class Chain:
    """Tiles and digital numbers of one weight.

    Args:
        tiles: the finest first.
        states: of each transfer.
        chop_in: sign of each column of the first tile, +1 or -1 [..., I].
        chop_out: sign of each of its rows [..., O].
        unit: what a unit of the last tile is of the weight that it stands for, broadcastable to [..., O, I].
        draws: stream of what transfers draw.
        flips: stream of the choppers.
        events: where they are counted.
    """

    tiles: Sequence[Tile]
    states: Sequence[TransferState]
    chop_in: Tensor
    chop_out: Tensor
    unit: Tensor
    draws: Stream
    flips: Stream
    events: Events

    def begin(self, program: Program) -> None:
        """A mini-batch: clocks take the periods of its program."""
        for state, transfer in zip(self.states, program.transfers, strict=True):
            state.clock.every = transfer.every
            state.begin()

    def finish(self, program: Program) -> None:
        """The end of the mini-batch."""
        for state, transfer in zip(self.states, program.transfers, strict=True):
            if state.factored:
                assert isinstance(transfer.what, Buffered)
                state.finish(transfer.what)
            state.keep(transfer.what, self.draws)

    def cuts(self, program: Program, batch: int) -> set[int]:
        """Sample counts, within the next ``batch`` samples, after which choppers of rows flip: the ends of full passes."""
        if not program.chopper.rows:
            return set()
        feed.refuse("signs of rows flip at places of the mini-batch that move")
        return set(self.states[program.gradient].clock.pass_ends(batch))

    def flip_rows(self, program: Program) -> None:
        """The end of a pass."""
        drawn = self.flips.fork("rows").uniform(*self.chop_out.shape, like=torch.empty(0))
        flips = (drawn < program.chopper.rows).to(self.chop_out.device)
        self.chop_out = torch.where(flips, -self.chop_out, self.chop_out)

    def run(self, program: Program, plan: PulsePlan, rate: Tensor) -> None:
        """A mini-batch, or a part of one in which the signs of rows stay; ``begin`` comes first.

        Args:
            program: what happens.
            plan: pulses of the gradient, columns and rows as in the chain's tiles.
            rate: learning rate of the gradient's tile for each sample [..., b].
        """
        if program.gradient == len(self.states):
            self.tiles[-1].update(plan, program.update)
        else:
            job = Job.of(self, program, plan, rate)
            job.source.engine.run(job)
        for state in self.states:
            feed.also(partial(state.clock.advance, plan.bl.shape[-1]))


@dataclass
class Job:
    """One run of a program, as engines take it: window by window, or many windows at once.

    Args:
        chain: what it works on.
        program: what happens.
        plan: pulses of the gradient.
        schedules: of each transfer from that of the gradient's tile on.
        agenda: what the later transfers read, in order.
    """

    chain: Chain
    program: Program
    plan: PulsePlan
    schedules: dict[int, Schedule]
    agenda: Agenda

    @classmethod
    def of(cls, chain: Chain, program: Program, plan: PulsePlan, rate: Tensor) -> "Job":
        """Look up and draw what is known before the first pulse: schedules, flips of columns."""
        batch, head = plan.bl.shape[-1], program.gradient
        if program.chopper.rows:
            plan = plan.flip_rows(chain.chop_out)
        if len(program.transfers) > head + 1:
            feed.refuse(
                "transfers out of several tiles take turns that differ from one mini-batch to the next"
            )
        schedules = {}
        for j in range(head, len(program.transfers)):
            due, what = _windows(chain.states[j].clock, batch), program.transfers[j].what
            if j == 0 and program.chopper.flips_columns:
                sign, fresh = _chopped(chain, program, due, batch)
            else:
                lead = chain.chop_in.shape[:-1] if differ(what) else ()
                sign = torch.ones(*lead, *due.reads.shape, device=chain.chop_in.device)
                fresh = torch.zeros_like(sign, dtype=torch.bool)
            schedules[j] = schedule(due, what, rate, program.chopper, sign, fresh)
        return cls(chain, program, plan, schedules, _agenda(schedules, head))

    @property
    def first(self) -> Schedule:
        """When the gradient's tile is read."""
        return self.schedules[self.program.gradient]

    @property
    def transfer(self) -> Transfer:
        """What happens to these reads."""
        return self.program.transfers[self.program.gradient]

    @property
    def source(self) -> Tile:
        """The gradient's tile."""
        return self.chain.tiles[self.program.gradient]

    @property
    def target(self) -> Tile:
        """The tile that it is transferred to."""
        return self.chain.tiles[self.program.gradient + 1]

    @property
    def many(self) -> int:
        """Number of windows."""
        return len(self.first.reads)

    @property
    def places(self) -> list[int]:
        """Numbers of windows between which later transfers have something to do."""
        return [place for place in sorted(self.agenda) if 0 < place < self.many]

    def window(self, m: int) -> None:
        """Pulses of the gradient in window ``m``, and the reads at its end."""
        self._pulse(m)
        columns = torch.from_numpy(np.flatnonzero(self.first.reads[m]))
        if columns.numel():
            self._transfer(self.program.gradient, m, columns)

    def hand_on(self, place: int) -> None:
        """What the later transfers do after ``place`` reads of a column by the first."""
        for j, m, columns in self.agenda.get(place, ()):
            self._transfer(j, m, columns)

    def _pulse(self, m: int) -> None:
        due, plan = self.first, self.plan
        since, until = due.since[m], due.until[m]
        start, stop = int(since.min()), int(until.max())
        if start >= stop:
            return
        part = plan.samples(start, stop)
        if self.program.chopper.flips_columns:
            part = part.flip_columns(due.sign[..., m, :])
        if (since > start).any() or (until < stop).any():
            device = self.chain.chop_in.device
            first, last = (torch.from_numpy(edge + plan.first).to(device) for edge in (since, until))
            part = part.within(first, last)
        self.source.update(part, self.program.update)

    def _transfer(self, j: int, m: int | Tensor, columns: Tensor) -> None:
        """Read ``columns`` of tile ``j``, each at the end of its window ``m``, and write them to the next tile."""
        chain, due, what = self.chain, self.schedules[j], self.program.transfers[j].what
        source, target = chain.tiles[j : j + 2]
        every = columns.numel() == source.state.shape[-1] and isinstance(m, int)
        chosen = slice(None) if every else columns.to(chain.chop_in.device)
        value = source.read_columns(chosen, self.program.transfers[j].io)
        read = Read(
            value=value, columns=chosen, rows=chain.chop_out if j == 0 else None,
            unit=chain.unit.expand(*chain.unit.shape[:-1], source.state.shape[-1])[..., chosen],
            **{name: getattr(due, name)[..., m, chosen] for name in ("sign", "scale", "fresh", "gate", "share")},
        )  # fmt: skip
        wanted = digest(what, read, chain.states[j])
        counts = self._counts(what.write, wanted, target)
        if counts is not None:
            target.pulse(counts, chosen)
        sent = 0 if counts is None else of_each((counts != 0).any(-2), chain.draws)
        self.count(j, columns.numel, sent)

    def _counts(self, write: Pulses | Trains, wanted: Tensor, target: Tile) -> Tensor | None:
        """Pulses that the next tile gets [..., O, r]; None: nothing is written."""
        engine, draws, rows = target.engine, self.chain.draws, self.program.rows
        if isinstance(write, Pulses):
            return pulse_counts(engine, wanted, write, draws, rows=rows)
        if not lift(_writes, write, name="whether a transfer is written"):
            return None
        step, strength = granularity(target.device), lift(_strength, write)
        return train_counts(engine, wanted, strength, step, write.update, draws, as_input=rows)

    def count(self, j: int, columns: Callable[[], int], sent: Count) -> None:
        """Keep account of ``columns`` read for transfer ``j``, of which ``sent`` sent pulses."""
        events, tile, what = self.chain.events, self.chain.tiles[j], self.program.transfers[j].what
        each, operations = tile.instances // self.chain.draws.many, what.operations * tile.weight.shape[-2]

        def account() -> None:
            reads = columns() * each
            events.slice_reads += reads
            events.digital_operations += operations * reads

        feed.also(account)
        events.sent(sent, what.write.update.desired_bl)


@dataclass(frozen=True, kw_only=True)
class Read:
    """Columns as they were read, and what the schedule says of them.

    Args:
        value: what was read [..., O, r].
        columns: which [r].
        rows: choppers of the rows [..., O]; None: there are none.
        unit: as ``Chain``, broadcastable to [..., O, r].
        sign: choppers of the columns [..., r].
        scale: as ``Schedule`` [..., r].
        fresh: as ``Schedule`` [..., r].
        gate: as ``Schedule`` [..., r].
        share: as ``Schedule`` [..., r].
    """

    value: Tensor
    columns: Tensor | slice
    rows: Tensor | None
    unit: Tensor
    sign: Tensor
    scale: Tensor
    fresh: Tensor
    gate: Tensor
    share: Tensor

    def instance(self, i: int) -> "Read":
        """One of several instances side by side."""
        parts = {one.name: getattr(self, one.name) for one in fields(self)}
        return replace(
            self, **{name: t[i] for name, t in parts.items() if isinstance(t, Tensor) and name != "columns"}
        )

    def chopped(self, values: Tensor) -> Tensor:
        """``values [..., O, r]`` with the choppers' signs."""
        signed = values * self.sign.unsqueeze(-2)
        return signed if self.rows is None else signed * self.rows.unsqueeze(-1)


def digest(what: Buffered | Smoothed | Own, read: Read, state: TransferState) -> Tensor:
    """What is written of a read [..., O, r]; the digital numbers of its columns move on."""
    if many := differ(what):
        return torch.stack([digest(own(what, i), read.instance(i), state.instance(i)) for i in range(many)])
    if isinstance(what, Own):
        wanted, state.held[..., read.columns] = what.digest(
            read.chopped(read.value), state.held[..., read.columns]
        )
        return wanted * read.gate.unsqueeze(-2)
    return _sum(what, read, state) if isinstance(what, Buffered) else _average(what, read, state)


def _sum(what: Buffered, read: Read, state: TransferState) -> Tensor:
    at, value = read.columns, read.value
    if what.past is not None:
        mean = state.mean[..., at]
        past = mean if what.follows else torch.where(read.fresh.unsqueeze(-2), mean, state.past[..., at])
        if not what.follows:
            state.past[..., at] = past
        excess = value - past
        state.mean[..., at] = (1 - what.past) * mean + what.past * value
        value = excess
    if what.normalise is not None:
        value = _normalised(what.normalise, value, read, state) / read.unit
    added = read.chopped(value * read.scale.unsqueeze(-2))
    filled = added if what.no_buffer else state.held[..., at] + added
    longest = what.write.update.desired_bl
    n = filled.trunc().clamp(-longest, longest)
    rest = what.momentum * filled if what.forget else filled - (1 - what.momentum) * n
    if what.cap:
        rest = rest.clamp(-what.cap, what.cap)
    state.held[..., at] = torch.where(n == 0, filled, rest)
    return n * read.gate.unsqueeze(-2)


def _normalised(what: Normalised, value: Tensor, read: Read, state: TransferState) -> Tensor:
    at, square = read.columns, value.square()
    if what.factored:
        state.row_sums += square.sum(-1)
        state.column_sums[..., at] += square.sum(-2)
        root = state.row_factor.sqrt().unsqueeze(-1) * state.column_factor[..., at].sqrt().unsqueeze(-2)
        return torch.where(root > 0, value / (root + what.floor), 0.0)
    share = read.share.unsqueeze(-2)
    square = (1 - share) * state.second[..., at] + share * square
    state.second[..., at] = square
    return value / (square.sqrt() + what.floor)


def _rounded(what: Buffered, name: str, numbers: Tensor, chance: Tensor) -> Tensor:
    assert what.rounded is not None
    if name == "second":
        assert what.normalise is not None
        return floating(numbers, what.rounded.bits, what.normalise.floor**2 / BELOW, chance)
    span = 1.0 if name == "held" else what.rounded.reach
    return fixed(numbers, what.rounded.bits, span, chance)


def _average(what: Smoothed, read: Read, state: TransferState) -> Tensor:
    u = read.value
    if what.rate is not None:
        weight = read.scale.unsqueeze(-2)
        average = (1 - weight) * state.held[..., read.columns] + weight * u
        state.held[..., read.columns] = average
        u = torch.where(average.abs() > what.least, average, 0.0)
    return read.chopped(u)


def _windows(clock: TransferClock, batch: int) -> Windows:
    """Those of the next ``batch`` samples; where a step is to be captured always as many."""
    if not feed.active():
        return clock.windows(batch)
    due = clock.windows(batch, padded=True).apart()
    feed.again(lambda: due.become(clock.windows(batch, padded=True)))
    return due


def _chopped(chain: Chain, program: Program, due: Windows, batch: int) -> tuple[Tensor, Tensor]:
    """Signs of the columns, and reads that are the first after a flip [..., windows, I]; choppers move on."""
    state, like, chopper, stream = (
        chain.states[0],
        chain.chop_in,
        program.chopper,
        chain.flips.fork("columns"),
    )
    clock, lead, slices = state.clock, like.shape[:-1], like.shape[-1]

    def flipped() -> Tensor:  # what is empty draws nothing
        many = clock.many_windows(batch)
        passes, shape = torch.from_numpy(due.passes[:many]), (*lead, many, slices)
        found = _flips(chopper, passes, shape, stream) & torch.from_numpy(due.reads[:many])
        return found if many == len(due.reads) else pad(found, (0, 0, 0, len(due.reads) - many))

    flips = feed.given(flipped, like)
    turns = torch.where(flips, -1.0, 1.0).to(like.dtype)
    signs = torch.cat((like.unsqueeze(-2), turns), -2).cumprod(-2)
    chain.chop_in = signs[..., -1, :].clone()
    if "mean" not in state.memory:
        return signs[..., :-1, :], torch.zeros_like(flips)
    fresh = torch.cat((state.switched.unsqueeze(-2), flips[..., :-1, :]), -2)
    # a column that is read no more in this batch keeps what its last read left behind
    many = feed.given(lambda: due.reads, like).sum(0)
    last = (many.clamp(min=1) - 1).expand(like.shape).unsqueeze(-2)
    state.switched = torch.where(many > 0, flips.gather(-2, last).squeeze(-2), state.switched)
    return signs[..., :-1, :], fresh


def _flips(chopper: Chopper, passes: Tensor, shape: tuple[int, ...], stream: Stream) -> Tensor:
    many = differ(chopper)
    if not many:
        return chopper.flips(passes, shape, stream)
    each = [own(chopper, i).flips(passes, shape[1:], stream.at((i,))) for i in range(many)]
    return torch.stack(each)


def _strength(write: Trains) -> float:
    return write.strength


def _writes(write: Trains) -> bool:
    return bool(write.strength > 0)  # with a feed it is a tensor


def of_each(true: Tensor, stream: Stream) -> Count:
    """How many are true [...], of each instance that ``stream`` draws for; on its device, so that nobody waits for it."""
    many = true.flatten(1).sum(1) if stream.lead else true.sum()
    if many.device.type != "cpu" or feed.active():
        return many
    return many.numpy() if stream.lead else int(many)


def _agenda(schedules: dict[int, Schedule], head: int) -> Agenda:
    """What the later transfers read, and between which reads of the first one.

    Columns do not interact: only the order of what happens to the same column counts. Where a column comes several times at
    one place, it takes several turns.
    """
    first = schedules[head]
    turns: dict[tuple[int, int], int] = {}
    found: dict[int, dict[tuple[int, int], list[tuple[int, int]]]] = {}
    due = sorted(
        (int(s.until[m, column]), j, int(m), int(column))
        for j, s in schedules.items()
        if j > head
        for m, column in zip(*np.nonzero(s.reads), strict=True)
    )
    for sample, j, m, column in due:
        place = int(np.count_nonzero(first.reads[:, column] & (first.until[:, column] <= sample)))
        turn = turns.get((place, column), 0)
        turns[place, column] = turn + 1
        found.setdefault(place, {}).setdefault((turn, j), []).append((m, column))
    return {
        place: [
            (j, torch.tensor(which)[:, 0], torch.tensor(which)[:, 1]) for (_, j), which in sorted(own.items())
        ]
        for place, own in found.items()
    }
