"""Images made as large as a network needs them."""

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True)
class Resize:
    """A forward hook that resizes images to `size` [pixel] (bilinear, smoothed where they shrink)."""

    size: tuple[int, int]

    def __call__(self, module: nn.Module, given: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        images, *rest = given
        return F.interpolate(images, self.size, mode="bilinear", antialias=True), *rest
