"""Stochastic pulse trains: from ``(x, d, learning rate)`` to pulse probabilities and 0/1 pulses.

Sign convention: the target is ``dW = -lr d x^T``, so a coincidence with ``x_j d_i > 0`` is a *down* pulse.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Annotated, Any, Literal

import torch
from torch import Tensor

from crossweep.common import Each, Number, lift, over
from crossweep.rng import Stream
from crossweep.schema import Checked, Positive, Range, Share

PulseType = Literal["stochastic", "deterministic_implicit", "mean_count"]


@dataclass(frozen=True, kw_only=True)
class UpdateParameters(Checked):
    """How a pulsed update turns values into pulses.

    Args:
        desired_bl: longest pulse train (BL) [slot], >= 1.
        update_management: balance the probabilities of rows and columns by their largest values (UM).
        update_bl_management: shorten the train to what the largest cross-point needs (UBLM); implies UM.
        um_grad_scale: scale of the largest ``d`` in update management [1], > 0; below 1 ``d`` clips earlier.
        pulse_type: ``stochastic`` trains; ``deterministic_implicit`` gives ``rint(BL x_q d_q)`` pulses;
            ``mean_count`` gives ``rint(n_x n_d / BL)`` of the rounded line counts.
        res: bin width of the probabilities [1] in 0..1; 0 is continuous.
        sto_round: round to the bins stochastically.

    Raises:
        ConfigError: a parameter breaks its rule.

    Source: Gokmen & Vlasov, Front. Neurosci. 10:333 (2016); aihwkit ``UpdateParameters``.
    Differs: ``res`` also bins the implicit values of ``deterministic_implicit``; a ``res`` above 1 is an
        error.
    """

    desired_bl: Annotated[int, Range(least=1, most=10_000)]
    update_management: bool
    update_bl_management: bool
    um_grad_scale: Positive
    pulse_type: PulseType
    res: Share
    sto_round: bool


@dataclass
class Drawn:
    """A whole mini-batch, and its pulses once they are drawn: what the parts of a plan share.

    Args:
        x: as in ``PulsePlan``, of all samples.
        d: of all samples.
        scale_x: of all samples.
        scale_d: of all samples.
        bl: of all samples.
        words: pulses by leading index; they belong to the compiled engine.
    """

    x: Tensor
    d: Tensor
    scale_x: Tensor
    scale_d: Tensor
    bl: Tensor
    words: dict[tuple[int, ...], Any] = field(default_factory=dict)

    @cached_property
    def lead(self) -> tuple[int, ...]:
        """Leading dimensions."""
        shapes = self.x.shape[:-2], self.d.shape[:-2], self.bl.shape[:-1]
        return tuple(torch.broadcast_shapes(*shapes)) if any(shapes) else ()


@dataclass(frozen=True, kw_only=True)
class PulsePlan:
    """Pulse probabilities of one mini-batch, or of a part of one. Parts share the pulses that were drawn.

    Args:
        x: inputs [..., b, x]; a column pulses with probability ``p_x = min(1, |x| scale_x)`` per slot.
        d: errors [..., b, d]; a row pulses with probability ``p_d = min(1, |d| scale_d)`` per slot.
        scale_x: [..., b].
        scale_d: [..., b].
        bl: slots used by each sample [..., b], whole numbers.
        longest: upper bound of ``bl``, known without looking at the data.
        first: number of this plan's first sample within the mini-batch.
        turn_x: +1 or -1, multiplies the signs of the columns [..., x]; None: +1.
        turn_d: +1 or -1, multiplies the signs of the rows [..., d]; None: +1.
        since: number of the first sample, within the mini-batch, that each column sees [x]; None: all.
        until: one past the last sample that each column sees [x]; None: all.
        whole: the mini-batch that this is a part of; None: this is all of it.
    """

    x: Tensor
    d: Tensor
    scale_x: Tensor
    scale_d: Tensor
    bl: Tensor
    longest: int
    first: int = 0
    turn_x: Tensor | None = None
    turn_d: Tensor | None = None
    since: Tensor | None = None
    until: Tensor | None = None
    whole: Drawn | None = None

    def __post_init__(self) -> None:
        if self.whole is None:
            batch = Drawn(self.x, self.d, self.scale_x, self.scale_d, self.bl)
            object.__setattr__(self, "whole", batch)

    @classmethod
    def of_probabilities(
        cls, p_x: Tensor, p_d: Tensor, sign_x: Tensor, sign_d: Tensor, bl: Tensor, longest: int
    ) -> "PulsePlan":
        """The plan with given probabilities and signs [..., b, x] and [..., b, d]."""
        return cls(
            x=p_x * sign_x, d=p_d * sign_d, scale_x=torch.ones_like(p_x[..., 0]),
            scale_d=torch.ones_like(p_d[..., 0]), bl=bl, longest=longest,
        )  # fmt: skip

    # -- what it says ------------------------------------------------------------------------------

    @property
    def p_x(self) -> Tensor:
        """Probability of a pulse per slot on each column [..., b, x]."""
        p = (self.x.abs() * self.scale_x.unsqueeze(-1)).clamp(max=1)
        if self.since is None or self.until is None:
            return p
        sample = torch.arange(self.first, self.first + p.shape[-2], device=p.device).unsqueeze(-1)
        return p * ((sample >= self.since) & (sample < self.until))

    @property
    def p_d(self) -> Tensor:
        """Probability of a pulse per slot on each row [..., b, d]."""
        return (self.d.abs() * self.scale_d.unsqueeze(-1)).clamp(max=1)

    @property
    def sign_x(self) -> Tensor:
        """Sign of each column [..., b, x] in {-1, 0, 1}."""
        return self.x.sign() if self.turn_x is None else self.x.sign() * self.turn_x.unsqueeze(-2)

    @property
    def sign_d(self) -> Tensor:
        """Sign of each row [..., b, d] in {-1, 0, 1}; up pulses where ``sign_x sign_d < 0``."""
        return self.d.sign() if self.turn_d is None else self.d.sign() * self.turn_d.unsqueeze(-2)

    @property
    def drawn(self) -> Drawn:
        """The whole mini-batch."""
        assert self.whole is not None
        return self.whole

    # -- parts and variants ------------------------------------------------------------------------

    def samples(self, start: int, stop: int, *, alone: bool = False) -> "PulsePlan":
        """The plan of samples ``start`` to ``stop``; ``alone``: a part draws, and then drops, pulses of its own."""
        if start == 0 and stop >= self.bl.shape[-1]:
            return self
        rows: dict[str, Any] = {name: getattr(self, name)[..., start:stop, :] for name in ("x", "d")}
        each: dict[str, Any] = {
            name: getattr(self, name)[..., start:stop] for name in ("scale_x", "scale_d", "bl")
        }
        if alone:
            return replace(self, **rows, **each, first=0, whole=None)
        return replace(self, **rows, **each, first=self.first + start)

    def within(self, since: Tensor, until: Tensor) -> "PulsePlan":
        """The plan in which column ``j`` sees the samples ``since[j]`` to ``until[j]`` of the mini-batch
        only."""
        return replace(self, since=since, until=until)

    def flip_rows(self, sign: Tensor) -> "PulsePlan":
        """The plan with the signs of the rows multiplied by ``sign [..., d]``."""
        return replace(self, turn_d=sign if self.turn_d is None else self.turn_d * sign)

    def flip_columns(self, sign: Tensor) -> "PulsePlan":
        """The plan with the signs of the columns multiplied by ``sign [..., x]``."""
        return replace(self, turn_x=sign if self.turn_x is None else self.turn_x * sign)

    def where_columns(self, keep: Tensor) -> "PulsePlan":
        """The plan with columns silenced where ``keep [..., b, x]`` is false; it draws pulses of its own."""
        return replace(self, x=self.x * keep, whole=None)

    def instance(self, i: int) -> "PulsePlan":
        """The plan of one of several instances side by side; it draws pulses of its own."""
        own: dict[str, Any] = {
            name: getattr(self, name)[i] for name in ("x", "d", "scale_x", "scale_d", "bl")
        }
        for name in ("turn_x", "turn_d"):
            sign = getattr(self, name)
            own[name] = sign if sign is None or sign.dim() == 1 else sign[i]
        return replace(self, **own, whole=None)

    def transposed(self) -> "PulsePlan":
        """The same pulses with rows and columns exchanged; for a whole mini-batch."""
        assert self.since is None, "columns that see different samples have no transpose"
        sides: dict[str, Any] = {"x": self.d, "d": self.x, "scale_x": self.scale_d, "scale_d": self.scale_x}
        return replace(self, **sides, turn_x=self.turn_d, turn_d=self.turn_x, whole=None)


def micro_batches(batch: int, most: int) -> list[int]:
    """Samples after which a mini-batch of ``batch`` is cut to pieces of ``most``, its end included; 0: no cut."""
    step = most or max(batch, 1)
    return [*range(step, batch, step), batch]


def largest(values: Tensor) -> Tensor:
    """Largest absolute value of each vector [..., n] -> [...]; no copy of the values is made."""
    return torch.maximum(values.amax(-1), -values.amin(-1))


def balanced(
    rate: Tensor, tops: tuple[Tensor, Tensor], granularity: Number, update: UpdateParameters
) -> tuple[Tensor, Tensor, Tensor]:
    """Bit length, and scales of columns and rows, under update management [..., b]; ``tops`` as in ``plan_pulses``."""
    step = over(granularity, rate)
    if not isinstance(step, Tensor):  # a GPU multiplies by the reciprocal of a number, and rounds otherwise
        step = rate.new_full((), step)
    top_x, top_d = tops[0], tops[1] * over(lift(_grad_scale, update, name="update.um_grad_scale"), rate)
    wanted = rate * top_x * top_d / step
    bl = torch.full_like(wanted, update.desired_bl)
    if update.update_bl_management:
        # a hair below the integer, so that float rounding of an exact k does not add a slot
        bl = torch.ceil(wanted * (1 - 1e-6)).clamp(max=update.desired_bl)
    bl = torch.where(wanted > 0, bl, torch.zeros_like(bl))
    top_d = top_d * (update.desired_bl / wanted.clamp(min=update.desired_bl))
    both = (rate / (step * bl.clamp(min=1))).sqrt()
    ratio = torch.where(wanted > 0, top_x / top_d, torch.ones_like(wanted)).sqrt()
    return bl, both / ratio, both * ratio


def _grad_scale(update: UpdateParameters) -> float:
    return update.um_grad_scale


def plan_pulses(
    x: Tensor,
    d: Tensor,
    lr: Tensor | Number,
    granularity: Number,
    update: UpdateParameters,
    stream: Stream | None = None,
    tops: tuple[Tensor, Tensor] | None = None,
    balance: Callable[..., tuple[Tensor, Tensor, Tensor]] = balanced,
) -> PulsePlan:
    """Pulse probabilities of a mini-batch.

    With ``X = max|x|``, ``D = um_grad_scale max|d|`` and ``k = lr X D / granularity`` wanted pulses at the
    strongest cross-point: ``BL = min(ceil(k), desired_bl)`` with UBLM; ``A = B = sqrt(lr / (granularity BL))``,
    ``A *= sqrt(X/D)``, ``B *= sqrt(D/X)``; where ``k > desired_bl`` D is scaled by ``desired_bl / k`` first, so
    that ``d`` clips and ``x`` does not. ``P(row i) = min(1, A |d_i|)``, ``P(column j) = min(1, B |x_j|)``.

    Args:
        x: inputs [..., b, x].
        d: errors [..., b, d].
        lr: learning rate per sample, broadcast to [..., b], or of each instance, >= 0.
        granularity: step of the device [w], > 0; or of each instance's.
        update: the pulse parameters.
        stream: needed for stochastic rounding only.
        tops: ``largest(x)`` and ``largest(d)``, where they are known already.
        balance: ``balanced``, or a faster one.
    """
    given = lr.over(x[..., 0]) if isinstance(lr, Each) else lr
    rate = (given.to(x) if isinstance(given, Tensor) else x.new_full((), given)).expand(x.shape[:-1])
    if update.update_management or update.update_bl_management:
        bl, scale_x, scale_d = balance(rate, tops or (largest(x), largest(d)), granularity, update)
        longest = update.desired_bl
    else:
        bl = torch.where(rate > 0, torch.full_like(rate, update.desired_bl), torch.zeros_like(rate))
        step = over(granularity, rate)
        scale_d = scale_x = (rate / (step * update.desired_bl)).sqrt()
        longest = update.desired_bl
    plan = PulsePlan(x=x, d=d, scale_x=scale_x, scale_d=scale_d, bl=bl, longest=longest)
    return _binned(plan, update, stream) if update.res else plan


def _binned(plan: PulsePlan, update: UpdateParameters, stream: Stream | None) -> PulsePlan:
    """The plan with its probabilities rounded to bins; rounding comes before clipping."""
    rounded: dict[str, Any] = {}
    for name, values, scale in (("x", plan.x, plan.scale_x), ("d", plan.d, plan.scale_d)):
        steps = values.abs() * scale.unsqueeze(-1) / update.res
        if update.sto_round:
            if stream is None:
                raise ValueError("stochastic rounding draws random numbers and needs a stream")
            steps = steps + stream.fork(f"round_{name}").uniform(*steps.shape, like=steps) - 0.5
        rounded[name] = values.sign() * steps.round() * update.res
        rounded[f"scale_{name}"] = torch.ones_like(scale)
    return replace(plan, **rounded, whole=None)


@dataclass(frozen=True)
class PulseTrains:
    """Drawn pulses; slots of all samples in a row, in sample order.

    Args:
        x: signed pulses of the columns [..., t, x] in {-1, 0, 1}.
        d: signed pulses of the rows [..., t, d] in {-1, 0, 1}.
        sample: the sample each slot belongs to [t].
    """

    x: Tensor
    d: Tensor
    sample: Tensor


def draw_trains(plan: PulsePlan, stream: Stream) -> PulseTrains:
    """Draw independent Bernoulli pulses for every line and slot; a sample uses only its own ``bl`` slots."""
    used = plan.bl.reshape(-1, plan.bl.shape[-1]).amax(0).long()  # slots needed by any leading instance
    sample = torch.repeat_interleave(torch.arange(used.numel(), device=used.device), used)
    slot = torch.arange(sample.numel(), device=used.device) - (used.cumsum(0) - used)[sample]
    alive = (slot < plan.bl[..., sample]).unsqueeze(-1)
    p_x, p_d = plan.p_x[..., sample, :] * alive, plan.p_d[..., sample, :]
    bits_x = stream.fork("x").uniform(*p_x.shape, like=p_x) < p_x
    bits_d = stream.fork("d").uniform(*p_d.shape, like=p_d) < p_d
    return PulseTrains(bits_x * plan.sign_x[..., sample, :], bits_d * plan.sign_d[..., sample, :], sample)


def sample_counts(plan: PulsePlan, sample: int, update: UpdateParameters, stream: Stream) -> Tensor:
    """Signed pulse counts of one sample, positive up: [..., d, x].

    This dense form serves every pulse type; the engine's fast paths use ``draw_trains``.
    """
    one = plan.samples(sample, sample + 1)
    sign = -one.sign_d.transpose(-1, -2) * one.sign_x
    bl = one.bl.unsqueeze(-1)
    if update.pulse_type == "deterministic_implicit":
        return sign * (bl * (one.p_d.transpose(-1, -2) * one.p_x)).round()
    if update.pulse_type == "mean_count":
        n_x, n_d = (bl * one.p_x).round(), (bl * one.p_d).round()
        return sign * (n_d.transpose(-1, -2) * n_x / bl.clamp(min=1)).round()
    trains = draw_trains(one, stream)
    return -(trains.d.transpose(-1, -2) @ trains.x)


def single_line_coincidences(plan: PulsePlan, stream: Stream) -> Tensor:
    """Coincidences of each sample of a plan one side of which is a single line: [..., b, lines of the other side]."""
    slot = torch.arange(plan.longest, device=plan.x.device, dtype=plan.x.dtype)
    alive = (slot < plan.bl.unsqueeze(-1)).unsqueeze(-2)  # [..., b, 1, slot]
    bits_x, bits_d = (
        stream.fork(name).uniform(*p.shape, plan.longest, like=plan.x) < p.unsqueeze(-1)
        for name, p in (("x", plan.p_x), ("d", plan.p_d))
    )
    return (bits_x & bits_d & alive).sum(-1).to(plan.x.dtype)
