"""The digital buffer between the fast and the slow tile: what it keeps, and how many pulses it sends."""

from dataclasses import dataclass

import torch
from torch import Tensor

from crossweep.errors import ConfigError
from crossweep.rng import Stream
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

    Source: Gokmen, Front. Artif. Intell. 4:699148 (2021); aihwkit ``BufferedTransferCompound``. The papers describe
    ``forget_buffer=False``; the reference simulator's default is True.
    """

    momentum: float = 0.0
    forget_buffer: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.momentum <= 1:
            raise ConfigError(f"algorithm.momentum: must lie in 0..1, got {self.momentum}")

    def release(self, hidden: Tensor, longest: int) -> tuple[Tensor, Tensor]:
        """Pulses wanted ``n = clip(trunc(H), -longest, longest)`` and what the buffer keeps."""
        n = hidden.trunc().clamp(-longest, longest)
        rest = self.momentum * hidden if self.forget_buffer else hidden - (1 - self.momentum) * n
        return n, torch.where(n == 0, hidden, rest)


def transfer_counts(n: Tensor, step: float, update: UpdateParameters, stream: Stream) -> Tensor:
    """Pulses that the slow tile really gets for wanted pulses ``n``: signed, positive up, [..., o, r].

    Each of the ``r`` slices is one pulsed update with a one-hot input, errors ``-n`` and learning rate
    ``step * granularity`` (so that one wanted pulse is one step). With one slot, no management and step 1 every wanted
    pulse happens, once.

    Source: reference section 6.3; aihwkit ``transfer_update``.
    """
    plain = not (update.update_management or update.update_bl_management)
    if plain and update.desired_bl == 1 and step == 1:
        return n.sign()
    d = -n.transpose(-1, -2)  # one slice is one sample: [..., r, o]
    plan = plan_pulses(torch.ones_like(d[..., :1]), d, step, 1.0, update, stream)
    slot = torch.arange(plan.longest, device=n.device, dtype=n.dtype)
    alive = (slot < plan.bl.unsqueeze(-1)).unsqueeze(-2)  # [..., r, 1, slot]
    p_x, p_d = plan.p_x.unsqueeze(-1).expand(*plan.p_x.shape, plan.longest), plan.p_d.unsqueeze(-1)
    bits_x = stream.fork("transfer_x").uniform(*p_x.shape, like=n) < p_x
    bits_d = stream.fork("transfer_d").uniform(*d.shape, plan.longest, like=n) < p_d
    return -plan.sign_d.transpose(-1, -2) * (bits_x & bits_d & alive).sum(-1).to(n.dtype).transpose(-1, -2)
