"""All windows of a mini-batch of the Tiki-Taka family in one compiled call."""

from dataclasses import dataclass, fields
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from crossweep.rng import Stream
from crossweep.tiles.analog_tile import AnalogTile
from crossweep.tiles.blocks import column_blocks, padded
from crossweep.tiles.digital import Digest
from crossweep.tiles.engine import compiled
from crossweep.tiles.engine.count import CountEngine
from crossweep.tiles.engine.mean import MeanEngine
from crossweep.tiles.engine.pulse import PulseEngine
from crossweep.tiles.engine.segments import SegmentedEngine
from crossweep.tiles.io_parameters import IOParameters
from crossweep.tiles.kernels.scalars import Scalars
from crossweep.tiles.pulse_train import PulsePlan, UpdateParameters
from crossweep.tiles.words import turned


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """What happens to each column in each window; arrays are [windows, I].

    Args:
        since: first sample, within the mini-batch, that the column sees.
        until: one past the last one.
        sign: chopper of the column in this window, +1 or -1.
        reads: whether the column is read at the end of the window.
        scale: what one unit of a read adds to H, without the choppers, > 0.
        fresh: whether the column's running mean becomes what is subtracted from reads, at this read.
        gate: whether the read may send pulses.
    """

    since: NDArray[np.int64]
    until: NDArray[np.int64]
    sign: NDArray[np.float32]
    reads: NDArray[np.bool_]
    scale: NDArray[np.float32]
    fresh: NDArray[np.bool_]
    gate: NDArray[np.float32]

    def part(self, begin: int, end: int) -> "Schedule":
        """Windows ``begin`` to ``end``."""
        if (begin, end) == (0, len(self.reads)):
            return self
        return Schedule(**{f.name: getattr(self, f.name)[begin:end] for f in fields(self)})


@dataclass(frozen=True, kw_only=True)
class PulsedWrite:
    """What is read is written to C by pulse trains, ``C[:, k] += strength s u[:, k]``, with the choppers' sign s.

    A read v goes into ``H <- (1 - b) H + b v``, b the read's ``Schedule.scale``; u is H where ``|H|`` exceeds a least
    value, or the excess ``v - H``; without an H it is v.

    Args:
        strength: rate of the transfer [1], >= 0.
        granularity: step of C [w].
        update: pulse trains, stochastic.
        as_input: rows are written, see ``hidden_buffer.slice_counts``.
        least: smallest ``|H|`` that is written [w]; below 0: all.
        excess: write the excess.
    """

    strength: float
    granularity: float
    update: UpdateParameters
    as_input: bool = False
    least: float = -1.0
    excess: bool = False

    def numbers(self, *, buffered: bool) -> NDArray[np.float32]:
        """As the kernel takes it; ``buffered`` tells whether there is an H."""
        update = self.update
        managed = update.update_management or update.update_bl_management
        trains = [self.strength / self.granularity, update.desired_bl, managed, update.update_bl_management]
        sides = [update.um_grad_scale, self.as_input]
        return np.array([*trains, *sides, self.least, self.excess, buffered], np.float32)


def covers(fast: AnalogTile, slow: AnalogTile, update: UpdateParameters, io: IOParameters) -> bool:
    """Whether one call covers this pair of tiles: single crossbars of affine devices, or of exponential ones at level
    ``count``, on the CPU."""
    engine = fast.recipe.engine
    plain = type(fast) is AnalogTile and type(slow) is AnalogTile and fast.state.dim() == 2
    # a subclass of a level may do otherwise
    level = type(engine) in (CountEngine, MeanEngine, PulseEngine) and update.pulse_type == "stochastic"
    simple_io = io.is_perfect or not (io.inp_sto_round or io.out_sto_round)
    whole = fast.state.is_contiguous() and slow.state.is_contiguous()
    if not (plain and level and simple_io and whole and fast.compiled):
        return False
    counted = type(engine) is CountEngine
    return all(
        compiled.affine(tile.bar) or (counted and compiled.exponential(tile.bar)) for tile in (fast, slow)
    )


def run_(
    fast: AnalogTile, slow: AnalogTile, plan: PulsePlan, schedule: Schedule, io: IOParameters, what: Digest | PulsedWrite,
    hidden: Tensor | None, means: tuple[Tensor, Tensor] | None, row_sign: Tensor, stream: Stream,
) -> int:  # fmt: skip
    """Pulse A, read its columns, fill H, pulse C, window by window; tiles and buffers change in place.

    Args:
        fast: A.
        slow: C.
        plan: pulses of a part of the mini-batch; columns have their signs from ``schedule``, rows from the
            plan.
        schedule: what happens when.
        io: periphery of the reads.
        what: thresholds of H, or how reads are written without them.
        hidden: H [O, I], if any.
        means: running mean and what is subtracted from a read [O, I], if any.
        row_sign: chopper of each row [O].
        stream: source of all noise.

    Returns:
        How many reads of a column sent any pulses.
    """
    from crossweep.tiles.kernels.pulse import PIECE
    from crossweep.tiles.kernels.threads import spread
    from crossweep.tiles.kernels.windows import tables, window_blocks

    engine = fast.recipe.engine
    assert isinstance(engine, SegmentedEngine | PulseEngine)
    part = compiled.Part.of(plan, fast.draws, (), expected=isinstance(engine, MeanEngine))
    drawn, (rows, columns) = part.words, fast.state.shape
    disturbance = _of_other_lines(fast, io, schedule.reads, stream.fork("inputs"))
    plan_of_columns = tables(
        drawn.slots, schedule.since, schedule.until, schedule.sign, schedule.reads, schedule.scale, schedule.fresh,
        schedule.gate, padded(columns),
    )  # fmt: skip
    none, nothing = np.zeros((0, 0), np.float32), np.zeros(0, np.int64)
    if isinstance(engine, SegmentedEngine):
        parts = drawn.parts(schedule.since, schedule.until, fast.device.relative_step, engine.max_relaxation)
        lines, pieces, work_of_a_slot = part.lines, (nothing, nothing), 1.0
    else:
        parts = np.ones(schedule.since.shape[0], np.int64)
        lines, pieces = part.uncounted, drawn.pieces(part.first, part.last, PIECE)
        work_of_a_slot = 50.0
    held = none if hidden is None else hidden.numpy()
    buffers = (held, *((t.numpy() for t in means) if means is not None else (none, none)))
    if isinstance(what, Digest):
        release = what.momentum, what.forget_buffer, what.longest, what.cap, what.no_buffer
        limits, train = np.array([*release, what.beta, what.step], np.float32), np.zeros(0, np.float32)
    else:
        limits, train = np.zeros(7, np.float32), what.numbers(buffered=hidden is not None)
    blocks = column_blocks(columns)
    given, hit = np.zeros((2, blocks)), np.zeros(schedule.reads.shape, np.uint8)
    (states, device, noise), (slow_states, slow_device, slow_noise) = (
        _side(tile, kappa) for tile, kappa in ((fast, drawn.blocks(part.first, part.last)), (slow, 1.0))
    )
    turns = turned(plan.turn_d, rows, ())
    work: Any = partial(
        window_blocks, lines, part.squares, pieces, turns, plan_of_columns, parts, (states, device), noise,
        (_reads(io, columns), disturbance), buffers, limits, train, (*slow_states, *slow_device), slow_noise,
        row_sign.numpy(), stream.next_key(), (given, hit),
    )  # fmt: skip
    spread(work, blocks, rows * columns * (work_of_a_slot * part.work(0) + 100.0 * parts.size))
    for tile, pulses in zip((fast, slow), given.sum(1), strict=True):
        tile.pulses_given.numpy()[...] += pulses
    return int(np.count_nonzero(hit))


def _side(tile: AnalogTile, kappa: float) -> tuple[Any, Any, Scalars]:
    """States, devices and noise of a tile; the states are changed in place."""
    bar, state = tile.bar, tile.state
    held = (state.numpy(), tile.weight.numpy(), tile.reference.numpy())
    return held, compiled.device_arrays(bar, state, ()), compiled.scalars(bar, kappa, tile.write_noise)


def _of_other_lines(
    fast: AnalogTile, io: IOParameters, reads: NDArray[np.bool_], stream: Stream
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


def _reads(io: IOParameters, lines: int) -> NDArray[np.float32]:
    """The periphery of one-hot reads among ``lines`` as the kernel takes it."""
    if io.is_perfect:
        return np.array([-1, 0, 0, 0, 0, np.inf, 0, 0, 0], np.float32)
    width, bound = io.inp_bin, io.inp_bound
    drive = min(np.rint(1 / width) * width if width > 0 else 1.0, bound)
    noise = io.w_noise if io.w_noise_type != "none" else 0.0
    limit = io.out_bound if io.out_bound > 0 else np.inf
    return np.array(
        [
            drive, noise, io.w_noise_type == "pcm_read", io.out_noise, io.out_bin, limit,
            io.ir_drop, lines / io.ir_drop_g_ratio, lines,
        ],
        np.float32,
    )  # fmt: skip
