# mypy: ignore-errors
"""What follows the pulses onto A: reads of its columns, the digital numbers they change, and pulses onto C."""

import triton
import triton.language as tl

from crossweep.engine.cuda.kernels.bits import mix, nearest, normal_pair
from crossweep.engine.cuda.kernels.pulse import device_normals
from crossweep.engine.cuda.kernels.respond import load_steps, one_pulse

READS = tl.constexpr(8)  # numbers of the periphery of ``read_columns``
SLOW = tl.constexpr(0xC2B2AE35)
_SINGLE = tl.constexpr(0x165667B1)


@triton.jit
def rounded(v, width):
    """``v`` rounded to a multiple of ``width``; as it is where that is 0 or the multiple too large."""
    steps = tl.div_rn(v, v * 0.0 + tl.where(width > 0, width, 1.0))
    whole = tl.where(tl.abs(steps) < 4194304.0, nearest(steps), steps)
    return tl.where(width > 0, whole * width, v)


@triton.jit
def clipped(v, bound):
    """``v`` within plus or minus ``bound``; what is no number stays so."""
    return tl.where(v != v, v, tl.minimum(tl.maximum(v, -bound), bound))  # noqa: PLR0124


@triton.jit
def read_columns(w, added, i, j, columns, io, key, PERFECT: tl.constexpr, BY_WEIGHT: tl.constexpr):
    """One-hot reads of visible weights [R, C].

    Args:
        w: visible weights.
        added: what lines that are not driven add.
        io: ``engine.numbers.OneHot``.
        key: 32-bit key.
    """
    if PERFECT:
        return w
    drive, w_noise, noise, bin_width, bound = io[0], io[1], io[2], io[3], io[4]
    v = w * drive
    if io[5] > 0:
        away = 1.0 - j.to(tl.float32) / io[7]
        a = tl.abs(v) * io[6]
        added -= (io[5] * (1.0 - away * away))[None, :] * a * (a * (0.05 * a - 0.2) + 0.5) * v
    own = 1.0
    if BY_WEIGHT:
        own = tl.abs(w)
    std = tl.sqrt(w * 0.0 + noise * noise + w_noise * w_noise * own * drive * drive)
    value = v + added
    if (noise > 0) | (w_noise > 0):
        value += std * device_normals(i, j, columns, key)
    return clipped(rounded(value, bin_width), bound)


@triton.jit
def give(slow, place, wanted, size, i, j, columns, shape, curves, nodes, key, KIND: tl.constexpr):
    """``size`` pulses of C each, in the direction of ``wanted``, in place.

    Args:
        slow: C: states, visible weights, references, pulses so far; then six matrices of its devices.
        place: of the devices in them.
        wanted: 0 where nothing happens.
        size: whole numbers.
    """
    some = wanted != 0
    steps = load_steps((slow[4], slow[5], slow[6], slow[7], slow[8], slow[9]), place, some)
    lane = mix((i[:, None] * columns + j[None, :]).to(tl.uint32), key)
    state, up = tl.load(slow[0] + place, mask=some, other=0.0), wanted > 0
    count = tl.where(some, size, 0.0)
    for t in range(0, tl.max(count).to(tl.int32), 2):
        one, other = normal_pair(lane * 0 + 4 + t, lane)
        once = one_pulse(state, up, steps, shape, curves, nodes, one, KIND)
        twice = one_pulse(once, up, steps, shape, curves, nodes, other, KIND)
        state = tl.where(t + 1 < count, twice, tl.where(t < count, once, state))
    pulsed = count > 0
    shown = state - tl.load(slow[2] + place, mask=pulsed, other=0.0)
    if shape[2] > 0:
        xi, _ = normal_pair(lane * 0 + 2, lane)
        shown += shape[2] * xi
    given = tl.load(slow[3] + place, mask=pulsed, other=0.0) + count
    tl.store(slow[0] + place, state, mask=pulsed)
    tl.store(slow[1] + place, shown, mask=pulsed)
    tl.store(slow[3] + place, given, mask=pulsed)
    tl.debug_barrier()  # the next read of a column may find them with other threads
    return pulsed


@triton.jit
def balanced(rate, x, d, longest, SHORTEN: tl.constexpr):
    """Slots of a train, and scales of columns and rows, from the largest input and error, for a step of one; see
    ``pulse_plan.plan_pulses``."""
    wanted = rate * x * d
    some, one = wanted > 0, tl.full(wanted.shape, 1.0, tl.float32)
    length = one * longest
    if SHORTEN:
        length = tl.minimum(tl.ceil(wanted * (1 - 1e-6)), length)
    length = tl.where(some, length, 0.0)
    both = tl.sqrt_rn(tl.div_rn(rate * one, tl.maximum(length, 1.0)))
    ratio = tl.sqrt_rn(
        tl.div_rn(x * one, tl.where(some, d * tl.div_rn(longest * one, tl.maximum(wanted, longest)), 1.0))
    )
    ratio = tl.where(some, ratio, 1.0)
    return length, tl.div_rn(both, ratio), both * ratio


@triton.jit
def train_pulses(
    own, reads, i, j, columns, strength, longest, grad_scale, key, MANAGED: tl.constexpr, SHORTEN: tl.constexpr,
    BY_ROWS: tl.constexpr,
):  # fmt: skip
    """Coincidences of one pair of pulse trains for each column that is read [R, C], from what is to be written ``own``.

    Args:
        strength: over C's step [1].
        longest: train.
        grad_scale: scale of the largest value.
        key: 32-bit key.
    """
    top = tl.max(tl.abs(own), 0)
    drive = top * 0.0 + strength
    if BY_ROWS:
        x, d = top, top * 0.0 + grad_scale
    else:
        x, d = top * 0.0 + 1.0, top * grad_scale
    if MANAGED:
        length, scale_x, scale_d = balanced(drive, x, d, longest, SHORTEN)
    else:
        length = top * 0.0 + longest
        scale_x = tl.sqrt_rn(drive / longest)
        scale_d = scale_x
    length = tl.where((reads > 0) & (top > 0) & (drive > 0), length, 0.0)
    if BY_ROWS:
        single, scale = scale_d, scale_x
    else:
        single, scale = scale_x, scale_d
    chance = (tl.minimum(single, 1.0) * 2147483648.0).to(tl.int64).to(tl.uint32)
    limit = (tl.minimum(tl.abs(own) * scale[None, :], 1.0) * 2147483648.0).to(tl.int64).to(tl.uint32)
    counts = tl.zeros(own.shape, tl.float32)
    base = (i[:, None] * columns + j[None, :]).to(tl.uint32)
    zero = tl.full((), 0, tl.uint32)
    for slot in range(0, tl.max(length).to(tl.int32)):
        lane = mix(mix(zero + slot, key), zero)
        on = (slot < length) & ((mix(j.to(tl.uint32), mix(zero + _SINGLE, lane)) >> 1) < chance)
        counts += (on[None, :] & ((mix(base, lane) >> 1) < limit)).to(tl.float32)
    return counts
