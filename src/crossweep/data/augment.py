"""Random crop and horizontal flip of a whole batch at once."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from crossweep.data.base import Augment


@dataclass(frozen=True, kw_only=True)
class CropFlip:
    """Shift every image by up to `padding` pixels each way, black entering at the edges; mirror half of them.

    Args:
        padding: largest shift [pixel], >= 0.
        flip: whether every image is mirrored left to right with probability 1/2.

    Source: K. He et al., Deep residual learning for image recognition, CVPR 2016, section 4.2 (padding 4).
    """

    padding: int
    flip: bool

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """A changed copy of images [b, c, h, w]; per batch one draw for rows, columns and flips each."""
        b, _, height, width = images.shape
        shifts = 2 * self.padding + 1
        top = _integers(shifts, b, generator, images.device)
        left = _integers(shifts, b, generator, images.device)
        rows = top[:, None] + torch.arange(height, device=images.device)
        columns = torch.arange(width, device=images.device).expand(b, width)
        if self.flip:
            mirrored = _integers(2, b, generator, images.device).bool()
            columns = torch.where(mirrored[:, None], width - 1 - columns, columns)
        columns = left[:, None] + columns
        padded = F.pad(images, [self.padding] * 4)
        sample = torch.arange(b, device=images.device)[:, None, None]
        # advanced indices around the channel slice move to the front: [b, h, w, c]
        return padded[sample, :, rows[:, :, None], columns[:, None, :]].movedim(-1, 1)


def crop_flip(padding: int, flip: bool) -> Augment | None:
    """`CropFlip`, or None where it would change nothing."""
    return CropFlip(padding=padding, flip=flip) if padding > 0 or flip else None


def _integers(high: int, n: int, generator: torch.Generator, device: torch.device) -> Tensor:
    # drawn where the generator lives: a CPU generator gives a GPU run the same images
    drawn = torch.randint(high, (n,), generator=generator, device=generator.device)
    return drawn.to(device, non_blocking=True)
