# mypy: ignore-errors
"""What a mini-batch is made of, sample by sample: first slots, pulses of a typical device, parts of windows."""

import triton
import triton.language as tl

from crossweep.engine.cuda.kernels.numbers import of_instance


@triton.jit(do_not_specialize=["b"])
def first_slots(bl, slots, b, B: tl.constexpr):
    """First slot of each sample, and the end: ``slots [drawn, b + 1]`` (int32) from ``bl [drawn, b]`` (float32)."""
    k, before = tl.program_id(0).to(tl.int64), 0
    for start in range(0, b, B):
        s = start + tl.arange(0, B)
        own = tl.load(bl + k * b + s, mask=s < b, other=0.0).to(tl.int32)
        tl.store(slots + k * (b + 1) + s, before + tl.cumsum(own, 0) - own, mask=s < b)
        before += tl.sum(own, 0)
    tl.store(slots + k * (b + 1) + b, before)


@triton.jit
def _moments(sums, squares, k, s, b, blocks, scale, mask):
    """Mean and mean square of the probabilities of one side, from sums over blocks of lines."""
    mean, square = tl.zeros(s.shape, tl.float64), tl.zeros(s.shape, tl.float64)
    for block in range(0, blocks):
        at = (k * blocks + block) * b + s
        mean += tl.load(sums + at, mask=mask, other=0).to(tl.float64)
        square += tl.load(squares + at, mask=mask, other=0).to(tl.float64)
    return mean * scale, square * scale


@triton.jit(do_not_specialize=["b", "x_blocks", "d_blocks"])
def summarise(bl, x, d, running, means, b, x_blocks, d_blocks, scales, B: tl.constexpr):
    """Pulses of a typical device before each sample, and what their variance is made of.

    Args:
        bl: slots of each sample [drawn, b] (float32).
        x: sums over lines of the columns' probabilities, and of their squares, for each block of lines [drawn, blocks, b].
        d: the same of the rows.
        running: out, pulses of a typical device before each sample, and in all [drawn, b + 1] (float64).
        means: out, expected coincidences of a device in each sample, and expected pairs of them [2, drawn, b] (float64).
        scales: one over the lines of columns and of rows, and over what probabilities are counted in (float64) [2].
    """
    k, before = tl.program_id(0).to(tl.int64), tl.zeros((), tl.float64)
    x_scale, d_scale = tl.load(scales), tl.load(scales + 1)
    behind = tl.num_programs(0) * b
    for start in range(0, b, B):
        s = start + tl.arange(0, B)
        here = s < b
        slots = tl.load(bl + k * b + s, mask=here, other=0.0).to(tl.float64)
        x_mean, x_square = _moments(x[0], x[1], k, s, b, x_blocks, x_scale, here)
        d_mean, d_square = _moments(d[0], d[1], k, s, b, d_blocks, d_scale, here)
        typical = slots * tl.sqrt(x_square * d_square)
        tl.store(running + k * (b + 1) + s, before + tl.cumsum(typical, 0) - typical, mask=here)
        before += tl.sum(typical, 0)
        tl.store(means + k * b + s, slots * x_mean * d_mean, mask=here)
        tl.store(means + behind + k * b + s, slots * (slots - 1.0) * x_square * d_square, mask=here)
    tl.store(running + k * (b + 1) + b, before)


@triton.jit(do_not_specialize=["b", "windows"])
def parts_of_windows(running, words_of, since, until, parts, b, columns, windows, per_part, C: tl.constexpr):
    """In how many parts each window is cut.

    Args:
        running: of ``summarise``.
        words_of: which of the drawn an instance uses [instances] (int32).
        since: first sample each column sees [windows, columns] (int32).
        until: one past the last one.
        parts: out [instances, windows] (int32).
        per_part: typical pulses of a part at most; one number, see ``numbers``.
    """
    m, k = tl.program_id(0), tl.program_id(1)
    per_part = of_instance(per_part, k, 1)
    own = running + tl.load(words_of + k).to(tl.int64) * (b + 1)
    most = tl.zeros((C,), tl.float64)
    for start in range(0, columns, C):
        j = start + tl.arange(0, C)
        first = tl.load(since + m * columns + j, mask=j < columns, other=0)
        last = tl.load(until + m * columns + j, mask=j < columns, other=0)
        most = tl.maximum(most, tl.load(own + last) - tl.load(own + first))
    tl.store(
        parts + k * windows + m,
        tl.maximum(tl.ceil((tl.max(most, 0) / per_part[0]).to(tl.float32)), 1.0).to(tl.int32),
    )
