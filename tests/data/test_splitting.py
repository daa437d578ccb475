"""Class selections, hold-outs and channel statistics: exact answers."""

import pytest
import torch

from crossweep.data.splitting import channel_stats, hold_out, make_task, select_classes
from crossweep.errors import ConfigError
from crossweep.rng import Stream


def test_selected_classes_are_renumbered_in_the_order_of_the_list() -> None:
    labels = torch.tensor([0, 1, 2, 3, 1, 3])
    images = labels * 10
    kept, renumbered = select_classes(images, labels, [3, 1])
    assert kept.tolist() == [10, 30, 10, 30]
    assert renumbered.tolist() == [1, 0, 1, 0]


def test_a_class_beyond_all_labels_selects_nothing() -> None:
    kept, _ = select_classes(torch.arange(3), torch.tensor([0, 1, 1]), [7])
    assert len(kept) == 0


def test_a_hold_out_takes_the_same_share_of_every_class(rng: Stream) -> None:
    labels = torch.tensor([0] * 40 + [1] * 20 + [2] * 10)
    kept, held = hold_out(labels, 0.25, rng.generator())
    assert torch.bincount(labels[held]).tolist() == [10, 5, 3]  # 2.5 rounds up
    assert torch.cat([kept, held]).sort().values.tolist() == list(range(70))
    assert kept.tolist() == sorted(kept.tolist()) and held.tolist() == sorted(held.tolist())


def test_a_small_share_still_holds_out_one_of_every_class(rng: Stream) -> None:
    labels = torch.tensor([0] * 5 + [1] * 2)
    _, held = hold_out(labels, 0.01, rng.generator())
    assert torch.bincount(labels[held]).tolist() == [1, 1]


def test_share_zero_holds_out_nothing(rng: Stream) -> None:
    kept, held = hold_out(torch.zeros(5, dtype=torch.int64), 0.0, rng.generator())
    assert len(kept) == 5 and len(held) == 0


def test_a_class_of_one_cannot_be_on_both_sides(rng: Stream) -> None:
    with pytest.raises(ConfigError, match=r"every class on both sides, got 0\.5 of 1 of class 1"):
        hold_out(torch.tensor([0, 0, 1]), 0.5, rng.generator())


def test_another_generator_holds_out_other_samples(rng: Stream) -> None:
    labels = torch.zeros(1000, dtype=torch.int64)
    first, second = (hold_out(labels, 0.5, rng.fork(name).generator())[1] for name in ("a", "b"))
    assert not torch.equal(first, second)


def test_channel_statistics_equal_those_of_one_pass(rng: Stream) -> None:
    images = torch.randint(0, 256, (3000, 2, 3, 3), generator=rng.generator(), dtype=torch.uint8)
    mean, std = channel_stats(images)
    whole = images.double() / 255
    torch.testing.assert_close(torch.tensor(mean, dtype=torch.float64), whole.mean((0, 2, 3)))
    torch.testing.assert_close(torch.tensor(std, dtype=torch.float64), whole.std((0, 2, 3), correction=0))


def test_a_channel_without_spread_normalises_to_zeros() -> None:
    mean, std = channel_stats(torch.full((4, 1, 2, 2), 0.3))
    assert mean == pytest.approx((0.3,)) and std == (1.0,)


def test_a_class_without_test_samples_is_an_error() -> None:
    images, labels = torch.zeros(4, 1, 1, 1), torch.tensor([0, 0, 1, 1])
    with pytest.raises(ConfigError, match=r"every class of toys must have test samples, got none of \['b'\]"):
        make_task(
            name="toys",
            train=(images, labels),
            test=(images[:2], labels[:2]),
            class_names=["a", "b"],
            mean=[0.0],
            std=[1.0],
            validation=0.0,
            seed=0,
        )
