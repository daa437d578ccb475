"""A small character-level transformer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from crossweep.errors import ConfigError, FieldError
from crossweep.models.base import AbstractModel, Headed, InputShape
from crossweep.schema import Count


@dataclass(frozen=True, kw_only=True)
class TinyGpt(AbstractModel):
    """Which character comes next, at every place of a text, from those before it; for `data=text`.

    Blocks of attention and MLP, normalised before each; embeddings are digital. It learns from all places of a window at
    once.

    Args:
        layers: blocks [1], >= 1.
        heads: attention heads of each [1], >= 1.
        width: channels [1], a multiple of `heads`.

    Raises:
        ConfigError: a value is out of range, or the data are no text.

    Source: A. Radford et al., Language models are unsupervised multitask learners, 2019, section 2.3.
    """

    layers: Count
    heads: Count
    width: Count

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.width % self.heads:
            raise FieldError("heads", f"must divide the width, {self.width}, got {self.heads}")

    def create(self, input_shape: InputShape, classes: int) -> nn.Module:
        if input_shape[:2] != (1, 1):
            raise ConfigError(
                "model: tiny_gpt reads characters (data=text); for images choose another, "
                f"got {' x '.join(map(str, input_shape))}"
            )
        return TinyGptNet(input_shape[2], self.layers, self.heads, self.width, classes)


class TinyGptNet(Headed):
    """The network of `TinyGpt`: characters [b, 1, 1, t], numbered from 0, to [b, t, classes]."""

    def __init__(self, places: int, layers: int, heads: int, width: int, classes: int) -> None:
        super().__init__()
        self.tokens = nn.Embedding(classes, width)
        self.places = nn.Embedding(places, width)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, classes)
        self.feature_info: list[dict[str, Any]] = [{"module": f"blocks.{layers - 1}"}]

    def forward(self, characters: Tensor) -> Tensor:
        numbers = characters.flatten(1).long()
        values = self.tokens(numbers) + self.places.weight[: numbers.shape[-1]]
        for block in self.blocks:
            values = block(values)
        return self.head(self.norm(values))  # type: ignore[no-any-return]


class Block(nn.Module):
    """Attention to places up to one's own, then an MLP; both add to their input."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attn = nn.ModuleDict({"qkv": nn.Linear(width, 3 * width), "proj": nn.Linear(width, width)})
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        self.heads = heads

    def forward(self, values: Tensor) -> Tensor:
        values = values + self._attend(self.norm1(values))
        return values + self.mlp(self.norm2(values))  # type: ignore[no-any-return]

    def _attend(self, values: Tensor) -> Tensor:
        b, t, width = values.shape
        q, k, v = self.attn["qkv"](values).view(b, t, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.attn["proj"](mixed.transpose(1, 2).reshape(b, t, width))  # type: ignore[no-any-return]
