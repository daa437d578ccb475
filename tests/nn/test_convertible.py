"""What becomes analog computes exactly the same; what would not stays digital, and the table lists it."""

import subprocess
import sys
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from crossweep.algorithms.agad import AGAD
from crossweep.algorithms.analog_sgd import AnalogSGD
from crossweep.algorithms.base import AbstractAlgorithm
from crossweep.algorithms.cttv2 import CTTv2
from crossweep.algorithms.digital import Digital
from crossweep.algorithms.mixed_precision import MixedPrecision
from crossweep.algorithms.ttv1 import TTv1
from crossweep.bench.basic import basic
from crossweep.devices.soft_bounds import SoftBounds
from crossweep.nn.convert import analog_weights, convert, to_digital
from crossweep.nn.convertible import convertible
from crossweep.rng import Stream
from crossweep.tiles.mapping import TileMapping
from tests.nn.networks import DIGITAL, EXACT, build, factory

SMALL_TILES = basic(TileMapping, max_tile_size=5, weight_scaling="row")


def on_crossbars(layer: nn.Module, rule: AbstractAlgorithm, **given: object) -> nn.Module:
    net = nn.Sequential(layer)
    convert(net, list(convertible(net)), rule, SMALL_TILES, factory(**given))  # type: ignore[arg-type]
    assert list(analog_weights(net)) == ["0"]
    return net


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
@pytest.mark.parametrize("kind", EXACT)
def test_forward_backward_update_and_way_back_are_torchs_own(kind: str, rng: Stream) -> None:
    digital, analog = build(0, EXACT[kind]), on_crossbars(build(0, EXACT[kind]), Digital())
    x = rng.normal(3, 4, 9, 8, like=torch.empty(0))
    xs = [x.clone().requires_grad_() for _ in range(2)]
    outs = [model(own) for model, own in zip((digital, analog), xs)]
    assert outs[0].shape == outs[1].shape
    # scaling and splitting only reorder float32 sums, here and below
    torch.testing.assert_close(outs[1], outs[0], rtol=1e-4, atol=1e-5)
    for out in outs:
        out.square().sum().backward()
    torch.testing.assert_close(xs[1].grad, xs[0].grad, rtol=1e-4, atol=1e-4)
    analog_weights(analog)["0"].update(0.01)
    with torch.no_grad():
        digital.weight -= 0.01 * digital.weight.grad
    torch.testing.assert_close(analog(x), digital(x), rtol=1e-4, atol=1e-4)
    back = to_digital(analog)[0]
    assert type(back) is type(digital)
    torch.testing.assert_close(back(x), digital(x), rtol=1e-4, atol=1e-4)


def test_an_image_without_batch(rng: Stream) -> None:
    digital, analog = (build(0, EXACT["grouped"]) for _ in range(2))
    x = rng.normal(4, 9, 8, like=torch.empty(0))
    torch.testing.assert_close(on_crossbars(analog, Digital())(x), digital(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "rule",
    [basic(AnalogSGD), basic(CTTv2, auto_granularity=5.0), basic(AGAD), basic(TTv1), basic(MixedPrecision)],
    ids=lambda rule: type(rule).__name__,
)
def test_every_group_trains_on_devices_of_its_own(rule: AbstractAlgorithm, rng: Stream) -> None:
    net = on_crossbars(
        build(0, lambda: nn.Conv2d(4, 4, 3, groups=4)), rule, device=basic(SoftBounds, dw_min=0.01)
    )
    weight = analog_weights(net)["0"]
    before = weight.logical_weight()
    x = rng.normal(8, 4, 6, 6, like=torch.empty(0))
    x[:, 2] = 0  # a channel without input: its group has nothing to learn
    for _ in range(5):
        net(x).square().sum().backward()
        weight.update(0.05)
    moved = (weight.logical_weight() - before).abs().amax((1, 2))
    assert moved[2] == 0 and bool((moved[[0, 1, 3]] > 0).all())


def test_groups_count_as_tiles_and_no_device_is_invented() -> None:
    net = nn.Sequential(build(0, lambda: nn.Conv2d(6, 12, 3, groups=3)))
    (row, bias) = convert(net, ["0"], basic(CTTv2), basic(TileMapping), factory())
    assert (row.groups, row.d_size, row.x_size) == (3, 4, 18)
    assert row.tiles == 3 * 2 and row.devices == 2 * 12 * 2 * 9, "fast and slow tile of each group"
    assert row.share == 216 / 228 and bias.kind == "bias" and bias.share == 12 / 228


@pytest.mark.parametrize("kind", DIGITAL)
def test_what_crossbars_would_change_stays_digital_and_is_listed(kind: str) -> None:
    net = build(0, lambda: nn.Sequential(nn.Linear(8, 8), DIGITAL[kind]()))
    assert list(convertible(net)) == ["0"]
    table = convert(net, ["0"], basic(AnalogSGD), basic(TileMapping), factory())
    rest = {row.layer for row in table if not row.tiles}
    assert kind == "lazy" or any(layer.startswith("digital: 1") for layer in rest)
    assert sum(row.share for row in table) == pytest.approx(1.0)


class Tied(nn.Module):
    """Two layers with one weight, one layer in two places, and one used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(8, 8), nn.Linear(8, 8)
        self.second.weight = self.first.weight
        self.here = self.there = nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.there(self.here(self.here(self.first(x)))))


def test_one_weight_in_two_layers_stays_digital_and_one_layer_in_two_places_stays_one(rng: Stream) -> None:
    digital, analog = build(0, Tied), build(0, Tied)
    assert list(convertible(analog)) == ["here"]
    convert(analog, ["here"], Digital(), basic(TileMapping), factory())
    assert analog.here is analog.there and analog.second.weight is analog.first.weight
    x = rng.normal(5, 8, like=torch.empty(0))
    for model in (digital, analog):
        model(x).square().sum().backward()
    weight = analog_weights(analog)["here"]
    weight.update(0.1)
    with torch.no_grad():
        digital.here.weight -= 0.1 * digital.here.weight.grad  # three calls, three gradients
    torch.testing.assert_close(weight.logical_weight(), digital.here.weight, rtol=1e-4, atol=1e-5)
    back = to_digital(analog)
    assert back.here is back.there


def test_bias_of_an_analog_layer_is_the_digital_layers_own() -> None:
    layer = build(0, partial(nn.Linear, 4, 3))
    bias = layer.bias.requires_grad_(False)
    assert on_crossbars(layer, Digital())[0].bias is bias


def test_a_run_loads_no_library_that_it_does_not_use() -> None:
    """Importing timm and torchvision takes longer than a small run."""
    code = (
        "import sys, crossweep.train, crossweep.build\n"
        "assert not (found := {'timm', 'torchvision', 'optuna', 'pandas', 'matplotlib'} & set(sys.modules)), found"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
