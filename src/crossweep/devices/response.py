"""A device's response is data: the mean step up and down as a function of the state, and the noise of a pulse.

A model hands out one of these kinds, and nothing but it decides what pulses do: ``step`` and ``std`` are written here
once, for the torch reference; compiled kernels take the numbers of the others, but a ``General`` response, a stranger's
formula, runs as it is written.

All tensors are ``[..., d, x]`` unless stated otherwise, states are device coordinates.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias, assert_never

import torch
from torch import Tensor

if TYPE_CHECKING:  # base.py names what is here
    from crossweep.devices.base import Cells

OfState: TypeAlias = Callable[[Tensor], Tensor]
_HIGHEST = 60.0  # of an exponent


@dataclass(frozen=True, kw_only=True, eq=False)
class Affine:
    """Steps ``up + slope_up v`` and ``down + slope_down v``.

    Args:
        up: up step at zero [w].
        down: down step at zero [w].
        slope_up: its change with the state [1].
        slope_down: its change with the state [1].
        noise: standard deviation of a pulse [its step], >= 0.
        additive: the noise is relative to the step at zero instead of at the state.
    """

    up: Tensor
    down: Tensor
    slope_up: Tensor
    slope_down: Tensor
    noise: float
    additive: bool = False


@dataclass(frozen=True, kw_only=True, eq=False)
class Exponential:
    """Steps ``unit max(1 - A exp(g (scale v + offset)), 0)``; a pulse of mean change ``D`` has the standard deviation
    ``noise (|D| + noise_floor + noise_slope |v|)``. With a unit of zero, pulses of this direction do nothing.

    Args:
        unit_up: unit of up steps [w].
        unit_down: unit of down steps [w].
        scale: of the state [1 / w].
        curve_up: ``A`` and ``g`` of up steps [1].
        curve_down: ``A`` and ``g`` of down steps [1].
        offset: see above [1].
        noise: see above [1], >= 0.
        noise_floor: see above [w].
        noise_slope: see above [1].
    """

    unit_up: Tensor
    unit_down: Tensor
    scale: Tensor
    curve_up: tuple[float, float]
    curve_down: tuple[float, float]
    offset: float
    noise: float
    noise_floor: float = 0.0
    noise_slope: float = 0.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Power:
    """Steps ``unit_up ((high - v) / (high - low))^power_up`` and ``unit_down ((v - low) / (high - low))^power_down``.

    Args:
        low: state where down steps end, the lower bound [w].
        high: state where up steps end, the upper bound [w].
        unit_up: up step at ``low`` [w].
        unit_down: down step at ``high`` [w].
        power_up: exponent of up steps [1], >= 0.
        power_down: exponent of down steps [1], >= 0.
        noise: standard deviation of a pulse [its step], >= 0.
    """

    low: Tensor
    high: Tensor
    unit_up: Tensor
    unit_down: Tensor
    power_up: Tensor
    power_down: Tensor
    noise: float

    def room(self, v: Tensor, *, up: bool) -> Tensor:
        """Share of the range that is left to go at states ``v``."""
        width = (self.high - self.low).clamp(min=1e-12)  # a stuck device has no range
        return ((self.high - v if up else v - self.low) / width).clamp(min=0.0)


@dataclass(frozen=True, kw_only=True, eq=False)
class Table:
    """Steps ``gain I(v)`` and noise ``noise gain J(v)`` with curves that are linear between equally spaced nodes, from
    ``low`` to ``high``, and constant outside.

    Args:
        low: state of the first node [w].
        high: state of the last node [w]; below ``low`` for a mirrored device.
        gain_up: factor of up steps [w].
        gain_down: factor of down steps [w].
        curves: up and down steps I, then up and down noise J, at the nodes [4, sets of curves, nodes >= 2], >= 0.
        noise: see above [1], >= 0.
        which: set that each device has, whole numbers; None where there is one.
    """

    low: Tensor
    high: Tensor
    gain_up: Tensor
    gain_down: Tensor
    curves: Tensor
    noise: float
    which: Tensor | None = None

    @property
    def width(self) -> Tensor:
        """From ``low`` to ``high``, never zero: a stuck device has no range, but zero gains for whatever is found."""
        width = self.high - self.low
        return torch.where(width.abs() < 1e-12, 1e-12, width)

    def at(self, curve: int, v: Tensor) -> Tensor:
        """Curve number ``curve`` at states ``v``."""
        last = self.curves.shape[-1] - 1
        place = ((v - self.low) / self.width * last).clamp(0.0, float(last))
        left = place.floor().clamp(max=last - 1)
        share, k = place - left, left.long()
        if self.which is not None:
            k = k + self.which.long() * (last + 1)
        values = self.curves[curve].flatten()
        return (1 - share) * values[k] + share * values[k + 1]


@dataclass(frozen=True, kw_only=True, eq=False)
class General:
    """Any other steps, as functions of states of any shape that broadcasts with the devices.

    Args:
        up: mean change of an up pulse [w], >= 0.
        down: mean change of a down pulse, counted downwards [w], >= 0.
        noise: factor of the standard deviations [1], >= 0; 0: pulses are noise-free.
        std_up: standard deviation of an up pulse over ``noise`` [w]; None: its mean change.
        std_down: standard deviation of a down pulse over ``noise`` [w]; None: its mean change.
    """

    up: OfState
    down: OfState
    noise: float
    std_up: OfState | None = None
    std_down: OfState | None = None


Response: TypeAlias = Affine | Exponential | Power | Table | General


def step(response: Response, v: Tensor, *, up: bool) -> Tensor:
    """Mean size of one pulse at states ``v`` [w]."""
    match response:
        case Affine():
            size, slope = (response.up, response.slope_up) if up else (response.down, response.slope_down)
            return size + slope * v
        case Exponential():
            unit, (amplitude, rate) = (
                (response.unit_up, response.curve_up) if up else (response.unit_down, response.curve_down)
            )
            z = response.scale * v + response.offset
            return unit * (1 - amplitude * (rate * z).clamp(max=_HIGHEST).exp()).clamp(min=0.0)
        case Power():
            unit, power = (
                (response.unit_up, response.power_up) if up else (response.unit_down, response.power_down)
            )
            return unit * response.room(v, up=up) ** power
        case Table():
            return response.gain_up * response.at(0, v) if up else response.gain_down * response.at(1, v)
        case General():
            return (response.up if up else response.down)(v)
    assert_never(response)


def std(response: Response, v: Tensor, *, up: bool) -> Tensor:
    """Cycle-to-cycle standard deviation of one pulse at states ``v`` [w]."""
    match response:
        case Affine(additive=True):
            return response.noise * (response.up if up else response.down)
        case Exponential():
            base = step(response, v, up=up) + response.noise_floor + response.noise_slope * v.abs()
            return response.noise * base * ((response.unit_up if up else response.unit_down) > 0)
        case Table():
            own = response.gain_up * response.at(2, v) if up else response.gain_down * response.at(3, v)
            return response.noise * own
        case General():
            given = response.std_up if up else response.std_down
            return response.noise * (step(response, v, up=up).abs() if given is None else given(v))
        case Affine() | Power():
            return response.noise * step(response, v, up=up).abs()
    assert_never(response)


def pulse(
    response: Response, v: Tensor, direction: Tensor, cells: "Cells", noise: Tensor | None = None
) -> Tensor:
    """The state after one pulse per device: the reference that every faster path is tested against.

    Args:
        response: of the devices.
        v: states [..., d, x] [w].
        direction: +1 up, -1 down, 0 none; [..., d, x].
        cells: the devices, for their bounds.
        noise: standard normal numbers [..., d, x], or None for noise-free pulses.
    """
    up, down = step(response, v, up=True), step(response, v, up=False)
    if noise is not None and response.noise > 0:
        up = up + std(response, v, up=True) * noise
        down = down + std(response, v, up=False) * noise
    moved = torch.where(direction > 0, v + up, v - down)
    moved = torch.minimum(torch.maximum(moved, cells.w_min), cells.w_max)
    return torch.where(direction == 0, v, moved)


def one_sided(response: Response, mirror: Tensor) -> Response:
    """The same devices pulsed upwards only, those where ``mirror`` is -1 seen from below: their states change sign.

    Down pulses of a mirrored device are its own up pulses; pulses in the other direction do nothing.

    Args:
        response: of the devices as their model knows them.
        mirror: 1 or -1.
    """
    up, down = mirror > 0, mirror < 0
    match response:
        case Affine():
            size, slope = response.up, response.slope_up
            return Affine(
                up=size * up, down=size * down, slope_up=slope * up, slope_down=-slope * down,
                noise=response.noise, additive=response.additive,
            )  # fmt: skip
        case Exponential():
            return Exponential(
                unit_up=response.unit_up * up, unit_down=response.unit_up * down, scale=response.scale * mirror,
                curve_up=response.curve_up, curve_down=response.curve_up, offset=response.offset,
                noise=response.noise, noise_floor=response.noise_floor, noise_slope=response.noise_slope,
            )  # fmt: skip
        case Power():
            return Power(
                low=torch.where(up, response.low, -response.high), high=torch.where(up, response.high, -response.low),
                unit_up=response.unit_up * up, unit_down=response.unit_up * down,
                power_up=response.power_up, power_down=response.power_up, noise=response.noise,
            )  # fmt: skip
        case Table():
            return Table(
                low=response.low * mirror, high=response.high * mirror,
                gain_up=response.gain_up * up, gain_down=response.gain_up * down,
                curves=response.curves[[0, 0, 2, 2]], noise=response.noise, which=response.which,
            )  # fmt: skip
        case General():

            def of(function: OfState, way: Tensor) -> OfState:
                return lambda v: function(v * mirror) * way

            own = response.std_up
            return General(
                up=of(response.up, up), down=of(response.up, down), noise=response.noise,
                std_up=None if own is None else of(own, up), std_down=None if own is None else of(own, down),
            )  # fmt: skip
    assert_never(response)
