"""What all launches share: keys, leading dimensions, sizes of blocks."""

from collections.abc import Sequence
from functools import cache
from math import prod

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from crossweep import feed
from crossweep.rng import Stream

Numbers = tuple[float, ...] | Tensor  # see ``kernels.numbers``
LANES = 16  # columns whose windows are cut together, as in the CPU engine
_DEVICES = 256  # of a block


@cache
def interpreted() -> bool:
    """Whether kernels run in Triton's interpreter, on the CPU."""
    import triton

    return bool(triton.knobs.runtime.interpret)


def power(n: int) -> int:
    """The smallest power of two that is not below ``n``."""
    return 1 << max(n - 1, 0).bit_length()


def cdiv(n: int, size: int) -> int:
    """How many blocks of ``size`` cover ``n``."""
    return -(-n // size)


def blocks(rows: int, *, whole: bool = False) -> tuple[int, int, int]:
    """Rows and columns of a block of devices, and warps that work on it; ``whole``: all rows in one block.

    A device has a thread of its own where that is possible; no result depends on it.
    """
    height = power(rows) if whole else 32 if interpreted() else min(power(rows), _DEVICES // LANES)
    width = min(LANES, max(1, 4 * _DEVICES // height)) if whole else LANES
    return height, width, min(max(height * width // 32, 1), 16)


def keys_of(streams: Sequence[Stream], like: Tensor) -> Tensor:
    """A fresh key of each stream, in two halves [streams, 2] (int32)."""

    def fresh() -> NDArray[np.int32]:
        keys = np.array([stream.next_key() for stream in streams], np.int64)
        return keys.view(np.int32).reshape(-1, 2)  # the lower half first

    return feed.given(fresh, like)


def flat(tensor: Tensor, lead: tuple[int, ...], dims: int) -> Tensor:
    """``tensor [..., ...]`` with leading dimensions ``lead`` as one, its last ``dims`` as they are, contiguous."""
    own = tensor.shape[tensor.dim() - dims :]
    return tensor.expand(*lead, *own).reshape(prod(lead), *own).contiguous()


def numbers(each: Sequence[tuple[float, ...]], many: int, like: Tensor) -> Numbers:
    """The numbers of ``each`` instance as kernels of ``many`` crossbars take them: once where all have the same, else a row
    for each crossbar."""
    if all(one == each[0] for one in each):
        return tuple(map(float, each[0]))
    table = np.array(each, np.float32).repeat(many // len(each), 0)
    return feed.constant(lambda: table, like)
