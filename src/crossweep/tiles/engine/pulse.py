"""Level ``pulse``: every sample in order, every coincidence, every pulse with its own noise."""

from dataclasses import dataclass

import torch
from torch import Tensor

from crossweep.devices.response import pulse
from crossweep.rng import Stream
from crossweep.tiles.engine import compiled
from crossweep.tiles.engine.base import AbstractEngine, Crossbar
from crossweep.tiles.pulse_train import PulsePlan, UpdateParameters, sample_counts


@dataclass(frozen=True, kw_only=True)
class PulseEngine(AbstractEngine):
    """The reference: as a crossbar would do it, one sample after the other, one pulse after the other."""

    def apply(
        self, v: Tensor, plan: PulsePlan, bar: Crossbar, update: UpdateParameters, stream: Stream
    ) -> tuple[Tensor, Tensor]:
        if self.compiled(v) and update.pulse_type == "stochastic" and compiled.affine(bar):
            return compiled.update_in_order(v, plan, bar, stream)
        pulses = torch.zeros_like(v)
        for sample in range(plan.bl.shape[-1]):
            counts = sample_counts(plan, sample, update, stream)
            v = pulse_in_turn(v, counts, bar, stream)
            pulses += counts.abs()
        return v, pulses


def pulse_in_turn(v: Tensor, counts: Tensor, bar: Crossbar, stream: Stream) -> Tensor:
    """Give each device ``|counts|`` pulses in the direction of the count's sign, one at a time: [..., d,
    x]."""
    noise_stream, noisy = stream.fork("noise"), bar.response.noise > 0
    for turn in range(int(counts.abs().max()) if counts.numel() else 0):
        direction = counts.sign() * (counts.abs() > turn)
        noise = noise_stream.normal(*v.shape, like=v) if noisy else None
        v = pulse(bar.response, v, direction, bar.cells, noise)
    return v
