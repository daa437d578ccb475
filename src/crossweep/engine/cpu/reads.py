"""The periphery through compiled kernels: two passes around one matrix product."""

from functools import partial
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from crossweep.engine.io_parameters import IOParameters
from crossweep.engine.reference.reads import ir_drop, weight_noise_scale
from crossweep.rng import Stream

Keys = NDArray[np.int64]


class Part(NamedTuple):
    """Vectors of one instance.

    Args:
        weight: its crossbar [d, x].
        here: which of the vectors that are read.
    """

    weight: Tensor
    here: slice


def read(x: Tensor, weight: Tensor, io: IOParameters, stream: Stream, *, bounded: bool) -> Tensor:
    """As ``crossweep.engine.reference.reads.read``."""
    vectors = x.reshape(-1, x.shape[-1]).contiguous()
    many, every = vectors.shape[0] // stream.many, torch.arange(vectors.shape[0])
    members = [stream.at(place) for place in np.ndindex(stream.lead)]
    keys = tuple(np.array([member.next_key() for member in members], np.int64) for _ in range(2))
    y, clipped = _one_pass(vectors, weight, io, stream, keys, 0, every, many)
    if bounded and io.bound_management == "iterative" and io.out_bound > 0:
        halvings, limit = 0, io.largest_factor
        rows = clipped.nonzero().squeeze(-1)
        while 2**halvings <= limit and rows.numel():
            halvings += 1
            again, still = _one_pass(vectors[rows], weight, io, stream, keys, halvings, rows, many)
            y[rows] = again
            rows = rows[still]
    return y.view(*x.shape[:-1], weight.shape[-2])


def _one_pass(
    x: Tensor,
    weight: Tensor,
    io: IOParameters,
    stream: Stream,
    keys: tuple[Keys, ...],
    halvings: int,
    rows: Tensor,
    many: int,
) -> tuple[Tensor, Tensor]:
    """One conversion of the vectors numbered ``rows``, ``many`` of each instance, whose inputs were halved so often; also
    which of them clipped. ``keys``: of DAC and ADC, of each instance; how many vectors clip must not move later draws."""
    from crossweep.engine.cpu.kernels.periphery import convert_rows, digitise_rows, disturb_rows
    from crossweep.engine.cpu.kernels.threads import spread

    number, parts, instance = np.float32, _parts(weight, stream, rows, many), (rows // many).numpy()
    ids, factor = (rows % many + halvings * many).numpy(), 2.0**halvings
    driven, scale = torch.empty_like(x), torch.empty(rows.numel())
    dac = (
        number(_cap(io)), number(io.inp_bin), io.inp_sto_round, number(io.inp_bound), number(io.inp_noise),
        number(factor), keys[0][instance], ids,
    )  # fmt: skip
    into = driven.numpy(), scale.numpy()
    spread(partial(convert_rows, x.numpy(), *dac, *into), rows.numel(), 10.0 * x.numel())
    y = torch.empty(rows.numel(), weight.shape[-2])
    for matrix, here in parts:
        torch.mm(driven[here], matrix.t(), out=y[here])
        if io.ir_drop > 0:
            y[here] -= io.ir_drop * ir_drop(driven[here], matrix, x.shape[-1] / io.ir_drop_g_ratio)
        if io.w_noise > 0 and io.w_noise_type != "none":
            std = (io.w_noise * weight_noise_scale(driven[here], matrix, io)).numpy()
            noise = partial(disturb_rows, y[here].numpy(), std, keys[1][instance][here], ids[here])
            spread(noise, std.shape[0], 20.0 * y[here].numel())
    clipped = torch.empty(rows.numel(), dtype=torch.bool)
    bound = number(io.out_bound if io.out_bound > 0 else np.inf)
    adc = (
        number(factor),
        number(io.out_noise),
        number(io.out_bin),
        io.out_sto_round,
        bound,
        keys[1][instance],
        ids,
    )
    work = partial(digitise_rows, y.numpy(), scale.numpy(), *adc, clipped.numpy())
    spread(work, rows.numel(), 20.0 * y.numel())
    return y, clipped


def _parts(weight: Tensor, stream: Stream, rows: Tensor, many: int) -> list[Part]:
    """The instances that the vectors numbered ``rows``, in order, belong to."""
    if not stream.lead:
        return [Part(weight, slice(0, rows.numel()))]
    edges = np.searchsorted(rows.numpy(), many * np.arange(stream.many + 1)).tolist()
    return [
        Part(matrix, slice(first, last))
        for i, (matrix, (first, last)) in enumerate(zip(weight.unbind(), pairwise(edges), strict=True))
        if first < last
    ]


def _cap(io: IOParameters) -> float:
    """Noise management as ``convert_rows`` takes it."""
    if io.noise_management == "abs_max":
        return io.nm_thres
    return -(io.nm_thres if io.noise_management == "constant" and io.nm_thres > 0 else 1.0)


def read_slices(weight: Tensor, io: IOParameters, stream: Stream, columns: Tensor | slice) -> Tensor:
    """As ``crossweep.engine.reference.reads.read_slices``, without noise at the DAC."""
    from crossweep.engine.cpu.kernels.periphery import convert_rows, slice_rows
    from crossweep.engine.cpu.kernels.threads import spread

    number, many = np.float32, stream.many
    below = weight.reshape(-1, weight.shape[-1]).contiguous()
    chosen = torch.arange(weight.shape[-1])[columns]
    own = [stream.at(place) for place in np.ndindex(stream.lead)]
    drive, scale = torch.empty(many, chosen.numel()), torch.empty(many)
    dac = number(-1.0), number(io.inp_bin), io.inp_sto_round, number(io.inp_bound), number(0.0), number(1.0)
    keys = np.array([member.next_key() for member in own], np.int64)
    ones, none = np.ones((many, chosen.numel()), np.float32), np.zeros(many, np.int64)
    convert_rows(ones, *dac, keys, none, drive.numpy(), scale.numpy(), 0, many)
    out = torch.empty(below.shape[0], chosen.numel())
    w_noise = number(io.w_noise if io.w_noise_type != "none" else 0.0)
    bound = number(io.out_bound if io.out_bound > 0 else np.inf)
    keys = np.array([member.next_key() for member in own], np.int64)
    adc = number(io.out_noise), number(io.out_bin), io.out_sto_round, bound, keys
    inputs = below.numpy(), chosen.numpy(), drive.numpy(), w_noise, io.w_noise_type == "pcm_read"
    spread(partial(slice_rows, *inputs, *adc, out.numpy()), out.shape[0], 20.0 * out.numel())
    return out.view(*weight.shape[:-1], chosen.numel())
