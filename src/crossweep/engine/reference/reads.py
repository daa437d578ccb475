"""The periphery of a crossbar: DAC and ADC with their resolution, bounds, noise, and noise/bound
management."""

from collections.abc import Callable

import torch
from torch import Tensor

from crossweep.engine.io_parameters import IOParameters
from crossweep.rng import Stream

__all__ = ["IOParameters", "read", "read_slices"]


def read(
    x: Tensor, weight: Tensor, io: IOParameters, stream: Stream, *, bounded: bool = True
) -> Tensor:  # fmt: skip
    """``y = W x`` through the periphery, for every vector of a batch.

    Args:
        x: inputs [..., b, x].
        weight: [..., d, x]; pass the transpose for the backward read.
        io: the periphery.
        stream: source of all noise.
        bounded: whether bound management acts; it exists only in the forward direction.

    Returns:
        [..., b, d].
    """
    product = _product(weight, io)
    if io.is_perfect:
        return product(x)
    scale = _input_scale(x, io)
    dead = scale <= 0
    scale = torch.where(dead, torch.ones_like(scale), scale)
    y, clipped = _one_pass(x / scale, weight, product, io, stream)
    if bounded and io.bound_management == "iterative" and io.out_bound > 0:
        y = _halve_until_unclipped(x / scale, y, clipped, weight, io, stream)
    return torch.where(dead, torch.zeros_like(y), y * scale)


def _product(weight: Tensor, io: IOParameters) -> Callable[[Tensor], Tensor]:
    transposed = weight.transpose(-1, -2)
    return lambda x: x @ transposed


def _input_scale(x: Tensor, io: IOParameters) -> Tensor:
    """Noise-management scale of each vector [..., b, 1]."""
    if io.noise_management == "abs_max":
        scale = x.abs().amax(-1, keepdim=True)
        return scale.clamp(max=io.nm_thres) if io.nm_thres > 0 else scale
    constant = io.nm_thres if io.noise_management == "constant" and io.nm_thres > 0 else 1.0
    return torch.full_like(x[..., :1], constant)


def _round(v: Tensor, width: float, stochastic: bool, stream: Stream) -> Tensor:
    if width <= 0:
        return v
    steps = v / width
    if stochastic:
        steps = steps + stream.uniform(*v.shape, like=v) - 0.5
    return steps.round() * width


def _one_pass(
    x: Tensor, weight: Tensor, product: Callable[[Tensor], Tensor], io: IOParameters, stream: Stream
) -> tuple[Tensor, Tensor]:
    """One conversion of scaled inputs; also says which vectors clipped at the ADC [..., b]."""
    x = _round(x, io.inp_bin, io.inp_sto_round, stream).clamp(-io.inp_bound, io.inp_bound)
    if io.inp_noise > 0:
        x = x + io.inp_noise * stream.normal(*x.shape, like=x)
    y = product(x)
    if io.ir_drop > 0:
        y = y - io.ir_drop * ir_drop(x, weight, x.shape[-1] / io.ir_drop_g_ratio)
    if io.w_noise > 0 and io.w_noise_type != "none":
        y = y + io.w_noise * weight_noise_scale(x, weight, io) * stream.normal(*y.shape, like=y)
    if io.out_noise > 0:
        y = y + io.out_noise * stream.normal(*y.shape, like=y)
    y = _round(y, io.out_bin, io.out_sto_round, stream)
    if io.out_bound <= 0:
        return y, torch.zeros(y.shape[:-1], dtype=torch.bool, device=y.device)
    clipped = (y.abs() > io.out_bound).any(-1)
    return y.clamp(-io.out_bound, io.out_bound), clipped


def weight_noise_scale(x: Tensor, weight: Tensor, io: IOParameters) -> Tensor:
    if io.w_noise_type == "pcm_read":
        return (x.square() @ weight.abs().transpose(-1, -2)).sqrt()
    norm: Tensor = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    return norm


def ir_drop(x: Tensor, weight: Tensor, wire: float | Tensor) -> Tensor:
    """Voltage lost along the wires, to first order in the line's current.

    ``a_i = wire sum_j |w_ij| |x_j|``, ``c_i = a_i (a_i (0.05 a_i - 0.2) + 0.5)``, drop
    ``c_i sum_j w_ij x_j (1 - (1 - j/N)^2)``; ``wire`` is the number N of lines over the conductance of a wire in units of a
    device's. Source: aihwkit ``rpu_forward_backward_pass``.
    """
    n = weight.shape[-1]
    a = (x.abs() @ weight.abs().transpose(-1, -2)) * wire
    c = a * (a * (0.05 * a - 0.2) + 0.5)
    position = 1 - (1 - torch.arange(n, device=x.device, dtype=x.dtype) / n) ** 2
    return c * ((x * position) @ weight.transpose(-1, -2))


def _halve_until_unclipped(
    x: Tensor, y: Tensor, clipped: Tensor, weight: Tensor, io: IOParameters, stream: Stream
) -> Tensor:
    """Read clipped vectors again with the input divided by 2, 4, ... until nothing clips or a limit is
    reached."""
    product, factor = _product(weight, io), 1.0
    while factor <= io.largest_factor and bool(clipped.any()):
        factor *= 2
        # only clipped vectors are replaced; the rest of the batch is read along, so that no shape depends on
        # data
        again, still = _one_pass(x / factor, weight, product, io, stream)
        y = torch.where(clipped.unsqueeze(-1), again * factor, y)
        clipped = clipped & still
    return y


def read_slices(
    weight: Tensor, io: IOParameters, stream: Stream, columns: Tensor | slice = slice(None)
) -> Tensor:  # fmt: skip
    """``columns`` read with one one-hot input each, each through the periphery once.

    Noise and bound management are off, as they are for the reads of the Tiki-Taka family: the ADC sees the
    absolute values. Noise at the DAC is on every line, so the other columns contribute to the read of one. To
    read rows, pass the transpose.

    Args:
        weight: the whole crossbar [..., d, x].
        io: the periphery.
        stream: source of all noise.
        columns: which columns are read.

    Returns:
        [..., d, number of columns].
    """
    chosen = weight[..., columns]
    if io.is_perfect:
        return chosen
    one = torch.ones_like(chosen[..., :1, :])
    drive = _round(one, io.inp_bin, io.inp_sto_round, stream).clamp(-io.inp_bound, io.inp_bound)
    y = chosen * drive
    if io.inp_noise > 0:
        noise = stream.normal(*weight.shape[:-2], weight.shape[-1], chosen.shape[-1], like=weight)
        y = y + io.inp_noise * (weight @ noise)
    if io.ir_drop > 0:
        y = y - io.ir_drop * _slice_drop(chosen, drive, columns, weight.shape[-1], io.ir_drop_g_ratio)
    if io.w_noise > 0 and io.w_noise_type != "none":
        scale = (chosen.abs() * drive.square()).sqrt() if io.w_noise_type == "pcm_read" else drive.abs()
        y = y + io.w_noise * scale * stream.normal(*y.shape, like=y)
    if io.out_noise > 0:
        y = y + io.out_noise * stream.normal(*y.shape, like=y)
    y = _round(y, io.out_bin, io.out_sto_round, stream)
    return y.clamp(-io.out_bound, io.out_bound) if io.out_bound > 0 else y


def _slice_drop(chosen: Tensor, drive: Tensor, columns: Tensor | slice, n: int, g_ratio: float) -> Tensor:
    """``ir_drop`` of one-hot reads: only the driven column carries current."""
    a = chosen.abs() * drive.abs() * (n / g_ratio)
    c = a * (a * (0.05 * a - 0.2) + 0.5)
    position = 1 - (1 - torch.arange(n, device=chosen.device, dtype=chosen.dtype)[columns] / n) ** 2
    return c * chosen * drive * position
