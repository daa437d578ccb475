"""What every device of the configuration must do, whatever its model."""

from dataclasses import fields, replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from crossweep.bench.basic import basic
from crossweep.devices.base import AbstractDevice, Cells
from crossweep.devices.response import Affine, pulse, std, step
from crossweep.devices.symmetry_point import SymmetryPoint
from crossweep.errors import ConfigError
from crossweep.rng import Stream
from tests import expect
from tests.devices import catalogue

every_device = pytest.mark.parametrize("name", catalogue.NAMES)
SHAPE = (20, 30)


def drawn(name: str, rng: Stream, **changes: float) -> tuple[AbstractDevice, Cells]:
    device = catalogue.load(name, **changes)
    return device, device.draw(SHAPE, rng.fork("cells"))


def as_tuples(value: object) -> object:
    """Lists as dataclasses keep them."""
    return tuple(map(as_tuples, value)) if isinstance(value, list) else value


def inside(cells: Cells, share: Tensor | float) -> Tensor:
    """States at a share of the way from the lower to the upper bound of each device."""
    return (cells.w_min + (cells.w_max - cells.w_min) * share).clamp(cells.w_min, cells.w_max)


@every_device
def test_the_yaml_lists_every_common_key_and_nothing_unknown(name: str) -> None:
    keys = catalogue.settings(name)
    common = {f.name for f in fields(AbstractDevice)}
    assert common <= set(keys), f"missing {common - set(keys)}"
    built = catalogue.load(name)
    for key, value in keys.items():
        if key != "_target_" and value is not None and hasattr(built, key):
            found = getattr(built, key)
            assert found == as_tuples(value), key


@every_device
def test_no_pulse_no_change(name: str, rng: Stream) -> None:
    device, cells = drawn(name, rng)
    law = device.response(cells)
    v = inside(cells, rng.fork("v").uniform(*SHAPE, like=cells.w_max))
    noise = rng.fork("noise").normal(*SHAPE, like=v)
    assert torch.equal(pulse(law, v, torch.zeros(SHAPE), cells, noise), v)


@every_device
def test_bounds_hold_under_noisy_pulses(name: str, rng: Stream) -> None:
    device, cells = drawn(name, rng)
    law = device.response(cells)
    v = inside(cells, 0.5)
    for _ in range(200):
        direction = rng.fork("direction").normal(*SHAPE, like=v).sign()
        v = pulse(law, v, direction, cells, rng.fork("noise").normal(*SHAPE, like=v))
        assert torch.isfinite(v).all()
        assert (v >= cells.w_min).all() and (v <= cells.w_max).all()


@every_device
def test_steps_go_the_way_the_pulse_points(name: str, rng: Stream) -> None:
    device, cells = drawn(name, rng)
    law = device.response(cells)
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        # a linear step that refers to the mean bound turns round beyond it
        v = inside(cells, share).clamp(device.w_min, device.w_max)
        assert (step(law, v, up=True) >= -1e-6 * cells.step_up).all(), share
        assert (step(law, v, up=False) >= -1e-6 * cells.step_down).all(), share


@every_device
def test_steps_balance_at_the_symmetry_point(name: str, rng: Stream) -> None:
    device, cells = drawn(name, rng)
    law = device.response(cells)
    point = device.symmetry_point(cells)
    if point is None:
        with pytest.raises(ConfigError, match=r"symmetry_point\.skew.*must be 0"):
            basic(SymmetryPoint, skew=0.1).reference(device, cells, rng)
        return
    assert (point >= cells.w_min - 1e-6).all() and (point <= cells.w_max + 1e-6).all()
    up, down = step(law, point, up=True), step(law, point, up=False)
    margin = 1e-4 * (cells.w_max - cells.w_min)
    balanced = (point > cells.w_min + margin) & (point < cells.w_max - margin)
    assert balanced.float().mean() > 0.5, "most devices have their point inside"
    off = (up - down).abs() / torch.maximum(cells.step_up, cells.step_down)
    assert off[balanced].max() < 1e-3
    # at a bound, one direction wins all the way
    below, above = ~balanced & (point <= cells.w_min + margin), ~balanced & (point >= cells.w_max - margin)
    assert (up <= down + 1e-6)[below].all() and (up >= down - 1e-6)[above].all()


@every_device
def test_alternating_pulses_are_drawn_to_the_symmetry_point(name: str, rng: Stream) -> None:
    device, cells = drawn(name, rng)
    law = device.response(cells)
    point = device.symmetry_point(cells)
    if point is None:
        return
    for share in (0.1, 0.9):
        v = inside(cells, share)
        start = (v - point).abs()
        for _ in range(100):
            v = pulse(law, pulse(law, v, torch.ones(SHAPE), cells), -torch.ones(SHAPE), cells)
        cycle = torch.maximum(step(law, v, up=True), step(law, v, up=False))
        assert ((v - point).abs() <= start + cycle).all()
        assert (v - point).abs().mean() < start.mean()


@every_device
def test_the_visible_symmetry_point_is_what_was_asked_for(name: str, rng: Stream) -> None:
    device, cells = drawn(name, rng)
    point = device.symmetry_point(cells)
    if point is None:
        return
    asked = basic(SymmetryPoint, skew=0.2, variability=0.1)
    visible = point - asked.reference(device, cells, rng.fork("reference"))
    std = 0.1 * device.w_max
    expect.mean(visible, 0.2 * device.w_max, std=std, detects=0.35 * std)
    expect.variance(visible, std**2, detects=0.5)
    own = basic(SymmetryPoint, subtract=False).reference(device, cells, rng.fork("none"))
    assert torch.equal(own, torch.zeros(SHAPE))


@every_device
def test_same_stream_same_devices(name: str) -> None:
    device = catalogue.load(name)
    first, again, other = (device.draw(SHAPE, Stream(seed)).tensors() for seed in (1, 1, 2))
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert all(t.shape == SHAPE for t in first.values())
    keys = catalogue.settings(name)
    spread = any(keys[key] for key in catalogue.SPREADS) or len(keys.get("up", ())) > 1
    assert spread != all(torch.equal(first[key], other[key]) for key in first)


@every_device
def test_devices_survive_save_and_load(name: str, rng: Stream, tmp_path: Path) -> None:
    device, cells = drawn(name, rng)
    law = device.response(cells)
    torch.save(cells.tensors(), tmp_path / "cells.pt")
    again = Cells.from_tensors(torch.load(tmp_path / "cells.pt"))
    v, up = inside(cells, 0.3), torch.ones(SHAPE)
    noise = rng.fork("noise").normal(*SHAPE, like=v)
    assert torch.equal(pulse(law, v, up, cells, noise), pulse(device.response(again), v, up, again, noise))


@every_device
def test_leading_dimensions_are_independent_crossbars(name: str, rng: Stream) -> None:
    device = catalogue.load(name)
    cells = device.draw((3, *SHAPE), rng.fork("cells"))
    law = device.response(cells)
    v = inside(cells, rng.fork("v").uniform(3, *SHAPE, like=cells.w_max))
    direction = rng.fork("direction").normal(3, *SHAPE, like=v).sign()
    noise = rng.fork("noise").normal(3, *SHAPE, like=v)
    together = pulse(law, v, direction, cells, noise)
    for i in range(3):
        one = Cells.from_tensors({key: t[i] for key, t in cells.tensors().items()})
        # vectorised powers and exponentials differ by one bit between a block's inside and its rest
        torch.testing.assert_close(
            pulse(device.response(one), v[i], direction[i], one, noise[i]), together[i]
        )
        point, points = device.symmetry_point(one), device.symmetry_point(cells)
        assert (point is None) == (points is None)
        if point is not None and points is not None:
            torch.testing.assert_close(point, points[i])


@every_device
def test_inputs_are_left_untouched(name: str, rng: Stream) -> None:
    device, cells = drawn(name, rng)
    law = device.response(cells)
    v, direction, noise = inside(cells, 0.6), torch.ones(SHAPE), torch.ones(SHAPE)
    before = [t.clone() for t in (v, direction, noise, *cells.tensors().values())]
    pulse(law, v, direction, cells, noise)
    device.symmetry_point(cells)
    assert all(map(torch.equal, before, (v, direction, noise, *cells.tensors().values())))


@every_device
def test_affine_slopes_are_those_of_the_steps(name: str, rng: Stream) -> None:
    device, cells = drawn(name, rng)
    law = device.response(cells)
    if not isinstance(law, Affine):
        quarter = [step(law, inside(cells, s), up=True) for s in (0.25, 0.5, 0.75)]
        bend = quarter[0] - 2 * quarter[1] + quarter[2]
        assert bend.abs().max() > 1e-3 * device.dw_min, "an affine model has to say so"
        return
    v = inside(cells, 0.7)
    torch.testing.assert_close(step(law, v, up=True), cells.step_up + law.slope_up * v)
    torch.testing.assert_close(step(law, v, up=False), cells.step_down + law.slope_down * v)


@every_device
def test_one_noisy_pulse_has_the_stated_mean_and_spread(name: str, rng: Stream) -> None:
    device = catalogue.alike(name, dw_min_std=0.2, n_states=1000)
    cells = device.draw((100, 100), rng.fork("cells"))
    law = device.response(cells)
    v = inside(cells, 0.5)
    for sign, size, spread in (
        (1.0, step(law, v, up=True), std(law, v, up=True)),
        (-1.0, step(law, v, up=False), std(law, v, up=False)),
    ):
        noise = rng.fork(f"noise{sign}").normal(100, 100, like=v)
        moved = sign * (pulse(law, v, torch.full_like(v, sign), cells, noise) - v)
        one = float(spread[0, 0])
        expect.mean(moved, float(size[0, 0]), std=one, detects=0.1 * one)
        expect.variance(moved, one**2, detects=0.12)


@every_device
def test_number_of_states_sets_the_step(name: str) -> None:
    device = catalogue.load(name, n_states=50)
    assert device.states == pytest.approx(50)
    assert replace(device, n_states=25).states == pytest.approx(25)
    assert device.granularity > 0


@every_device
def test_stuck_devices_hold_their_value(name: str, rng: Stream) -> None:
    device, cells = drawn(name, rng, corrupt_devices_prob=0.5)
    law = device.response(cells)
    stuck = (cells.step_up == 0) & (cells.step_down == 0)
    assert 0.3 < stuck.float().mean() < 0.7
    v = inside(cells, 0.5)
    for direction in (1.0, -1.0):
        moved = pulse(law, v, torch.full(SHAPE, direction), cells, torch.ones(SHAPE))
        assert torch.equal(moved[stuck], v[stuck])
        assert not torch.equal(moved[~stuck], v[~stuck])


@every_device
@pytest.mark.gpu
def test_cpu_and_cuda_agree(name: str, rng: Stream) -> None:
    device, cells = drawn(name, rng)
    law = device.response(cells)
    far = Cells.from_tensors({key: t.cuda() for key, t in cells.tensors().items()})
    v, noise = inside(cells, 0.4), rng.fork("noise").normal(*SHAPE, like=cells.w_max)
    for direction in (1.0, -1.0):
        here = pulse(law, v, torch.full(SHAPE, direction), cells, noise)
        there = pulse(device.response(far), v.cuda(), torch.full(SHAPE, direction).cuda(), far, noise.cuda())
        torch.testing.assert_close(there.cpu(), here)
    assert device.draw(SHAPE, Stream(3)).to("cuda").w_max.is_cuda
