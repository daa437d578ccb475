"""Analog layers against torch's own: ideal devices and perfect reads give the same forward, backward and SGD step."""

from functools import partial

import pytest
import torch
from torch import Tensor, nn

from crossweep.algorithms.agad import AGAD
from crossweep.algorithms.analog_sgd import AnalogSGD
from crossweep.algorithms.base import AbstractAlgorithm
from crossweep.algorithms.cttv2 import CTTv2
from crossweep.bench.basic import basic
from crossweep.devices.soft_bounds import SoftBounds
from crossweep.engine.cpu.kernels.threads import side_by_side
from crossweep.engine.pulse_plan import UpdateParameters
from crossweep.errors import ConfigError
from crossweep.nn.convert import analog_weights, convert, select, to_digital
from crossweep.nn.convertible import convertible
from crossweep.nn.tiled_weight import update_all
from crossweep.rng import Stream
from crossweep.tiles.mapping import TileMapping
from tests.nn.networks import FINE, build, factory


def small_net() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, stride=2, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(6 * 4 * 4, 10, bias=False)
    )


MAPPINGS = [
    basic(TileMapping, max_tile_size=0, weight_scaling="none"),
    basic(TileMapping, max_tile_size=20, weight_scaling="tile"),
    basic(TileMapping, max_tile_size=7, weight_scaling="row", omega=0.8),
]


@pytest.mark.parametrize("mapping", MAPPINGS)
def test_forward_and_backward_are_torch_s_own(mapping: TileMapping, rng: Stream) -> None:
    digital, analog = build(0, small_net), build(0, small_net)
    convert(analog, convertible(analog), basic(AnalogSGD), mapping, factory())
    x = rng.normal(5, 3, 8, 8, like=torch.empty(0))
    xs = [x.clone().requires_grad_() for _ in range(2)]
    for model, own in ((digital, xs[0]), (analog, xs[1])):
        model(own).square().sum().backward()
    # scaling and splitting only reorder float32 sums
    torch.testing.assert_close(analog(x), digital(x), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(xs[1].grad, xs[0].grad, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(analog[0].bias.grad, digital[0].bias.grad, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("mapping", "lr"), list(zip(MAPPINGS, (0.005, 0.001, 0.001), strict=True)))
def test_update_is_the_sgd_step_whatever_the_scaling(mapping: TileMapping, lr: float, rng: Stream) -> None:
    # one sample, |x| and |d| the same everywhere: k = lr X D / granularity pulses are wanted at every cross-point
    # (hundreds where scales are large, at most 10,000 where they are small)
    layer = build(0, lambda: nn.Linear(16, 12, bias=False))
    net = nn.Sequential(layer)
    before = layer.weight.detach().clone()
    update = basic(UpdateParameters, desired_bl=10_000)
    convert(net, ["0"], basic(AnalogSGD, update=update), mapping, factory())
    x = rng.normal(1, 16, like=before).sign() * 0.5
    d = rng.normal(1, 12, like=before).sign() * 0.25
    net(x).backward(d)
    weight = analog_weights(net)["0"]
    weight.update(lr)
    moved = weight.logical_weight() - before
    # a count of k wanted pulses spreads by sqrt(k)/2 at most (a row weaker than the strongest), in steps of its scale
    scales = torch.cat([block.scale.flatten() for block in weight.blocks])
    spread = float((scales * FINE.dw_min * (lr * 0.125 / (scales * FINE.dw_min)).sqrt()).max()) / 2
    # float32 weights near 6 resolve 4.8e-7 of a scale
    torch.testing.assert_close(moved, -lr * d.T @ x, rtol=0, atol=5 * spread + 4.8e-7 * float(scales.max()))
    assert 5 * spread < 0.1 * lr * 0.125  # the tolerance can see a wrong factor


def test_two_backward_passes_before_a_step_count_twice(rng: Stream) -> None:
    net = nn.Sequential(build(0, lambda: nn.Linear(4, 3, bias=False)))
    convert(net, ["0"], basic(AnalogSGD), basic(TileMapping), factory())
    weight = analog_weights(net)["0"]
    x, d = rng.normal(2, 4, like=torch.empty(0)), rng.normal(2, 3, like=torch.empty(0))
    for _ in range(2):
        net(x).backward(d)
    assert [part[1].shape[0] for part in weight.pending] == [2, 2]
    weight.update(0.1)
    assert not weight.pending


def test_evaluation_keeps_nothing_for_the_update(rng: Stream) -> None:
    net = nn.Sequential(build(0, lambda: nn.Linear(4, 3)))
    convert(net, ["0"], basic(AnalogSGD), basic(TileMapping), factory())
    with torch.no_grad():
        net(rng.normal(2, 4, like=torch.empty(0)))
    assert not analog_weights(net)["0"].pending


def test_round_trip_to_digital_keeps_the_function(rng: Stream) -> None:
    model = build(0, small_net)
    expected = model(x := rng.normal(2, 3, 8, 8, like=torch.empty(0)))
    convert(model, convertible(model), basic(AnalogSGD), basic(TileMapping, max_tile_size=10), factory())
    back = to_digital(model)
    assert not analog_weights(back) and analog_weights(model)
    torch.testing.assert_close(back(x), expected, rtol=1e-4, atol=1e-4)


def test_transfer_noise_has_the_stated_size() -> None:
    from tests import expect

    device = basic(SoftBounds, dw_min=0.01, w_max=2.0, w_min=-2.0, w_max_dtod=0.0, w_min_dtod=0.0)
    net = nn.Sequential(build(0, lambda: nn.Linear(300, 200, bias=False)))
    before = net[0].weight.detach().clone()
    mapping = basic(TileMapping, weight_scaling="none", max_tile_size=0)
    convert(net, ["0"], basic(AnalogSGD), mapping, factory(device), transfer_noise=0.05)
    error = analog_weights(net)["0"].logical_weight() - before
    expect.mean(error, 0.0, std=0.1, detects=0.005)
    expect.variance(error, 0.1**2, detects=0.05)


def test_table_counts_tiles_devices_and_shares() -> None:
    model = build(0, small_net)
    table = convert(model, ["3"], basic(AnalogSGD), basic(TileMapping, max_tile_size=40), factory())
    assert [(row.layer, row.kind, row.d_size, row.x_size) for row in table[:1]] == [("3", "Linear", 10, 96)]
    assert table[0].tiles == 3 and table[0].devices == 960 and table[0].share == 960 / (960 + 162 + 6)
    assert [(row.layer, row.kind, row.tiles) for row in table[1:]] == [("digital: 0", "Conv2d", 0)]


PARTS = {"all": {"0", "3"}, "head": {"3"}, "attention": set[str]()}


def test_selection_by_part_and_patterns() -> None:
    model = build(0, small_net)
    assert select(model, "all", PARTS) == ["0", "3"]
    assert select(model, "head", PARTS, include=["0"]) == ["0", "3"]
    assert select(model, "all", PARTS, exclude=["[0-2]"]) == ["3"]
    assert select(model, "none", PARTS) == []


@pytest.mark.parametrize(
    ("share", "names"), [(1.0, ["0", "3"]), (0.9, ["0", "3"]), (0.8, ["3"]), (0.01, ["3"]), (0.0, [])]
)
def test_a_share_takes_the_last_layers_first(share: float, names: list[str]) -> None:
    assert select(build(0, small_net), "all", PARTS, share=share) == names  # 162 and 960 weights


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("everything", (), ()), "analog.layers: must be none or one of"),
        (("attention", (), ()), "no convertible layer in part 'attention'"),
        (("all", ("blocks.*",), ()), "analog.include: pattern 'blocks.*' matches none of the 2"),
        (("all", (), ("x",)), "analog.exclude: pattern 'x' matches none"),
        (("head", (), ("3",)), "analog.exclude: leaves no layer"),
    ],
)
def test_selection_errors_name_the_key(
    arguments: tuple[str, tuple[str, ...], tuple[str, ...]], message: str
) -> None:
    layers, include, exclude = arguments
    with pytest.raises(ConfigError, match=message.replace("*", r"\*")):
        select(build(0, small_net), layers, PARTS, include, exclude)


def test_pieces_differ_by_one_at_most() -> None:
    mapping = basic(TileMapping, max_tile_size=4)
    assert (
        mapping.pieces(10) == [4, 3, 3]
        and mapping.pieces(4) == [4]
        and basic(TileMapping, max_tile_size=0).pieces(999) == [999]
    )


def trained_with(threads: int, rule: AbstractAlgorithm) -> tuple[dict[str, Tensor], int]:
    """State of a net of four equal layers after two steps on ``threads`` threads, and the threads torch has then."""
    layers = build(0, lambda: nn.Sequential(*(nn.Linear(48, 48) for _ in range(4))))
    convert(layers, list(convertible(layers)), rule, basic(TileMapping), factory(basic(SoftBounds)))
    weights, before = list(analog_weights(layers).values()), torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        for seed in range(2):
            x = torch.randn(64, 48, generator=torch.Generator().manual_seed(seed))
            layers(x).square().sum().backward()
            update_all(weights, 0.01)
        return layers.state_dict(), torch.get_num_threads()
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(
    "rule",
    [basic(CTTv2, fast_lr=0.5, auto_granularity=50.0), basic(AGAD), basic(AnalogSGD)],
    ids=["cttv2", "agad", "sgd"],
)
def test_layers_side_by_side_train_as_one_after_the_other(rule: AbstractAlgorithm) -> None:
    alone, _ = trained_with(1, rule)
    for threads in (2, 3, 8):
        together, left = trained_with(threads, rule)
        assert left == threads
        tensors = [name for name, value in alone.items() if isinstance(value, Tensor)]
        assert len(tensors) > 20
        for name in tensors:
            assert torch.equal(alone[name], together[name]), (threads, name)


def test_an_error_in_one_of_several_layers_is_raised_when_all_are_done() -> None:
    done: list[int] = []

    def task(k: int) -> None:
        if k == 1:
            raise ConfigError("of the second")
        done.append(k)

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with pytest.raises(ConfigError, match="of the second"):
            side_by_side([partial(task, k) for k in range(6)])
        assert sorted(done) == [0, 2, 3, 4, 5]
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_a_weight_of_many_time_steps_learns_in_the_order_of_time(rng: Stream) -> None:
    """Errors travel backwards through time; samples reach the devices forwards, two sequences of each step together."""
    net = nn.Sequential(build(0, lambda: nn.Linear(3, 3, bias=False)))
    convert(net, ["0"], basic(AnalogSGD), basic(TileMapping), factory())
    weight, seen = analog_weights(net)["0"], []
    weight.parts()[0].update = lambda x, d, lr: seen.append(x)
    state, steps = rng.normal(2, 3, like=torch.empty(0)).requires_grad_(), []
    for _ in range(4):
        steps.append(state.detach().clone())
        state = torch.tanh(net(state))
    state.sum().backward()
    weight.update(0.1)
    torch.testing.assert_close(seen[0], torch.cat(steps))
