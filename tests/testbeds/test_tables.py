"""The published tables of the test-beds, within the statistical errors of the tables' own samples."""

from math import sqrt

import pytest
import torch
from scipy import stats

from crossweep.chosen import option
from crossweep.testbeds.base import BedResult
from crossweep.testbeds.constant_gradient import ConstantGradient
from crossweep.testbeds.correlation_detection import CorrelationDetection
from crossweep.testbeds.least_squares import LeastSquares
from crossweep.testbeds.weight_programming import WeightProgramming
from tests.algorithms.rigs import factory
from tests.expect import FALSE_ALARM
from tests.testbeds.settings import (
    CORRELATION_DEVICE,
    Spread,
    correlation_rules,
    gradient_rules,
    programming_rules,
    rasch_device,
)

Z = stats.norm.isf(FALSE_ALARM / 2)

# aihwkit CPU engine, 8 seeds of a 5 by 5 tile: 40 weights on the diagonal and 160 off it, mean and standard
# deviation
CORRELATION = {
    0.0: {
        "sgd": (-0.726, 0.219, 0.0, 0.066),
        "ttv2": (-0.748, 0.162, 0.003, 0.044),
        "cttv2": (-0.096, 0.021, 0.0, 0.001),
        "agad": (-0.455, 0.045, 0.001, 0.009),
        "mixed_precision": (-1.038, 0.253, -0.002, 0.257),
    },
    0.2: {
        "sgd": (-0.932, 0.216, -0.201, 0.060),
        "ttv2": (-1.003, 0.162, -0.404, 0.051),
        "cttv2": (-0.119, 0.010, 0.0, 0.001),
        "agad": (-0.552, 0.029, 0.0, 0.012),
        "mixed_precision": (-1.214, 0.225, -0.194, 0.249),
    },
    0.5: {
        "sgd": (-1.225, 0.207, -0.502, 0.058),
        "ttv2": (-1.366, 0.172, -0.996, 0.051),
        "cttv2": (-0.160, 0.039, 0.0, 0.001),
        "agad": (-0.709, 0.035, -0.001, 0.014),
        "mixed_precision": (-1.463, 0.252, -0.508, 0.214),
    },
}


def detect(rule: str, offset: float, instances: int) -> BedResult:
    made = factory(
        CORRELATION_DEVICE, skew=-offset, tiles="both"
    )  # reference_mean moves the visible point down
    return option(CorrelationDetection, instances=instances).run(
        correlation_rules()[rule], made, made.draws.fork("task")
    )


def agrees(
    mean: float, std: float, n: int, wanted: float, wanted_std: float, wanted_n: int, slack: float
) -> None:
    """Two sample means agree; the table is printed with three digits."""
    error = sqrt(std**2 / n + wanted_std**2 / wanted_n)
    assert abs(mean - wanted) < Z * error + slack, (
        f"{mean:.4f} and {wanted:.4f}: {abs(mean - wanted) / error:.1f} errors"
    )


@pytest.mark.slow
@pytest.mark.parametrize("offset", CORRELATION)
@pytest.mark.parametrize("rule", CORRELATION[0.0])
def test_correlation_detection(rule: str, offset: float) -> None:
    many = 24
    got, wanted = detect(rule, offset, many).metrics, CORRELATION[offset][rule]
    agrees(got["on_mean"], got["on_std"], 5 * many, *wanted[:2], 40, 0.0005)
    agrees(got["off_mean"], got["off_std"], 20 * many, *wanted[2:], 160, 0.0005)
    if rule in ("cttv2", "agad"):
        # the offset is nowhere: off-diagonal means stay at zero to a hundredth of it
        assert abs(got["off_mean"]) < 0.005


@pytest.mark.slow
def test_offset_shows_once_in_sgd_and_twice_in_ttv2_at_any_size() -> None:
    for offset in (0.1, -0.3):
        sgd, ttv2 = (detect(rule, offset, 24).metrics for rule in ("sgd", "ttv2"))
        agrees(sgd["off_mean"], sgd["off_std"], 480, -offset, 0.0, 1, 0.01)
        agrees(ttv2["off_mean"], ttv2["off_std"], 480, -2 * offset, 0.0, 1, 0.02)


# mean diagonal weight after 500, 1000, 2000, 4000 samples, and mean off-diagonal one where known; 12 seeds of aihwkit
GRADIENT: dict[tuple[float, float], dict[str, tuple[tuple[float, ...], float | None]]] = {
    (1.0, 0.0): {
        "ttv2": ((0.17, 0.31, 0.49, 0.67), 0.0),
        "cttv2": ((0.17, 0.32, 0.51, 0.69), 0.0),
        "agad": ((0.17, 0.41, 0.64, 0.80), 0.0),
    },
    (1.0, -0.8): {
        "ttv2": ((0.02, 0.06, 0.10, 0.14), -0.68),
        "cttv2": ((0.17, 0.31, 0.49, 0.68), 0.0),
        "agad": ((0.16, 0.40, 0.66, 0.81), -0.03),
    },
    (1.0, 0.8): {
        "ttv2": ((0.28, 0.46, 0.66, 0.81), 0.65),
        "cttv2": ((0.17, 0.31, 0.48, 0.66), 0.0),
        "agad": ((0.17, 0.40, 0.64, 0.80), 0.0),
    },
    (0.4, 0.0): {
        "ttv2": ((0.09, 0.19, 0.33, 0.53), None),
        "cttv2": ((0.09, 0.18, 0.32, 0.51), None),
        "agad": ((0.10, 0.25, 0.47, 0.68), None),
    },
    (0.4, -0.8): {
        "ttv2": ((-0.05, -0.12, -0.22, -0.37), None),  # the wrong sign
        "cttv2": ((0.08, 0.17, 0.31, 0.48), None),
        "agad": ((0.08, 0.24, 0.45, 0.66), None),
    },
}


@pytest.mark.slow
@pytest.mark.parametrize("setting", GRADIENT)
@pytest.mark.parametrize("rule", ["ttv2", "cttv2", "agad"])
def test_constant_gradient(rule: str, setting: tuple[float, float]) -> None:
    """An offset of 0.8 against the gradient stops TTv2 and moves the other weights; the chopped rules do not
    see it.
    """
    correlation, skew = setting
    made = factory(rasch_device(40, up_down_dtod=0.3), skew=skew)
    many = 40
    bed = option(ConstantGradient, instances=many, correlation=correlation)
    out = bed.run(gradient_rules()[rule], made, made.draws.fork("task"))
    diagonal, elsewhere = GRADIENT[setting][rule]
    places = [out.steps.tolist().index(t) for t in (500, 1000, 2000, 4000)]
    # the table has two digits and no spreads; its 60 weights scatter like ours, which grow towards the last
    # column
    for share, place, value in zip((0.25, 0.5, 0.75, 1.0), places, diagonal, strict=True):
        std = share * out.metrics["on_std"]
        agrees(float(out.curve[place, 0]), std, 5 * many, value, std, 60, 0.005)
    if elsewhere is not None:
        std = out.metrics["off_std"]
        agrees(out.metrics["off_mean"], std, 20 * many, elsewhere, std, 240, 0.005)


# error of a programmed weight [%] over the spread of A's symmetry point, mean and spread over 3 seeds of
# aihwkit
SPREADS = (0.0, 0.1, 0.25, 0.5)
PROGRAMMING = {
    20: {"ttv2": (5.4, 5.8, 29.5, 73.8), "cttv2": (5.2, 5.4, 7.2, 16.9), "agad": (7.43,) * 4},
    100: {"ttv2": (1.3, 1.4, 24.4, 72.6), "cttv2": (1.3, 1.4, 3.3, 14.9), "agad": (2.22,) * 4},
}  # AGAD: measured with aihwkit 1.2.0 at these settings; the published row (8.3, 2.7) is not theirs

SCATTER = 0.4  # of in-memory SGD from seed to seed, at most
# in-memory SGD without a spread: mean and standard error; 20 states three seeds of the table, 100 states measured with
# aihwkit 1.2.0 (the table's 14.1 is not its own)
IN_PLACE = {20: (29.5, SCATTER / sqrt(3)), 100: (15.25, 0.10)}


@pytest.mark.slow
@pytest.mark.parametrize("states", PROGRAMMING)
@pytest.mark.parametrize("rule", ["ttv2", "cttv2", "agad"])
def test_weight_programming(rule: str, states: int) -> None:
    seeds = 3
    slow = rasch_device(states, w_max_dtod=0.0, w_min_dtod=0.0)
    made = factory(rasch_device(states), slow, variability=1.0)
    bed = option(WeightProgramming, instances=seeds * len(SPREADS), samples=60_000, block=5)
    spread = Spread(inner=programming_rules()[rule], spreads=SPREADS)
    out = bed.run(spread, made, made.draws.fork("task"))
    means = out.curve[-30:].mean(0).view(len(SPREADS), seeds)
    for mean, wanted in zip(means, PROGRAMMING[states][rule], strict=True):
        # spreads as published: up to 0.6, three to five where TTv2 breaks, one to three for c-TTv2
        published = (
            5.0 if rule == "ttv2" and wanted > 20 else 3.0 if wanted > 10 else 0.6 if states == 20 else 0.3
        )
        assert abs(float(mean.mean()) - wanted) < 3.0 * published * sqrt(2 / seeds), (mean.tolist(), wanted)


@pytest.mark.slow
@pytest.mark.parametrize("states", IN_PLACE)
def test_weight_programming_in_place(states: int) -> None:
    """In-memory SGD; it is stationary long before the 60,000 inputs of the table."""
    slow = rasch_device(states, w_max_dtod=0.0, w_min_dtod=0.0)
    made, many = factory(slow), 12
    bed = option(WeightProgramming, samples=8000, instances=many)
    out = bed.run(programming_rules()["sgd"], made, made.draws.fork("task"))
    wanted, error = IN_PLACE[states]
    off = abs(out.metrics["weight_error"] - wanted)
    assert off < Z * sqrt(SCATTER**2 / many + error**2), (out.metrics, wanted)


@pytest.mark.slow
def test_small_runs_of_every_test_bed_give_finite_numbers_and_costs() -> None:
    beds = (
        option(CorrelationDetection, instances=2, samples=60, tail=20),
        option(ConstantGradient, instances=2, samples=500),
        option(WeightProgramming, instances=2, size=4, samples=200, block=2),
        option(LeastSquares, instances=2, size=4, rows=8, steps=20),
    )
    for bed in beds:
        for rule in correlation_rules().values():
            made = factory(CORRELATION_DEVICE)
            out = bed.run(rule, made, made.draws.fork("task"))
            assert all(torch.isfinite(torch.tensor(value)) for value in out.metrics.values())
            assert len(out.steps) == len(out.curve) and out.cost["pulses"] > 0


def test_the_same_streams_give_the_same_outcome() -> None:
    bed = option(ConstantGradient, instances=2, samples=100)
    runs = []
    for seed in (1, 1, 2):
        made = factory(rasch_device(40), seed=seed)
        runs.append(bed.run(gradient_rules()["cttv2"], made, made.draws.fork("task")).metrics)
    assert runs[0] == runs[1] != runs[2]


def test_symmetry_point_is_what_moves_ttv2() -> None:
    """A small version of the message: with an offset TTv2's idle weights drift, c-TTv2's do not."""
    ends = {}
    for rule in ("ttv2", "cttv2"):
        made = factory(rasch_device(40, up_down_dtod=0.3), skew=-0.8)
        bed = option(ConstantGradient, instances=6, samples=1000)
        ends[rule] = bed.run(gradient_rules()[rule], made, made.draws.fork("task")).metrics
    assert ends["ttv2"]["off_mean"] < -0.2
    assert abs(ends["cttv2"]["off_mean"]) < Z * ends["cttv2"]["off_std"] / sqrt(120)
