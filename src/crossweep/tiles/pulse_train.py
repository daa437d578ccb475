"""Stochastic pulse trains: from ``(x, d, learning rate)`` to pulse probabilities and 0/1 pulses.

Sign convention: the target is ``dW = -lr d x^T``, so a coincidence with ``x_j d_i > 0`` is a *down* pulse.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from crossweep.errors import ConfigError
from crossweep.rng import Stream

PulseType = Literal["stochastic", "deterministic_implicit", "mean_count"]
_PULSE_TYPES = ("stochastic", "deterministic_implicit", "mean_count")


@dataclass(frozen=True, kw_only=True)
class UpdateParameters:
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
    Differs: ``res`` also bins the implicit values of ``deterministic_implicit``; a ``res`` above 1 is an error.
    """

    desired_bl: int = 31
    update_management: bool = True
    update_bl_management: bool = True
    um_grad_scale: float = 1.0
    pulse_type: PulseType = "stochastic"
    res: float = 0.0
    sto_round: bool = False

    def __post_init__(self) -> None:
        if not self.desired_bl >= 1:
            raise ConfigError(f"update.desired_bl: must be >= 1, got {self.desired_bl}")
        if not self.um_grad_scale > 0:
            raise ConfigError(f"update.um_grad_scale: must be > 0, got {self.um_grad_scale}")
        if self.pulse_type not in _PULSE_TYPES:
            raise ConfigError(f"update.pulse_type: must be one of {_PULSE_TYPES}, got {self.pulse_type!r}")
        if not 0 <= self.res <= 1:
            raise ConfigError(f"update.res: must lie in 0..1 (a bin width), got {self.res}")


@dataclass(frozen=True)
class PulsePlan:
    """Pulse probabilities of one mini-batch.

    Args:
        p_x: probability of a pulse per slot on each column [..., b, x].
        p_d: probability of a pulse per slot on each row [..., b, d].
        sign_x: sign of each column [..., b, x] in {-1, 0, 1}.
        sign_d: sign of each row [..., b, d] in {-1, 0, 1}; up pulses where ``sign_x sign_d < 0``.
        bl: slots used by each sample [..., b], whole numbers.
        longest: upper bound of ``bl``, known without looking at the data.
    """

    p_x: Tensor
    p_d: Tensor
    sign_x: Tensor
    sign_d: Tensor
    bl: Tensor
    longest: int

    def samples(self, start: int, stop: int) -> "PulsePlan":
        """The plan of samples ``start`` to ``stop``."""
        part = [t[..., start:stop, :] for t in (self.p_x, self.p_d, self.sign_x, self.sign_d)]
        return PulsePlan(*part, self.bl[..., start:stop], self.longest)

    def where_columns(self, keep: Tensor) -> "PulsePlan":
        """The plan with columns silenced where ``keep [..., b, x]`` is false."""
        return PulsePlan(self.p_x * keep, self.p_d, self.sign_x, self.sign_d, self.bl, self.longest)

    def transposed(self) -> "PulsePlan":
        """The same pulses with rows and columns exchanged."""
        return PulsePlan(self.p_d, self.p_x, self.sign_d, self.sign_x, self.bl, self.longest)

    def flip_rows(self, sign: Tensor) -> "PulsePlan":
        """The plan with the signs of the rows multiplied by ``sign`` (broadcast to [..., b, d])."""
        return PulsePlan(self.p_x, self.p_d, self.sign_x, self.sign_d * sign, self.bl, self.longest)

    def flip_columns(self, sign: Tensor) -> "PulsePlan":
        """The plan with the signs of the columns multiplied by ``sign`` (broadcast to [..., b, x])."""
        return PulsePlan(self.p_x, self.p_d, self.sign_x * sign, self.sign_d, self.bl, self.longest)


def plan_pulses(
    x: Tensor,
    d: Tensor,
    lr: Tensor | float,
    granularity: float,
    update: UpdateParameters,
    stream: Stream | None = None,
) -> PulsePlan:
    """Pulse probabilities of a mini-batch.

    With ``X = max|x|``, ``D = um_grad_scale max|d|`` and ``k = lr X D / granularity`` wanted pulses at the strongest
    cross-point: ``BL = min(ceil(k), desired_bl)`` with UBLM; ``A = B = sqrt(lr / (granularity BL))``,
    ``A *= sqrt(X/D)``, ``B *= sqrt(D/X)``; where ``k > desired_bl`` D is scaled by ``desired_bl / k`` first, so that
    ``d`` clips and ``x`` does not. ``P(row i) = min(1, A |d_i|)``, ``P(column j) = min(1, B |x_j|)``.

    Args:
        x: inputs [..., b, x].
        d: errors [..., b, d].
        lr: learning rate per sample, broadcast to [..., b], >= 0.
        granularity: step of the device [w], > 0.
        update: the pulse parameters.
        stream: needed for stochastic rounding only.
    """
    rate = torch.as_tensor(lr, dtype=x.dtype, device=x.device).expand(x.shape[:-1])
    size_x, size_d = x.abs(), d.abs()
    if update.update_management or update.update_bl_management:
        top_x, top_d = size_x.amax(-1), size_d.amax(-1) * update.um_grad_scale
        wanted = rate * top_x * top_d / granularity
        bl = torch.full_like(wanted, update.desired_bl)
        if update.update_bl_management:
            # a hair below the integer, so that float rounding of an exact k does not add a slot
            bl = torch.ceil(wanted * (1 - 1e-6)).clamp(max=update.desired_bl)
        bl = torch.where(wanted > 0, bl, torch.zeros_like(bl))
        top_d = top_d * (update.desired_bl / wanted.clamp(min=update.desired_bl))
        both = (rate / (granularity * bl.clamp(min=1))).sqrt()
        ratio = torch.where(wanted > 0, top_x / top_d, torch.ones_like(wanted)).sqrt()
        scale_d, scale_x = both * ratio, both / ratio
        longest = update.desired_bl
    else:
        bl = torch.where(rate > 0, torch.full_like(rate, update.desired_bl), torch.zeros_like(rate))
        scale_d = scale_x = (rate / (granularity * update.desired_bl)).sqrt()
        longest = update.desired_bl
    p_x = _bin(size_x * scale_x.unsqueeze(-1), update, stream, "x").clamp(0, 1)
    p_d = _bin(size_d * scale_d.unsqueeze(-1), update, stream, "d").clamp(0, 1)
    return PulsePlan(p_x, p_d, x.sign(), d.sign(), bl, longest)


def _bin(p: Tensor, update: UpdateParameters, stream: Stream | None, name: str) -> Tensor:
    if not update.res:
        return p
    steps = p / update.res
    if update.sto_round:
        if stream is None:
            raise ValueError("stochastic rounding draws random numbers and needs a stream")
        steps = steps + stream.fork(f"round_{name}").uniform(*p.shape, like=p) - 0.5
    return steps.round() * update.res


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
