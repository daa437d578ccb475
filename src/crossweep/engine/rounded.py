"""Digital numbers in few bits: what the memory beside a tile keeps of them from one mini-batch to the next.

Rounding is stochastic, so that what is much smaller than a step still adds up (Gupta et al., arXiv 1502.02551 (2015)).
"""

import torch
from torch import Tensor

OCTAVES = 64  # of an exponent of six bits
BELOW = 16.0  # the least square that is told from 0 is that of a quarter of the least root


def fixed(numbers: Tensor, bits: int, span: float, chance: Tensor) -> Tensor:
    """Multiples of ``span / 2^(bits - 1)`` of either sign, at most ``span`` less one of them; within this range their mean
    is ``numbers``.

    Args:
        numbers: [...].
        bits: of each, sign included, >= 2.
        span: largest size.
        chance: uniform in [0, 1) [...].
    """
    most: int = 2 ** (bits - 1)
    return (numbers * (most / span) + chance).floor().clamp(1 - most, most - 1) * (span / most)


def floating(numbers: Tensor, bits: int, least: float, chance: Tensor) -> Tensor:
    """0 and powers ``least 2^(k / n)`` with ``n = 2^bits / 64`` steps in an octave; their mean is ``numbers``, >= 0.

    Args:
        numbers: [...].
        bits: of each, >= 6.
        least: the smallest that is not 0; the largest is 2^64 times as large.
        chance: uniform in [0, 1) [...].
    """
    per_octave = 2**bits // OCTAVES
    step = (numbers.clamp(min=least) / least).log2().mul(per_octave).floor()
    lower = torch.where(numbers < least, 0.0, least * torch.exp2(step / per_octave))
    upper = torch.where(numbers < least, least, least * torch.exp2((step + 1) / per_octave))
    return torch.where(chance * (upper - lower) < numbers - lower, upper, lower)
