"""All windows of a mini-batch of the buffered Tiki-Taka family in one compiled call."""

from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from crossweep.rng import Stream
from crossweep.tiles.analog_tile import AnalogTile
from crossweep.tiles.digital import Digest
from crossweep.tiles.engine import compiled
from crossweep.tiles.engine.count import CountEngine
from crossweep.tiles.io_parameters import IOParameters
from crossweep.tiles.pulse_train import PulsePlan, UpdateParameters


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """What happens to each column in each window; arrays are [windows, I].

    Args:
        since: first sample, within the mini-batch, that the column sees.
        until: one past the last one.
        sign: chopper of the column in this window, +1 or -1.
        reads: whether the column is read at the end of the window.
        scale: what one unit of a read adds to H, without the choppers.
        fresh: whether the column's running mean becomes what is subtracted from reads, at this read.
        gate: whether the read may send pulses.
    """

    since: Tensor
    until: Tensor
    sign: Tensor
    reads: Tensor
    scale: Tensor
    fresh: Tensor
    gate: Tensor


@dataclass(frozen=True)
class Outcome:
    """Events of a run: whether each read of a column sent any pulses, bool [windows, I]."""

    sent: Tensor


def usable(fast: AnalogTile, slow: AnalogTile, update: UpdateParameters, io: IOParameters) -> bool:
    """Whether one call covers this pair of tiles: affine devices at level ``count`` on the CPU, single
    crossbars."""
    engine = fast.recipe.engine
    plain = type(fast) is AnalogTile and type(slow) is AnalogTile and fast.state.dim() == 2
    level = type(engine) is CountEngine and engine.backend == "auto" and update.pulse_type == "stochastic"
    simple_io = io.is_perfect or (
        io.inp_noise == 0 and io.ir_drop == 0 and not (io.inp_sto_round or io.out_sto_round)
    )
    if not (plain and level and simple_io and compiled.usable(fast.state)):
        return False
    return compiled.affine(fast.bar) and compiled.affine(slow.bar)


def run_(
    fast: AnalogTile, slow: AnalogTile, plan: PulsePlan, schedule: Schedule, io: IOParameters, digest: Digest,
    hidden: Tensor, means: tuple[Tensor, Tensor] | None, row_sign: Tensor, stream: Stream,
) -> Outcome:  # fmt: skip
    """Pulse A, read its columns, fill H, pulse C, window by window; tiles and buffers change in place.

    Args:
        fast: A.
        slow: C.
        plan: pulses of a part of the mini-batch; columns have their signs from ``schedule``, rows from the
            plan.
        schedule: what happens when.
        io: periphery of the reads.
        digest: thresholds.
        hidden: H [O, I].
        means: running mean and what is subtracted from a read [O, I], if any.
        row_sign: chopper of each row [O].
        stream: source of all noise.
    """
    from crossweep.tiles.kernels.threads import spread
    from crossweep.tiles.kernels.windows import window_rows

    engine = fast.recipe.engine
    assert isinstance(engine, CountEngine)
    part = compiled.Part.of(plan, fast.draws, ())
    drawn, lines = part.words, part.lines
    edges = drawn.edges(part.first, part.last, fast.device.relative_step, engine.max_relaxation)
    longest = int((schedule.until - schedule.since).max())
    if (edges.size - 1) * longest <= part.last - part.first:  # windows are shorter than segments need to be
        edges = edges[[0, -1]]
    kappa, n = drawn.blocks(part.first, part.last), hidden.shape[-1]
    slots = [drawn.slots[t.numpy()] for t in (schedule.since, schedule.until)]
    floats = [t.float().contiguous().numpy() for t in (schedule.reads, schedule.sign * schedule.scale)]
    marks = [t.float().contiguous().numpy() for t in (schedule.fresh, schedule.gate)]
    what = (*slots, (schedule.sign < 0).numpy(), *floats, *marks)
    none = np.zeros((0, 0), np.float32)
    buffers = (hidden.numpy(), *((t.numpy() for t in means) if means is not None else (none, none)))
    limits = [
        digest.momentum,
        digest.forget_buffer,
        digest.longest,
        digest.cap,
        digest.no_buffer,
        digest.beta,
    ]
    given = np.zeros((2, hidden.shape[0]), np.float32)
    hit = np.zeros((schedule.reads.shape[0], n), np.uint8)
    sides = []
    for tile, factor in ((fast, kappa), (slow, 1.0)):
        tile.own_()
        write = tile.device.write_noise_std * tile.device.dw_min
        held = (tile.state.numpy(), tile.weight.numpy(), tile.reference.numpy())
        sides += [
            (*held, *compiled.device_arrays(tile.bar, tile.state, ())),
            np.append(compiled.scalars(tile.bar, factor), np.float32(write)),
        ]
    arguments = (
        (*lines[:4], lines[7]), what, edges, sides[0], sides[1], _reads(io), buffers, np.array(limits,
        np.float32),
        sides[2], sides[3], row_sign.numpy(), stream.next_key(), (given, hit),
    )  # fmt: skip
    cost = hidden.numel() * (part.work(0) + 200.0 * hit.shape[0])
    spread(partial(window_rows, *arguments), hidden.shape[0], cost)
    for tile, pulses in zip((fast, slow), given.sum(1, dtype=np.float64), strict=True):
        tile.pulses_given += float(pulses)
    return Outcome(torch.from_numpy(hit.astype(np.bool_)))


def _reads(io: IOParameters) -> NDArray[np.float32]:
    """The periphery as the kernel takes it."""
    if io.is_perfect:
        return np.array([-1, 0, 0, 0, 0, np.inf], np.float32)
    width, bound = io.inp_bin, io.inp_bound
    drive = min(np.rint(1 / width) * width if width > 0 else 1.0, bound)
    noise = io.w_noise if io.w_noise_type != "none" else 0.0
    limit = io.out_bound if io.out_bound > 0 else np.inf
    return np.array(
        [drive, noise, io.w_noise_type == "pcm_read", io.out_noise, io.out_bin, limit], np.float32
    )
