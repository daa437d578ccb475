"""The periphery through compiled kernels: two passes around one matrix product."""

from functools import partial

import numpy as np
import torch
from torch import Tensor

from crossweep.engine.io_parameters import IOParameters
from crossweep.rng import Stream


def covers(x: Tensor, weight: Tensor, io: IOParameters) -> bool:
    """Whether the kernels know this read: one crossbar, no gradient, no effect that mixes lines."""
    return io.ir_drop == 0 and weight.dim() == 2 and not x.requires_grad


def read(x: Tensor, weight: Tensor, io: IOParameters, stream: Stream, *, bounded: bool) -> Tensor:
    """As ``crossweep.engine.reference.reads.read``."""
    vectors = x.reshape(-1, x.shape[-1]).contiguous()
    every = torch.arange(vectors.shape[0])
    y, clipped = _one_pass(vectors, weight, io, stream, 1.0, every)
    if bounded and io.bound_management == "iterative" and io.out_bound > 0:
        factor, limit = 1.0, io.largest_factor
        rows = clipped.nonzero().squeeze(-1)
        while factor <= limit and rows.numel():
            factor *= 2
            again, still = _one_pass(vectors[rows], weight, io, stream, factor, rows)
            y[rows] = again
            rows = rows[still]
    return y.view(*x.shape[:-1], weight.shape[-2])


def _one_pass(
    x: Tensor, weight: Tensor, io: IOParameters, stream: Stream, factor: float, ids: Tensor
) -> tuple[Tensor, Tensor]:
    """One conversion of all vectors; also which of them clipped."""
    from crossweep.engine.cpu.kernels.periphery import convert_rows, digitise_rows
    from crossweep.engine.cpu.kernels.threads import spread

    rows, number = x.shape[0], np.float32
    driven, scale = torch.empty_like(x), torch.empty(rows)
    noise, key = number(io.inp_noise), stream.next_key()
    dac = (
        number(_cap(io)),
        number(io.inp_bin),
        io.inp_sto_round,
        number(io.inp_bound),
        noise,
        number(factor),
        key,
        ids.numpy(),
    )
    spread(partial(convert_rows, x.numpy(), *dac, driven.numpy(), scale.numpy()), rows, 10.0 * x.numel())
    y, out_noise = driven @ weight.transpose(-1, -2), number(io.out_noise)
    if io.w_noise > 0 and io.w_noise_type != "none":
        y = y + io.w_noise * _weight_noise_scale(driven, weight, io) * stream.normal(*y.shape, like=y)
    clipped = torch.empty(rows, dtype=torch.bool)
    bound = number(io.out_bound if io.out_bound > 0 else np.inf)
    adc = (
        number(factor),
        out_noise,
        number(io.out_bin),
        io.out_sto_round,
        bound,
        stream.next_key(),
        ids.numpy(),
    )
    work = partial(digitise_rows, y.numpy(), scale.numpy(), *adc, clipped.numpy())
    spread(work, rows, 20.0 * y.numel())
    return y, clipped


def _cap(io: IOParameters) -> float:
    """Noise management as ``convert_rows`` takes it."""
    if io.noise_management == "abs_max":
        return io.nm_thres
    return -(io.nm_thres if io.noise_management == "constant" and io.nm_thres > 0 else 1.0)


def _weight_noise_scale(x: Tensor, weight: Tensor, io: IOParameters) -> Tensor:
    if io.w_noise_type == "pcm_read":
        scale: Tensor = (x.square() @ weight.abs().transpose(-1, -2)).sqrt()
        return scale
    norm: Tensor = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    return norm


def read_slices(weight: Tensor, io: IOParameters, stream: Stream, columns: Tensor | slice) -> Tensor:
    """As ``crossweep.engine.reference.reads.read_slices``, without noise at the DAC."""
    from crossweep.engine.cpu.kernels.periphery import convert_rows, slice_rows
    from crossweep.engine.cpu.kernels.threads import spread

    number, weight = np.float32, weight.contiguous()
    chosen = torch.arange(weight.shape[-1])[columns]
    reads, rows = chosen.numel(), weight.shape[-2]
    drive, scale = torch.empty(1, reads), torch.empty(1)
    dac = (number(-1.0), number(io.inp_bin), io.inp_sto_round, number(io.inp_bound), number(0.0), number(1.0))
    convert_rows(
        np.ones((1, reads), np.float32),
        *dac,
        stream.next_key(),
        np.zeros(1, np.int64),
        drive.numpy(),
        scale.numpy(),
        0,
        1,
    )
    out = torch.empty(rows, reads)
    w_noise = number(io.w_noise if io.w_noise_type != "none" else 0.0)
    bound = number(io.out_bound if io.out_bound > 0 else np.inf)
    adc = (number(io.out_noise), number(io.out_bin), io.out_sto_round, bound, stream.next_key())
    inputs = (weight.numpy(), chosen.numpy(), drive[0].numpy(), w_noise, io.w_noise_type == "pcm_read")
    spread(partial(slice_rows, *inputs, *adc, out.numpy()), rows, 20.0 * out.numel())
    return out
