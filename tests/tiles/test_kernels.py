"""The arithmetic of the compiled kernels: hash, functions, normal numbers, and the response against the
torch version."""

import numpy as np
import pytest
import torch
from numba import njit
from scipy import stats
from tests import expect

from crossweep.bench.fidelity import ALIKE
from crossweep.devices.constant_step import ConstantStep
from crossweep.devices.linear_step import LinearStep
from crossweep.devices.soft_bounds import SoftBounds
from crossweep.rng import Stream
from crossweep.tiles.engine.base import Crossbar
from crossweep.tiles.engine.pulse import pulse_in_turn
from crossweep.tiles.engine.response import respond as respond_torch
from crossweep.tiles.kernels import block, maths
from crossweep.tiles.kernels.affine import load_devices, respond_block
from crossweep.tiles.kernels.bits import line_key, mix

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
    f, ids = np.zeros(block.ROOM, np.float32), np.empty(block.SIZE, np.uint32)
    for row in range(0, v.shape[0], block.ROWS):
        for first in range(0, v.shape[1], block.LANES):
            load_devices(f, device, row, first)
            block.load(f, block.V, v, row, first, np.float32(0))
            block.load(f, block.UP, up, row, first, np.float32(0))
            block.load(f, block.ALL, total, row, first, np.float32(0))
            block.number(ids, row, first, v.shape[1])
            block.normals(f, ids, key)
            respond_block(f, ids, scalars, key)
            block.store(f, block.V, out, row, first)


DEVICES = {
    "soft": SoftBounds(dw_min=0.02, dw_min_std=0.4, **ALIKE),
    "soft_relative": SoftBounds(dw_min=0.02, dw_min_std=0.4, mult_noise=True, **ALIKE),
    "linear": LinearStep(dw_min=0.02, dw_min_std=0.4, gamma_up=0.5, gamma_down=0.2, **ALIKE),
    "constant": ConstantStep(dw_min=0.02, dw_min_std=0.4, **ALIKE),
    "noisy": SoftBounds(dw_min=0.002, dw_min_std=5.0, **ALIKE),
    "coarse": SoftBounds(dw_min=0.3, dw_min_std=0.2, **ALIKE),
}


@pytest.mark.parametrize("name", DEVICES)
@pytest.mark.parametrize(("up", "down"), [(1, 0), (3, 2), (0, 9), (20, 15)])
def test_compiled_and_torch_response_agree(name: str, up: int, down: int, rng: Stream) -> None:
    device, shape = DEVICES[name], (200, 200)
    bar = Crossbar(device, device.draw(shape, rng))
    cells, slopes = bar.cells, device.slopes(bar.cells)
    parts = (cells.step_up, cells.step_down, *slopes, cells.w_max, cells.w_min)
    arrays = tuple(t.expand(shape).contiguous().numpy() for t in parts)
    scalars = np.array([device.dw_min_std, not device.additive_noise, 1], np.float32)
    for start in (-0.95, 0.1, 0.99):
        v = torch.full(shape, start)
        reference = respond_torch(v, torch.full_like(v, up), torch.full_like(v, down), bar, rng)
        out, counts = np.empty(shape, np.float32), [np.full(shape, k, np.float32) for k in (up, up + down)]
        _respond(v.numpy(), *counts, arrays, scalars, out, np.uint32(77))
        expect.same_distribution(out, reference)


@pytest.mark.parametrize("name", DEVICES)
def test_known_pulses_match_the_reference(name: str, rng: Stream) -> None:
    from crossweep.tiles.engine.compiled import give

    device = DEVICES[name]
    bar = Crossbar(device, device.draw((100, 200), rng))
    v = 0.9 * (2 * rng.uniform(100, 200, like=torch.empty(0)) - 1)
    w, reference = v - 0.25, torch.full_like(v, 0.25)
    for number in (1.0, -1.0, 7.0):
        counts = torch.full_like(v, number)
        moved, shown, pulses = give(v, w, reference, counts, torch.arange(200), bar, rng)
        assert pulses == 20_000 * abs(number)
        assert torch.equal(shown, moved - reference)
        expect.same_distribution(moved - v, pulse_in_turn(v, counts, bar, rng) - v)
    sparse = torch.zeros(100, 3)
    sparse[5, 1] = 1.0
    moved, shown, pulses = give(v, w, reference, sparse, torch.tensor([10, 20, 30]), bar, rng)
    assert (moved != v).nonzero().tolist() == (shown != w).nonzero().tolist() == [[5, 20]]
    assert pulses == 1
