"""The digital buffer between the fast and the slow tile, and the pulses that write a slice of a tile."""

from dataclasses import dataclass

import torch
from torch import Tensor

from crossweep.errors import FieldError
from crossweep.rng import Stream
from crossweep.tiles.engine.compiled import count_samples
from crossweep.tiles.pulse_train import UpdateParameters, plan_pulses


@dataclass(frozen=True, kw_only=True)
class BufferRule:
    """Threshold rule of a buffer in units of its threshold (dimensionless, threshold 1).

    Args:
        momentum: share that stays after a transfer [1] in 0..1.
        forget_buffer: after a transfer keep ``momentum * H`` (the remainder is dropped); else
            ``H - (1 - momentum) n`` (the remainder stays).

    Raises:
        ConfigError: momentum outside 0..1.

    Source: Gokmen, Front. Artif. Intell. 4:699148 (2021); aihwkit ``BufferedTransferCompound``. The papers
        describe ``forget_buffer=False``; the reference simulator's default is True.
    """

    momentum: float = 0.0
    forget_buffer: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.momentum <= 1:
            raise FieldError("momentum", f"must lie in 0..1, got {self.momentum}")

    def release(self, hidden: Tensor, longest: int) -> tuple[Tensor, Tensor]:
        """Pulses wanted ``n = clip(trunc(H), -longest, longest)`` and what the buffer keeps."""
        n = hidden.trunc().clamp(-longest, longest)
        rest = self.momentum * hidden if self.forget_buffer else hidden - (1 - self.momentum) * n
        return n, torch.where(n == 0, hidden, rest)


def slice_counts(
    value: Tensor,
    rate: float,
    granularity: float,
    update: UpdateParameters,
    stream: Stream,
    *,
    as_input: bool = False,
    compiled: bool = False,
) -> Tensor:
    """Pulses of the update ``C[:, k] += rate value[:, k]``, slice by slice: signed, positive up, [..., o, r].

    Each of the ``r`` slices is one pulsed update with a one-hot vector on the other side.

    Args:
        value: what to add [..., o, r].
        rate: learning rate, > 0.
        granularity: step of the written tile [w].
        update: pulse parameters.
        stream: source of the pulses.
        as_input: the vector drives the columns and the one-hot the rows (a row is written); else the other
            way round. It decides which side clips where more pulses are wanted than ``desired_bl``.
        compiled: use the compiled kernels; float32 on the CPU.
    """
    vector = -value.transpose(-1, -2)  # one slice is one sample: [..., r, o]
    one = torch.ones_like(vector[..., :1])
    x, d = (vector, one) if as_input else (one, vector)
    plan = plan_pulses(x, d, rate, granularity, update, stream, compiled=compiled)
    bl = plan.bl.unsqueeze(-1)
    if update.pulse_type == "deterministic_implicit":
        size = (bl * (plan.p_d * plan.p_x)).round()
    elif update.pulse_type == "mean_count":
        size = ((bl * plan.p_d).round() * (bl * plan.p_x).round() / bl.clamp(min=1)).round()
    elif compiled:
        size = count_samples(plan, stream.fork("transfer"))
    else:
        slot = torch.arange(plan.longest, device=value.device, dtype=value.dtype)
        alive = (slot < bl).unsqueeze(-2)  # [..., r, 1, slot]
        bits_x, bits_d = (
            stream.fork(f"transfer_{name}").uniform(*p.shape, plan.longest, like=value) < p.unsqueeze(-1)
            for name, p in (("x", plan.p_x), ("d", plan.p_d))
        )
        size = (bits_x & bits_d & alive).sum(-1).to(value.dtype)
    return -(plan.sign_d * plan.sign_x * size).transpose(-1, -2)


def exact(update: UpdateParameters, step: float, *, as_input: bool = False) -> bool:
    """Whether ``n`` wanted transfers are ``round(step |n|)`` pulses, at most ``desired_bl``, without chance.

    ``n`` itself is at most ``desired_bl``; see ``slice_counts`` for ``as_input``.
    """
    if update.res:
        return False
    single = (
        not (update.update_management or update.update_bl_management) and update.desired_bl == 1 and step == 1
    )
    # with management the one-hot side pulses in every slot of a full train and the vector clips; the other way round,
    # all its values shrink
    managed = update.pulse_type == "deterministic_implicit" and update.update_management
    return single or (managed and (step <= 1 or not as_input))


def transfer_counts(
    n: Tensor, step: float, update: UpdateParameters, stream: Stream, *, as_input: bool = False, compiled: bool = False
) -> Tensor:  # fmt: skip
    """Pulses that the slow tile really gets for wanted pulses ``n [..., o, r]``: signed, positive up.

    The learning rate is ``step * granularity``, so that one wanted pulse is ``step`` steps. Where ``exact``, all of them
    happen.

    Source: aihwkit ``transfer_update`` of its buffered compounds.
    """
    if exact(update, step, as_input=as_input):
        return n.sign() * (step * n.abs()).round().clamp(max=update.desired_bl)
    return slice_counts(n, step, 1.0, update, stream, as_input=as_input, compiled=compiled)
