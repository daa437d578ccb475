"""Whether the crossbars of a run fit into memory: asked before they are made."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from math import prod
from pathlib import Path

import torch

from crossweep.algorithms.base import AbstractAlgorithm
from crossweep.errors import ConfigError
from crossweep.tiles.factory import TileFactory

_SIDE = 8  # of the weight that is measured
_GIB = 2**30
_REFUSED = re.compile(
    r"(?:can't allocate memory|[Oo]ut of memory|not enough memory|Storage size calculation overflowed)"
)


def require_memory(
    weights: Mapping[str, Sequence[int]], rule: AbstractAlgorithm, factory: TileFactory
) -> None:
    """Refuse crossbars that need more memory than is free.

    Args:
        weights: shapes of the weights by the layer's name.
        rule: training rule of the weights.
        factory: makes their tiles.

    Raises:
        ConfigError: what they need, what there is, and which keys to change.
    """
    free = available(factory.torch_device)
    each, count = bytes_per_weight(rule, factory), sum(map(prod, weights.values()))
    if free is None or count * each <= free:
        return
    largest = max(weights, key=lambda name: prod(weights[name]))
    raise ConfigError(
        f"analog.layers: the crossbars of {count:,} weights need {count * each / _GIB:.3g} GiB ({each:.0f} bytes each with"
        f" this algorithm and device), and {free / _GIB:.3g} GiB are free; choose a smaller model, or leave layers digital"
        f" with analog.exclude (the largest is {largest}, {' x '.join(map(str, weights[largest]))})"
    )


def bytes_per_weight(rule: AbstractAlgorithm, factory: TileFactory) -> float:
    """What one weight takes [byte], measured on a small one: devices, states and digital buffers."""
    small = rule.build((_SIDE, _SIDE), factory.trial())
    return sum(held.numel() * held.element_size() for held in small.buffers()) / _SIDE**2


def available(device: torch.device | str) -> int | None:
    """Free memory of a device [byte]; None where the system does not tell."""
    if torch.device(device).type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    try:
        told = re.search(r"^MemAvailable: *(\d+) kB", Path("/proc/meminfo").read_text(), re.MULTILINE)
    except OSError:
        return None
    return int(told[1]) * 1024 if told else None


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory has run out."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and _REFUSED.search(str(error)) is not None


@contextmanager
def allocating(key: str) -> Iterator[None]:
    """Around what allocates as much as the configuration says.

    Args:
        key: what to change where that is too much.

    Raises:
        ConfigError: there is not so much memory.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
        asked = re.search(r"(?:allocate|allocating) ([\d.]+ ?\w+)", str(error))
        what = f" ({asked[1]} at once)" if asked else ""
        raise ConfigError(f"{key}: needs more memory than there is{what}; choose a smaller one") from error
