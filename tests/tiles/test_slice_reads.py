"""The periphery of a transfer's reads: what it is made of, and the same in one compiled call and in torch."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from tests import expect
from tests.algorithms.catalogue import NAMES, load
from tests.algorithms.rigs import COUNT, EXACT, factory, normal
from torch import Tensor

from crossweep.algorithms.chain_weight import ChainWeight
from crossweep.algorithms.ttv1 import TTv1
from crossweep.algorithms.ttv2 import TTv2
from crossweep.bench.basic import basic
from crossweep.devices.soft_bounds import SoftBounds
from crossweep.engine.cpu import windows
from crossweep.engine.cpu.engine import CPUEngine
from crossweep.engine.io_parameters import PERFECT, IOParameters
from crossweep.engine.reference.reads import read_slices
from crossweep.errors import ConfigError

ROWS, COLUMNS = 4, 37
CLEAN = basic(
    IOParameters,
    inp_res=0.0,
    out_res=0.0,
    out_noise=0.0,
    out_bound=0.0,
    noise_management="none",
    bound_management="none",
)
NOISY = basic(
    IOParameters, inp_res=1 / 14, out_res=1 / 62, out_bound=10.0, out_noise=0.4, inp_noise=0.02, w_noise=0.03
)
DEVICE = basic(SoftBounds, **(EXACT | {"dw_min": 0.01, "w_max": 1.5}))
WEIGHT = 0.3 * normal(5, ROWS, COLUMNS)


def holding(io: Any, rule: Any = None, **more: Any) -> ChainWeight:
    """A weight whose fast tile holds ``WEIGHT`` and is read column by column into a buffer that never fills."""
    made = basic(rule or TTv2, transfer_io=io, **({} if rule else {"auto_granularity": 1e4}), **more)
    weight = made.build((ROWS, COLUMNS), factory(DEVICE, engine=COUNT, io=NOISY))
    assert isinstance(weight, ChainWeight)
    weight.fast.set_weight(WEIGHT)
    return weight


def passes(io: IOParameters, many: int) -> Tensor:
    """What ``many`` passes of reads without any pulses find [passes, rows, columns]."""
    weight, found = holding(io), []
    for _ in range(many):
        weight.states[0].held.zero_()
        weight.update(torch.zeros(COLUMNS, COLUMNS), torch.zeros(COLUMNS, ROWS), 1.0)
        found.append(weight.states[0].held / weight.program(COLUMNS, 1.0).transfers[0].what.scale)
    return torch.stack(found)


@pytest.fixture(params=["compiled", "torch"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Both ways to go through the windows of a mini-batch."""
    run, calls = windows.run_, []
    if request.param == "torch":
        monkeypatch.setattr(windows, "refuses", lambda *_: "in torch")
    monkeypatch.setattr(CPUEngine, "windows_kernel", lambda _, *given: calls.append(given) or run(*given))
    yield request.param
    assert bool(calls) == (request.param == "compiled")


@pytest.mark.parametrize(
    "io",
    [
        replace(CLEAN, inp_res=1 / 5, out_res=1 / 30, out_bound=0.4),
        replace(CLEAN, ir_drop=1.0, ir_drop_g_ratio=20.0),
        replace(CLEAN, ir_drop=1.0, ir_drop_g_ratio=100.0, out_res=1 / 62, out_bound=1.0),
    ],
)
def test_converters_and_wires(io: IOParameters, way: str) -> None:
    wanted = read_slices(WEIGHT.double(), io, factory(DEVICE).draws)
    assert float((wanted - WEIGHT).abs().max()) > 0.01
    torch.testing.assert_close(passes(io, 1)[0], wanted.float(), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("io", "variance"),
    [
        (replace(CLEAN, out_noise=0.1), torch.full_like(WEIGHT, 0.01)),
        (replace(CLEAN, w_noise=0.1), torch.full_like(WEIGHT, 0.01)),
        (replace(CLEAN, w_noise=0.1, w_noise_type="pcm_read", out_noise=0.02), 0.01 * WEIGHT.abs() + 0.0004),
    ],
)
def test_noise_behind_the_devices(io: IOParameters, variance: Tensor, way: str) -> None:
    off = (passes(io, 30) - WEIGHT) / variance.sqrt()
    expect.mean(off, 0.0, std=1.0, detects=0.15)
    expect.variance(off, 1.0, detects=0.2)


def test_noise_of_the_inputs_comes_from_every_line(way: str) -> None:
    """Rows share the inputs: their errors are as correlated as their weights."""
    io = replace(CLEAN, inp_noise=0.1)
    root = torch.linalg.cholesky(0.01 * (WEIGHT @ WEIGHT.T).double())
    off = torch.linalg.solve_triangular(root, (passes(io, 30) - WEIGHT).double(), upper=False)
    expect.mean(off, 0.0, std=1.0, detects=0.15)
    expect.variance(off, 1.0, detects=0.2)
    expect.mean(off[:, 0] * off[:, 1], 0.0, std=1.0, detects=0.25)


# -- the default: the forward read, set to the range of one line ---------------------------------------------


def test_one_line_keeps_bits_and_relative_noise() -> None:
    io = NOISY.of_one_line(1.5)
    assert io.out_bound == 1.5 and io.out_noise == pytest.approx(0.4 / 10 * 1.5)
    assert (io.inp_res, io.out_res, io.inp_noise, io.w_noise) == (1 / 14, 1 / 62, 0.02, 0.03)
    assert io.out_bin / io.out_bound == pytest.approx(NOISY.out_bin / NOISY.out_bound)
    assert replace(NOISY, out_bound=0.0).of_one_line(1.5).out_noise == 0.4  # no range, nothing to set
    assert PERFECT.of_one_line(1.0).is_perfect


def test_a_transfer_reads_as_the_rule_says() -> None:
    def io(weight: ChainWeight) -> list[IOParameters]:
        return [transfer.io for transfer in weight.program(COLUMNS, 1.0).transfers]

    assert io(holding("forward")) == [NOISY.of_one_line(1.5)]
    assert io(holding("perfect"))[0].is_perfect
    assert io(holding(CLEAN)) == [CLEAN]
    made = factory(DEVICE, replace(DEVICE, w_max=3.0), io=NOISY)
    made = replace(made, backward=replace(NOISY, out_noise=0.1))
    chain = basic(TTv1, n_tiles=3, gamma=0.3, transfer_columns=False).build((ROWS, COLUMNS), made)
    assert [own.out_bound for own in io(chain)] == [1.5, 3.0]
    assert io(chain)[0].out_noise == pytest.approx(0.1 / 10 * 1.5)  # rows: the backward periphery
    with pytest.raises(
        ConfigError, match="transfer_io: must be one of 'forward', 'perfect' or IOParameters, got 'ideal'"
    ):
        basic(TTv2, transfer_io="ideal")  # type: ignore[arg-type]


@pytest.mark.parametrize("name", [n for n in NAMES if hasattr(load(n), "transfer_io")])
def test_every_transfer_rule_is_read_through_the_periphery(name: str, way: str) -> None:
    """Of a periphery that shows nothing, no rule learns anything."""
    blind, seeing = (
        replace(CLEAN, out_res=2.0, out_bound=1e3),  # one bin as wide as half the range
        replace(CLEAN, out_res=1e6, out_bound=1e3),
    )
    moved = []
    for io in (blind, seeing):
        rule = load(name)
        quick = {"transfer_io": io, "fast_change": 0.0, "auto_granularity": 20.0, "in_chop_prob": 0.34}
        known = {key: value for key, value in quick.items() if key in type(rule).__dataclass_fields__}
        if getattr(rule, "normalise", "none") != "none":  # no granularity, but a rate
            known |= {"auto_granularity": 0.0, "transfer_lr": 1.0}
        rule = type(rule)(**(vars(rule) | known))
        weight = rule.build((ROWS, COLUMNS), factory(DEVICE, engine=COUNT))
        for t in range(12):
            weight.update(normal(t, 40, COLUMNS), normal(1000 + t, 40, ROWS), 0.3)
        moved.append(weight.tiles()["slow"].pulses)
    assert moved[0] == 0 < moved[1]
