"""The fast tile's learning rate, scaled by running averages of the largest input and error."""

import torch
from torch import Tensor

from crossweep.common import Each, Number, over


def running_scale(new: Tensor, start: Tensor, tau: Number) -> Tensor:
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
    if isinstance(tau, Each):
        each = zip(new, start, tau.values, strict=True)
        return torch.stack([running_scale(one, before, own) for one, before, own in each])
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


def scaled_rate(
    base: Number, tops: tuple[Tensor, Tensor], averages: tuple[Tensor, Tensor], tau: Number
) -> Tensor:  # fmt: skip
    """``base`` over the product of two running averages, an average of 0 counting as 1.

    Args:
        base: what is divided.
        tops: largest input and largest error of each sample [..., b].
        averages: those before the batch [...]; they move on in place.
        tau: weight of a new value [1], in (0, 1].

    Returns:
        A rate for each sample [..., b].
    """
    top_x, top_d = (top.expand(*averages[0].shape, top.shape[-1]) for top in tops)
    mean_x, mean_d = (running_scale(top, own, tau) for top, own in zip((top_x, top_d), averages, strict=True))
    for average, mean in zip(averages, (mean_x, mean_d), strict=True):
        average.copy_(mean[..., -1])
    product = torch.where(mean_x > 0, mean_x, 1.0) * torch.where(mean_d > 0, mean_d, 1.0)
    # a number, or tensors of one in each instance: rounded alike
    return product.reciprocal() * over(base, product)


def _one_by_one(new: Tensor, start: Tensor, tau: float) -> Tensor:
    averages, current = [], start
    for value in new.unbind(-1):
        moved = torch.where(current <= 0, value, (1 - tau) * current + tau * value)
        current = torch.where(value > 0, moved, current)
        averages.append(current)
    return torch.stack(averages, -1)
