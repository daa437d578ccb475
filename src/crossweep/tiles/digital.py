"""Compiled digital side of the Tiki-Taka family: buffer, threshold and running means in one pass."""

from dataclasses import dataclass
from functools import partial
from math import prod

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Digest:
    """What happens to a read, besides the tensors.

    Args:
        momentum: share of H that stays after a transfer [1].
        forget_buffer: drop the rest, else keep it.
        longest: largest number of pulses.
        cap: largest |H| that stays after a transfer; 0 is off.
        no_buffer: forget H before every read.
        beta: weight of a read in the running mean [1].
        step: pulses of C for each time that H passes its threshold, up to ``longest`` in all; for the compiled call.
    """

    momentum: float
    forget_buffer: bool
    longest: int
    cap: float = 0.0
    no_buffer: bool = False
    beta: float = 0.0
    step: float = 1.0


def digest_(
    value: Tensor, hidden: Tensor, columns: Tensor | slice, rule: Digest, *, row_sign: Tensor, gain: Tensor,
    gate: Tensor | None = None, means: tuple[Tensor, Tensor, Tensor] | None = None,
) -> Tensor:  # fmt: skip
    """Change ``hidden`` (and the means) in place, for the columns that were read.

    Args:
        value: what was read [..., O, r].
        hidden: the buffer [..., O, I], contiguous.
        columns: the columns.
        rule: thresholds.
        row_sign: chopper of each row [..., O].
        gain: chopper of each column times what one unit of a read adds to H [..., r].
        gate: columns that may send pulses, bool [r]; None: all.
        means: running mean [..., O, I], what is subtracted from a read [..., O, I], and columns whose mean
            replaces it [..., r]; None: nothing is subtracted.

    Returns:
        Pulses wanted [..., O, r].
    """
    from crossweep.tiles.kernels.digital import digest_rows
    from crossweep.tiles.kernels.threads import spread

    rows, n = hidden.shape[-2:]
    chosen = torch.arange(n)[columns].numpy()
    reads, many = chosen.size, prod(hidden.shape[:-2])
    starts = np.flatnonzero(np.diff(chosen, prepend=-2) != 1)
    runs = np.stack((starts, chosen[starts], np.diff(starts, append=reads)), 1)
    wanted = torch.empty(many, rows, reads)
    none = np.zeros((0, 0), np.float32)
    open_ = np.ones(reads, np.float32) if gate is None else gate.float().numpy()
    scalars = np.array(
        [rule.momentum, rule.forget_buffer, rule.longest, rule.cap, rule.no_buffer, rule.beta], np.float32
    )
    values, buffers = value.reshape(many, rows, reads).contiguous(), hidden.view(many, rows, n)
    signs, gains = row_sign.reshape(many, rows).contiguous(), gain.reshape(many, reads).contiguous()
    for k in range(many):
        mean = past = none
        fresh = np.zeros(reads, np.float32)
        if means is not None:
            mean, past = (t.view(many, rows, n)[k].numpy() for t in means[:2])
            fresh = means[2].reshape(many, reads)[k].float().numpy()
        arrays = values[k].numpy(), buffers[k].numpy(), mean, past, runs, signs[k].numpy(), gains[k].numpy()
        work = partial(digest_rows, *arrays, fresh, open_, scalars, wanted[k].numpy())
        spread(work, rows, 10.0 * rows * reads)
    return wanted.view(*hidden.shape[:-1], reads)
