"""All windows of a mini-batch of a program's first transfer in one compiled call."""

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from crossweep.engine.base import Tile
from crossweep.engine.cpu import updates
from crossweep.engine.cpu.blocks import column_blocks, padded
from crossweep.engine.cpu.kernels.scalars import Reads, Scalars, Threshold, Train
from crossweep.engine.cpu.words import turned
from crossweep.engine.io_parameters import IOParameters
from crossweep.engine.program import Buffered, Own, Program, Smoothed
from crossweep.rng import Stream

if TYPE_CHECKING:
    from crossweep.engine.chain import Job, TransferState

F = np.float32
Floats = NDArray[np.float32]
_BUFFERS = ("held", "mean", "past", "second")


def refuses(program: Program, source: Tile, target: Tile) -> str | None:
    """Why no single call does the windows of a mini-batch; None: one does."""
    transfer, level = program.transfers[program.gradient], source.engine.parameters.level
    io, tiles = transfer.io, (source, target)
    reasons = {
        "several devices make a weight": any(tile.device.n_devices > 1 for tile in tiles),
        "several crossbars lie side by side": source.state.dim() != 2,
        "pulses of the gradient are not stochastic": program.update.pulse_type != "stochastic",
        "reads are rounded at random": not io.is_perfect and (io.inp_sto_round or io.out_sto_round),
        "states are not contiguous": not all(tile.state.is_contiguous() for tile in tiles),
        "a device's steps have no closed form": not all(updates.closed(tile.bar, level) for tile in tiles),
    }
    first = next((reason for reason, holds in reasons.items() if holds), None)
    return first or _refuses(transfer.what, rows=program.rows)


def _refuses(what: Buffered | Smoothed | Own, *, rows: bool) -> str | None:
    if isinstance(what, Own):
        return "what happens to a read is Python"
    if isinstance(what, Buffered):
        return None if what.write.is_exact(rows=rows) else "transfers are written at random"
    update = what.write.update
    return "transfers are not stochastic" if update.pulse_type != "stochastic" or update.res else None


def run_(job: "Job", begin: int, end: int) -> None:
    """Windows ``begin`` to ``end``: pulse A, read its columns, fill H, pulse C; tiles and buffers change in place."""
    from crossweep.engine.cpu.kernels.pulse import PIECE
    from crossweep.engine.cpu.kernels.threads import spread
    from crossweep.engine.cpu.kernels.windows import tables, window_blocks

    source, target, plan, due = job.source, job.target, job.plan, job.first.part(begin, end)
    io, what, head = job.transfer.io, job.transfer.what, job.program.gradient
    state, stream, engine = job.chain.states[head], job.chain.draws, source.engine.parameters
    part = updates.Part.of(plan, source.draws, (), expected=engine.level == "mean")
    drawn, (rows, columns) = part.words, source.state.shape
    disturbance = _of_other_lines(source, io, due.reads, stream.fork("inputs"))
    since, until = due.since + plan.first, due.until + plan.first
    sign, scale, fresh, gate, share = (
        t.numpy() for t in (due.sign, due.scale, due.fresh, due.gate, due.share)
    )
    row_sign, scale = _in_units(what, job.chain.chop_out.numpy(), scale, job.chain.unit.numpy())
    plan_of_columns = tables(
        drawn.slots,
        since,
        until,
        sign,
        due.reads,
        scale,
        fresh,
        gate.astype(np.float32),
        share,
        padded(columns),
    )
    none, nothing = np.zeros((0, 0), np.float32), np.zeros(0, np.int64)
    if engine.level == "pulse":
        parts = np.ones(since.shape[0], np.int64)
        lines, pieces = part.uncounted, drawn.pieces(part.first, part.last, PIECE)
        work_of_a_slot = 50.0
    else:
        parts = drawn.parts(since, until, source.device.relative_step, engine.max_relaxation)
        lines, pieces, work_of_a_slot = part.lines, (nothing, nothing), 1.0
    buffers = tuple(getattr(state, name).numpy() if name in state.memory else none for name in _BUFFERS)
    factors = _factors(state, columns)
    threshold, train = _threshold(what), _train(what, target.device.granularity, rows=job.program.rows)
    blocks = column_blocks(columns)
    hit = np.zeros(due.reads.shape, np.uint8)
    (states, device, noise), (slow_states, slow_device, slow_noise) = (
        _side(tile, kappa) for tile, kappa in ((source, drawn.blocks(part.first, part.last)), (target, 1.0))
    )
    turns = turned(plan.turn_d, rows, ())
    work: Any = partial(
        window_blocks, lines, part.squares, pieces, turns, plan_of_columns, parts, (states, device), noise,
        (_reads(io, columns), disturbance), buffers, factors, threshold, train, isinstance(what, Smoothed),
        (*slow_states, *slow_device), slow_noise, row_sign, stream.next_key(), hit,
    )  # fmt: skip
    spread(work, blocks, rows * columns * (work_of_a_slot * part.work(0) + 100.0 * parts.size))
    if state.factored:
        state.row_sums += torch.from_numpy(factors[2].sum(0))
        state.column_sums += torch.from_numpy(factors[3][:columns])
    job.count(head, int(due.reads.sum()), int(np.count_nonzero(hit)))


def _factors(state: "TransferState", columns: int) -> tuple[Floats, ...]:
    """As ``factor_block`` takes them, with sums that begin at zero; empty where the mean square has no factors."""
    if not state.factored:
        none = np.zeros(0, F)
        return none, none, np.zeros((0, 0), F), none
    roots = np.zeros(padded(columns), F)
    roots[:columns] = state.column_factor.sqrt().numpy()
    rows = state.row_factor.sqrt().numpy()
    return rows, roots, np.zeros((column_blocks(columns), rows.size), F), np.zeros_like(roots)


def _in_units(
    what: Buffered | Smoothed | Own, signs: Floats, scale: Floats, unit: Floats
) -> tuple[Floats, Floats]:
    """Signs of the rows [O] and scales of the columns [windows, I], one of them over the unit that the rule has to know."""
    if not isinstance(what, Buffered) or what.normalise is None:
        return signs, scale
    return (signs / unit[:, 0], scale) if unit.shape[1] == 1 else (signs, scale / unit[0])


def _threshold(what: Buffered | Smoothed | Own) -> Threshold:
    if not isinstance(what, Buffered):
        return Threshold()
    return Threshold(
        momentum=F(what.momentum), forget=what.forget, longest=F(what.write.update.desired_bl),
        limit=F(what.cap or np.inf), no_buffer=what.no_buffer, past=F(what.past or 0.0), step=F(what.write.step),
        floor=F(what.normalise.floor if what.normalise else 1.0),
    )  # fmt: skip


def _train(what: Buffered | Smoothed | Own, granularity: float, *, rows: bool) -> Train:
    if not isinstance(what, Smoothed):
        return Train()
    update = what.write.update
    return Train(
        drive=F(what.write.strength / granularity), longest=F(update.desired_bl),
        managed=update.update_management or update.update_bl_management, shorten=update.update_bl_management,
        grad_scale=F(update.um_grad_scale), rows=rows, least=F(what.least),
        averaged=what.rate is not None,
    )  # fmt: skip


def _side(tile: Tile, kappa: float) -> tuple[Any, Any, Scalars]:
    """States, devices and noise of a tile; states and pulse counts are changed in place."""
    bar, state = tile.bar, tile.state
    held = (state.numpy(), tile.weight.numpy(), tile.reference.numpy(), tile.pulses_given.numpy())
    return held, updates.device_arrays(bar, state, ()), updates.scalars(bar, kappa, tile.write_noise)


def _of_other_lines(
    fast: Tile, io: IOParameters, reads: NDArray[np.bool_], stream: Stream
) -> NDArray[np.float32]:
    """What the noise at the DAC, which is on every line, adds to each read [windows, O, I]; empty without.

    Weights are those before the first window: a block of columns does not know how far the others are.
    """
    if io.is_perfect or io.inp_noise == 0:
        return np.zeros((0, 0, 0), np.float32)
    added = np.zeros((len(reads), *fast.weight.shape), np.float32)
    window, column = np.nonzero(reads)
    noise = io.inp_noise * stream.normal(fast.weight.shape[-1], window.size, like=fast.weight)
    added[window, :, column] = (fast.weight @ noise).numpy().T
    return added


def _reads(io: IOParameters, lines: int) -> Reads:
    """The periphery of one-hot reads among ``lines`` as the kernel takes it."""
    if io.is_perfect:
        return Reads(perfect=True)
    width, bound = io.inp_bin, io.inp_bound
    return Reads(
        perfect=False, drive=F(min(np.rint(1 / width) * width if width > 0 else 1.0, bound)),
        w_noise=F(io.w_noise if io.w_noise_type != "none" else 0.0), by_weight=io.w_noise_type == "pcm_read",
        out_noise=F(io.out_noise), bin_width=F(io.out_bin), bound=F(io.out_bound if io.out_bound > 0 else np.inf),
        ir_drop=F(io.ir_drop), wire=F(lines / io.ir_drop_g_ratio), lines=F(lines),
    )  # fmt: skip
