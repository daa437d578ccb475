"""The fast tile's learning rate, scaled by running averages of the largest input and error."""

import torch
from torch import Tensor

from crossweep.tiles.engine import compiled


def running_scale(new: Tensor, start: Tensor, tau: float) -> Tensor:
    """Leaky averages ``m <- (1 - tau) m + tau new`` after every sample, without a loop.

    Samples with ``new == 0`` leave the average as it is; an average that is still zero takes the first
    positive value.

    Args:
        new: largest absolute value of each sample [..., b], >= 0.
        start: the average before the batch [...], 0 if there is none yet.
        tau: weight of a new value [1], in (0, 1].

    Returns:
        The average after each sample [..., b].
    """
    if compiled.usable(new):
        from crossweep.tiles.kernels.batch import running_rows

        if new.shape[:-1] != start.shape:
            lead = torch.broadcast_shapes(new.shape[:-1], start.shape)
            new, start = new.expand(*lead, new.shape[-1]), start.expand(lead)
        series, out = new.reshape(-1, new.shape[-1]).numpy(), torch.empty(new.shape)
        running_rows(series, start.reshape(-1).numpy(), tau, out.view(series.shape).numpy())
        return out
    if new.shape[-1] == 1 or tau >= 1:
        return _one_by_one(new, start, tau)
    value, valid = new.double(), new > 0
    count = valid.cumsum(-1)
    fresh = (start <= 0).unsqueeze(-1)
    # an average that starts from nothing takes the first value whole: one factor (1 - tau) fewer from there
    # on
    power = (count - fresh.long()).clamp(min=0).double()
    weight = torch.where(fresh & (count == 1), 1.0, tau) * valid
    keep = 1 - tau
    total = start.clamp(min=0).double().unsqueeze(-1) + (weight * value * keep**-power).cumsum(-1)
    return (keep**power * total).to(new.dtype)


def scaled_rate(base: float, mean_x: Tensor, mean_d: Tensor) -> Tensor:
    """``base`` over the product of the averages, an average of 0 counting as 1: [..., b]."""
    if mean_x.shape == mean_d.shape and compiled.usable(mean_x) and compiled.usable(mean_d):
        from crossweep.tiles.kernels.batch import scaled_rates

        out = torch.empty(mean_x.shape)
        x, d = (t.reshape(-1).numpy() for t in (mean_x, mean_d))
        scaled_rates(x, d, base, out.view(-1).numpy())
        return out
    return base / (torch.where(mean_x > 0, mean_x, 1.0) * torch.where(mean_d > 0, mean_d, 1.0))


def _one_by_one(new: Tensor, start: Tensor, tau: float) -> Tensor:
    averages, current = [], start
    for value in new.unbind(-1):
        moved = torch.where(current <= 0, value, (1 - tau) * current + tau * value)
        current = torch.where(value > 0, moved, current)
        averages.append(current)
    return torch.stack(averages, -1)
