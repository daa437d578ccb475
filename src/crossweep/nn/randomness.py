"""Dropout and stochastic depth from named streams: models know only torch's global generator."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from crossweep.rng import Stream


class _Kept(torch.autograd.Function):
    """1 with a probability, else 0, in the shape of a tensor; of several instances each from its own stream."""

    generate_vmap_rule = False

    @staticmethod
    def forward(like: Tensor, probability: float, stream: Stream) -> Tensor:
        generator = stream.generator(like.device)
        return torch.empty_like(like, memory_format=torch.contiguous_format).bernoulli_(
            probability, generator=generator
        )

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.mark_non_differentiable(output)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[None, None, None]:
        return None, None, None

    @staticmethod
    def vmap(
        info: Any, in_dims: tuple[int, ...], like: Tensor, probability: float, stream: Stream
    ) -> tuple[Tensor, int]:
        every = like.movedim(in_dims[0], 0)
        drawn = [_Kept.forward(one, probability, stream.at((i,))) for i, one in enumerate(every)]
        return torch.stack(drawn), 0


class Drawing(TorchFunctionMode):
    """While it is active, dropout and Bernoulli draws of a model come from ``stream``.

    Args:
        stream: of one network, or of several side by side.
    """

    def __init__(self, stream: Stream) -> None:
        super().__init__()
        self.stream = stream

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        options = dict(kwargs or {})
        if function is F.dropout:
            return self._dropout(*args, **options)
        if function is Tensor.bernoulli_ and "generator" not in options:
            return _Kept.apply(args[0], args[1] if len(args) > 1 else options.get("p", 0.5), self.stream)
        return function(*args, **options)

    def _dropout(self, x: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
        if not training or p == 0:
            return x
        kept: Tensor = _Kept.apply(x.detach(), 1 - p, self.stream)
        return x * kept / (1 - p) if p < 1 else x * 0
