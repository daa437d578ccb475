"""What training costs: a published cost model as a calculator, and the tally that a weight keeps while it
trains.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from torch import Tensor

from crossweep.engine.chain import Count, Events
from crossweep.errors import ConfigError


@dataclass(kw_only=True)
class Tally(Events):
    """Events of one weight, counted while it works. Where several instances lie side by side, a number that differs between
    them is an array.

    Args:
        samples: samples trained on (rows of x).
        forward_reads: vectors read forward, evaluation included.
        backward_reads: vectors read backward.
        Others as ``Events``.
    """

    samples: int = 0
    forward_reads: int = 0
    backward_reads: int = 0

    def as_dict(self) -> dict[str, Any]:
        """All counts by name, as numbers or arrays."""
        return {name: _known(count) for name, count in vars(self).items()}

    def load(self, counts: dict[str, Any]) -> None:
        """Inverse of ``as_dict``."""
        vars(self).update(counts)


def _known(count: Count) -> Any:
    if isinstance(count, Tensor):
        count = count.numpy(force=True) if count.dim() else int(count)
    return count.copy() if isinstance(count, np.ndarray) else count  # what is counted on changes in place


@dataclass(frozen=True, kw_only=True)
class CostModel:
    """Time and digital memory of the weight update of one sample, for a square crossbar.

    Args:
        size: rows and columns N.
        digital_rate: digital operations per nanosecond that one crossbar may use [1/ns].
        pulse_time: one slot of a pulse train [ns].
        read_time: one matrix-vector product [ns].
        train_length: mean pulse slots per sample l.
        transfer_every: samples per column read n_s.
        batch: samples between two transfers of mixed precision B.

    Raises:
        ConfigError: a number is not positive.

    Source: Rasch et al., Nat. Commun. 15:7133 (2024), Table 1: N = 512, 175 GFLOPS (0.7 TFLOPS shared by four
    crossbars), 5 ns, 40 ns, l = 5, n_s = 2, B = 100. ``mrl``: Li et al., arXiv 2510.02516.
    """

    size: int = 512
    digital_rate: float = 175.0
    pulse_time: float = 5.0
    read_time: float = 40.0
    train_length: float = 5.0
    transfer_every: float = 2.0
    batch: int = 100

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not value > 0:
                raise ConfigError(f"cost.{name}: must be > 0, got {value}")

    def update(self, algorithm: str) -> dict[str, float]:
        """``operations`` [1], ``analog_ns``, ``digital_ns``, ``total_ns`` and ``bytes`` of one sample's
        update.

        Raises:
            ConfigError: the model has no row for ``algorithm``.
        """
        if algorithm not in _ROWS:
            raise ConfigError(f"cost: no published row for {algorithm!r}, there are {', '.join(_ROWS)}")
        operations, analog, memory = _ROWS[algorithm](self)
        digital = operations / self.digital_rate
        total = digital + analog
        return {
            "operations": operations,
            "digital_ns": digital,
            "analog_ns": analog,
            "total_ns": total,
            "bytes": memory,
        }


def _sgd(c: CostModel) -> tuple[float, float, float]:
    return 2 * c.size, c.train_length * c.pulse_time, 2 * c.size


def _two_tiles(c: CostModel) -> float:
    return (c.train_length + 1 / c.transfer_every) * c.pulse_time + c.read_time / c.transfer_every


def _ttv2(c: CostModel) -> tuple[float, float, float]:
    return 2 * c.size + 2 * c.size / c.transfer_every, _two_tiles(c), c.size**2 + 2 * c.size


def _agad(c: CostModel) -> tuple[float, float, float]:
    return 2 * c.size + 6 * c.size / c.transfer_every, _two_tiles(c), 3 * c.size**2 + 2 * c.size


def _mixed_precision(c: CostModel) -> tuple[float, float, float]:
    return 2 * c.size**2 + c.size, c.size / c.batch * c.pulse_time, c.size**2 + 2 * c.size * c.batch


def _mrl(c: CostModel) -> tuple[float, float, float]:
    # an upper bound for any number of tiles: transfers of tile n come n_s times as seldom as those of tile n
    # + 1
    pulses = c.train_length * c.pulse_time * c.transfer_every / (c.transfer_every - 1)
    return 2 * c.size, pulses + c.read_time / (c.transfer_every - 1), 2 * c.size


_ROWS: dict[str, Callable[[CostModel], tuple[float, float, float]]] = {
    "analog_sgd": _sgd,
    "ttv2": _ttv2,
    "cttv2": _ttv2,
    "agad": _agad,
    "mixed_precision": _mixed_precision,
    "mrl": _mrl,
}
