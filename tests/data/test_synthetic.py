"""The made data do what their keys say."""

from typing import Any

import pytest
import torch
from torch import Tensor

from crossweep.data.synthetic import Synthetic
from tests import expect
from tests.data import files


def make(**changes: Any) -> Synthetic:
    data = files.load("synthetic", **changes)
    assert isinstance(data, Synthetic)
    return data


def power_outside(target: Tensor, source: Tensor) -> Tensor:
    """Share of each target prototype's power outside the span of the source's prototypes."""
    span = torch.linalg.qr(source.flatten(1).double().T).Q
    flat = target.flatten(1).double()
    return 1 - (flat @ span).square().sum(1) / flat.square().sum(1)


def test_fully_shared_target_prototypes_lie_in_the_span_of_the_source() -> None:
    # as many source classes as features: their prototypes span all features
    source, target = make(source_classes=8, features=8, shared=1.0).prototypes()
    assert power_outside(target, source).max() < 1e-8


def test_unshared_target_prototypes_leave_the_span_of_the_source() -> None:
    means = []
    for shared in (1.0, 0.5, 0.0):
        source, target = make(source_classes=8, features=8, shared=shared, channels=3).prototypes()
        means.append(power_outside(target, source).mean().item())
    # 8 of the 48 smooth patterns on a 4x4 grid in 3 channels are shared: most of the rest lies outside
    assert means[0] < 1e-8 < means[1] < means[2] and means[2] > 0.5


@pytest.mark.parametrize("part", [0, 1])
def test_source_prototypes_have_unit_power(part: int) -> None:
    prototypes = make(shared=1.0).prototypes()[part]
    torch.testing.assert_close(prototypes.square().mean((1, 2, 3)), torch.ones(5))


def test_noise_has_the_stated_spread_and_no_mean() -> None:
    data = make(noise=0.7, train_per_class=400, validation=0.0)
    task, (source, _) = data.source(), data.prototypes()
    noise = task.train.images - source[task.train.labels]
    expect.variance(noise, 0.49, detects=0.04)
    expect.mean(noise, 0.0, std=0.7, detects=0.02)


def test_source_and_target_do_not_share_their_noise() -> None:
    data = make(noise=1.0, validation=0.0)
    (source, target), tasks = data.prototypes(), (data.source(), data.target())
    noise = [t.train.images - p[t.train.labels] for t, p in zip(tasks, (source, target), strict=True)]
    assert not torch.allclose(*noise)


def test_without_noise_every_sample_is_its_prototype() -> None:
    data = make(noise=0.0)
    task = data.target()
    torch.testing.assert_close(task.test.images, data.prototypes()[1][task.test.labels])


def test_size_and_channels_are_free() -> None:
    for size, channels in ((2, 1), (13, 4)):
        assert make(size=size, channels=channels).target().input_shape == (channels, size, size)
