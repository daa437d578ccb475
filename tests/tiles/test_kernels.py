"""The arithmetic of the compiled kernels: hash, functions, normal numbers, and the response against the
torch version."""

import dataclasses

import numpy as np
import pytest
import torch
from numba import njit
from scipy import stats
from tests import expect
from tests.some import some

from crossweep.bench.basic import basic
from crossweep.bench.fidelity import ALIKE
from crossweep.devices.constant_step import ConstantStep
from crossweep.devices.exp_step import ExpStep
from crossweep.devices.linear_step import LinearStep
from crossweep.devices.one_sided import OneSided, mirrored
from crossweep.devices.piecewise_step import PiecewiseStep
from crossweep.devices.pow_step import PowStep
from crossweep.devices.response import Exponential, Power, pulse
from crossweep.devices.soft_bounds import SoftBounds
from crossweep.devices.table import TableStep
from crossweep.engine.base import Crossbar, EngineParameters
from crossweep.engine.choose import engine as made
from crossweep.engine.cpu import updates
from crossweep.engine.cpu.kernels import block, maths
from crossweep.engine.cpu.kernels.bits import line_key, mix
from crossweep.engine.cpu.kernels.exponential import exponential_pulse
from crossweep.engine.cpu.kernels.power import power_pulse
from crossweep.engine.cpu.kernels.respond import load_cells, move
from crossweep.engine.cpu.kernels.tabulated import tabulated_pulse
from crossweep.engine.cpu.words import Lines, PulseWords
from crossweep.engine.pulse_plan import PulsePlan, UpdateParameters
from crossweep.engine.reference.engine import pulse_in_turn
from crossweep.engine.reference.respond import respond as respond_torch
from crossweep.rng import Stream

KEY = 0x1234567890ABCDEF


@njit
def _apply(which, x, y):
    for i in range(x.size):
        y[i] = maths.exp(x[i]) if which == 0 else maths.log(x[i])


@njit
def _normals(first, second, key):
    k = line_key(key, 3)
    for i in range(first.size):
        first[i], second[i] = maths.normal_pair(np.uint32(2 * i), k)


@njit
def _hashes(out, key):
    for i in range(out.shape[0]):
        k = line_key(key, i)
        for j in range(out.shape[1]):
            out[i, j] = mix(np.uint32(j), k)


def test_exp_and_log_are_accurate() -> None:
    x = np.linspace(-86, 86, 200_001, dtype=np.float32)
    y = np.empty_like(x)
    _apply(0, x, y)
    assert np.abs(y / np.exp(x.astype(float)) - 1).max() < 2e-7
    x = np.concatenate((np.logspace(-37, 37, 100_001), np.linspace(0.4, 2.5, 100_001))).astype(np.float32)
    y = np.empty_like(x)
    _apply(1, x, y)
    exact = np.log(x.astype(float))
    assert (np.abs(y - exact) < 1e-7 * np.maximum(1, np.abs(exact))).all()


def test_normal_numbers_are_normal_and_independent() -> None:
    first, second = np.empty(1_000_000, np.float32), np.empty(1_000_000, np.float32)
    _normals(first, second, KEY)
    for sample in (first, second):
        expect.distribution(sample, stats.norm.cdf)
        expect.variance(sample, 1.0, detects=0.02)
    expect.mean(first * second, 0.0, std=1.0, detects=0.01)
    expect.mean(first[1:] * first[:-1], 0.0, std=1.0, detects=0.01)
    expect.mean(first**2 * second**2, 1.0, std=np.sqrt(8.0), detects=0.03)
    expect.rate(int((np.abs(first) > 4).sum()), first.size, 2 * stats.norm.sf(4))


def test_hash_bits_are_fair_and_independent_between_lines() -> None:
    words = np.empty((64, 10_000), np.uint32)
    _hashes(words, KEY)
    for bit in range(32):
        plane = (words >> np.uint32(bit)) & np.uint32(1)
        expect.rate(int(plane.sum()), plane.size, 0.5)
        expect.rate(int((plane[1:] ^ plane[:-1]).sum()), plane[1:].size, 0.5)
        expect.rate(int((plane[:, 1:] ^ plane[:, :-1]).sum()), plane[:, 1:].size, 0.5)


@njit
def _respond(v, up, total, device, scalars, out, key):
    f, ids, _ = block.scratch()
    for row in range(0, v.shape[0], block.ROWS):
        for first in range(0, v.shape[1], block.LANES):
            load_cells(f, device, scalars, row, first)
            block.load(f, block.V, v, row, first, np.float32(0))
            block.load(f, block.UP, up, row, first, np.float32(0))
            block.load(f, block.ALL, total, row, first, np.float32(0))
            block.number(ids, row, first, v.shape[1])
            block.normals(f, ids, key)
            move(f, ids, scalars, key)
            block.store(f, block.V, out, row, first)


DEVICES = {
    "soft": basic(SoftBounds, dw_min=0.02, dw_min_std=0.4, **ALIKE),
    "soft_relative": basic(SoftBounds, dw_min=0.02, dw_min_std=0.4, mult_noise=True, **ALIKE),
    "linear": basic(LinearStep, dw_min=0.02, dw_min_std=0.4, gamma_up=0.5, gamma_down=0.2, **ALIKE),
    "constant": basic(ConstantStep, dw_min=0.02, dw_min_std=0.4, **ALIKE),
    "noisy": basic(SoftBounds, dw_min=0.002, dw_min_std=5.0, **ALIKE),
    "coarse": basic(SoftBounds, dw_min=0.3, dw_min_std=0.2, **ALIKE),
    "exponential": basic(ExpStep, dw_min=0.02, dw_min_std=0.4, **ALIKE),
    "exponential_floor": basic(
        ExpStep, dw_min=0.02, dw_min_std=0.4, dw_min_std_add=0.02, dw_min_std_slope=0.1, **ALIKE
    ),
    "power": basic(PowStep, dw_min=0.02, dw_min_std=0.4, pow_gamma=1.7, pow_gamma_dtod=0.2, **ALIKE),
    "root": basic(PowStep, dw_min=0.01, dw_min_std=0.4, pow_gamma=0.5, pow_up_down=0.3, **ALIKE),
    "nodes": basic(
        PiecewiseStep,
        dw_min=0.02,
        dw_min_std=0.4,
        piecewise_up=(1.5, 1.4, 1.0, 0.5, 0.1),
        piecewise_down=(0.1, 0.4, 0.8, 1.1, 1.2),
        **ALIKE,
    ),
    "table": basic(
        TableStep,
        dw_min=0.02,
        dw_min_std=0.4,
        up=((1.6, 1.0, 0.1), (1.2, 0.9, 0.3)),
        down=((0.1, 1.1, 1.5), (0.2, 0.8, 1.4)),
        up_std=((1.2, 1.0, 0.9), (1.5, 1.0, 0.7)),
        down_std=((0.7, 1.0, 1.4), (0.8, 1.0, 1.1)),
        **ALIKE,
    ),
    "growing": basic(
        ExpStep, dw_min=0.002, dw_min_std=0.6, A_up=-9.0, A_down=-2.0, gamma_up=2.5, gamma_down=2.5, **ALIKE
    ),
}


@pytest.mark.few(26)
@pytest.mark.parametrize("name", DEVICES)
@pytest.mark.parametrize(("up", "down"), [(1, 0), (3, 2), (0, 9), (20, 15)])
def test_compiled_and_torch_response_agree(name: str, up: int, down: int, rng: Stream) -> None:
    device, shape = DEVICES[name], (200, 200)
    bar = Crossbar(device, device.draw(shape, rng))
    arrays, scalars = updates.known(bar)
    for start in (-0.95, 0.1, 0.99):
        v = torch.full(shape, start)
        reference = respond_torch(v, torch.full_like(v, up), torch.full_like(v, down), bar, rng)
        out, counts = np.empty(shape, np.float32), [np.full(shape, k, np.float32) for k in (up, up + down)]
        _respond(v.numpy(), *counts, arrays, scalars, out, np.uint32(77))
        expect.same_distribution(out, reference)


@pytest.mark.parametrize("name", DEVICES)
def test_known_pulses_match_the_reference(name: str, rng: Stream) -> None:
    device = DEVICES[name]
    bar = Crossbar(device, device.draw((100, 200), rng))
    v = 0.9 * (2 * rng.uniform(100, 200, like=torch.empty(0)) - 1)
    w, reference = v - 0.25, torch.full_like(v, 0.25)
    for number in (1.0, -1.0, 7.0):
        counts = torch.full_like(v, number)
        moved, shown = updates.give(v, w, reference, counts, torch.arange(200), bar, rng)
        assert torch.equal(shown, moved - reference)
        expect.same_distribution(moved - v, pulse_in_turn(v, counts, bar, rng) - v)
    sparse = torch.zeros(100, 3)
    sparse[5, 1] = 1.0
    moved, shown = updates.give(v, w, reference, sparse, torch.tensor([10, 20, 30]), bar, rng)
    assert (moved != v).nonzero().tolist() == (shown != w).nonzero().tolist() == [[5, 20]]


def test_a_pair_of_exponential_devices_moves_as_its_model_says(rng: Stream) -> None:
    one = basic(ExpStep,
        dw_min=0.01, dw_min_std=0.6, dw_min_std_add=0.042, dw_min_std_slope=0.108, A_up=-27.235, A_down=-2.235,
        gamma_up=2.5, gamma_down=2.5, a=-1.0, b=0.0, w_max=2.0, w_min=0.0, n_devices=2, update_policy="one_sided",
    )  # fmt: skip
    device, shape = OneSided.of(one), (2, 100, 200)
    bar = Crossbar(device, mirrored(one.draw(shape, rng)))
    assert isinstance(bar.response, Exponential)
    v = bar.cells.w_min + 0.4 * (bar.cells.w_max - bar.cells.w_min)
    reference = respond_torch(v, torch.full_like(v, 5), torch.full_like(v, 3), bar, rng)
    counts = [np.full(shape[1:], k, np.float32) for k in (5, 8)]
    for k in range(2):
        out = np.empty(shape[1:], np.float32)
        _respond(
            v[k].numpy(),
            *counts,
            *updates.known(bar.at(v, (k,))),
            out,
            np.uint32(7),
        )
        expect.same_distribution(out, reference[k])


def test_single_exponential_pulses_match_the_reference(rng: Stream) -> None:
    device, n = DEVICES["exponential_floor"], 20_000
    bar = Crossbar(device, device.draw((1, n), rng))
    arrays, scalars = updates.known(bar)
    v = torch.linspace(-0.99, 0.99, n).unsqueeze(0)
    xi = rng.normal(1, n, like=v)
    for up in (True, False):
        out = np.empty(n, np.float32)
        _one_each(v[0].numpy(), up, *(a[0] for a in (*arrays[:3], *arrays[4:])), scalars, xi[0].numpy(), out)
        expected = pulse(bar.response, v, torch.full_like(v, 1.0 if up else -1.0), bar.cells, xi)[0]
        torch.testing.assert_close(torch.from_numpy(out), expected)


@pytest.mark.parametrize("name", ["power", "root"])
def test_single_power_pulses_match_the_reference(name: str, rng: Stream) -> None:
    device, n = DEVICES[name], 20_000
    bar = Crossbar(device, device.draw((1, n), rng))
    arrays, scalars = updates.known(bar)
    v = torch.linspace(-1.0, 1.0, n).unsqueeze(0)
    xi = rng.normal(1, n, like=v)
    for up in (True, False):
        out = np.empty(n, np.float32)
        _one_power(v[0].numpy(), up, *(a[0] for a in arrays), scalars, xi[0].numpy(), out)
        expected = pulse(bar.response, v, torch.full_like(v, 1.0 if up else -1.0), bar.cells, xi)[0]
        torch.testing.assert_close(torch.from_numpy(out), expected, rtol=1e-5, atol=1e-6)


def test_a_pair_of_power_devices_moves_as_its_model_says(rng: Stream) -> None:
    one = basic(PowStep,
        dw_min=0.02, dw_min_std=0.4, pow_gamma=1.3, w_max=0.8, w_min=0.0, n_devices=2, update_policy="one_sided",
    )  # fmt: skip
    device, shape = OneSided.of(one), (2, 100, 200)
    bar = Crossbar(device, mirrored(one.draw(shape, rng)))
    assert isinstance(bar.response, Power)
    v = bar.cells.w_min + 0.4 * (bar.cells.w_max - bar.cells.w_min)
    reference = respond_torch(v, torch.full_like(v, 5), torch.full_like(v, 3), bar, rng)
    counts = [np.full(shape[1:], k, np.float32) for k in (5, 8)]
    for k in range(2):
        out = np.empty(shape[1:], np.float32)
        _respond(v[k].numpy(), *counts, *updates.known(bar.at(v, (k,))), out, np.uint32(7))
        expect.same_distribution(out, reference[k])


@njit
def _one_power(v, up, su, sd, gu, gd, high, low, scalars, xi, out):
    for j in range(v.size):
        out[j] = power_pulse(v[j], up, su[j], sd[j], gu[j], gd[j], high[j], low[j], scalars, xi[j])


@pytest.mark.parametrize("name", ["nodes", "table"])
def test_single_tabulated_pulses_match_the_reference(name: str, rng: Stream) -> None:
    device, n = DEVICES[name], 20_000
    bar = Crossbar(device, device.draw((1, n), rng))
    arrays, scalars = updates.known(bar)
    v = torch.linspace(-0.94, 0.94, n).unsqueeze(0)
    xi = rng.normal(1, n, like=v)
    for up in (True, False):
        out = np.empty(n, np.float32)
        _one_of_each(v[0].numpy(), up, *(a[0] for a in arrays), scalars, xi[0].numpy(), out)
        expected = pulse(bar.response, v, torch.full_like(v, 1.0 if up else -1.0), bar.cells, xi)[0]
        torch.testing.assert_close(torch.from_numpy(out), expected, rtol=1e-5, atol=1e-6)


@njit
def _one_of_each(v, up, su, sd, scale, origin, high, low, scalars, xi, out):
    for j in range(v.size):
        out[j] = tabulated_pulse(v[j], up, su[j], sd[j], scale[j], origin[j], high[j], low[j], scalars, xi[j])


@njit
def _one_each(v, up, su, sd, scale, high, low, scalars, xi, out):
    for j in range(v.size):
        out[j] = exponential_pulse(
            v[j], up, su[j], sd[j], scale[j], scale[j], high[j], low[j], scalars, xi[j]
        )


@pytest.mark.few(18)
@pytest.mark.parametrize("bl", some([1, 7, 32, 45, 100], 1, 7, 32, 45))
@pytest.mark.parametrize(
    "name", ["soft", "linear", "constant", "coarse", "exponential", "power", "root", "nodes", "table"]
)
def test_certain_pulses_move_devices_as_one_after_the_other(name: str, bl: int, rng: Stream) -> None:
    """Lines pulse in every slot or in none, noise is off: nothing is left to chance, and order shows."""
    device = dataclasses.replace(DEVICES[name], dw_min_std=0.0, dw_min_dtod=0.3, up_down_dtod=0.1)
    bar, like = Crossbar(device, device.draw((70, 41), rng)), torch.empty(0)
    signs = [
        rng.fork(side).uniform(20, n, like=like).mul(3).floor() - 1 for side, n in (("x", 41), ("d", 70))
    ]
    lengths = torch.full((20,), float(bl))
    lengths[3] = 0
    plan = PulsePlan.of_probabilities(
        signs[0].abs(), signs[1].abs(), signs[0].sign(), signs[1].sign(), lengths, bl
    )
    since, until = torch.arange(41) % 5, 20 - torch.arange(41) % 4
    v = 0.9 * (2 * rng.fork("v").uniform(70, 41, like=like) - 1)
    for part in (plan, plan.samples(4, 15), plan.within(since, until)):
        ends = [
            made(basic(EngineParameters, level="pulse", backend=backend)).update(
                v, part, bar, basic(UpdateParameters, desired_bl=bl), rng
            )
            for backend in ("cpu", "reference")
        ]
        assert torch.equal(ends[0][1], ends[1][1])
        assert (ends[0][0] - ends[1][0]).abs().max() < 2e-6 * 20 * bl**0.5
        assert (ends[0][0] - v).abs().max() > 0.01


def test_pieces_cover_each_sample_once(rng: Stream) -> None:
    bl = np.array([0, 31, 32, 33, 0, 0, 100, 1])
    lines = Lines(np.zeros((0, 0)), np.zeros((0, 0), np.uint64), np.zeros(8), np.zeros(8))
    words = PulseWords(lines, lines, np.concatenate(([0], np.cumsum(bl))), bl)
    for first, last in ((0, 8), (2, 5), (4, 6)):
        begins, lengths = words.pieces(first, last, 32)
        assert (lengths >= 1).all()
        assert (lengths <= 32).all()
        slots = np.concatenate(
            [np.arange(b, b + n) for b, n in zip(begins, lengths, strict=True)] or [np.zeros(0)]
        )
        assert slots.tolist() == list(range(words.slots[first], words.slots[last]))
        owner = np.searchsorted(words.slots, begins, "right")
        assert (begins + lengths <= words.slots[owner]).all()  # none reaches into the next sample
