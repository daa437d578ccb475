"""The periphery: DAC, one matrix product, ADC; vectors that clip are read again where they lie, without asking the host."""

from math import floor, inf, log2

import numpy as np
import torch
from torch import Tensor

from crossweep.engine.cuda.launch import blocks, cdiv, keys_of, power
from crossweep.engine.io_parameters import IOParameters
from crossweep.engine.reference.reads import ir_drop, weight_noise_scale
from crossweep.rng import Stream

_VECTOR = 1024  # lines of a vector that a program looks at together
_WEIGHTS = {"none": 0, "additive_constant": 1, "pcm_read": 2}  # see ``kernels.periphery``
_TILE = 32  # outputs, and lines, of a product that is taken again


def read(x: Tensor, weight: Tensor, io: IOParameters, stream: Stream, *, bounded: bool) -> Tensor:
    """As ``crossweep.engine.reference.reads.read``."""
    from crossweep.engine.cuda.kernels.periphery import convert, digitise, halve

    (d, n), instances = weight.shape[-2:], stream.many
    vectors = x.reshape(-1, n).contiguous()
    rows = vectors.shape[0]
    many, members = rows // instances, [stream.at(place) for place in np.ndindex(stream.lead)]
    keys_in, keys_out = keys_of(members, x), keys_of(members, x)
    driven, (scale, norm) = torch.empty_like(vectors), torch.empty(2, rows, device=x.device)
    dac, adc, weights = _dac(io), _adc(io), _WEIGHTS[io.w_noise_type] if io.w_noise > 0 else 0
    way_in = {"STOCHASTIC": io.inp_sto_round, "NOISY": io.inp_noise > 0}
    way_out = {"STOCHASTIC": io.out_sto_round, "NOISY": io.out_noise > 0}
    if not rows:
        return x.new_zeros(*x.shape[:-1], d)
    convert[(rows,)](vectors, keys_in, driven, scale, norm, many, n, dac, **way_in, N=min(power(n), _VECTOR))
    matrices = weight.reshape(instances, d, n)
    inputs = driven.view(instances, many, n)
    y = torch.bmm(inputs, matrices.mT)
    if io.ir_drop > 0:
        y -= io.ir_drop * ir_drop(inputs, matrices, io.ir_drop_g_ratio)
    std = weight_noise_scale(inputs, matrices, io) if weights == _WEIGHTS["pcm_read"] else norm
    y = y.view(rows, d)
    clipped = torch.empty(rows, dtype=torch.int8, device=x.device)
    digitise[(rows,)](
        y,
        scale,
        std,
        keys_out,
        clipped,
        many,
        d,
        adc,
        float(io.w_noise),
        WEIGHTS=weights,
        **way_out,
        D=min(power(d), _VECTOR),
    )
    if bounded and io.bound_management == "iterative" and io.out_bound > 0:
        halve[(rows,)](
            vectors, matrices, scale, keys_in, keys_out, clipped, y, many, n, d, *matrices.stride(), halvings(io), dac, adc,
            float(io.w_noise), float(io.ir_drop), n / io.ir_drop_g_ratio, WEIGHTS=weights, DROPS=io.ir_drop > 0,
            IN_STOCHASTIC=io.inp_sto_round, IN_NOISY=io.inp_noise > 0, OUT_STOCHASTIC=io.out_sto_round,
            OUT_NOISY=io.out_noise > 0, N=min(power(n), _TILE), D=min(power(d), _TILE),
        )  # fmt: skip
    return y.view(*x.shape[:-1], d)


def halvings(io: IOParameters) -> int:
    """How often an input may be halved: again while the factor so far is within its limit."""
    return floor(log2(io.largest_factor)) + 1 if io.largest_factor >= 1 else 0


def read_slices(weight: Tensor, io: IOParameters, stream: Stream, columns: Tensor | slice) -> Tensor:
    """As ``crossweep.engine.reference.reads.read_slices``, without noise at the DAC."""
    from crossweep.engine.cuda.kernels.periphery import read_slices as launch

    (rows, n), instances = weight.shape[-2:], stream.many
    members = [stream.at(place) for place in np.ndindex(stream.lead)]
    keys_in, keys_out = keys_of(members, weight), keys_of(members, weight)
    chosen = torch.arange(n, device=weight.device, dtype=torch.int32)[columns].contiguous()
    matrices, reads = weight.reshape(instances, rows, n), chosen.numel()
    out = torch.empty(instances, rows, reads, device=weight.device)
    w_noise = io.w_noise if io.w_noise_type != "none" else 0.0
    height, width, warps = blocks(rows)
    if out.numel():
        launch[(cdiv(reads, width), cdiv(rows, height), instances)](
            matrices, chosen, keys_in, keys_out, out, rows, reads, *matrices.stride(), _dac(io), _adc(io), float(w_noise),
            IN_STOCHASTIC=io.inp_sto_round, BY_WEIGHT=io.w_noise_type == "pcm_read", OUT_STOCHASTIC=io.out_sto_round,
            NOISY=w_noise > 0 or io.out_noise > 0, R=height, C=width, num_warps=warps,
        )  # fmt: skip
    return out.view(*weight.shape[:-1], reads)


def _dac(io: IOParameters) -> tuple[float, ...]:
    """Noise management, bin width, range and noise, see ``kernels.periphery.convert``."""
    if io.noise_management == "abs_max":
        cap = io.nm_thres
    else:
        cap = -(io.nm_thres if io.noise_management == "constant" and io.nm_thres > 0 else 1.0)
    return float(cap), float(io.inp_bin), float(io.inp_bound), float(io.inp_noise)


def _adc(io: IOParameters) -> tuple[float, ...]:
    """Bin width, range and noise, see ``kernels.periphery.digitise``."""
    return float(io.out_bin), float(io.out_bound) if io.out_bound > 0 else inf, float(io.out_noise)
