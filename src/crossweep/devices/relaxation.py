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
    last call restarts the drift. Noise is the same on every device that computes it.

    Source: aihwkit, ``diffuse_weights``, ``decay_weights`` and ``DriftParameter`` (without conductance
    offsets).
    Differs: acts on the device's state, not on the weight after the subtraction of a reference; drift runs by
    itself once per mini-batch instead of by an explicit call.
    """
    kept = dict(memory)
    moved = v
    if device.diffusion:
        noise = stream.fork("diffusion").normal(*v.shape, like=v, portable=True)
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
        nu = nu * (1 + device.drift_nu_std * stream.fork("drift").normal(*v.shape, like=v, portable=True))
    return torch.where(age > 1, (age / (age - 1).clamp(min=1)) ** -nu, 1.0), age


def rest(
    device: "AbstractDevice", v: Tensor, cells: "Cells", age: Tensor, batches: float, stream: Stream
) -> Tensor:
    """States after many mini-batches without pulses, in closed form; as so many calls of `relax` in distribution.

    Decay and diffusion together are an autoregressive process: ``n`` mini-batches multiply the distance from ``reset`` by
    ``decay^n`` and add the variance ``D^2 decay^2 (1 - decay^2n) / (1 - decay^2)``. Drift multiplies by
    ``((age + n) / age)^-nu``,
    the spread of its single factors summed up. What diffuses over a bound is reflected, as the many small steps would be.

    Args:
        device: its model.
        v: states [..., d, x] [w].
        cells: the devices.
        age: mini-batches since each state was pulsed last, >= 1 [..., d, x].
        batches: how many.
        stream: source of the diffusion and of the drift's spread.

    Differs: where drift and diffusion act together, all of the diffusion comes first.
    """
    spread = torch.zeros_like(v)
    if device.lifetime:
        target, decay = cells.extra["reset"], cells.extra["decay"].double()
        left = decay**batches
        v = ((v - target) * left + target).to(v.dtype)
        shrink = torch.where(decay < 1, decay**2 * (1 - left**2) / (1 - decay**2), batches)
    else:
        shrink = torch.full_like(v, batches, dtype=torch.float64)
    if device.diffusion:
        spread = (cells.extra["diffusion"] * shrink.sqrt()).to(v.dtype)
        v = v + spread * stream.fork("diffusion").normal(*v.shape, like=v, portable=True)
    if device.drift_nu:
        nu = cells.extra["drift_nu"]
        power = ((age.double() + batches) / age.double()).log()
        if device.drift_nu_std:  # sum of squared logarithms of the single factors, by its integral
            wide = (1 / age.double() - 1 / (age.double() + batches)).sqrt()
            power = power + device.drift_nu_std * wide * stream.fork("drift").normal(
                *v.shape, like=v, portable=True
            )
        v = (v * torch.exp(-nu * power)).to(v.dtype)
    return _reflected(v, cells.w_min, cells.w_max) if device.diffusion else v.clamp(cells.w_min, cells.w_max)


def _reflected(v: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """States mirrored at the bounds until they lie between them."""
    width = (high - low).clamp(min=1e-12)
    place = torch.remainder(v - low, 2 * width)
    return (low + torch.where(place > width, 2 * width - place, place)).clamp(low, high)


def reset_state(device: "AbstractDevice", cells: "Cells", stream: Stream) -> Tensor:
    """State after an explicit reset: the device's target, ``reset_std`` around it, inside the bounds [w]."""
    like = cells.w_max
    target = cells.extra.get("reset", torch.zeros_like(like))
    noise = stream.fork("reset").normal(*like.shape, like=like, portable=True)
    return torch.minimum(torch.maximum(target + device.reset_std * noise, cells.w_min), cells.w_max)
