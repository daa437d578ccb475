"""Cutting a mini-batch so that the order of its samples is kept where it matters."""

from itertools import pairwise
from math import ceil

import torch

from crossweep.engine.base import Crossbar
from crossweep.engine.pulse_plan import PulsePlan


def segments(plan: PulsePlan, bar: Crossbar, most: float) -> list[tuple[int, int]]:
    """Sample ranges of about equal expected pulses, each relaxing a typical device by ``most`` at most."""
    rms = plan.p_x.square().mean(-1).sqrt() * plan.p_d.square().mean(-1).sqrt() * plan.bl
    expected = rms.reshape(-1, rms.shape[-1]).amax(0).cumsum(0)  # running typical pulses per device
    samples = expected.numel()
    wanted = ceil(float(expected[-1]) * bar.device.relative_step / most) if samples else 0
    if wanted <= 1:
        return [(0, samples)]
    marks = torch.arange(1, wanted, device=expected.device) * (expected[-1] / wanted)
    inner = torch.searchsorted(expected, marks).add(1).clamp(max=samples - 1).unique().tolist()
    return list(pairwise([0, *(int(edge) for edge in inner if 0 < edge < samples), samples]))


def blocks(plan: PulsePlan) -> float:
    """kappa: expected ``sum n_b^2 / sum n_b`` over the samples; pulses of one sample share their
    direction."""
    if plan.longest == 1:
        return 1.0
    p_x, p_d, bl = plan.p_x, plan.p_d, plan.bl
    singles = (bl * p_x.mean(-1) * p_d.mean(-1)).sum()
    pairs = (bl * (bl - 1) * p_x.square().mean(-1) * p_d.square().mean(-1)).sum()
    return 1 + float(pairs / singles.clamp(min=1e-12))
