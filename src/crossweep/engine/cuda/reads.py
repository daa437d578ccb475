"""The periphery: DAC, one matrix product, ADC; vectors that clip are read again where they lie, without asking the host."""

from functools import partial
from math import floor, inf, log2
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from crossweep.common import common, of_each, over
from crossweep.engine.cuda.launch import blocks, cdiv, keys_of, numbers, power
from crossweep.engine.io_parameters import IOParameters
from crossweep.engine.reference.reads import ir_drop, weight_noise_scale
from crossweep.rng import Stream

_VECTOR = 1024  # lines of a vector that a program looks at together
_WEIGHTS = {"none": 0, "additive_constant": 1, "pcm_read": 2}  # see ``kernels.periphery``
_TILE = 32  # outputs, and lines, of a product that is taken again


class Periphery(NamedTuple):
    """``IOParameters`` as kernels take them, see ``kernels.periphery``."""

    cap: float
    in_bin: float
    in_bound: float
    in_noise: float
    out_bin: float
    out_bound: float
    out_noise: float
    w_noise: float
    ir_drop: float
    wire: float
    halvings: float

    @classmethod
    def of(cls, io: IOParameters, lines: int) -> "Periphery":
        """For vectors of so many lines."""
        if io.noise_management == "abs_max":
            cap = io.nm_thres
        else:
            cap = -(io.nm_thres if io.noise_management == "constant" and io.nm_thres > 0 else 1.0)
        return cls(
            cap, io.inp_bin, io.inp_bound, io.inp_noise, io.out_bin, io.out_bound if io.out_bound > 0 else inf,
            io.out_noise, io.w_noise if io.w_noise_type != "none" else 0.0, io.ir_drop, lines / io.ir_drop_g_ratio,
            halvings(io),
        )  # fmt: skip


def halvings(io: IOParameters) -> int:
    """How often an input may be halved: again while the factor so far is within its limit."""
    return floor(log2(io.largest_factor)) + 1 if io.largest_factor >= 1 else 0


def read(x: Tensor, weight: Tensor, io: IOParameters, stream: Stream, *, bounded: bool) -> Tensor:
    """As ``crossweep.engine.reference.reads.read``."""
    from crossweep.engine.cuda.kernels.periphery import convert, digitise, halve

    (d, n), instances = weight.shape[-2:], stream.many
    vectors = x.reshape(-1, n).contiguous()
    rows = vectors.shape[0]
    many, members = rows // instances, [stream.at(place) for place in np.ndindex(stream.lead)]
    keys_in, keys_out = keys_of(members, x), keys_of(members, x)
    if not rows:
        return x.new_zeros(*x.shape[:-1], d)
    each = of_each(instances, partial(Periphery.of, lines=n), io)
    given, some = numbers(each, instances, x), partial(_any, each)
    driven, (scale, norm) = torch.empty_like(vectors), torch.empty(2, rows, device=x.device)
    weights, drops = _WEIGHTS[io.w_noise_type] if some("w_noise") else 0, some("ir_drop")
    way_in = {"STOCHASTIC": io.inp_sto_round, "NOISY": some("in_noise")}
    way_out = {"STOCHASTIC": io.out_sto_round, "NOISY": some("out_noise")}
    convert[(rows,)](
        vectors, keys_in, driven, scale, norm, many, n, given, **way_in, N=min(power(n), _VECTOR)
    )
    matrices = weight.reshape(instances, d, n)
    inputs = driven.view(instances, many, n)
    y = torch.bmm(inputs, matrices.mT)
    if drops:
        strength, wire = (over(common([getattr(one, key) for one in each]), y) for key in ("ir_drop", "wire"))
        y -= strength * ir_drop(inputs, matrices, wire)
    std = weight_noise_scale(inputs, matrices, io) if weights == _WEIGHTS["pcm_read"] else norm
    y = y.view(rows, d)
    clipped = torch.empty(rows, dtype=torch.int8, device=x.device)
    digitise[(rows,)](
        y, scale, std, keys_out, clipped, many, d, given, WEIGHTS=weights, **way_out, D=min(power(d), _VECTOR)
    )
    if bounded and io.bound_management == "iterative" and any(one.out_bound < inf for one in each):
        halve[(rows,)](
            vectors, matrices, scale, keys_in, keys_out, clipped, y, many, n, d, *matrices.stride(), given,
            WEIGHTS=weights, DROPS=drops, **{f"IN_{key}": flag for key, flag in way_in.items()},
            **{f"OUT_{key}": flag for key, flag in way_out.items()}, N=min(power(n), _TILE), D=min(power(d), _TILE),
        )  # fmt: skip
    return y.view(*x.shape[:-1], d)


def read_slices(weight: Tensor, io: IOParameters, stream: Stream, columns: Tensor | slice) -> Tensor:
    """As ``crossweep.engine.reference.reads.read_slices``, without noise at the DAC."""
    from crossweep.engine.cuda.kernels.periphery import read_slices as launch

    (rows, n), instances = weight.shape[-2:], stream.many
    members = [stream.at(place) for place in np.ndindex(stream.lead)]
    keys_in, keys_out = keys_of(members, weight), keys_of(members, weight)
    chosen = torch.arange(n, device=weight.device, dtype=torch.int32)[columns].contiguous()
    matrices, reads = weight.reshape(instances, rows, n), chosen.numel()
    out = torch.empty(instances, rows, reads, device=weight.device)
    given = Periphery.of(io, n)  # instances that differ in it come one by one
    height, width, warps = blocks(rows)
    if out.numel():
        launch[(cdiv(reads, width), cdiv(rows, height), instances)](
            matrices, chosen, keys_in, keys_out, out, rows, reads, *matrices.stride(), numbers([given], instances, weight),
            IN_STOCHASTIC=io.inp_sto_round, BY_WEIGHT=io.w_noise_type == "pcm_read", OUT_STOCHASTIC=io.out_sto_round,
            NOISY=given.w_noise > 0 or given.out_noise > 0, R=height, C=width, num_warps=warps,
        )  # fmt: skip
    return out.view(*weight.shape[:-1], reads)


def _any(each: list[Periphery], name: str) -> bool:
    return any(getattr(one, name) > 0 for one in each)
