"""The periphery through compiled kernels: two passes around one matrix product."""

from functools import partial
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from crossweep.engine.io_parameters import IOParameters
from crossweep.rng import Stream


def covers(x: Tensor, weight: Tensor, io: IOParameters, stream: Stream) -> bool:
    """Whether the kernels know this read: one crossbar of each instance, no gradient, no effect that mixes lines."""
    return io.ir_drop == 0 and weight.dim() == 2 + len(stream.lead) and not x.requires_grad


class Part(NamedTuple):
    """Vectors of one instance.

    Args:
        stream: what it draws from.
        weight: its crossbar [d, x].
        here: which of the vectors that are read.
    """

    stream: Stream
    weight: Tensor
    here: slice


def read(x: Tensor, weight: Tensor, io: IOParameters, stream: Stream, *, bounded: bool) -> Tensor:
    """As ``crossweep.engine.reference.reads.read``."""
    vectors = x.reshape(-1, x.shape[-1]).contiguous()
    many, every = vectors.shape[0] // stream.many, torch.arange(vectors.shape[0])
    y, clipped = _one_pass(vectors, weight, io, stream, 1.0, every, many)
    if bounded and io.bound_management == "iterative" and io.out_bound > 0:
        factor, limit = 1.0, io.largest_factor
        rows = clipped.nonzero().squeeze(-1)
        while factor <= limit and rows.numel():
            factor *= 2
            again, still = _one_pass(vectors[rows], weight, io, stream, factor, rows, many)
            y[rows] = again
            rows = rows[still]
    return y.view(*x.shape[:-1], weight.shape[-2])


def _one_pass(
    x: Tensor, weight: Tensor, io: IOParameters, stream: Stream, factor: float, rows: Tensor, many: int
) -> tuple[Tensor, Tensor]:
    """One conversion of the vectors numbered ``rows``, ``many`` of each instance; also which of them clipped."""
    from crossweep.engine.cpu.kernels.periphery import convert_rows, digitise_rows
    from crossweep.engine.cpu.kernels.threads import spread

    number, parts, ids = np.float32, _parts(weight, stream, rows, many), (rows % many).numpy()
    driven, scale = torch.empty_like(x), torch.empty(rows.numel())
    dac = (
        number(_cap(io)), number(io.inp_bin), io.inp_sto_round, number(io.inp_bound), number(io.inp_noise),
        number(factor), _keys(parts), ids,
    )  # fmt: skip
    into = driven.numpy(), scale.numpy()
    spread(partial(convert_rows, x.numpy(), *dac, *into), rows.numel(), 10.0 * x.numel())
    y = torch.empty(rows.numel(), weight.shape[-2])
    for own, matrix, here in parts:
        torch.mm(driven[here], matrix.t(), out=y[here])
        if io.w_noise > 0 and io.w_noise_type != "none":
            noise = own.normal(*y[here].shape, like=y)
            y[here] += io.w_noise * _weight_noise_scale(driven[here], matrix, io) * noise
    clipped = torch.empty(rows.numel(), dtype=torch.bool)
    bound = number(io.out_bound if io.out_bound > 0 else np.inf)
    adc = number(factor), number(io.out_noise), number(io.out_bin), io.out_sto_round, bound, _keys(parts), ids
    work = partial(digitise_rows, y.numpy(), scale.numpy(), *adc, clipped.numpy())
    spread(work, rows.numel(), 20.0 * y.numel())
    return y, clipped


def _parts(weight: Tensor, stream: Stream, rows: Tensor, many: int) -> list[Part]:
    """The instances that the vectors numbered ``rows``, in order, belong to."""
    if not stream.lead:
        return [Part(stream, weight, slice(0, rows.numel()))]
    edges = np.searchsorted(rows.numpy(), many * np.arange(stream.many + 1)).tolist()
    return [
        Part(stream.at((i,)), matrix, slice(first, last))
        for i, (matrix, (first, last)) in enumerate(zip(weight.unbind(), pairwise(edges), strict=True))
        if first < last
    ]


def _keys(parts: list[Part]) -> NDArray[np.int64]:
    """A fresh key of each instance for each of its vectors."""
    fresh = [part.stream.next_key() for part in parts]
    return np.repeat(np.array(fresh, np.int64), [part.here.stop - part.here.start for part in parts])


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
