"""The seam between autograd and the crossbars: reads go both ways, and ``(x, d)`` is kept for the pulsed update."""

from typing import Any

import torch
from torch import Tensor

from crossweep.nn.tiled_weight import TiledWeight


class _AnalogProduct(torch.autograd.Function):
    @staticmethod
    def forward(x: Tensor, anchor: Tensor, weight: TiledWeight) -> Tensor:
        weight.require(x)
        return weight.read(x.detach())  # autograd is told below

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, TiledWeight], output: Tensor) -> None:
        x, _, ctx.weight = inputs
        ctx.save_for_backward(x)
        ctx.turn = ctx.weight.next_turn()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, None, None]:
        (d,), (x,) = grads, ctx.saved_tensors
        ctx.weight.remember(x, d, ctx.turn)
        return (ctx.weight.read_transposed(d) if ctx.needs_input_grad[0] else None), None, None

    @staticmethod
    def vmap(
        info: Any, in_dims: tuple[int, ...], x: Tensor, anchor: Tensor, weight: TiledWeight
    ) -> tuple[Tensor, int]:
        """Instances side by side: their weight has the leading axis that ``vmap`` hides from the model."""
        result: Tensor = _AnalogProduct.apply(x.movedim(in_dims[0], 0), anchor, weight)
        return result, 0


def analog_product(x: Tensor, weight: TiledWeight) -> Tensor:
    """``W x`` on crossbars: [..., b, x] -> [..., b, d].

    The backward pass hands ``x`` and ``d`` to the weight and returns ``W^T d`` from a transposed read. Under
    ``torch.func.vmap`` the weight is that of several instances, see ``crossweep.nn.instances``.
    """
    # autograd skips a function none of whose inputs needs a gradient; the first layer's input does not, its weight does
    anchor = torch.zeros((), requires_grad=torch.is_grad_enabled(), device=x.device)
    result: Tensor = _AnalogProduct.apply(x, anchor, weight)
    return result
