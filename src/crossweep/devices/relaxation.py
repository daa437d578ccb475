"""What devices do between pulses: decay, diffusion, power-law drift, and the explicit reset."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from crossweep.rng import Stream

if TYPE_CHECKING:  # base.py hands itself in
    from crossweep.devices.base import AbstractDevice, Cells


def draw(device: "AbstractDevice", like: Tensor, stream: Stream) -> dict[str, Tensor]:
    """Each device's own ``decay``, ``reset``, ``diffusion`` and ``drift_nu [..., d, x]``; only those in use.

    ``decay = 1 - 1/T`` with ``T = lifetime (1 + lifetime_dtod xi)`` (0 if ``T <= 1``: the state is lost at
    once), ``reset + reset_dtod xi`` (absolute), ``|diffusion (1 + diffusion_dtod xi)|``,
    ``drift_nu (1 + drift_nu_dtod xi)``.
    """

    def xi(name: str) -> Tensor:
        return stream.fork(name).normal(*like.shape, like=like)

    drawn = {}
    if device.lifetime:
        time = device.lifetime * (1 + device.lifetime_dtod * xi("lifetime"))
        drawn["decay"] = torch.where(time > 1, 1 - 1 / time, 0.0)
    if device.lifetime or device.reset or device.reset_dtod:
        drawn["reset"] = device.reset + device.reset_dtod * xi("reset")
    if device.diffusion:
        drawn["diffusion"] = (device.diffusion * (1 + device.diffusion_dtod * xi("diffusion"))).abs()
    if device.drift_nu:
        drawn["drift_nu"] = device.drift_nu * (1 + device.drift_nu_dtod * xi("drift_nu"))
    return drawn


def relax(
    device: "AbstractDevice", v: Tensor, cells: "Cells", memory: Mapping[str, Tensor], stream: Stream
) -> tuple[Tensor, dict[str, Tensor]]:
    """One mini-batch of diffusion, then decay, then drift, then the bounds.

    Diffusion ``v + D xi``; decay ``(v - reset) decay + reset``; drift ``v (n / (n - 1))^-nu`` in the n-th
    mini-batch after the last pulse, so that an untouched device follows ``v_1 n^-nu``. Any change since the
    last call restarts the drift.

    Source: aihwkit, ``diffuse_weights``, ``decay_weights`` and ``DriftParameter`` (without conductance
    offsets).
    Differs: acts on the device's state, not on the weight after the subtraction of a reference; drift runs by
    itself once per mini-batch instead of by an explicit call.
    """
    kept = dict(memory)
    moved = v
    if device.diffusion:
        noise = stream.fork("diffusion").normal(*v.shape, like=v)
        moved = moved + cells.extra["diffusion"] * noise
    if device.lifetime:
        target = cells.extra["reset"]
        moved = (moved - target) * cells.extra["decay"] + target
    if device.drift_nu:
        factor, kept["age"] = _drift(device, v, cells, memory, stream)
        moved = moved * factor
    moved = torch.minimum(torch.maximum(moved, cells.w_min), cells.w_max)
    if device.drift_nu:
        kept["settled"] = moved.clone()  # pulses may change the states in place
    return moved, kept


def _drift(
    device: "AbstractDevice", v: Tensor, cells: "Cells", memory: Mapping[str, Tensor], stream: Stream
) -> tuple[Tensor, Tensor]:
    """Drift factor of this mini-batch and the age of each state [mini-batch]."""
    age = torch.ones_like(v)
    if memory:
        age = torch.where(v == memory["settled"], memory["age"] + 1, age)
    nu = cells.extra["drift_nu"]
    if device.drift_nu_std:
        nu = nu * (1 + device.drift_nu_std * stream.fork("drift").normal(*v.shape, like=v))
    return torch.where(age > 1, (age / (age - 1).clamp(min=1)) ** -nu, 1.0), age


def reset_state(device: "AbstractDevice", cells: "Cells", stream: Stream) -> Tensor:
    """State after an explicit reset: the device's target, ``reset_std`` around it, inside the bounds [w]."""
    like = cells.w_max
    target = cells.extra.get("reset", torch.zeros_like(like))
    noise = stream.fork("reset").normal(*like.shape, like=like)
    return torch.minimum(torch.maximum(target + device.reset_std * noise, cells.w_min), cells.w_max)
