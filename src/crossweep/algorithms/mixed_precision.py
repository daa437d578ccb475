"""Mixed precision: gradients accumulate digitally, whole device steps of them are written."""

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

import numpy as np
import torch
from torch import Tensor

from crossweep import feed
from crossweep.algorithms.base import AbstractAlgorithm, AnalogWeight
from crossweep.common import Each, Number, Rate, fed, lift, now, over, refuse
from crossweep.devices.base import AbstractDevice
from crossweep.engine.base import granularity
from crossweep.engine.chain import of_each
from crossweep.engine.pulse_plan import UpdateParameters
from crossweep.engine.slice_pulses import train_counts
from crossweep.errors import FieldError
from crossweep.rng import Stream
from crossweep.schema import Checked, Count, NotNegative, Positive, Range
from crossweep.tiles.factory import TileFactory

Optimizer = Callable[[list[Tensor]], torch.optim.Optimizer]


@dataclass(frozen=True, kw_only=True)
class TorchOptimizer(Checked):
    """Makes one of torch's optimizers.

    Args:
        name: a class of ``torch.optim``.
        options: its keywords but the learning rate, which is the analog one.

    Raises:
        ConfigError: torch has no such optimizer, or it refuses an option.
    """

    name: str
    options: Mapping[str, Any]

    def __post_init__(self) -> None:
        super().__post_init__()
        known = [
            name
            for name, found in vars(torch.optim).items()
            if isinstance(found, type) and issubclass(found, torch.optim.Optimizer)
        ]
        if self.name not in known:
            raise FieldError("name", f"must be one of {', '.join(known)}, got {self.name!r}")
        try:
            self([torch.zeros(1)])
        except (TypeError, ValueError) as error:
            raise FieldError("options", f"must suit {self.name}, which says: {error}") from error

    def __call__(self, tensors: list[Tensor]) -> torch.optim.Optimizer:
        made: torch.optim.Optimizer = getattr(torch.optim, self.name)(tensors, **self.options)
        return made


@dataclass(frozen=True, kw_only=True)
class MixedPrecision(AbstractAlgorithm):
    """``chi += wanted -dW`` in floating point; every ``transfer_every`` mini-batches ``n = trunc(chi /
    granularity)`` blind pulses per device, ``chi -= n granularity``.

    The digital outer product costs what in-memory training wants to avoid, and is the upper baseline for
    that.

    Args:
        transfer_every: mini-batches between two transfers, >= 1.
        n_rows_per_transfer: rows written at a transfer, in turn; -1 writes all.
        granularity: what one pulse is taken to change [w]; 0 is the device's step.
        transfer_lr: rate of the transfer [1], > 0.
        n_x_bins: levels that x is rounded to before the product, per vector; 0 keeps it.
        n_d_bins: the same of d.
        sto_round: round to these levels stochastically.
        update: pulse trains of a transfer; both managements are always on. ``desired_bl`` limits the pulses
            per transfer, the rest is lost.
        optimizer: makes any torch optimizer of a list of tensors; what it would change the logical weight by
            is accumulated instead of ``-lr d x^T``. None is plain SGD.

        lr_scale: multiplies the learning rate [1], > 0.

    Raises:
        ConfigError: a parameter breaks its rule.

    Source: Nandakumar et al., Front. Neurosci. 14:406 (2020); aihwkit ``MixedPrecisionCompound``; with an
        optimizer: Wu et al., arXiv 2609.36584 (2026).
    Differs: a transfer comes at the end of its mini-batch, as in aihwkit's CUDA engine (its CPU engine: one
        sample later); both vectors are rounded independently (its CPU engine garbles the one that is not
        rounded).
    """

    transfer_every: Count
    n_rows_per_transfer: Literal[-1] | Count
    granularity: NotNegative
    transfer_lr: Positive
    n_x_bins: Literal[0] | Annotated[int, Range(least=2)]
    n_d_bins: Literal[0] | Annotated[int, Range(least=2)]
    sto_round: bool
    update: UpdateParameters
    optimizer: Optimizer | None
    lr_scale: Positive

    def build(self, shape: tuple[int, ...], factory: TileFactory) -> "MixedPrecisionWeight":
        return MixedPrecisionWeight(shape, self, factory)


class MixedPrecisionWeight(AnalogWeight):
    """One tile and the accumulator chi (of the wanted decrease) of one weight."""

    fed = True
    chi: Tensor

    def __init__(self, shape: tuple[int, ...], rule: MixedPrecision, factory: TileFactory) -> None:
        super().__init__(shape, factory)
        self.rule = rule
        self.single = factory.tile("single", shape)
        self.register_buffer("chi", torch.zeros_like(self.single.weight))
        self.row = 0
        self.batches = 0
        self.rounding = factory.draws.fork("rounding")
        self.transfers = factory.draws.fork("transfers")
        self.logical = torch.zeros_like(self.chi)  # what the optimizer believes to change
        self.optimizer = rule.optimizer([self.logical]) if rule.optimizer else None

    @property
    def weight(self) -> Tensor:
        return self.single.weight

    @property
    def digital_values(self) -> int:
        state = self.optimizer.state.get(self.logical, {}) if self.optimizer else {}
        return 1 + sum(isinstance(v, Tensor) and v.shape == self.chi.shape for v in state.values())

    def set_weight(self, weight: Tensor) -> None:
        """Write the weight and empty the accumulator."""
        self.single.set_weight(weight)
        self.chi = torch.zeros_like(self.chi)
        self.row = self.batches = 0

    def train_on(self, x: Tensor, d: Tensor, lr: Rate) -> None:
        if self.optimizer is not None:
            feed.refuse("an optimizer of its own moves what mixed precision accumulates")
        self.accumulate(x, d, fed(lambda: lift(_rate, self.rule, now(lr), name="lr"), x))
        feed.same(self._last_before_a_transfer)
        due = self._last_before_a_transfer()
        feed.also(self._next_batch)
        if due:
            self.transfer()

    def _last_before_a_transfer(self) -> bool:
        return (self.batches + 1) % self.rule.transfer_every == 0

    def _next_batch(self) -> None:
        self.batches += 1

    def accumulate(self, x: Tensor, d: Tensor, rate: Number) -> None:
        """Add the mini-batch's wanted decrease of the weight to chi."""
        x = quantise(x, self.rule.n_x_bins, self.rule.sto_round, self.rounding.fork("x"))
        d = quantise(d, self.rule.n_d_bins, self.rule.sto_round, self.rounding.fork("d"))
        gradient = _products(d, x)
        if self.optimizer is None:
            self.chi = self.chi + over(rate, gradient) * gradient
        else:
            self.chi = self.chi + self._decrease(
                gradient, refuse(rate.name) if isinstance(rate, Each) else rate
            )
        self.tally.add(digital_operations=2 * self._vectors(x) * x.shape[-1] * d.shape[-1])

    def _decrease(self, gradient: Tensor, lr: float) -> Tensor:
        """What the optimizer would subtract from the weight, in units of the tile."""
        assert self.optimizer is not None
        before = self.weight * self.scale
        self.logical.data = before.clone()
        self.logical.grad = gradient * self.scale
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        self.optimizer.step()
        return (before - self.logical.data) / self.scale

    def transfer(self) -> None:
        """Write whole steps of chi, the next rows of it."""
        rule, tile, d_size = self.rule, self.single, self.shape[-2]
        grain: Number = lift(_grain, rule, tile.device, name="granularity")
        unit = over(grain, self.chi)
        many = d_size if rule.n_rows_per_transfer < 0 else min(rule.n_rows_per_transfer, d_size)
        rows = feed.given(lambda: (self.row + np.arange(many)) % d_size, self.chi)
        feed.also(lambda: self._next_row(many))
        n = (self.chi[..., rows, :] / unit).trunc()
        self.chi[..., rows, :] = self.chi[..., rows, :] - n * unit
        update = replace(rule.update, update_management=True, update_bl_management=True)
        rate: Number = lift(_transfer_rate, rule, grain, name="rule.transfer_lr")
        written = -n.transpose(-1, -2)
        counts = torch.zeros_like(self.chi)
        pulses = train_counts(
            self.engine, written, rate, granularity(tile.device), update, self.transfers, as_input=True
        )
        counts[..., rows, :] = pulses.transpose(-1, -2)
        tile.pulse(counts)
        self.tally.add(digital_operations=n.numel() // self.transfers.many)
        self.tally.sent(of_each((n != 0).any(-1), self.transfers), update.desired_bl)

    def _next_row(self, many: int) -> None:
        self.row = (self.row + many) % self.shape[-2]

    def counters(self) -> dict[str, Any]:
        own: dict[str, Any] = {"row": self.row, "batches": self.batches}
        if self.optimizer is not None:
            own["optimizer"] = _apart(self.optimizer.state_dict())
        return super().counters() | {"mixed_precision": own}

    def load_counters(self, counters: dict[str, Any]) -> None:
        super().load_counters(counters)
        own = counters["mixed_precision"]
        self.row, self.batches = own["row"], own["batches"]
        if self.optimizer is not None:
            self.optimizer.load_state_dict(deepcopy(own["optimizer"]))


def _apart(state: Any) -> Any:
    """A copy of an optimizer's state, which its steps change in place. What it counts (torch: in tensors) as numbers: the
    same for all instances of a weight, while other tensors have a row for each.
    """
    if isinstance(state, Mapping):
        return {key: _apart(item) for key, item in state.items()}
    if isinstance(state, list | tuple):
        return [_apart(item) for item in state]
    if isinstance(state, Tensor):
        return state.clone() if state.dim() else state.item()
    return state


def _rate(rule: MixedPrecision, lr: float) -> float:
    return lr * rule.lr_scale


def _grain(rule: MixedPrecision, device: AbstractDevice) -> float:
    return rule.granularity or device.granularity


def _transfer_rate(rule: MixedPrecision, grain: float) -> float:
    return grain * rule.transfer_lr


def quantise(v: Tensor, bins: int, sto_round: bool, stream: Stream) -> Tensor:
    """``v [..., b, n]`` on ``bins`` levels between minus and plus the largest entry of each vector; 0 keeps
    it.
    """
    if not bins:
        return v
    width = v.abs().amax(-1, keepdim=True) / (bins // 2)
    steps = v / torch.where(width > 0, width, 1.0)
    if sto_round:
        steps = steps + stream.uniform(*v.shape, like=v) - 0.5
    return steps.round().clamp(-(bins // 2), bins // 2) * width


def _products(d: Tensor, x: Tensor) -> Tensor:
    """Outer products summed over samples [..., O, I]; one instance after the other, so that each has the bits that it has
    alone: some processors round a product of many otherwise."""
    if d.dim() == 2:
        return d.mT @ x
    each = [one.mT @ other for one, other in zip(d.flatten(0, -3), x.flatten(0, -3), strict=True)]
    return torch.stack(each).view(*d.shape[:-2], d.shape[-1], x.shape[-1])
