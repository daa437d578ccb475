"""All windows of a mini-batch of a program's first transfer in one compiled call."""

from collections.abc import Sequence
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from crossweep.common import of_each, own
from crossweep.devices.base import AbstractDevice
from crossweep.engine.base import Tile
from crossweep.engine.cpu import updates
from crossweep.engine.cpu.blocks import column_blocks, padded
from crossweep.engine.cpu.kernels.scalars import Reads, Threshold, Train
from crossweep.engine.cpu.words import turned
from crossweep.engine.io_parameters import IOParameters
from crossweep.engine.numbers import OneHot, Writing
from crossweep.engine.program import Buffered, Own, Smoothed
from crossweep.rng import Stream

if TYPE_CHECKING:
    from crossweep.engine.chain import Job, TransferState

F = np.float32
Floats = NDArray[np.float32]
_BUFFERS = ("held", "mean", "past", "second")
_NONE, _NOTHING = np.zeros((0, 0), np.float32), np.zeros(0, np.int64)


def refuses(source: Tile, target: Tile) -> str | None:
    """Why no single call does the windows of a mini-batch, beyond what all compiled engines refuse; None: one does."""
    contiguous = all(tile.state.is_contiguous() for tile in (source, target))
    return None if contiguous else "states are not contiguous"


def run_(job: "Job", begin: int, end: int) -> None:
    """Windows ``begin`` to ``end``: pulse A, read its columns, fill H, pulse C; tiles and buffers change in place."""
    from crossweep.engine.cpu.kernels.pulse import PIECE
    from crossweep.engine.cpu.kernels.threads import spread_all
    from crossweep.engine.cpu.kernels.windows import tables, window_blocks

    source, target, plan, due = job.source, job.target, job.plan, job.first.part(begin, end)
    io, what, lead = job.transfer.io, job.transfer.what, job.source.draws.lead
    level, most = source.engine.parameters.level, source.engine.parameters.max_relaxation
    state, (rows, columns) = job.chain.states[job.program.gradient], source.state.shape[-2:]
    since, until = due.since + plan.first, due.until + plan.first
    reads = of_each(source.draws.many, _reads, io, columns)
    written = of_each(source.draws.many, partial(_written, rows=job.program.rows), what, target.device)
    fast, slow, bars = _states(source), _states(target), (source.bar, target.bar)
    memory = [getattr(state, name).numpy() if name in state.memory else None for name in _BUFFERS]
    blocks = column_blocks(columns)
    hit = np.zeros((*lead, *due.reads.shape), np.uint8)
    works, factors, cost = [], [], 0.0
    for k, (place, part) in enumerate(updates.every_part(plan, source.draws, expected=level == "mean")):
        draws, drawn, (threshold, train) = job.chain.draws.at(place), part.words, written[k]
        bar, slow_bar = (one.at(source.state, place) for one in bars)
        disturbance = _of_other_lines(source.weight[place], own(io, k), due.reads, draws.fork("inputs"))
        sign, scale, fresh, share = (_own(t, place) for t in (due.sign, due.scale, due.fresh, due.share))
        gate = _own(due.gate, place).astype(np.float32)
        row_sign, scale = _in_units(
            what, job.chain.chop_out[place].numpy(), scale, job.chain.unit[place].numpy()
        )
        plan_of_columns = tables(
            drawn.slots, since, until, sign, due.reads, scale, fresh, gate, share, padded(columns)
        )
        if level == "pulse":
            parts, lines = np.ones(since.shape[0], np.int64), part.uncounted
            pieces, work_of_a_slot = drawn.pieces(part.first, part.last, PIECE), 50.0
        else:
            parts, lines = drawn.parts(since, until, bar.device.relative_step, most), part.lines
            pieces, work_of_a_slot = (_NOTHING, _NOTHING), 1.0
        buffers = tuple(_NONE if numbers is None else numbers[place] for numbers in memory)
        kappa, turns = drawn.blocks(part.first, part.last), turned(plan.turn_d, rows, place)
        of_fast, of_slow = updates.known(bar), updates.known(slow_bar)
        roots = _factors(state, columns, place)
        factors.append(roots)
        work: Any = partial(
            window_blocks, lines, part.squares, pieces, turns, plan_of_columns, parts,
            (tuple(one[place] for one in fast), of_fast.matrices), of_fast.in_blocks(kappa), (reads[k], disturbance),
            buffers, roots, threshold, train, isinstance(what, Smoothed),
            (*(one[place] for one in slow), *of_slow.matrices), of_slow.scalars, row_sign, draws.next_key(), hit[place],
        )  # fmt: skip
        works.append(work)
        cost += rows * columns * (work_of_a_slot * part.work(0) + 100.0 * parts.size)
    spread_all(works, blocks, cost)
    if state.factored:
        for place, (_, _, row_sums, column_sums) in zip(np.ndindex(lead), factors, strict=True):
            state.row_sums[place] += torch.from_numpy(row_sums.sum(0))
            state.column_sums[place] += torch.from_numpy(column_sums[:columns])
    sent = np.count_nonzero(hit, (-2, -1))
    job.count(job.program.gradient, lambda: int(due.reads.sum()), sent if lead else int(sent))


def _own(tensor: Tensor, place: tuple[int, ...]) -> Any:
    """What a schedule [..., windows, I] says of the instance at a leading index."""
    return (tensor[place] if tensor.dim() > 2 else tensor).numpy()


def _factors(state: "TransferState", columns: int, place: tuple[int, ...]) -> tuple[Floats, ...]:
    """As ``factor_block`` takes them, with sums that begin at zero; empty where the mean square has no factors."""
    if not state.factored:
        none = np.zeros(0, F)
        return none, none, np.zeros((0, 0), F), none
    roots = np.zeros(padded(columns), F)
    roots[:columns] = state.column_factor[place].sqrt().numpy()
    rows = state.row_factor[place].sqrt().numpy()
    return rows, roots, np.zeros((column_blocks(columns), rows.size), F), np.zeros_like(roots)


def _in_units(
    what: Buffered | Smoothed | Own, signs: Floats, scale: Floats, unit: Floats
) -> tuple[Floats, Floats]:
    """Signs of the rows [O] and scales of the columns [windows, I], one of them over the unit that the rule has to know."""
    if not isinstance(what, Buffered) or what.normalise is None:
        return signs, scale
    return (signs / unit[:, 0], scale) if unit.shape[1] == 1 else (signs, scale / unit[0])


def _written(
    what: Buffered | Smoothed | Own, target: AbstractDevice, *, rows: bool
) -> tuple[Threshold, Train]:
    """How reads are written to devices."""
    return _threshold(what), _train(what, target.granularity, rows=rows)


def _threshold(what: Buffered | Smoothed | Own) -> Threshold:
    if not isinstance(what, Buffered):
        return Threshold()
    names = ("momentum", "longest", "limit", "past", "floor", "step")
    return Threshold(forget=what.forget, no_buffer=what.no_buffer, **_floats(Writing.of(what), names))


def _train(what: Buffered | Smoothed | Own, granularity: float, *, rows: bool) -> Train:
    if not isinstance(what, Smoothed):
        return Train()
    update = what.write.update
    return Train(
        drive=F(what.write.strength / granularity), managed=update.update_management or update.update_bl_management,
        shorten=update.update_bl_management, rows=rows, averaged=what.rate is not None,
        **_floats(Writing.of(what), ("longest", "least", "grad_scale")),
    )  # fmt: skip


def _states(tile: Tile) -> tuple[Any, ...]:
    """States, visible weights, references and pulse counts of a tile [..., d, x]; all but the references are changed in
    place."""
    return tile.state.numpy(), tile.weight.numpy(), tile.reference.numpy(), tile.pulses_given.numpy()


def _of_other_lines(
    weight: Tensor, io: IOParameters, reads: NDArray[np.bool_], stream: Stream
) -> NDArray[np.float32]:
    """What the noise at the DAC, which is on every line, adds to each read [windows, O, I]; empty without.

    Weights are those before the first window: a block of columns does not know how far the others are.
    """
    if io.is_perfect or io.inp_noise == 0:
        return np.zeros((0, 0, 0), np.float32)
    added = np.zeros((len(reads), *weight.shape), np.float32)
    window, column = np.nonzero(reads)
    noise = io.inp_noise * stream.normal(weight.shape[-1], window.size, like=weight)
    added[window, :, column] = (weight @ noise).numpy().T
    return added


@lru_cache(maxsize=64)
def _reads(io: IOParameters, lines: int) -> Reads:
    """The periphery of one-hot reads among ``lines`` as the kernel takes it."""
    numbers = _floats(OneHot.of(io, lines), OneHot._fields)
    return Reads(perfect=io.is_perfect, by_weight=io.w_noise_type == "pcm_read", **numbers)


def _floats(numbers: OneHot | Writing, names: Sequence[str]) -> dict[str, Any]:
    return {name: F(getattr(numbers, name)) for name in names}
