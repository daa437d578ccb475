"""The seam between autograd and the crossbars: reads go both ways, and ``(x, d)`` is kept for the pulsed update."""

from typing import Any

import torch
from torch import Tensor

from crossweep.nn.tiled_weight import TiledWeight


class _AnalogProduct(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, anchor: Tensor, weight: TiledWeight) -> Tensor:
        ctx.save_for_backward(x)
        ctx.weight, ctx.turn = weight, weight.next_turn()
        return weight.read(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, None, None]:
        (d,), (x,) = grads, ctx.saved_tensors
        ctx.weight.remember(x, d, ctx.turn)
        return (ctx.weight.read_transposed(d) if ctx.needs_input_grad[0] else None), None, None


def analog_product(x: Tensor, weight: TiledWeight) -> Tensor:
    """``W x`` on crossbars: [..., b, x] -> [..., b, d].

    The backward pass hands ``x`` and ``d`` to the weight and returns ``W^T d`` from a transposed read.
    """
    # autograd skips a function none of whose inputs needs a gradient; the first layer's input does not, its weight does
    anchor = torch.zeros((), requires_grad=torch.is_grad_enabled(), device=x.device)
    result: Tensor = _AnalogProduct.apply(x, anchor, weight)
    return result
