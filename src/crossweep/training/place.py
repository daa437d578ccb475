"""``compute_device: auto``: where a training is faster, from a few measured numbers.

A step costs a fixed time for each layer (on a GPU the launches of its kernels, on a CPU Python) and a time in proportion to
its *weight-samples*: weights times the vectors that meet them in a mini-batch, of all networks that train at once. So few
small layers stay on the CPU, and large ones, or many networks side by side, go to the GPU.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch

from crossweep.algorithms.base import AbstractAlgorithm
from crossweep.algorithms.chain_weight import ChainWeight
from crossweep.engine.choose import choose
from crossweep.engine.cuda.engine import CUDAEngine
from crossweep.tiles.factory import TileFactory


@dataclass(frozen=True)
class Pace:
    """What a training step takes.

    Args:
        layer: each call of a layer [s].
        rate: weight-samples per second [1/s]; of a CPU, of one thread.
    """

    layer: float
    rate: float


# Two cores of an AMD EPYC (Zen 3), NOTES.md: 1.3 G weight-samples of swin_micro (28 layers, batch 64) take 475 ms on one
# thread with c-TTv2 and 2.35 times less digitally; a small update spends 1 to 2 ms in Python
CPU = {"analog": Pace(1e-3, 2.7e9), "digital": Pace(2e-4, 6.4e9)}
THREADS = 8  # beyond these a step gains little
# One H200: of the same step 20 to 29 ms for all updates and 18 ms for the digital part, nearly all of it launches; 64
# networks at once need 0.8 and 0.4 ms each
GPU = {"analog": Pace(1.6e-3, 1e12), "digital": Pace(6.5e-4, 3e12)}

Kind = Literal["analog", "digital"]


@dataclass(frozen=True)
class Load:
    """What a training step has to do.

    Args:
        calls: of layers.
        work: weight-samples [1].
    """

    calls: float = 0.0
    work: float = 0.0

    def __add__(self, other: "Load") -> "Load":
        return Load(self.calls + other.calls, self.work + other.work)


class Place(NamedTuple):
    """Where to compute, and why."""

    device: Literal["cpu", "cuda"]
    reason: str


def faster(loads: Mapping[Kind, Load], threads: int, refused: str | None) -> Place:
    """The faster of the two.

    Args:
        loads: of a training step, of all networks that train at once.
        threads: that the CPU has for it.
        refused: why kernels on the GPU do not do the updates; None: they do.
    """
    if refused is not None:
        return Place("cpu", f"the engine on the GPU does not do these updates: {refused}")
    threads = min(threads, THREADS)
    on_cpu = _seconds(loads, {kind: Pace(pace.layer, pace.rate * threads) for kind, pace in CPU.items()})
    on_gpu = _seconds(loads, GPU)
    total = sum(loads.values(), Load())
    reason = (
        f"a step of {total.calls:.0f} layers and {total.work:,.0f} weight-samples takes about"
        f" {1e3 * on_cpu:.3g} ms on {threads} thread{'s' * (threads > 1)} of the CPU, {1e3 * on_gpu:.3g} ms on the GPU"
    )
    return Place("cuda" if on_gpu < on_cpu else "cpu", reason)


def _seconds(loads: Mapping[Kind, Load], paces: Mapping[str, Pace]) -> float:
    return sum(load.calls * paces[kind].layer + load.work / paces[kind].rate for kind, load in loads.items())


def refused(rule: AbstractAlgorithm, factory: TileFactory) -> str | None:
    """Why the engine on a GPU leaves the updates of a rule to the reference, which is slow there; None: it does not."""
    there = choose("auto", torch.device("cuda"))
    if there.implementation != "cuda":
        return there.reason
    weight = rule.build((2, 2), factory.trial())
    tiles = list(weight.tiles().values())
    if any(tile.device.n_devices > 1 for tile in tiles):
        return "several devices make a weight"
    engine = CUDAEngine(factory.engine)
    if not all(engine.closed(tile.bar, factory.engine.level) for tile in tiles):
        return "a device's steps have no closed form"
    program = weight.program(1, 1.0) if isinstance(weight, ChainWeight) else None
    if program is None or program.gradient == len(program.transfers):
        return None
    return engine.refuses(program, *tiles[program.gradient : program.gradient + 2])
