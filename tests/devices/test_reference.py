"""Recorded traces of the peer simulator: pulse responses, populations, and noise, device by device."""

from math import log, sqrt

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from crossweep.devices.base import AbstractDevice, Cells
from crossweep.devices.linear_step import LinearStep
from crossweep.devices.pow_step import PowStep
from crossweep.devices.response import pulse
from crossweep.devices.soft_bounds import SoftBounds
from crossweep.rng import Stream
from tests import expect
from tests.devices import catalogue, peer
from tests.reference.traces import Trace, load, names

pytestmark = pytest.mark.reference
NOT_OURS = (
    "devices/constant_step_inconsistent",  # contradicting bounds are always made consistent
    "populations/constant_step_inconsistent",
    "populations/constant_step_stuck",  # recorded with a perfect last column, which we do not have
)


def traces(folder: str) -> list[str]:
    return [name for name in names(folder) if name not in NOT_OURS]


def run(device: AbstractDevice, cells: Cells, v: Tensor, n: int, noise: Stream | None = None) -> Tensor:
    """The states after ``|n|`` pulses in the direction of n's sign."""
    direction = torch.full_like(v, float(np.sign(n)))
    for _ in range(abs(n)):
        xi = None if noise is None else noise.normal(*v.shape, like=v)
        v = pulse(device.response(cells), v, direction, cells, xi)
    return v


@pytest.mark.parametrize("name", traces("devices"))
def test_noise_free_pulses_follow_the_recorded_path(name: str) -> None:
    trace = load(name)
    device = peer.device(trace)
    cells, r = peer.cells(trace, device), peer.reference(trace)
    v = torch.from_numpy(trace["start"]).double() + r
    for n, recorded in zip(trace["counts"], trace["w"], strict=True):
        v = run(device, cells, v, int(n))
        torch.testing.assert_close(v - r, torch.from_numpy(recorded).double(), rtol=1e-5, atol=1e-5)
    assert device.granularity == pytest.approx(trace.meta["granularity"], rel=1e-6)
    assert device.states == pytest.approx(trace.meta["n_states"], rel=1e-5)


@pytest.mark.parametrize("name", [n for n in traces("devices") if n.endswith("_at_sp")])
def test_the_subtracted_symmetry_point_is_the_recorded_one(name: str) -> None:
    trace = load(name)
    device = peer.device(trace)
    cells = peer.cells(trace, device)
    ours, recorded = device.symmetry_point(cells), peer.reference(trace)
    # the peer iterates towards the point of a power step, and stops about a step away
    slack = 0.1 * device.dw_min if isinstance(device, PowStep) else 1e-6
    torch.testing.assert_close(ours, recorded, rtol=0, atol=slack)


@pytest.mark.parametrize("name", traces("populations"))
def test_populations_agree(name: str, rng: Stream) -> None:
    trace = load(name)
    device = peer.device(trace)
    drawn = device.draw((200, 200), rng).tensors()
    if trace.meta["fields"].get("lifetime"):
        drawn["decay_scale"] = drawn["decay"]
    ours = {key: t.flatten().double().numpy() for key, t in drawn.items()}
    compared = [key.split(".")[0] for key in trace.arrays if key.endswith(".mean")]
    compared = [key for key in compared if key in ours and trace[f"{key}.std"] > 0]
    assert {"w_max", "step_up", "step_down"} <= set(compared) or name == "populations/preset_pcm"
    for key in compared:
        expect_same(ours[key], trace, key, moments=has_moments(device, key))
    if isinstance(device, SoftBounds):  # slopes have no moments to compare, but steps vanish at the bounds
        for bound, step, slope in (("w_max", "step_up", "slope_up"), ("w_min", "step_down", "slope_down")):
            left = ours[step] + ours[slope] * ours[bound]
            assert np.abs(left / np.maximum(ours[step], device.dw_min)).max() < 1e-5
    order = [key for key in trace.meta["correlated"] if key in compared and has_moments(device, key)]
    places = [trace.meta["correlated"].index(key) for key in order]
    recorded = trace["correlation"][np.ix_(places, places)]
    mine = np.corrcoef([ours[key] for key in order])
    # Fisher's z of two samples of 40,000; heavy tails widen it
    off = np.abs(np.arctanh(np.clip(mine, -0.999, 0.999)) - np.arctanh(np.clip(recorded, -0.999, 0.999)))
    assert off.max() < 3 * 4.9 * sqrt(2 / 40_000)


def has_moments(device: AbstractDevice, key: str) -> bool:
    """Whether mean, spread and correlations of a parameter say anything about another sample of it.

    Not where it is divided by a drawn bound or lifetime that may lie near zero: a few largest values make them up.
    """
    own = isinstance(device, SoftBounds) or (
        isinstance(device, LinearStep) and not device.mean_bound_reference
    )
    return not (key.startswith("decay") or (own and key.startswith("slope")))


def expect_same(mine: np.ndarray, trace: Trace, key: str, *, moments: bool) -> None:
    """Distribution of one hidden parameter, and mean and standard deviation where it has them, two samples."""
    n, z = trace.meta["n"], stats.norm.isf(expect.FALSE_ALARM / 2)
    if moments:
        std, kurtosis = float(trace[f"{key}.std"]), float(stats.kurtosis(mine, fisher=False))
        error = std * sqrt(1 / n + 1 / mine.size)
        assert abs(mine.mean() - trace[f"{key}.mean"]) < z * error, key
        wide = sqrt((kurtosis - 1) / 4 * (1 / n + 1 / mine.size))
        assert abs(mine.std(ddof=1) / std - 1) < z * wide, key
    assert distance(mine, trace[f"{key}.quantiles"], trace["levels"]) < critical(n, mine.size), key


def distance(mine: np.ndarray, quantiles: np.ndarray, levels: np.ndarray) -> float:
    """Largest distance between our distribution and recorded quantiles; atoms count from either side."""
    ordered = np.sort(mine)
    tie = 1e-6 * max(1.0, float(np.abs(quantiles).max()))  # float32 quantiles of an atom
    below = np.searchsorted(ordered, quantiles - tie, side="left") / mine.size
    up_to = np.searchsorted(ordered, quantiles + tie, side="right") / mine.size
    return float(np.maximum(below - levels, levels - up_to).max())


def critical(n: int, m: int) -> float:
    """Two-sample Kolmogorov-Smirnov distance at the accepted false-alarm rate."""
    return sqrt(-log(expect.FALSE_ALARM / 2) / 2 * (n + m) / (n * m))


@pytest.mark.few(12)
@pytest.mark.parametrize("name", traces("noise"))
def test_noisy_pulses_have_the_recorded_distribution(name: str, rng: Stream) -> None:
    check_noise(load(name), rng, stages=2)


@pytest.mark.slow
@pytest.mark.parametrize("name", traces("noise"))
def test_a_thousand_noisy_pulses_have_the_recorded_distribution(name: str, rng: Stream) -> None:
    check_noise(load(name), rng, stages=3)


def check_noise(trace: Trace, rng: Stream, stages: int) -> None:
    """Persistent and visible weight after 1, 31 (and 1000) pulses, up and down, from three starts."""
    device = peer.device(trace)
    one = peer.cells(trace, device)
    r, n = float(trace["C.reference"].item()) if "C.reference" in trace else 0.0, 10_000
    shape = (100, n // 100)
    cells = Cells.from_tensors({key: t.float().expand(shape) for key, t in one.tensors().items()})
    spread = device.write_noise_std * device.dw_min
    for i, start in enumerate(trace["start"]):
        # the peer clips a written weight to the bounds without regard to the reference
        written = float(np.clip(start, one.w_min.item(), one.w_max.item())) + r
        for way in (0, 1):
            v, done = torch.full(shape, written), 0
            plain = tilted = torch.full((1, 1), written, dtype=torch.float64)
            for k in range(stages):
                count = int(trace["pulses"][3 * way + k])
                more = count - done
                v, done = run(device, cells, v, more, rng.fork("noise")), count
                plain, tilted = run(device, one, plain, more), tilt(device, one, tilted, more)
                # the peer's noise comes from a table per tile, whose mean is off by 1/181
                drag = abs(float(tilted - plain)) / TILT / sqrt(trace.meta["noise_table"])
                changes = {"persistent": v - r - float(start)}
                seen = v + spread * rng.fork("write").normal(*shape, like=v) if spread else v
                changes["visible"] = seen - r - float(start)
                for what, change in changes.items():
                    if f"{what}_mean" in trace:
                        compare(change, trace, what, (i, 3 * way + k), drag)


TILT = 1e-3


def tilt(device: AbstractDevice, cells: Cells, v: Tensor, n: int) -> Tensor:
    """As ``run``, with a little constant noise: how strongly the mean of the noise drags the state along."""
    for _ in range(abs(n)):
        v = pulse(
            device.response(cells), v, torch.full_like(v, float(np.sign(n))), cells, torch.full_like(v, TILT)
        )
    return v


def compare(change: Tensor, trace: Trace, what: str, at: tuple[int, int], drag: float) -> None:
    mine = change.flatten().double().numpy()
    n, tiles, z = trace.meta["n"], trace.meta["n_tiles"], stats.norm.isf(expect.FALSE_ALARM / 2)
    mean, variance = float(trace[f"{what}_mean"][at]), float(trace[f"{what}_var"][at])
    rounding = 1e-6
    quantiles = trace[f"{what}_quantiles"][at]
    if np.ptp(quantiles) < 2 * rounding:  # resting on a bound but for rare noise
        resting = float((np.abs(mine - np.median(quantiles)) < 2 * rounding).mean())
        assert 1 - resting < critical(n, mine.size), (what, at, resting)
        return
    error = sqrt(variance / n + mine.var() / mine.size + drag**2 / tiles)
    assert abs(mine.mean() - mean) < z * error + rounding, (what, at, mine.mean(), mean, error)
    # tiles differ in drag, which widens the recorded sample; that widening itself scatters from tile to tile
    kurtosis = float(stats.kurtosis(mine, fisher=False))
    widened = mine.var(ddof=1) + drag**2
    relative = sqrt((kurtosis - 1) * (1 / n + 1 / mine.size) + 2 / tiles * (drag**2 / widened) ** 2)
    assert abs(variance / widened - 1) < z * relative, (what, at, variance, widened, relative)
    shift = z * drag / sqrt(tiles) / sqrt(variance) * 0.4 + 0.25 * drag**2 / variance
    off = distance(mine, quantiles, trace["levels"])
    assert off < critical(n, mine.size) + shift, (what, at, off)


@pytest.mark.parametrize("name", sorted(peer.PRESET_MODELS))
def test_presets_have_the_published_parameters(name: str) -> None:
    trace = load(f"devices/preset_{name}")
    ours, recorded = catalogue.load(name), trace.meta["fields"]
    skip = {"dw_min_std", "write_noise_std"}  # silenced in these traces; the population files keep them
    recorded = {key: value for key, value in recorded.items() if key not in skip}
    recorded |= {key: load(f"populations/preset_{name}").meta["fields"].get(key, 0.0) for key in skip}
    common = [key for key in recorded if hasattr(ours, key)]
    assert len(common) > 15
    for key in common:
        assert getattr(ours, key) == pytest.approx(recorded[key], rel=2e-4), key
