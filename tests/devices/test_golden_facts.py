"""Known answers: what a pulsed device must do, from algebra or from the literature."""

from math import exp, sqrt

import pytest
import torch
from torch import Tensor

from crossweep import options
from crossweep.bench.basic import basic
from crossweep.devices.base import AbstractDevice, Cells
from crossweep.devices.constant_step import ConstantStep
from crossweep.devices.exp_step import ExpStep
from crossweep.devices.linear_step import LinearStep
from crossweep.devices.pow_step import PowStep
from crossweep.devices.response import pulse, step
from crossweep.devices.soft_bounds import SoftBounds
from crossweep.devices.soft_bounds_pmax import from_p_max
from crossweep.devices.symmetry_point import SymmetryPoint
from crossweep.nodes import make
from crossweep.rng import Stream
from tests import expect
from tests.devices import catalogue

ALIKE = {"dw_min_dtod": 0.0, "dw_min_std": 0.0, "up_down_dtod": 0.0, "w_max_dtod": 0.0, "w_min_dtod": 0.0}


def train(device: AbstractDevice, cells: Cells, v: Tensor, n: int, sign: float) -> Tensor:
    """The states after n noise-free pulses of one sign."""
    for _ in range(n):
        v = pulse(device.response(cells), v, torch.full_like(v, sign), cells)
    return v


def one(device: AbstractDevice, dtype: torch.dtype = torch.float64) -> Cells:
    """A crossbar of one device in double precision."""
    drawn = device.draw((1, 1), Stream(0)).tensors()
    return Cells.from_tensors({key: t.to(dtype) for key, t in drawn.items()})


def at(value: float) -> Tensor:
    return torch.full((1, 1), value, dtype=torch.float64)


def test_one_pulse_from_zero_moves_by_dw_min() -> None:
    for device in (basic(ConstantStep, **ALIKE), basic(SoftBounds, **ALIKE)):
        cells = device.draw((2, 2), Stream(0))
        torch.testing.assert_close(train(device, cells, torch.zeros(2, 2), 1, 1.0), torch.full((2, 2), 0.001))
        torch.testing.assert_close(
            train(device, cells, torch.zeros(2, 2), 1, -1.0), torch.full((2, 2), -0.001)
        )


def test_constant_step_crosses_its_range_in_the_number_of_states() -> None:
    device = basic(ConstantStep, w_max=1.0, w_min=-1.0, n_states=200, **ALIKE)
    assert device.dw_min == pytest.approx(0.01)
    cells = one(device)
    assert train(device, cells, at(-1.0), 199, 1.0).item() == pytest.approx(0.99, abs=1e-6)
    assert train(device, cells, at(-1.0), 201, 1.0).item() == 1.0


def test_soft_bounds_are_geometric() -> None:
    device = basic(SoftBounds, dw_min=0.01, w_max=1.0, w_min=-1.0, **ALIKE)
    cells = one(device)
    assert train(device, cells, at(0.0), 459, 1.0).item() == pytest.approx(1 - 0.99**459, abs=1e-6)
    assert train(device, cells, at(0.0), 459, 1.0).item() == pytest.approx(0.99, abs=1e-3)
    all_states = train(device, cells, at(-1.0), 200, 1.0).item()
    assert all_states == pytest.approx(1 - 2 * 0.99**200, abs=1e-6)
    assert all_states == pytest.approx(1 - 2 * exp(-2), abs=3e-3)


@pytest.mark.parametrize(
    ("pulses", "weight"), [(1, 0.05), (2, 0.0975), (10, 0.4013), (20, 0.6415), (40, 0.8715)]
)
def test_up_pulses_of_a_coarse_soft_bounds_device(pulses: int, weight: float) -> None:
    device = basic(SoftBounds, dw_min=0.05, w_max=1.0, w_min=-1.0, **ALIKE)
    assert train(device, one(device), at(0.0), pulses, 1.0).item() == pytest.approx(weight, abs=5e-5)


@pytest.mark.parametrize(("pairs", "weight"), [(1, 0.7195), (10, 0.2703), (30, 0.0124), (60, -0.0239)])
def test_pairs_of_pulses_pull_towards_the_symmetry_point(pairs: int, weight: float) -> None:
    device = basic(SoftBounds, dw_min=0.05, w_max=1.0, w_min=-1.0, **ALIKE)
    cells, v = one(device), at(0.8)
    for _ in range(pairs):
        v = train(device, cells, train(device, cells, v, 1, 1.0), 1, -1.0)
    assert v.item() == pytest.approx(weight, abs=5e-5)


def test_linear_step_symmetry_point() -> None:
    shape = {"gamma_up": 0.4, "gamma_down": 0.7, "gamma_up_dtod": 0.0, "gamma_down_dtod": 0.0}
    device = basic(LinearStep, dw_min=0.005, up_down=0.1, w_max=1.2, w_min=-0.8, **shape, **ALIKE)
    cells = one(device)
    point = device.symmetry_point(cells)
    assert point is not None and point.item() == pytest.approx(0.0892, abs=5e-5)
    v = at(0.5)
    for _ in range(3000):
        v = train(device, cells, train(device, cells, v, 1, 1.0), 1, -1.0)
    assert v.item() == pytest.approx(0.0858, abs=5e-5)


def test_reram_es_symmetry_point_and_states() -> None:
    device = catalogue.alike("reram_es")
    point = device.symmetry_point(one(device))
    assert point is not None and point.item() == pytest.approx(-0.217, abs=5e-4)
    assert device.granularity == pytest.approx(0.0019914, abs=5e-8)
    assert device.states == pytest.approx(1004, abs=0.5)


@pytest.mark.parametrize("up_down", [0.1, -0.25, 0.6])
def test_symmetry_point_of_asymmetric_soft_bounds(up_down: float) -> None:
    device = basic(SoftBounds, up_down=up_down, w_max=0.8, w_min=-0.8, **ALIKE)
    point = device.symmetry_point(one(device)).item()
    assert point / 0.8 == pytest.approx(up_down / (2 - abs(up_down)), abs=1e-6)
    if up_down == 0.1:
        assert point / 0.8 == pytest.approx(0.0526, abs=5e-5)


def test_two_cycle() -> None:
    device = basic(SoftBounds, dw_min=0.05, w_max=1.0, w_min=-1.0, **ALIKE)
    cells, v = one(device), at(0.3)
    for _ in range(500):
        top = train(device, cells, v, 1, 1.0)
        v = train(device, cells, top, 1, -1.0)
    assert v.item() == pytest.approx(-0.05 / 1.95, abs=1e-7) and v.item() == pytest.approx(-0.02564, abs=5e-6)
    assert top.item() == pytest.approx(0.05 / 1.95, abs=1e-7)


def test_two_cycle_of_unequal_branches() -> None:
    device = basic(SoftBounds, dw_min=0.06, up_down=0.3, w_max=1.1, w_min=-0.7, **ALIKE)
    cells, v = one(device), at(0.3)
    for _ in range(500):
        v = train(device, cells, train(device, cells, v, 1, 1.0), 1, -1.0)
    up, down = 0.06, 0.7 * 0.06
    u, q = up / 1.1, down / 0.7
    assert v.item() == pytest.approx(((1 - q) * up - down) / (u + q - u * q), abs=1e-6)


def test_deviation_shrinks_by_both_branches_per_pair() -> None:
    device = basic(SoftBounds, dw_min=0.06, up_down=0.3, w_max=1.1, w_min=-0.7, **ALIKE)
    cells = one(device)
    u, q = 0.06 / 1.1, 0.7 * 0.06 / 0.7
    far, near = at(0.6), at(0.1)
    for _ in range(5):
        far, near = (train(device, cells, train(device, cells, v, 1, 1.0), 1, -1.0) for v in (far, near))
    assert (far - near).item() == pytest.approx(0.5 * ((1 - u) * (1 - q)) ** 5, rel=1e-6)


def test_stationary_spread_under_alternation(rng: Stream) -> None:
    device = basic(SoftBounds, dw_min=0.05, w_max=1.0, w_min=-1.0, **(ALIKE | {"dw_min_std": 0.3}))
    cells = device.draw((150, 200), rng)
    v = torch.zeros(150, 200)
    for t in range(200):
        noise = rng.fork("noise").normal(150, 200, like=v)
        v = pulse(device.response(cells), v, torch.full_like(v, 1.0 if t % 2 == 0 else -1.0), cells, noise)
    expected = 0.3 * 0.05 / sqrt(1 - 0.95**2)
    assert expected == pytest.approx(0.0480, abs=5e-5)
    expect.variance(v, expected**2, detects=0.1)
    expect.mean(v, -0.05 / 1.95, std=expected, detects=0.05 * expected)


def test_random_pulses_settle_around_the_symmetry_point(rng: Stream) -> None:
    device = basic(SoftBounds, dw_min=0.05, w_max=1.0, w_min=-1.0, **ALIKE)
    cells, v = device.draw((150, 200), rng), torch.full((150, 200), 0.5)
    path = [v]
    for _ in range(200):
        coin = rng.fork("coin").uniform(150, 200, like=v) < 0.5
        v = pulse(device.response(cells), v, torch.where(coin, 1.0, -1.0), cells)
        path.append(v)
    q = 0.95
    expected = 0.05 / sqrt(1 - q**2)
    assert expected == pytest.approx(0.160, abs=5e-4)
    expect.mean(v, 0.0, std=expected, detects=0.05 * expected)
    expect.variance(v, expected**2, detects=0.1, kurtosis=3 - 2 * (1 - q**2) ** 2 / (1 - q**4))
    expect.mean(path[20], 0.5 * q**20, std=expected, detects=0.1 * 0.5 * q**20)  # 1/u pulses of memory


@pytest.mark.parametrize(
    "device", [basic(SoftBounds, up_down=0.2), basic(PowStep, up_down=0.2), basic(ExpStep, up_down_dtod=0.1)]
)
def test_subtracted_reference_fixes_the_visible_symmetry_point(device: AbstractDevice, rng: Stream) -> None:
    cells = device.draw((60, 100), rng.fork("cells"))
    point = device.symmetry_point(cells)
    assert point is not None
    exact = basic(SymmetryPoint, skew=-0.3).reference(device, cells, rng.fork("exact"))
    torch.testing.assert_close(point - exact, torch.full_like(point, -0.3 * device.w_max))
    spread = basic(SymmetryPoint, variability=0.2).reference(device, cells, rng.fork("spread"))
    expect.variance(point - spread, (0.2 * device.w_max) ** 2, detects=0.2)
    expect.distribution((point - spread) / (0.2 * device.w_max), "norm")


@pytest.mark.parametrize("up_down", [0.0, 0.3, -0.3])
def test_moments_of_the_population(up_down: float, rng: Stream) -> None:
    # the spread of the gain is small enough that no step changes sign
    device = basic(ConstantStep, dw_min=0.01, dw_min_dtod=0.1, up_down=up_down, up_down_dtod=0.05)
    cells = device.draw((200, 200), rng)
    up, down = cells.step_up.double() / 0.01, cells.step_down.double() / 0.01
    expect.mean((up + down) / 2, 1 - abs(up_down) / 2, std=0.1, detects=0.005)
    expect.mean(up - down, up_down, std=2 * 0.05, detects=0.005)
    expect.variance((up + down) / 2, 0.1**2, detects=0.1)
    expect.variance(up - down, (2 * 0.05) ** 2, detects=0.1)


def test_bounds_of_the_population(rng: Stream) -> None:
    device = basic(ConstantStep, w_max=1.2, w_min=-0.7, w_max_dtod=0.1, w_min_dtod=0.2)
    cells = device.draw((200, 200), rng)
    expect.mean(cells.w_max, 1.2, std=0.12, detects=0.006)
    expect.mean(cells.w_min, -0.7, std=0.14, detects=0.007)
    expect.variance(cells.w_max, 0.12**2, detects=0.1)
    expect.variance(cells.w_min, 0.14**2, detects=0.1)


def test_log_normal_gain(rng: Stream) -> None:
    sigma = 0.7829
    device = basic(
        ConstantStep, dw_min=0.01, dw_min_dtod=sigma, dw_min_dtod_log_normal=True, up_down_dtod=0.0
    )
    gain = device.draw((200, 200), rng).step_up.double() / 0.01
    mean = exp(sigma**2 / 2)
    assert mean == pytest.approx(1.36, abs=5e-3)
    expect.mean(gain, mean, std=mean * sqrt(exp(sigma**2) - 1), detects=0.05)
    expect.distribution(gain.log() / sigma, "norm")  # median 1


def test_spread_of_intrinsic_symmetry_points(rng: Stream) -> None:
    device = basic(
        SoftBounds,
        **{"dw_min": 0.1, "w_max": 1.0, "w_min": -1.0, "w_max_dtod": 0.3, "w_min_dtod": 0.3},
        **{"up_down_dtod": 0.3, "dw_min_dtod": 0.3, "dw_min_dtod_log_normal": True},
    )
    point = device.symmetry_point(device.draw((200, 200), rng)).double()
    kurtosis = float(((point - point.mean()) ** 4).mean() / point.var() ** 2)
    # 0.321 and 0.001 were measured on as many devices, so both samples scatter
    error = sqrt((kurtosis - 1) / (4 * point.numel())) * sqrt(2)
    assert abs(point.std().item() / 0.321 - 1) < 4.9 * error + 0.0005 / 0.321
    assert abs(point.mean().item() - 0.001) < 4.9 * sqrt(2) * 0.321 / 200 + 0.0005


def test_share_and_values_of_stuck_devices(rng: Stream) -> None:
    device = basic(
        SoftBounds, corrupt_devices_prob=0.13, corrupt_devices_range=0.1, w_max_dtod=0.1, w_min_dtod=0.1
    )
    cells = device.draw((200, 200), rng)
    stuck = (cells.step_up == 0) & (cells.step_down == 0)
    expect.rate(int(stuck.sum()), stuck.numel(), 0.13)
    value = cells.w_max[stuck]
    assert torch.equal(value, cells.w_min[stuck])
    expect.distribution((value + 0.1) / 0.2, "uniform")


def test_decay_and_reset(rng: Stream) -> None:
    device = basic(
        ConstantStep, lifetime=10.0, reset=0.1, reset_dtod=0.02, reset_std=0.03, w_max=5.0, w_min=-5.0
    )
    cells = device.draw((200, 200), rng.fork("cells"))
    v = 0.01 * rng.fork("v").normal(200, 200, like=cells.w_max)
    decayed, _ = device.relax(v, cells, {}, rng.fork("relax"))
    std = sqrt((0.01 * 0.9) ** 2 + (0.02 * 0.1) ** 2)
    expect.mean(decayed, 0.01, std=std, detects=0.05 * std)
    expect.variance(decayed, std**2, detects=0.1)
    reset = device.reset_state(cells, rng.fork("reset"))
    std = sqrt(0.02**2 + 0.03**2)
    expect.mean(reset, 0.1, std=std, detects=0.05 * std)
    expect.variance(reset, std**2, detects=0.1)


def test_diffusion_grows_with_the_square_root_of_time(rng: Stream) -> None:
    device = basic(ConstantStep, diffusion=0.01, w_max=5.0, w_min=-5.0)
    cells, memory = device.draw((100, 100), rng.fork("cells")), {}
    v = torch.zeros(100, 100)
    for _ in range(25):
        v, memory = device.relax(v, cells, memory, rng.fork("relax"))
    expect.variance(v, 25 * 0.01**2, detects=0.15)


def test_drift_is_a_power_law_since_the_last_pulse(rng: Stream) -> None:
    device = basic(ConstantStep, drift_nu=0.1, **ALIKE)
    cells, memory = device.draw((2, 3), rng.fork("cells")), {}
    v = torch.full((2, 3), 0.4)
    for _ in range(8):
        v, memory = device.relax(v, cells, memory, rng.fork("relax"))
    torch.testing.assert_close(v, torch.full((2, 3), 0.4 * 8**-0.1))
    v = v.clone()
    v[0, 0] = 0.3  # pulsed: its clock starts again, the others go on
    for _ in range(3):
        v, memory = device.relax(v, cells, memory, rng.fork("relax"))
    assert v[0, 0].item() == pytest.approx(0.3 * 3**-0.1, rel=1e-5)
    assert v[1, 1].item() == pytest.approx(0.4 * 11**-0.1, rel=1e-5)


def test_a_device_that_does_not_relax_costs_nothing(rng: Stream) -> None:
    device, v = basic(SoftBounds), torch.full((2, 2), 0.4)
    cells = device.draw((2, 2), rng)
    after, memory = device.relax(v, cells, {}, rng)
    assert after is v and memory == {} and not device.relaxes
    assert set(cells.extra) == {"slope_up", "slope_down"}


@pytest.mark.parametrize(("range_min", "range_max"), [(-1.0, 1.0), (-0.5, 0.8), (-2.0, 0.3)])
def test_soft_bounds_by_p_max_follow_their_curve(range_min: float, range_max: float) -> None:
    device = make(
        options.keys("device", "_soft_bounds")
        | from_p_max(p_max=1000.0, alpha=0.0005, range_min=range_min, range_max=range_max, **ALIKE),
        "device",
    )
    cells, v = one(device), at(range_min)
    height = (range_max - range_min) / (1 - exp(-0.5))
    for block in range(10):
        v = train(device, cells, v, 100, 1.0)
        curve = range_min + height * (1 - exp(-0.0005 * 100 * (block + 1)))
        assert v.item() == pytest.approx(curve, abs=1e-4)
    assert v.item() == pytest.approx(range_max, abs=1e-4)
    assert train(device, cells, v, 20000, -1.0).item() == pytest.approx(range_min, abs=1e-3)


def test_symmetry_point_of_a_power_step() -> None:
    device = basic(PowStep, pow_gamma=1.7, pow_gamma_dtod=0.0, up_down=0.2, w_max=0.9, w_min=-0.6, **ALIKE)
    ratio = 0.8 ** (1 / 1.7)
    point = device.symmetry_point(one(device)).item()
    assert point == pytest.approx((0.9 - ratio * 0.6) / (1 + ratio), abs=1e-6)
    assert device.granularity == pytest.approx(0.001 * 0.5**1.7)


def test_symmetry_point_of_an_exponential_step() -> None:
    device = basic(ExpStep, **ALIKE)
    z = torch.tensor(0.36833 / 0.00081).log().item() / (12.44625 + 12.78785)
    assert device.symmetry_point(one(device)).item() == pytest.approx(
        (z - 0.2425) * 1.2 / (2 * 0.244), abs=1e-6
    )


def test_reversed_linear_step_grows_with_the_state() -> None:
    shape = {"gamma_up": 0.4, "gamma_up_dtod": 0.0, "reverse_up": True, "reverse_offset": 0.05}
    device = basic(LinearStep, dw_min=0.01, w_max=0.6, w_min=-0.8, **shape, **ALIKE)
    cells = one(device)
    for v in (-0.5, 0.0, 0.5):
        assert step(device.response(cells), at(v), up=True).item() == pytest.approx(
            0.01 * (1 + 0.4 * v / 0.85), rel=1e-6
        )
