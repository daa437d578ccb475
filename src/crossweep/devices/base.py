"""A device model: its response to pulses, how its parameters vary, and its symmetry point. Nothing else.

Everything here works in *device coordinates* ``v``: the state of the device itself. The weight that a tile
shows is ``w = v - r`` with the reference ``r`` of ``symmetry_point.py``.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import exp, sqrt
from typing import Annotated, Literal

import torch
from torch import Tensor

from crossweep.devices import relaxation
from crossweep.devices.balance import balance_point
from crossweep.devices.response import Response
from crossweep.errors import FieldError
from crossweep.rng import Stream
from crossweep.schema import Asymmetry, Checked, NotNegative, Positive, Range, Share, Whole

UpdatePolicy = Literal["all", "single_fixed", "single_sequential", "single_random", "one_sided"]


@dataclass(frozen=True)
class Cells:
    """The drawn devices of one crossbar; every tensor is [..., d, x].

    Args:
        step_up: size of an up step at v = 0 [w], >= 0.
        step_down: size of a down step at v = 0 [w], >= 0.
        w_max: upper bound [w].
        w_min: lower bound [w].
        extra: what one model needs beyond these (slopes, exponents, decay), by name.
    """

    step_up: Tensor
    step_down: Tensor
    w_max: Tensor
    w_min: Tensor
    extra: Mapping[str, Tensor] = field(default_factory=dict)

    def tensors(self) -> dict[str, Tensor]:
        """All tensors by name, for a module's buffers."""
        own = {"step_up": self.step_up, "step_down": self.step_down, "w_max": self.w_max, "w_min": self.w_min}
        return own | dict(self.extra)

    def to(self, device: torch.device | str) -> "Cells":
        """The same devices elsewhere."""
        return Cells.from_tensors({name: tensor.to(device) for name, tensor in self.tensors().items()})

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> "Cells":
        """Inverse of ``tensors``."""
        rest = dict(tensors)
        up, down, high, low = (rest.pop(name) for name in ("step_up", "step_down", "w_max", "w_min"))
        return cls(up, down, high, low, rest)


@dataclass(frozen=True, kw_only=True)
class AbstractDevice(Checked, ABC):
    """Parameters common to all pulsed devices, and the contract of a model.

    Every device draws, independently (standard normal numbers xi)::

        b    = w_max (1 + w_max_dtod xi)          a = w_min (1 + w_min_dtod xi)
        gain = 1 + dw_min_dtod xi                 or exp(dw_min_dtod xi) if dw_min_dtod_log_normal
        r    = up_down_dtod xi
        s+   = (gain + min(up_down, 0) + r) dw_min      s- = (gain - max(up_down, 0) - r) dw_min

    then ``s+, s- <- |s+|, |s-|``, the bounds are ordered, and ``b <- |b|``, ``a <- -|a|``.

    Args:
        dw_min: mean step at v = 0 [w], > 0.
        dw_min_dtod: device-to-device spread of the step [relative to dw_min], >= 0.
        dw_min_dtod_log_normal: draw the gain log-normally; its mean is then exp(dw_min_dtod^2 / 2).
        dw_min_std: cycle-to-cycle spread of one pulse [relative to its step], >= 0.
        up_down: mean asymmetry [1] in (-1, 1); one-sided: positive shrinks the down step, negative the up
            one.
        up_down_dtod: device-to-device spread of the asymmetry [1], >= 0.
        w_max: mean upper bound [w], > 0.
        w_min: mean lower bound [w], < 0.
        w_max_dtod: device-to-device spread of the upper bound [relative], >= 0.
        w_min_dtod: device-to-device spread of the lower bound [relative], >= 0.
        write_noise_std: spread of the visible weight around the persistent one after a pulse [dw_min], >= 0.
        corrupt_devices_prob: share of devices that never move [1] in 0..1.
        corrupt_devices_range: stuck values are uniform in plus or minus this [w], >= 0.
        n_states: if given, sets ``dw_min`` so that the mean range holds this many steps [1], > 0.
        lifetime: time constant of the decay towards ``reset`` [mini-batch]; 0 means none.
        lifetime_dtod: its device-to-device spread [relative], >= 0.
        reset: mean state that a device decays to and is reset to [w].
        reset_dtod: its device-to-device spread [w], >= 0.
        reset_std: cycle-to-cycle spread of an explicit reset [w], >= 0.
        diffusion: random walk [w per square root of a mini-batch], >= 0.
        diffusion_dtod: its device-to-device spread [relative], >= 0.
        drift_nu: mean exponent of the power-law drift since the last pulse [1], >= 0; 0 means none.
        drift_nu_dtod: its device-to-device spread [relative], >= 0.
        drift_nu_std: its spread from one mini-batch to the next [relative], >= 0.
        n_devices: devices per weight [1], >= 1; their mean is the weight (their sum, if ``one_sided``).
        update_policy: which of several devices a pulse reaches: ``all``, ``single_fixed`` (the first),
            ``single_sequential`` or ``single_random`` (another one for each sample), or ``one_sided`` (a
            pair: up pulses move the first up, down pulses the second, and the weight is their difference).
        refresh_every: a one-sided pair is checked for saturation after so many [mini-batch]; 0 means never.
        refresh_upper_thres: it is rewritten if the larger state is above this [w_max] ...
        refresh_lower_thres: ... and the smaller above this [w_max].

    Raises:
        ConfigError: a parameter breaks its rule.

    Source: aihwkit, ``PulsedDevice`` (population) and its engine; Rasch et al., Nat. Commun. 15:7133 (2024),
    eqs. 4-6.
    Differs: bounds and steps are always made consistent (``enforce_consistency``).
    """

    dw_min: Positive
    dw_min_dtod: NotNegative
    dw_min_dtod_log_normal: bool
    dw_min_std: NotNegative
    up_down: Asymmetry
    up_down_dtod: NotNegative
    w_max: float
    w_min: float
    w_max_dtod: NotNegative
    w_min_dtod: NotNegative
    write_noise_std: NotNegative
    corrupt_devices_prob: Share
    corrupt_devices_range: NotNegative
    n_states: Positive | None
    lifetime: NotNegative
    lifetime_dtod: NotNegative
    reset: float
    reset_dtod: NotNegative
    reset_std: NotNegative
    diffusion: NotNegative
    diffusion_dtod: NotNegative
    drift_nu: NotNegative
    drift_nu_dtod: NotNegative
    drift_nu_std: NotNegative
    n_devices: Annotated[int, Range(least=1, most=100)]
    update_policy: UpdatePolicy
    refresh_every: Whole
    refresh_upper_thres: NotNegative
    refresh_lower_thres: NotNegative

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_bounds()
        if self.n_states is not None:
            unit = self.granularity / self.dw_min
            object.__setattr__(self, "dw_min", (self.w_max - self.w_min) / self.n_states / unit)
        if 0 < self.lifetime <= 1:
            raise FieldError("lifetime", f"must be > 1 mini-batch, or 0 for none, got {self.lifetime}")
        if self.update_policy == "one_sided" and self.n_devices != 2:
            rule = "must be 2 with update_policy=one_sided, else >= 1"
            raise FieldError("n_devices", f"{rule}, got {self.n_devices}")

    def check_bounds(self) -> None:
        """The mean range holds zero inside, for a pair at its edge."""
        pair = self.update_policy == "one_sided"
        if not (self.w_min <= 0 < self.w_max and (pair or self.w_min < 0)):
            rule = "w_min <= 0 < w_max" if pair else "w_min < 0 < w_max"
            got = f"{self.w_min}, {self.w_max}"
            raise FieldError(
                "w_min, .w_max",
                f"`{rule}` must hold, got {got}; one-sided devices must have update_policy=one_sided",
            )

    # -- the contract ----------------------------------------------------------------------------------------

    @abstractmethod
    def response(self, cells: Cells) -> Response:
        """What pulses do to drawn devices: all that any engine goes by."""

    def symmetry_point(self, cells: Cells) -> Tensor | None:
        """State ``[..., d, x]`` at which both steps are equal, or None if the model has none."""
        return balance_point(self.response(cells), cells)

    def draw_extra(self, cells: Cells, stream: Stream) -> Cells:
        """Draw what the model needs beyond the common parameters."""
        return cells

    @property
    def write_noise(self) -> float:
        """Standard deviation of what a device shows around its state [w]."""
        return self.write_noise_std * self.dw_min

    @property
    def granularity(self) -> float:
        """The step that pulse trains and transfers are scaled with [w]: the mean one in mid-range."""
        return self.dw_min

    # -- what follows from it --------------------------------------------------------------------------------

    @property
    def states(self) -> float:
        """Number of states: mean range over granularity [1]."""
        return (self.w_max - self.w_min) / self.granularity

    @property
    def relative_step(self) -> float:
        """Typical share of the way to the nearer bound that one pulse covers [1], spread included."""
        spread = exp(2 * self.dw_min_dtod**2) if self.dw_min_dtod_log_normal else 1 + self.dw_min_dtod**2
        return self.granularity / self.reach * sqrt(spread)

    @property
    def reach(self) -> float:
        """Largest weight that the mean device can hold in both directions [w]."""
        return self.w_max if self.update_policy == "one_sided" else min(self.w_max, -self.w_min)

    @property
    def largest(self) -> float:
        """Largest weight that the mean device can hold, in either direction [w]."""
        return max(self.w_max, -self.w_min)

    def draw(self, shape: tuple[int, ...], stream: Stream) -> Cells:
        """Draw a crossbar of ``shape (..., d, x)``, on the CPU; same stream and shape, same devices."""
        like = torch.empty(0)

        def xi(name: str) -> Tensor:
            return stream.fork(name).normal(*shape, like=like)

        upper = self.w_max * (1 + self.w_max_dtod * xi("w_max"))
        lower = self.w_min * (1 + self.w_min_dtod * xi("w_min"))
        spread = self.dw_min_dtod * xi("dw_min")
        gain = spread.exp() if self.dw_min_dtod_log_normal else 1 + spread
        asymmetry = self.up_down_dtod * xi("up_down")
        cells = Cells(
            step_up=((gain + min(self.up_down, 0.0) + asymmetry) * self.dw_min).abs(),
            step_down=((gain - max(self.up_down, 0.0) - asymmetry) * self.dw_min).abs(),
            w_max=torch.maximum(upper, lower).abs(),
            w_min=-torch.minimum(upper, lower).abs(),
        )
        cells = self.draw_extra(cells, stream)
        slow = relaxation.draw(self, cells.w_max, stream)
        return self._freeze_corrupt(replace(cells, extra=dict(cells.extra) | slow), stream)

    def _freeze_corrupt(self, cells: Cells, stream: Stream) -> Cells:
        if not self.corrupt_devices_prob:
            return cells
        like, shape = cells.w_max, cells.w_max.shape
        stuck = stream.fork("corrupt").uniform(*shape, like=like) < self.corrupt_devices_prob
        limit = self.corrupt_devices_range
        low, high = cells.w_min.clamp(min=-limit), cells.w_max.clamp(max=limit)
        value = low + (high - low) * stream.fork("corrupt_value").uniform(*shape, like=like)
        zero = torch.zeros_like(like)
        return replace(
            cells,
            step_up=torch.where(stuck, zero, cells.step_up),
            step_down=torch.where(stuck, zero, cells.step_down),
            w_max=torch.where(stuck, value, cells.w_max),
            w_min=torch.where(stuck, value, cells.w_min),
            extra={
                k: t.masked_fill(stuck, 0.0) if k.startswith("slope") else t for k, t in cells.extra.items()
            },
        )

    @property
    def relaxes(self) -> bool:
        """Whether the state changes without pulses: decay, diffusion or drift."""
        return bool(self.lifetime or self.diffusion or self.drift_nu)

    def relax(
        self, v: Tensor, cells: Cells, memory: Mapping[str, Tensor], stream: Stream
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The state after one mini-batch without pulses; free of cost for a device that does not relax.

        Args:
            v: states [..., d, x] [w].
            cells: the devices.
            memory: what the last call returned; empty before the first. Part of a checkpoint.
            stream: source of the diffusion and of the drift's spread.
        """
        if not self.relaxes:
            return v, dict(memory)
        return relaxation.relax(self, v, cells, memory, stream)

    def rest(self, v: Tensor, cells: Cells, age: Tensor, batches: float, stream: Stream) -> Tensor:
        """States ``[..., d, x]`` after many mini-batches without pulses, see `relaxation.rest`."""
        return relaxation.rest(self, v, cells, age, batches, stream) if self.relaxes else v

    def reset_state(self, cells: Cells, stream: Stream) -> Tensor:
        """States ``[..., d, x]`` after an explicit reset: own target, ``reset_std`` around it [w]."""
        return relaxation.reset_state(self, cells, stream)
