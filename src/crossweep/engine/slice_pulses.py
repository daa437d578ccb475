"""The pulses that write slices of a tile: whole numbers of pulses, or one pair of pulse trains for each slice."""

import torch
from torch import Tensor

from crossweep.common import Number
from crossweep.engine.base import Engine
from crossweep.engine.program import Pulses
from crossweep.engine.pulse_plan import UpdateParameters
from crossweep.rng import Stream


def train_counts(
    engine: Engine,
    value: Tensor,
    rate: Number,
    granularity: Number,
    update: UpdateParameters,
    stream: Stream,
    *,
    as_input: bool = False,
) -> Tensor:
    """Pulses of the update ``C[:, k] += rate value[:, k]``, slice by slice: signed, positive up, [..., o, r].

    Each of the ``r`` slices is one pulsed update with a one-hot vector on the other side.

    Args:
        engine: draws them.
        value: what to add [..., o, r].
        rate: learning rate, > 0.
        granularity: step of the written tile [w].
        update: pulse parameters.
        stream: source of the pulses.
        as_input: the vector drives the columns and the one-hot the rows (a row is written); else the other
            way round. It decides which side clips where more pulses are wanted than ``desired_bl``.
    """
    vector = -value.transpose(-1, -2)  # one slice is one sample: [..., r, o]
    one = torch.ones_like(vector[..., :1])
    x, d = (vector, one) if as_input else (one, vector)
    plan = engine.plan(x, d, rate, granularity, update, stream)
    bl = plan.bl.unsqueeze(-1)
    if update.pulse_type == "deterministic_implicit":
        size = (bl * (plan.p_d * plan.p_x)).round()
    elif update.pulse_type == "mean_count":
        size = ((bl * plan.p_d).round() * (bl * plan.p_x).round() / bl.clamp(min=1)).round()
    else:
        size = engine.coincidences(plan, stream.fork("transfer"))
    return -(plan.sign_d * plan.sign_x * size).transpose(-1, -2)


def pulse_counts(engine: Engine, n: Tensor, write: Pulses, stream: Stream, *, rows: bool = False) -> Tensor:
    """Pulses that a tile really gets for wanted numbers ``n [..., o, r]``: signed, positive up.

    The learning rate is ``step * granularity``, so that one wanted pulse is ``step`` steps. Where ``write`` is exact, all
    of them happen.

    Source: aihwkit ``transfer_update`` of its buffered compounds.
    """
    if write.is_exact(rows=rows):
        return n.sign() * (write.step * n.abs()).round().clamp(max=write.update.desired_bl)
    return train_counts(engine, n, write.step, 1.0, write.update, stream, as_input=rows)
