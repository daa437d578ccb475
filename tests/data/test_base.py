"""Splits and batches: exact answers."""

import pytest
import torch
from torch import Tensor

from crossweep.data.base import Split, batches
from crossweep.errors import ConfigError
from crossweep.rng import Stream


def numbered(n: int) -> Split:
    """n images whose only pixel is their index, labels alike."""
    index = torch.arange(n)
    return Split(images=index.float().view(n, 1, 1, 1), labels=index, mean=(0.0,), std=(1.0,))


def labels(split: Split, size: int, **options: object) -> list[list[int]]:
    return [y.tolist() for _, y in batches(split, size, **options)]  # type: ignore[arg-type]


def test_normalising_maps_mean_to_zero_and_one_std_above_it_to_one() -> None:
    images = torch.tensor([51, 102], dtype=torch.uint8).view(2, 1, 1, 1)  # 0.2 and 0.4 of 255
    split = Split(images=images, labels=torch.zeros(2, dtype=torch.int64), mean=(0.2,), std=(0.2,))
    normal = split.normalise(images)
    torch.testing.assert_close(normal.flatten(), torch.tensor([0.0, 1.0]), atol=1e-6, rtol=0)
    floats = split.normalise(torch.tensor([0.2, 0.4]).view(2, 1, 1, 1))
    torch.testing.assert_close(floats, normal, atol=1e-6, rtol=0)


def test_channels_are_normalised_apart() -> None:
    images = torch.ones(1, 2, 1, 1)
    split = Split(images=images, labels=torch.zeros(1, dtype=torch.int64), mean=(1.0, 0.0), std=(1.0, 0.5))
    assert split.normalise(images).flatten().tolist() == [0.0, 2.0]


def test_without_a_generator_the_order_is_kept() -> None:
    assert labels(numbered(5), 2) == [[0, 1], [2, 3], [4]]
    assert labels(numbered(5), 2, drop_last=True) == [[0, 1], [2, 3]]
    assert labels(numbered(4), 2, drop_last=True) == [[0, 1], [2, 3]]
    assert labels(numbered(3), 8) == [[0, 1, 2]]


def test_a_shuffled_epoch_holds_every_sample_once(rng: Stream) -> None:
    epoch = labels(numbered(100), 7, generator=rng.generator())
    assert [len(batch) for batch in epoch] == [7] * 14 + [2]
    flat = [y for batch in epoch for y in batch]
    assert sorted(flat) == list(range(100)) and flat != list(range(100))


def test_images_stay_with_their_labels(rng: Stream) -> None:
    for x, y in batches(numbered(50), 8, generator=rng.generator()):
        assert torch.equal(x.flatten(), y.float())


def test_the_generators_state_decides_the_epoch() -> None:
    generator = torch.Generator().manual_seed(3)
    first, second = (labels(numbered(40), 8, generator=generator) for _ in range(2))
    assert first != second, "two epochs in the same order"
    assert labels(numbered(40), 8, generator=torch.Generator().manual_seed(3)) == first


def test_augmentation_sees_raw_images_of_the_batch_and_leaves_the_split_alone(rng: Stream) -> None:
    split, seen = numbered(6), []

    def shift(images: Tensor, generator: torch.Generator) -> Tensor:
        seen.append(images.clone())
        return images + 100

    found = torch.cat([x for x, _ in batches(split, 4, generator=rng.generator(), augment=shift)]).flatten()
    assert [len(images) for images in seen] == [4, 2]
    assert torch.equal(found, torch.cat(seen).flatten() + 100)
    assert torch.equal(split.images, numbered(6).images)


def test_a_batch_larger_than_the_set_is_an_error_where_only_whole_batches_count() -> None:
    with pytest.raises(ConfigError, match="batch_size"):
        batches(numbered(3), 4, drop_last=True)


@pytest.mark.gpu
def test_a_cpu_generator_gives_a_gpu_the_same_batches() -> None:
    split = numbered(40)
    there = labels(split.to("cuda"), 8, generator=torch.Generator().manual_seed(0))
    assert there == labels(split, 8, generator=torch.Generator().manual_seed(0))
