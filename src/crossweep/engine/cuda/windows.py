"""All windows of a mini-batch of a program's first transfer: all their counts at once, then the life of every device."""

from collections.abc import Callable
from functools import partial
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from crossweep import feed
from crossweep.common import lift, of_each, over
from crossweep.engine.base import Tile, granularity
from crossweep.engine.cuda.devices import devices, relative_steps
from crossweep.engine.cuda.launch import LANES, blocks, cdiv, flat, keys_of, numbers
from crossweep.engine.cuda.updates import LEVELS
from crossweep.engine.cuda.words import Words, words_of
from crossweep.engine.io_parameters import IOParameters
from crossweep.engine.numbers import OneHot, Writing
from crossweep.engine.program import Buffered, Program, Smoothed, Trains
from crossweep.engine.schedule import Schedule

if TYPE_CHECKING:
    from crossweep.engine.chain import Job, TransferState
    from crossweep.rng import Stream

_NUMBERS = 1 << 26  # counts that are kept at once
_TALLEST = 4096  # rows of a crossbar whose columns are written by pulse trains
_BUFFERS = ("held", "mean", "past", "second")


def refuses(program: Program, source: Tile) -> str | None:
    """Why no single call does the windows of a mini-batch, beyond what all compiled engines refuse; None: one does."""
    trains = isinstance(program.transfers[program.gradient].what, Smoothed)
    too_tall = trains and source.state.shape[-2] > _TALLEST
    return f"columns of more than {_TALLEST} devices are written by trains" if too_tall else None


def run_(job: "Job", begin: int, end: int) -> None:
    """Windows ``begin`` to ``end``: pulse A, read its columns, fill H, pulse C; tiles and buffers change in place."""
    from crossweep.engine.chain import of_each as counted
    from crossweep.engine.cuda.kernels.windows import live

    source, target, plan, due = job.source, job.target, job.plan, job.first.part(begin, end)
    io, what, lead = job.transfer.io, job.transfer.what, tuple(job.source.draws.lead)
    buffered = what if isinstance(what, Buffered) else None
    smoothed = what if isinstance(what, Smoothed) else None
    engine = source.engine.parameters
    state, (rows, columns) = job.chain.states[job.program.gradient], source.state.shape[-2:]
    like, many, windows = source.state, prod(lead), len(due.reads)
    words, words_at = words_of(plan, source.draws, lead, expected=engine.level == "mean")
    own = words_at.long()
    first, last = plan.first, plan.first + plan.bl.shape[-1]
    members = [job.chain.draws.at(place) for place in np.ndindex(lead)]
    disturbance = _of_other_lines(source.weight, io, due.reads, members)
    keys = keys_of(members, like)
    fast, slow = (devices(tile.bar, tile.state) for tile in (source, target))
    tables = _tables(due, plan.first, like, lead)
    per_part = [(engine.max_relaxation / step,) for step in relative_steps(source.bar)]
    tables[-1] = words.parts(words_at, tables[0], tables[1], numbers(per_part, many, like))
    reads, written = of_each(many, partial(OneHot.of, lines=columns), io), of_each(many, Writing.of, what)
    kappas = words.kappas(first, last)[own].contiguous()
    hit = torch.zeros(many, windows, columns, dtype=torch.int8, device=like.device)
    trains = smoothed is not None
    height, width, warps = blocks(rows, whole=trains)
    grid = (cdiv(columns, width), cdiv(rows, height), many)
    factors = _factors(state, kappas, grid, (rows, columns))
    row_sign, tables[7] = _in_units(job, tables[7], lead)
    listed = words.listed(first, last) if engine.level == "pulse" else (words.slots, words.slots, words_at)
    memory = tuple(_numbers(getattr(state, n), lead) if n in state.memory else kappas for n in _BUFFERS)
    strengths = _strengths(smoothed, target, lead) if smoothed is not None else kappas
    wide = state.clock.longest_window(last - first) * plan.longest > 65535
    at_once = max(1, _NUMBERS // (many * rows * columns)) if engine.level != "pulse" else windows
    for start in range(0, windows, at_once):
        size = min(at_once, windows - start)
        counts = kappas
        if engine.level != "pulse":
            counts = _counts(
                words,
                words_at,
                tables,
                row_sign,
                (rows, columns),
                windows,
                (start, size),
                wide=wide,
            )
        live[grid](
            (*_states(source, lead), *fast.matrices), words.lines, words.spreads, words.slots, words_at, counts,
            tuple(tables), memory, factors, disturbance, listed, (*_states(target, lead), *slow.matrices), row_sign,
            kappas, keys, hit, (fast.shape, slow.shape), (fast.curves, slow.curves), numbers(reads, many, like),
            numbers(written, many, like), strengths, words.samples, rows, columns,
            cdiv(columns, LANES), windows, start, size, listed[0].shape[-1], fast.nodes, slow.nodes,
            LEVEL=LEVELS[engine.level], PIECES=words.pieces, SIGNED=words.signed, WIDE=wide, KIND=fast.kind,
            SLOW_KIND=slow.kind, PERFECT=io.is_perfect, BY_WEIGHT=io.w_noise_type == "pcm_read",
            DISTURBED=disturbance.numel() > 1, HELD="held" in state.memory, MEANS="mean" in state.memory,
            PASTS="past" in state.memory, SECONDS="second" in state.memory, FACTORS=state.factored,
            FORGET=buffered is not None and buffered.forget, NO_BUFFER=buffered is not None and buffered.no_buffer,
            TRAINS=trains, MANAGED=smoothed is not None and _managed(smoothed),
            SHORTEN=smoothed is not None and smoothed.write.update.update_bl_management, BY_ROWS=job.program.rows,
            OWN=due.gate.dim() > 2, R=height, C=width, num_warps=warps,
        )  # fmt: skip
    if state.factored:
        state.row_sums += factors[2].sum(1).view_as(state.row_sums)
        state.column_sums += factors[3].sum(1).view_as(state.column_sums)
    sent = counted(hit if lead else hit[0], job.chain.draws)
    job.count(job.program.gradient, lambda: int(due.reads.sum()), sent)


def _counts(
    words: Words, words_at: Tensor, tables: list[Tensor], row_sign: Tensor, shape: tuple[int, int], windows: int,
    part: tuple[int, int], *, wide: bool,
) -> Tensor:  # fmt: skip
    """Of all windows of a part, see ``kernels.counts``."""
    from crossweep.engine.cuda.kernels.counts import count_windows, expect_windows

    (rows, columns), (start, size), many = shape, part, words_at.numel()
    expected = words.columns.is_floating_point()
    grid = cdiv(rows, 32) * cdiv(columns, 32), size, many
    turns = row_sign[1]
    seen = words_at, tables[0], tables[1], tables[6], turns
    sizes = words.samples, rows, columns, windows, start, size
    if expected:
        counts = torch.empty(2, many, size, rows, columns, device=turns.device)
        expect_windows[grid](words.rows, words.columns, *seen, counts, *sizes, S=32, R=32, C=32)
        return counts
    counts = torch.empty(
        many, size, rows, columns, dtype=torch.int64 if wide else torch.int32, device=turns.device
    )
    count_windows[grid](
        *words.lines,
        *seen,
        counts,
        *sizes,
        PIECES=words.pieces,
        SIGNED=words.signed,
        WIDE=wide,
        R=32,
        C=32,
    )
    return counts


def _tables(due: Schedule, first: int, like: Tensor, lead: tuple[int, ...]) -> list[Tensor]:
    """The schedule as ``kernels.windows.live`` takes it, but for the last; ``first``: number of its first sample."""
    starts = np.arange(0, due.since.shape[1], LANES)
    made: tuple[Callable[[], NDArray[Any]], ...] = (
        lambda: due.since,
        lambda: due.until,
        lambda: np.minimum.reduceat(due.since, starts, 1),
        lambda: np.maximum.reduceat(due.until, starts, 1),
    )

    def edge(of: Callable[[], NDArray[Any]]) -> Tensor:
        return feed.given(lambda: (of() + first).astype(np.int32), like)

    edges = [edge(of) for of in made]
    reads = feed.given(lambda: due.reads.astype(np.float32), like)
    shape = (*lead, *due.reads.shape)
    sign, scale, fresh = (
        t.to(like.device, torch.float32).expand(shape).reshape(prod(lead), *due.reads.shape)
        for t in (due.sign, due.scale, due.fresh)
    )
    of_rule = shape if due.gate.dim() > 2 else due.reads.shape
    gate, share = (
        t.to(like.device, torch.float32).expand(of_rule).contiguous() for t in (due.gate, due.share)
    )
    return [
        *edges, reads, gate, sign.contiguous(), (sign * scale).contiguous(), fresh.contiguous(), share, edges[0],
    ]  # fmt: skip


def _in_units(job: "Job", gain: Tensor, lead: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Signs of the rows for reads and for pulses [2, crossbars, O], and gains; one of them over the unit that the rule has
    to know."""
    what, many, rows = job.transfer.what, prod(lead), job.source.state.shape[-2]
    signs = job.chain.chop_out.expand(*lead, rows).reshape(many, rows)
    turns = (
        torch.ones_like(signs)
        if job.plan.turn_d is None
        else job.plan.turn_d.expand(*lead, rows).reshape(many, rows)
    )
    if isinstance(what, Buffered) and what.normalise is not None:
        unit = job.chain.unit.expand(*lead, *job.chain.unit.shape[-2:]).reshape(
            many, *job.chain.unit.shape[-2:]
        )
        if unit.shape[-1] == 1:
            signs = signs / unit[..., 0]
        else:
            gain = (gain / unit[..., :1, :]).contiguous()
    return torch.stack((signs, turns)).contiguous(), gain


def _states(tile: Tile, lead: tuple[int, ...]) -> tuple[Tensor, ...]:
    """States, visible weights, references and pulse counts of a tile [crossbars, d, x]; all but the references are changed
    in place."""
    for name in ("state", "weight", "pulses_given"):
        tensor = getattr(tile, name)
        if not tensor.is_contiguous():
            setattr(tile, name, tensor.contiguous())
    shape = prod(lead), *tile.state.shape[-2:]
    return (
        tile.state.view(shape),
        tile.weight.view(shape),
        flat(tile.reference, lead, 2),
        tile.pulses_given.view(shape),
    )


def _numbers(tensor: Tensor, lead: tuple[int, ...]) -> Tensor:
    return tensor.view(prod(lead), *tensor.shape[-2:])


def _factors(
    state: "TransferState", like: Tensor, grid: tuple[int, int, int], shape: tuple[int, int]
) -> tuple[Tensor, ...]:
    """Roots of rows and columns, and room for sums of squares of each block; see ``kernels.windows.live``."""
    across, down, many = grid
    if not state.factored:
        return (like,) * 4
    roots = [f.sqrt().reshape(many, -1).contiguous() for f in (state.row_factor, state.column_factor)]
    return (*roots, like.new_zeros(many, across, shape[0]), like.new_zeros(many, down, shape[1]))


def _of_other_lines(
    weight: Tensor, io: IOParameters, reads: NDArray[np.bool_], streams: "list[Stream]"
) -> Tensor:
    """What the noise at the DAC of all lines adds to each read [crossbars, windows, O, I]; without: one number."""
    own = of_each(len(streams), _noise_of_lines, io)
    if not any(own):
        return torch.zeros(1, device=weight.device)
    most = reads.size if feed.active() else int(reads.sum())
    lines, below = weight.shape[-1], weight.reshape(-1, *weight.shape[-2:])

    def places() -> NDArray[
        np.int64
    ]:  # where there are fewer reads than there may be, some place that is not read
        found = np.argwhere(reads)
        nowhere = np.argwhere(~reads)
        return np.concatenate((found, nowhere))[:most].T

    def noise(stream: "Stream", std: float) -> Tensor:
        drawn, many = torch.zeros(lines, most), int(reads.sum())
        drawn[:, :many] = std * stream.fork("inputs").normal(lines, many, like=drawn)
        return drawn

    added = torch.zeros(below.shape[0], len(reads), *weight.shape[-2:], device=weight.device)
    window, column = feed.given(places, weight).unbind()
    for k, (stream, std) in enumerate(zip(streams, own, strict=True)):
        if std:
            added[k, window, :, column] = (below[k] @ feed.given(partial(noise, stream, std), weight)).T
    return added


def _noise_of_lines(io: IOParameters) -> float:
    return 0.0 if io.is_perfect else io.inp_noise


def _managed(what: Smoothed) -> bool:
    update = what.write.update
    return update.update_management or update.update_bl_management


def _strengths(what: Smoothed, target: Tile, lead: tuple[int, ...]) -> Tensor:
    """Of trains over the step of the tile that is written [crossbars]."""
    strength, step = lift(_strength, what.write, name="transfer_lr"), granularity(target.device)
    ones = target.state.new_ones(prod(lead), dtype=torch.float64)
    return (ones * over(strength, ones) / over(step, ones)).float()


def _strength(write: Trains) -> float:
    return write.strength
