"""Level ``count``: the same pulse trains, but their coincidences come from matrix products."""

from dataclasses import dataclass
from math import ceil

import torch
from torch import Tensor

from crossweep.errors import ConfigError
from crossweep.rng import Stream
from crossweep.tiles.engine import compiled
from crossweep.tiles.engine.base import AbstractEngine, Crossbar
from crossweep.tiles.engine.pulse import PulseEngine
from crossweep.tiles.engine.response import respond
from crossweep.tiles.pulse_train import PulsePlan, UpdateParameters, draw_trains


@dataclass(frozen=True, kw_only=True)
class CountEngine(AbstractEngine):
    """Exact up and down counts of a mini-batch, applied in one go through the device's response.

    A mini-batch in which a device would relax far towards its fixed point is cut into segments, so that the order of
    the samples is kept where it matters: many coarse pulses forget all but the last samples.

    Args:
        max_relaxation: largest typical relaxation L of one segment [1], > 0; smaller is closer to ``pulse``.

    Raises:
        ConfigError: ``max_relaxation`` is not positive.
    """

    max_relaxation: float = 0.5

    def __post_init__(self) -> None:
        if not self.max_relaxation > 0:
            raise ConfigError(f"engine.max_relaxation: must be > 0, got {self.max_relaxation}")

    def apply(
        self, v: Tensor, plan: PulsePlan, bar: Crossbar, update: UpdateParameters, stream: Stream
    ) -> tuple[Tensor, Tensor]:
        if update.pulse_type != "stochastic":  # rounded products have no matrix form
            return PulseEngine(backend=self.backend).apply(v, plan, bar, update, stream)
        if self.backend == "auto" and compiled.usable(v) and compiled.affine(bar):
            return compiled.update_affine(v, plan, bar, self.max_relaxation, stream)
        if self.backend == "auto" and compiled.usable(v):
            return compiled.update_counted(v, plan, bar, self.max_relaxation, stream)
        trains = draw_trains(plan, stream)
        total = torch.zeros_like(v)
        for start, stop in self.segments(plan, bar):
            first, last = (int(torch.searchsorted(trains.sample, edge)) for edge in (start, stop))
            x, d = trains.x[..., first:last, :], trains.d[..., first:last, :].transpose(-1, -2)
            net, pulses = -(d @ x), d.abs() @ x.abs()
            moved = respond(
                v, (pulses + net) / 2, (pulses - net) / 2, bar, stream, _blocks(plan.samples(start, stop))
            )
            v = torch.where(pulses > 0, moved, v)
            total += pulses
        return v, total

    def segments(self, plan: PulsePlan, bar: Crossbar) -> list[tuple[int, int]]:
        """Sample ranges of about equal expected pulses, each relaxing a typical device by ``max_relaxation`` at most."""
        rms = plan.p_x.square().mean(-1).sqrt() * plan.p_d.square().mean(-1).sqrt() * plan.bl
        expected = rms.reshape(-1, rms.shape[-1]).amax(0).cumsum(0)  # running typical pulses per device
        samples = expected.numel()
        wanted = ceil(float(expected[-1]) * bar.device.relative_step / self.max_relaxation) if samples else 0
        if wanted <= 1:
            return [(0, samples)]
        marks = torch.arange(1, wanted, device=expected.device) * (expected[-1] / wanted)
        inner = torch.searchsorted(expected, marks).add(1).clamp(max=samples - 1).unique().tolist()
        edges = [0, *(int(edge) for edge in inner if 0 < edge < samples), samples]
        return list(zip(edges[:-1], edges[1:], strict=True))


def _blocks(plan: PulsePlan) -> Tensor | float:
    """kappa [..., d, x]: expected ``sum n_b^2 / sum n_b`` over the samples, 1 where samples have single slots."""
    if plan.longest == 1:
        return 1.0
    bl = plan.bl.unsqueeze(-1)
    singles = (plan.p_d * bl).transpose(-1, -2) @ plan.p_x
    pairs = (plan.p_d.square() * (bl * (bl - 1))).transpose(-1, -2) @ plan.p_x.square()
    return 1 + pairs / singles.clamp(min=1e-12)
