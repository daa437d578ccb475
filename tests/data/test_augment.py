"""Crop and flip: every image is one of the allowed ones, each equally often."""

from collections import Counter

import torch
from torch import Tensor
from torch.nn import functional as F

from crossweep.data.augment import CropFlip, crop_flip
from crossweep.rng import Stream
from tests import expect


def allowed(image: Tensor, padding: int, flip: bool) -> dict[tuple[int, int, bool], Tensor]:
    """All results that one image [c, h, w] may have, cut out one by one."""
    _, height, width = image.shape
    results = {}
    for mirrored in (False, True) if flip else (False,):
        padded = F.pad(image, [padding] * 4)
        for top in range(2 * padding + 1):
            for left in range(2 * padding + 1):
                cut = padded[:, top : top + height, left : left + width]
                results[top, left, mirrored] = cut.flip(-1) if mirrored else cut
    return results


def test_every_result_is_allowed_and_equally_likely(rng: Stream) -> None:
    image = torch.randint(1, 256, (2, 4, 3), generator=rng.fork("image").generator(), dtype=torch.uint8)
    n, generator = 36_000, rng.fork("draws").generator()
    changed = CropFlip(padding=1, flip=True)(image.expand(n, -1, -1, -1), generator)
    assert changed.dtype == torch.uint8 and changed.shape == (n, 2, 4, 3)
    options = {result.numpy().tobytes(): key for key, result in allowed(image, 1, True).items()}
    assert len(options) == 18, "the image looks the same under two changes"
    counts = Counter(options[result.numpy().tobytes()] for result in changed)
    for key in options.values():
        expect.rate(counts[key], n, 1 / 18)


def test_without_flip_and_padding_nothing_changes(rng: Stream) -> None:
    images = torch.rand(5, 1, 3, 4, generator=rng.generator())
    assert torch.equal(CropFlip(padding=0, flip=False)(images, rng.generator()), images)
    assert crop_flip(0, False) is None
    assert crop_flip(0, True) == CropFlip(padding=0, flip=True)
    assert crop_flip(2, False) == CropFlip(padding=2, flip=False)


def test_images_of_a_batch_are_changed_apart(rng: Stream) -> None:
    image = torch.arange(16, dtype=torch.float32).view(1, 1, 4, 4)
    changed = CropFlip(padding=2, flip=True)(image.expand(64, -1, -1, -1), rng.generator())
    assert len(changed.flatten(1).unique(dim=0)) > 1


def test_the_same_generator_gives_the_same_bits_and_inputs_are_kept() -> None:
    images = torch.rand(8, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    before = images.clone()
    first, second = (
        CropFlip(padding=2, flip=True)(images, torch.Generator().manual_seed(1)) for _ in range(2)
    )
    assert torch.equal(first, second) and torch.equal(images, before)
