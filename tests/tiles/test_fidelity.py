"""Each level of the engine against the one above it: mean, standard deviation, tails, drift to the symmetry
point.

``count`` and ``pulse`` run on the same drawn pulses, so that what is compared is the response alone and small
deviations show. Slack is the accepted model error: 0.3 % of the range in the mean, 3 % in the standard
deviation.
"""

from math import sqrt

import pytest
import torch
from scipy import stats
from tests import expect
from tests.algorithms.rigs import COUNT, MEAN, PULSE
from tests.some import some
from torch import Tensor

from crossweep.bench.basic import basic
from crossweep.bench.fidelity import ALIKE
from crossweep.devices.base import AbstractDevice
from crossweep.devices.constant_step import ConstantStep
from crossweep.devices.exp_step import ExpStep
from crossweep.devices.linear_step import LinearStep
from crossweep.devices.pow_step import PowStep
from crossweep.devices.soft_bounds import SoftBounds
from crossweep.engine.base import Crossbar, EngineParameters
from crossweep.engine.choose import engine as made
from crossweep.engine.pulse_plan import PulsePlan, UpdateParameters, plan_pulses
from crossweep.rng import Stream

AVERAGE, STD = 0.003, 0.03
SIZE = 64
UPDATE = basic(UpdateParameters)


def plan_of(samples: int, pulses: float, device: AbstractDevice, rng: Stream, *, repeat: bool) -> PulsePlan:
    """``samples`` random samples, or one pair of values repeated, that want ``pulses`` at the strongest
    cross-point."""
    like = torch.empty(0)
    x, d = (rng.fork(name).normal(samples, SIZE, like=like) for name in ("x", "d"))
    if repeat:
        x, d = torch.full_like(x, 0.7), torch.full_like(d, -0.4)
    top = x.abs().amax(-1) * d.abs().amax(-1)
    return plan_pulses(x, d, pulses * device.granularity / top, device.granularity, UPDATE)


def start_states(device: AbstractDevice, bar: Crossbar, rng: Stream) -> Tensor:
    share = rng.fork("start").uniform(SIZE, SIZE, like=torch.empty(0))
    return bar.cells.w_min + (0.05 + 0.9 * share) * (bar.cells.w_max - bar.cells.w_min)


def run(
    engine: EngineParameters, v: Tensor, plan: PulsePlan, bar: Crossbar, rng: Stream, draws: int
) -> Tensor:
    return torch.stack([made(engine).update(v, plan, bar, UPDATE, rng.fork(str(i)))[0] for i in range(draws)])


def faithful(exact: Tensor, fast: Tensor, device: AbstractDevice) -> None:
    """Paired samples agree within the accepted model error, and the error is known well enough to say so.

    The standard deviation may also be off by 0.1 % of the range, where nearly all devices end at one bound.
    """
    z, span = stats.norm.isf(expect.FALSE_ALARM / 2), device.w_max - device.w_min
    a, b = (t.double().flatten() for t in (exact, fast))
    off, error = float((b - a).mean()), float((b - a).std()) / sqrt(a.numel())
    assert z * error < span * AVERAGE, "too few samples"
    assert abs(off) < span * AVERAGE + z * error, f"mean off by {off / span:+.2%} of the range"
    off = float(b.std() - a.std())
    squares = (b - b.mean()) ** 2 - (a - a.mean()) ** 2
    error = float(squares.std()) / sqrt(a.numel()) / float(a.std() + b.std() + 1e-12)
    allowed = max(STD * float(a.std()), 0.001 * span)
    assert z * error < span * AVERAGE, "too few samples"
    assert abs(off) < allowed + z * error, f"standard deviation {float(b.std()):.4f} for {float(a.std()):.4f}"


FAMILIES = {
    "soft_bounds": lambda **kw: basic(SoftBounds, **ALIKE, **kw),
    "soft_relative": lambda **kw: basic(SoftBounds, **ALIKE, mult_noise=True, **kw),
    "linear": lambda **kw: basic(LinearStep, **ALIKE, gamma_up=0.5, gamma_down=0.3, **kw),
    "constant": lambda **kw: basic(ConstantStep, **ALIKE, **kw),
}
BENT = {
    "exp": lambda **kw: basic(ExpStep, **ALIKE, **kw),
    "pow": lambda **kw: basic(PowStep, **ALIKE, **kw),
}


@pytest.mark.few(20)
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    ("dw_min", "noise", "samples", "pulses", "repeat"),
    [
        (0.0005, 0.0, 64, 15.5, False),
        (0.01, 0.5, 1, 31.0, False),
        (0.01, 0.3, 256, 15.5, False),
        (0.01, 0.3, 1024, 3.0, False),
        (0.02, 0.0, 16, 5.5, True),
        (0.1, 0.0, 64, 15.5, False),
        (0.1, 0.5, 64, 15.5, False),
        (0.1, 0.5, 3, 31.0, True),
        (0.1, 0.3, 64, 0.4, True),
        (0.002, 3.75, 64, 31.0, False),
    ],
)
def test_count_is_faithful_to_pulse(
    family: str, dw_min: float, noise: float, samples: int, pulses: float, repeat: bool, rng: Stream
) -> None:
    device = FAMILIES[family](dw_min=dw_min, dw_min_std=noise)
    bar = Crossbar(device, device.draw((SIZE, SIZE), rng))
    v, plan = start_states(device, bar, rng), plan_of(samples, pulses, device, rng, repeat=repeat)
    exact = run(PULSE, v, plan, bar, rng.fork("pulse"), 16)
    fast = run(COUNT, v, plan, bar, rng.fork("count"), 16)
    faithful(exact, fast, device)


@pytest.mark.parametrize("family", BENT)
@pytest.mark.parametrize(("dw_min", "noise"), [(0.01, 0.5), (0.1, 0.0), (0.1, 0.5)])
def test_count_is_faithful_for_devices_without_closed_form(
    family: str, dw_min: float, noise: float, rng: Stream
) -> None:
    device = BENT[family](dw_min=dw_min, dw_min_std=noise)
    bar = Crossbar(device, device.draw((SIZE, SIZE), rng))
    v, engines = (
        start_states(device, bar, rng),
        (PULSE, COUNT),
    )
    # the engines draw pulses of their own: lines are alike, so the diagonal holds devices that share none
    moved: list[list[Tensor]] = [[], []]
    for i in range(60):
        for engine, results in zip(engines, moved, strict=True):
            plan = plan_of(8, 0.06 / dw_min, device, rng, repeat=True)
            results.append(
                made(engine).update(v, plan, bar, UPDATE, rng.fork(f"{engine.level}{i}"))[0].diagonal()
            )
    exact, fast = (torch.cat(results) for results in moved)
    slack = AVERAGE * (device.w_max - device.w_min)
    expect.same_mean(fast, exact, slack=slack)
    expect.same_std(fast, exact, slack=STD)


@pytest.mark.few(6)
@pytest.mark.parametrize("family", FAMILIES | BENT)
@pytest.mark.parametrize(
    ("dw_min", "noise"), some([(0.01, 0.3), (0.1, 0.0), (0.1, 0.5)], (0.1, 0.0), (0.1, 0.5))
)
def test_compiled_and_torch_pulses_agree(family: str, dw_min: float, noise: float, rng: Stream) -> None:
    device = (FAMILIES | BENT)[family](dw_min=dw_min, dw_min_std=noise)
    bar = Crossbar(device, device.draw((SIZE, SIZE), rng))
    v = torch.full((SIZE, SIZE), 0.4)

    def diagonal(engine: EngineParameters, draws: int) -> Tensor:
        results = []
        for i in range(draws):
            plan = plan_of(6, 20.0, device, rng, repeat=True)  # a fresh one: its pulses are drawn anew
            results.append(
                made(engine).update(v, plan, bar, UPDATE, rng.fork(f"{engine.backend}{i}"))[0].diagonal()
            )
        return torch.cat(results)

    expect.same_distribution(
        diagonal(PULSE, 60),
        diagonal(basic(EngineParameters, level="pulse", backend="reference"), 30),
    )


@pytest.mark.parametrize(("dw_min", "noise"), [(0.01, 0.3), (0.1, 0.0), (0.1, 0.5)])
@pytest.mark.parametrize("samples", [1, 64])
def test_mean_is_faithful_to_count(dw_min: float, noise: float, samples: int, rng: Stream) -> None:
    device = basic(SoftBounds, dw_min=dw_min, dw_min_std=noise, **ALIKE)
    bar = Crossbar(device, device.draw((SIZE, SIZE), rng))
    v, engines = (
        torch.full((SIZE, SIZE), 0.4),
        {"count": COUNT, "mean": MEAN},
    )
    moved = {name: [] for name in engines}
    for i in range(120):
        plan = plan_of(samples, 12.4 if samples == 1 else 0.2 / dw_min / samples, device, rng, repeat=True)
        for name, engine in engines.items():
            moved[name].append(
                made(engine).update(v, plan, bar, UPDATE, rng.fork(f"{name}{i}"))[0].diagonal()
            )
    count, mean = (torch.cat(values) for values in moved.values())
    expect.same_mean(mean, count, slack=AVERAGE * 2)
    expect.same_std(mean, count, slack=STD)


@pytest.mark.parametrize(
    "engine",
    [PULSE, COUNT, MEAN],
    ids=["pulse", "count", "mean"],
)
def test_random_pulses_drift_to_the_symmetry_point(engine: EngineParameters, rng: Stream) -> None:
    device = basic(SoftBounds, dw_min=0.05, dw_min_std=0.3, up_down=0.3, **ALIKE)
    bar = Crossbar(device, device.draw((SIZE, SIZE), rng))
    u, q = 0.05, 0.05 * 0.7  # relative steps up and down
    v = torch.full((SIZE, SIZE), -0.5)
    for i in range(12):
        plan = plan_of(48, 15.5, device, rng.fork(str(i)), repeat=False)
        v, _ = made(engine).update(v, plan, bar, UPDATE, rng.fork(f"draw{i}"))
    # fair random signs: v <- v + (u (b - v) or -q (v - a)): mean (u - q)/(u + q) b
    target = (u - q) / (u + q)
    # lines are shared: as many independent groups as there are rows at least
    error = float(v.mean(1).std()) / sqrt(SIZE) + float(v.mean(0).std()) / sqrt(SIZE)
    assert abs(float(v.mean()) - target) < stats.norm.isf(expect.FALSE_ALARM / 2) * error
    assert 12 * error < abs(target + 0.5), "the test could not tell the start from the symmetry point"


def test_tails_of_count_follow_pulse(rng: Stream) -> None:
    device = basic(SoftBounds, dw_min=0.02, dw_min_std=0.5, **ALIKE)
    bar = Crossbar(device, device.draw((SIZE, SIZE), rng))
    v, plan = torch.full((SIZE, SIZE), 0.6), plan_of(24, 1.5, device, rng, repeat=True)
    exact = run(PULSE, v, plan, bar, rng.fork("pulse"), 16).flatten()
    fast = run(COUNT, v, plan, bar, rng.fork("count"), 16).flatten()
    for share in (0.001, 0.01, 0.5, 0.99, 0.999):
        edge = float(exact.kthvalue(int(share * exact.numel())).values)
        seen = float((fast <= edge).double().mean())
        error = sqrt(2 * share * (1 - share) / exact.numel())
        assert abs(seen - share) < stats.norm.isf(expect.FALSE_ALARM / 8) * error + 0.1 * min(
            share, 1 - share
        )


@pytest.mark.parametrize("family", FAMILIES | BENT)
@pytest.mark.parametrize("samples", [1, 64])
def test_compiled_and_torch_means_agree(family: str, samples: int, rng: Stream) -> None:
    device = (FAMILIES | BENT)[family](dw_min=0.02, dw_min_std=0.3)
    bar = Crossbar(device, device.draw((SIZE, SIZE), rng))
    v, plan = torch.full((SIZE, SIZE), 0.3), plan_of(samples, 12.4 / samples, device, rng, repeat=True)
    compiled, readable = (
        torch.stack(
            [made(engine).update(v, plan, bar, UPDATE, rng.fork(f"{engine.backend}{i}"))[0] for i in range(8)]
        )
        for engine in (MEAN, basic(EngineParameters, level="mean", backend="reference"))
    )
    expect.same_distribution(compiled, readable)
    expect.same_std(compiled, readable)
