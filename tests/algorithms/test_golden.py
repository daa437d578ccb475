"""Golden facts and analytic checks of the training rules."""

from math import ceil
from typing import Any, Literal

import pytest
import torch
from torch import Tensor

from crossweep.algorithms.agad import AGAD
from crossweep.algorithms.analog_sgd import AnalogSGD
from crossweep.algorithms.chain_weight import ChainWeight
from crossweep.algorithms.cttv2 import CTTv2
from crossweep.algorithms.mixed_precision import MixedPrecision, quantise
from crossweep.algorithms.mrl import MRL
from crossweep.algorithms.rlv2 import RLv2
from crossweep.algorithms.ttv1 import TTv1
from crossweep.algorithms.ttv2 import TTv2
from crossweep.bench.basic import basic
from crossweep.devices.constant_step import ConstantStep
from crossweep.engine.base import EngineParameters
from crossweep.engine.choose import engine as made
from crossweep.engine.pulse_plan import UpdateParameters
from crossweep.engine.reference.auto_scale import running_scale
from crossweep.engine.schedule import TransferClock
from crossweep.errors import ConfigError
from crossweep.rng import Stream
from tests import expect
from tests.algorithms.rigs import factory, ideal, normal, soft
from tests.some import some

ZERO = torch.zeros(1)


def still(samples: int, x_size: int, d_size: int) -> tuple[Tensor, Tensor]:
    """Samples that give no pulse."""
    return torch.zeros(samples, x_size), torch.zeros(samples, d_size)


def set_fast(weight: ChainWeight, values: Tensor) -> None:
    weight.fast.set_weight(values)


# -- schedule --------------------------------------------------------------------------------------


@pytest.mark.parametrize("slices", [1, 4, 7])
@pytest.mark.parametrize("every", [1, 3])
@pytest.mark.parametrize("at_once", [1, 2, 9])
@pytest.mark.parametrize("batches", [[1] * 30, [3] * 9, [16] * 4, [10, 2, 7, 21]])
def test_windows_are_the_sample_loop(slices: int, every: int, at_once: int, batches: list[int]) -> None:
    """Every column sees every sample once, and is read after the sample, in the order and pass, of a plain
    loop.
    """
    clock = TransferClock(slices=slices, every=every, at_once=at_once)
    seen_samples = column = passes = 0
    for batch in batches:
        times, reads = torch.zeros(batch, slices, dtype=torch.long), []
        due = clock.windows(batch)
        sample = torch.arange(batch).unsqueeze(-1)
        for since, until, read, passed in zip(due.since, due.until, due.reads, due.passes, strict=True):
            times += (sample >= torch.from_numpy(since)) & (sample < torch.from_numpy(until))
            reads += [(int(until[k]) - 1, k, int(passed[k])) for k in range(slices) if read[k]]
        assert len(due.reads) <= clock.most_windows(batch)
        assert (due.until - due.since).max() <= clock.longest_window(batch)
        ends = clock.pass_ends(batch)
        clock.advance(batch)
        wanted, whole = [], []
        for sample_number in range(batch):
            seen_samples += 1
            if seen_samples % every == 0:
                for _ in range(at_once):
                    wanted.append((sample_number, column, passes))
                    column += 1
                    if column == slices:
                        column, passes = 0, passes + 1
                        whole.append(sample_number + 1)
        assert bool((times == 1).all())
        assert sorted(reads) == sorted(wanted) and ends == whole
    assert (clock.column, clock.passes, clock.samples) == (column, passes, sum(batches))


@pytest.mark.parametrize("start", [0.0, 0.3])
@pytest.mark.parametrize("tau", [0.004, 0.3, 1.0])
def test_running_scale_is_the_loop(start: float, tau: float) -> None:
    new = normal(3, 2, 40).abs() * (normal(4, 2, 40) > -0.5)
    new[0, :3] = 0
    got = running_scale(new, torch.full((2,), start), tau)
    for row in range(2):
        mean = start
        for t, value in enumerate(new[row].tolist()):
            mean = value if mean <= 0 else (1 - tau) * mean + tau * value if value > 0 else mean
            assert got[row, t].item() == pytest.approx(mean, rel=1e-5, abs=1e-7)


@pytest.mark.parametrize("backend", ["cpu", "reference"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_scaled_rate_divides_by_both_averages(
    dtype: torch.dtype, backend: Literal["cpu", "reference"]
) -> None:
    tops = [normal(seed, 2, 30).abs().to(dtype) for seed in (3, 4)]
    tops[0][0, :3] = 0  # nothing to divide by yet, in the series that starts from nothing
    starts = [torch.tensor(values, dtype=dtype) for values in ([0.0, 0.3], [0.7, 0.0])]
    averages = (starts[0].clone(), starts[1].clone())
    got = made(basic(EngineParameters, backend=backend)).rates(0.6, (tops[0], tops[1]), averages, 0.2)
    means = [
        running_scale(top.double(), start.double(), 0.2) for top, start in zip(tops, starts, strict=True)
    ]
    wanted = 0.6 / (torch.where(means[0] > 0, means[0], 1.0) * means[1])
    torch.testing.assert_close(got.double(), wanted, rtol=1e-5, atol=0)
    for average, mean in zip(averages, means, strict=True):
        torch.testing.assert_close(average.double(), mean[:, -1], rtol=1e-5, atol=0)


# -- transfer --------------------------------------------------------------------------------------


def test_ttv1_hands_over_exactly_the_fast_tile() -> None:
    """A fixed, perfect reads, deterministic writes of rate 1: after I transfers C has received A, fast_lr or
    not.
    """
    wanted = torch.tensor([[0.1, -0.2, 0.3], [0.0, 0.05, -0.12]])
    for fast_lr in (0.3, 7.0):
        rule = basic(TTv1,
            fast_lr=fast_lr, transfer_every=1, transfer_lr=1.0, scale_transfer_lr=False, auto_scale=False,
            transfer_update=basic(UpdateParameters, desired_bl=100, pulse_type="deterministic_implicit"),
        )  # fmt: skip
        weight = rule.build((2, 3), factory(ideal(0.01)))
        set_fast(weight, wanted)
        weight.update(*still(3, 3, 2), 0.1)
        torch.testing.assert_close(weight.weight, wanted, atol=1e-6, rtol=0)


@pytest.mark.parametrize("content", [0.11, 0.5, -0.11, 0.09])
def test_one_transfer_pulse_is_one_step(content: float) -> None:
    """With single pulses any ``|H| >= 1`` is exactly one step of C; below, nothing happens."""
    rule = basic(CTTv2, in_chop_prob=0.0, transfer_lr=1.0, scale_transfer_lr=False, auto_granularity=0.0)
    weight = rule.build((1, 1), factory(ideal(0.1), ideal(0.02)))
    set_fast(weight, torch.full((1, 1), content))
    weight.update(*still(1, 1, 1), 0.1)
    step = 0.02 * (1 if content > 0 else -1) if abs(content) > 0.1 else 0.0
    assert weight.weight.item() == pytest.approx(step, abs=1e-7)


def test_unchopped_cttv2_is_ttv2() -> None:
    same: dict[str, Any] = {"auto_granularity": 20.0, "transfer_every": 2.0, "gamma": 0.2}
    weights = [
        rule.build((4, 5), factory(soft(0.05)))
        for rule in (basic(CTTv2, in_chop_prob=0.0, **same), basic(TTv2, **same))
    ]
    for weight in weights:
        for t in range(30):
            weight.update(normal(t, 3, 5), normal(100 + t, 3, 4), 0.3)
    assert torch.equal(weights[0].weight, weights[1].weight)
    assert weights[0].slow.pulses > 0


def test_auto_scale_sets_the_pulses_of_the_strongest_cross_point() -> None:
    """Mean pulses there are fast_lr desired_bl whatever the amplitudes: 15.5 for 0.5 and 31, from 16
    slots.
    """
    rule = basic(TTv2, fast_lr=0.5, update=basic(UpdateParameters, desired_bl=31), transfer_every=1000)
    for x, d in ((0.3, 0.1), (4.0, 0.002)):
        weight = rule.build((4000, 1), factory(ideal(1e-5)))
        weight.update(torch.full((1, 1), x), torch.full((1, 4000), d), 0.1)
        counts = -weight.fast.weight / 1e-5
        # the column fires for all rows at once: 16 slots at sqrt(15.5/16), then each row at sqrt(15.5/16)
        p = (15.5 / 16) ** 0.5
        fired = round(float(counts.max()))
        assert fired <= 16
        error = (fired * p * (1 - p) / 4000) ** 0.5
        assert float(counts.mean()) == pytest.approx(fired * p, abs=5 * error + 1e-3)


def test_fast_change_moves_every_device_alike() -> None:
    """The strongest cross-point moves by fast_change in the mean, 0.02, whatever the step and the amplitudes."""
    for step, x, d in ((1e-3, 0.3, 0.1), (5e-4, 4.0, 0.002), (4e-3, 1.0, 1.0)):
        for scaled, lr in ((False, 0.1), (True, 0.5)):
            rule = basic(RLv2,
                fast_lr=7.0, fast_change=0.02 / (lr if scaled else 1), scale_fast_lr=scaled,
                update=basic(UpdateParameters, desired_bl=100), transfer_every=1000,
            )  # fmt: skip
            weight = rule.build((1, 4000), factory(ideal(step)))
            weight.update(torch.full((1, 4000), x), torch.full((1, 1), d), lr)
            wanted = 0.02 / step
            p = (wanted / ceil(wanted * (1 - 1e-6))) ** 0.5
            counts = -weight.fast.weight / step
            fired = round(float(counts.max()))  # the row fires for all columns at once
            assert fired * p == pytest.approx(wanted, abs=6 * (fired * (1 - p)) ** 0.5 + 1e-3)
            expect.mean(counts, fired * p, std=max((fired * p * (1 - p)) ** 0.5, 1e-3), detects=0.5)
    with pytest.raises(ConfigError, match=r"fast_change: must be 0 with auto_scale=false, got 0\.1"):
        basic(RLv2, fast_change=0.1, auto_scale=False)


@pytest.mark.parametrize("rule", [TTv1, RLv2, MRL])
def test_few_states_slow_the_transfer_by_their_number_to_the_power_three_halves(rule: type) -> None:
    """5 of 20 states: an eighth; with 20 or more, or without a limit, the whole rate."""
    for step, limit, share in ((0.4, 20.0, 1 / 8), (0.1, 20.0, 1.0), (0.01, 20.0, 1.0), (0.4, 0.0, 1.0)):
        weight = basic(rule, few_states=limit, transfer_lr=0.5).build((3, 4), factory(soft(step)))
        what = weight.program(1, 0.1).transfers[0].what
        assert what.write.strength == pytest.approx(0.05 * share)
    with pytest.raises(ConfigError, match=r"few_states: must be a number >= 0, got -1"):
        basic(rule, few_states=-1)


def test_zero_inputs_advance_counters_and_a_zero_rate_nothing() -> None:
    weight = basic(CTTv2, transfer_every=2).build((2, 3), factory(soft(0.05)))
    weight.update(*still(5, 3, 2), 0.1)
    assert (weight.states[0].clock.samples, weight.states[0].clock.column) == (5, 2)
    assert weight.fast.pulses == 0
    weight.update(torch.ones(5, 3), torch.ones(5, 2), 0.0)
    assert (weight.states[0].clock.samples, weight.fast.pulses) == (5, 0)


def test_rate_of_pulses_of_the_slow_tile() -> None:
    """Steady content a: one pulse of C per ``G eps / (lr a)`` samples, rounded up to full passes of ``I
    every``.
    """
    content, lr, granularity, step, columns = 0.3, 0.1, 50.0, 0.1, 4
    for every in (1, 3):
        rule = basic(CTTv2, in_chop_prob=0.0, auto_granularity=granularity, transfer_every=every)
        weight = rule.build((1, columns), factory(ideal(step), ideal(1e-4)))
        set_fast(weight, torch.full((1, columns), content))
        once = columns * every
        between = -(-granularity * step / (lr * content) // once) * once
        weight.update(*still(int(10 * between), columns, 1), lr)
        assert torch.allclose(weight.weight, torch.full((1, columns), 10e-4), atol=1e-7)


def test_slow_weight_under_a_constant_gradient_grows_with_the_square_of_time() -> None:
    """Ideal tiles: ``A = -eta g t`` and one C step per ``G eps_A`` of ``lr integral A dt``: ``C =
    -(eps_C/eps_A) lr eta g t^2 / (2 G)``."""
    step, lr, eta, granularity, samples, g = 1e-3, 0.1, 2e-3, 50.0, 400, 0.5
    rule = basic(TTv2,
        auto_scale=False, fast_lr=eta, auto_granularity=granularity, transfer_every=1, forget_buffer=False,
        update=basic(UpdateParameters, desired_bl=1, pulse_type="deterministic_implicit"),
    )  # fmt: skip
    weight = rule.build((1, 1), factory(ideal(step), ideal(step / 10)))
    weight.update(torch.ones(samples, 1), torch.full((samples, 1), g), lr)
    fast = -step * samples  # eta g = step: one pulse per sample
    assert weight.fast.weight.item() == pytest.approx(fast, rel=1e-5)
    expected = -0.1 * lr * eta * g * samples * (samples + 1) / (2 * granularity)
    assert weight.weight.item() == pytest.approx(expected, abs=step / 10)


# -- choppers, AGAD --------------------------------------------------------------------------------


def test_agad_is_blind_to_an_offset_of_the_fast_tile() -> None:
    """A fixed at v: the reference becomes v, C gets nothing; TTv2 integrates it; c-TTv2's pulses cancel over
    two phases.
    """
    common: dict[str, Any] = {
        "auto_granularity": 0.0,
        "transfer_lr": 0.1,  # 0.6 thresholds per read
        "scale_transfer_lr": False,
        "forget_buffer": False,
    }
    offset = torch.full((2, 2), 0.3)
    device = ideal(0.05)
    agad = basic(AGAD, in_chop_prob=0.25, tail_weightening=4.0, **common).build((2, 2), factory(device))
    ttv2 = basic(TTv2, **common).build((2, 2), factory(device))
    chopped = basic(CTTv2, in_chop_prob=0.25, in_chop_random=False, **common)
    cttv2 = chopped.build((2, 2), factory(device))
    for weight in (agad, ttv2, cttv2):
        set_fast(weight, offset)
        weight.update(*still(2 * 8 * 5, 2, 2), 0.1)  # 40 passes, ten phases of four
    assert agad.slow.pulses == 0
    torch.testing.assert_close(agad.states[0].mean, offset)
    assert float(ttv2.weight.min()) == 1.0  # at the bound
    assert cttv2.slow.pulses > 0
    assert float(cttv2.weight.abs().max()) <= 3 * 0.05 + 1e-6  # of 2.4 thresholds, one phase


def test_choppers_flip_when_they_should() -> None:
    rule = basic(CTTv2, in_chop_prob=0.3, in_chop_random=False)  # period 4
    weight = rule.build((2, 3), factory(ideal(0.05)))
    signs = []
    for _ in range(16):
        weight.update(*still(3, 3, 2), 0.1)
        signs.append(weight.chop_in.tolist())
    assert signs == [[1.0] * 3] * 3 + [[-1.0] * 3] * 4 + [[1.0] * 3] * 4 + [[-1.0] * 3] * 4 + [[1.0] * 3]


def test_random_choppers_flip_with_their_probability() -> None:
    weight = basic(CTTv2, in_chop_prob=0.3).build((50, 2, 40), factory(ideal(0.05)))
    before, flips, passes = weight.chop_in, 0, 30
    for _ in range(passes):
        weight.update(torch.zeros(50, 40, 40), torch.zeros(50, 40, 2), 0.1)
        flips += int((weight.chop_in != before).sum())
        before = weight.chop_in.clone()
    expect.rate(flips, passes * 50 * 40, 0.3)


def test_random_choppers_of_agad_are_not_regular_as_well() -> None:
    weight = basic(AGAD, in_chop_prob=0.2, in_chop_random=True).build((50, 1, 40), factory(ideal(0.05)))
    flips, before = 0, weight.chop_in.clone()
    for _ in range(30):
        weight.update(torch.zeros(50, 40, 40), torch.zeros(50, 40, 1), 0.1)
        flips += int((weight.chop_in != before).sum())
        before = weight.chop_in.clone()
    expect.rate(flips, 30 * 50 * 40, 0.2)


def test_visible_weight_with_gamma_and_mixed_choppers() -> None:
    rule = basic(CTTv2, gamma=0.5, in_chop_prob=0.3, out_chop_prob=0.4)
    for columns in (True, False):
        weight = basic(CTTv2, **(vars(rule) | {"transfer_columns": columns})).build(
            (3, 4), factory(soft(0.05))
        )
        start = torch.full((3, 4), 0.2)
        weight.set_weight(start)
        assert torch.equal(weight.weight, start)  # A is erased, C is the weight
        for t in range(12):
            weight.update(normal(t, 5, 4), normal(50 + t, 5, 3), 0.3)
        c_in, c_out = weight.chop_in, weight.chop_out
        assert len(set(c_in.tolist())) == 2 and len(set(c_out.tolist())) == 2
        signs = torch.outer(c_out, c_in)
        expected = 0.5 * signs * weight.fast.weight + weight.slow.weight
        assert torch.equal(weight.weight, expected if columns else expected.T)


def test_ttv2_shows_a_where_its_steps_do_not_fade() -> None:
    for device, shown in ((soft(0.05), 0.0), (basic(ConstantStep, dw_min=0.05), 0.2)):
        for gamma in (0.0, 0.3):
            weight = basic(TTv2, gamma=gamma, gamma_unfading=0.2).build((3, 4), factory(device))
            weight.update(normal(1, 50, 4), normal(2, 50, 3), 0.3)
            expected = weight.slow.weight + max(gamma, shown) * weight.fast.weight
            assert torch.equal(weight.weight, expected)
            assert float(weight.fast.weight.abs().max()) > 0.04
    with pytest.raises(ConfigError, match=r"gamma_unfading: must be a number >= 0, got -1"):
        basic(TTv2, gamma_unfading=-1)


def test_gamma_vector_of_ttv1() -> None:
    rule = basic(TTv1, n_tiles=3, gamma_vec=(0.1, 0.4, 0.5))
    weight = rule.build((2, 3), factory(soft(0.05)))
    weight.set_weight(torch.full((2, 3), 0.2))
    torch.testing.assert_close(weight.slow.weight, torch.full((2, 3), 0.4))
    for t in range(12):
        weight.update(normal(t, 5, 3), normal(50 + t, 5, 2), 0.3)
    parts = [gamma * tile.weight for gamma, tile in zip((0.1, 0.4, 0.5), weight.chain, strict=True)]
    torch.testing.assert_close(weight.weight, sum(parts))
    assert basic(TTv1, n_tiles=3, gamma=0.0).gammas == (0.0, 0.0, 1.0)


# -- mixed precision -------------------------------------------------------------------------------


def test_mixed_precision_writes_at_the_end_of_its_batch() -> None:
    """Constant ``lr d x = 0.05`` per sample, steps of 0.01."""
    for batch, expected in ((1, [0.05, 0.10, 0.15]), (4, [0.20, 0.40, 0.60])):
        weight = basic(MixedPrecision).build((1, 1), factory(ideal(0.01)))
        got = []
        for _ in expected:
            weight.update(torch.ones(batch, 1), torch.full((batch, 1), -0.50001), 0.1)
            got.append(weight.weight.item())
        assert got == pytest.approx(expected, abs=1e-5)


def test_mixed_precision_keeps_the_remainder_and_loses_what_exceeds_the_train() -> None:
    weight = basic(MixedPrecision, update=basic(UpdateParameters, desired_bl=5)).build(
        (1, 1), factory(ideal(0.01))
    )
    weight.update(torch.ones(1, 1), torch.full((1, 1), -1.256), 0.1)  # 0.1256 wanted: 12 steps and 0.0056
    assert weight.weight.item() == pytest.approx(0.05, abs=1e-6)
    assert weight.chi.item() == pytest.approx(-0.0056, abs=1e-6)


def test_any_optimizer_changes_the_logical_weight_as_it_would_digitally() -> None:
    """AdamW on a weight stored with scale 4: after many batches it is where torch's AdamW is, up to one
    step.
    """
    step, scale = 1e-3, 4.0
    certain = basic(UpdateParameters, pulse_type="deterministic_implicit")
    rule = basic(MixedPrecision, update=certain, optimizer=lambda p: torch.optim.AdamW(p, weight_decay=0.1))
    weight = rule.build((3, 4), factory(ideal(step)))
    weight.scale = torch.full((3, 1), scale)
    start = 0.3 * normal(1, 3, 4)
    weight.set_weight(start / scale)
    digital = torch.nn.Parameter(start.clone())
    optimizer = torch.optim.AdamW([digital], lr=0.01, weight_decay=0.1)
    for t in range(40):
        x, d = normal(10 + t, 8, 4), normal(200 + t, 8, 3) + 0.3
        weight.update(x, d / scale, 0.01)
        digital.grad = d.T @ x
        optimizer.step()
    wanted = digital.detach()
    assert float((wanted - start).abs().max()) > 20 * step * scale  # it has moved
    # the decay acts on a weight that lags by up to one step: a slack of a few per cent of it
    assert float((weight.weight * scale - wanted).abs().max()) < 1.2 * step * scale


def test_quantised_vectors() -> None:
    v = torch.tensor([[1.0, 0.3, -0.74, 0.0]])
    assert torch.equal(quantise(v, 0, True, Stream(1)), v)
    assert quantise(v, 4, False, Stream(1)).tolist() == [[1.0, 0.5, -0.5, 0.0]]
    many = quantise(torch.tensor([1.0, 0.3]).expand(40000, 2), 4, True, Stream(1))[:, 1]
    expect.mean(many, 0.3, std=0.5 * (0.6 * 0.4) ** 0.5, detects=0.01)


# -- analytic equilibria ---------------------------------------------------------------------------


def test_fast_tile_settles_at_the_normalised_gradient() -> None:
    """Symmetric soft bounds under up and down pulses in shares f+ and f-: ``v / b -> f+ - f-``."""
    step, many, samples = 0.02, 2000, 600
    single = basic(UpdateParameters, desired_bl=1, update_management=False, update_bl_management=False)
    weight = basic(AnalogSGD, update=single).build((many, 1, 1), factory(soft(step)))
    up = 0.7
    for t in range(samples // 100):
        draw = Stream(7).fork(f"{t}").uniform(many, 100, 1, like=ZERO)
        weight.update(torch.ones(many, 100, 1), torch.where(draw < up, -1.0, 1.0), step)
    # variance of a +-1 series, each value weighted with step and decaying by 1 - step
    spread = step * (4 * up * (1 - up) / (1 - (1 - step) ** 2)) ** 0.5
    expect.mean(weight.weight, 2 * up - 1, std=spread, detects=0.02)


RIDGE = [(0.5, 1.0, 1.0, 0.2750), (0.5, 0.3, 1.0, 0.3991), (0.5, 1.0, 3.0, 0.3945), (0.3, 2.0, 1.0, 0.1153)]


def scalar_problem(weight: Any, target: float, noise: float, steps: int, lr: float, keep: int) -> Tensor:
    """Mean weight of every instance over the last ``keep`` of ``steps`` noisy gradient steps on ``(w -
    target)^2 / 2``.
    """
    many, total = weight.shape[0], torch.zeros(weight.shape)
    stream = Stream(11)
    for t in range(steps):
        d = weight.weight - target + noise * stream.normal(many, 1, 1, like=ZERO)
        weight.update(torch.ones(many, 1, 1), d, lr)
        if t >= steps - keep:
            total += weight.weight
    return total / keep


@pytest.mark.parametrize(
    ("target", "noise", "tau", "point"),
    some(RIDGE, RIDGE[0], RIDGE[2]),
)
def test_gradient_noise_pulls_analog_sgd_to_the_symmetry_point(
    target: float, noise: float, tau: float, point: float
) -> None:
    """Implicit ridge: ``(w - w0) + E|N(w - w0, sigma)| w / tau = 0`` (solutions from the equation)."""
    lr, many = 0.01, 600
    device = soft(1e-3 * tau, w_max=tau, w_min=-tau)
    weight = basic(AnalogSGD, update=basic(UpdateParameters, desired_bl=100)).build(
        (many, 1, 1), factory(device)
    )
    weight.set_weight(torch.full((many, 1, 1), point))
    means = scalar_problem(weight, target, noise, 500, lr, 300)
    # second order in lr: the published simulation at the same lr is off the solution by up to 0.0011
    expect.same_mean(means, torch.tensor([point, point + 1e-9]), slack=0.0015)


@pytest.mark.slow
@pytest.mark.parametrize(("target", "noise", "tau", "residual"), [
    (0.5, 1.0, 1.0, 0.480), (0.5, 0.3, 1.0, 0.498), (0.5, 1.0, 3.0, 0.498), (0.3, 2.0, 1.0, 0.265),
])  # fmt: skip
def test_residual_learning_nearly_removes_that_bias(
    target: float, noise: float, tau: float, residual: float
) -> None:
    """Published NumPy run: gamma 0.5, transfer rate 0.002, 4000 steps of 0.01 from zero."""
    device = soft(2e-4 * tau, w_max=tau, w_min=-tau)
    rule = basic(TTv1,
        gamma=0.5, fast_lr=0.01, auto_scale=False, transfer_lr=0.002, scale_transfer_lr=False,
        update=basic(UpdateParameters, desired_bl=500),
    )  # fmt: skip
    weight = rule.build((300, 1, 1), factory(device))
    means = scalar_problem(weight, target, noise, 4000, 0.01, 1000)
    # the published number is one run's; a second one of the same length has the spread of our single
    # instances
    expect.same_mean(means, torch.tensor([residual, residual + 1e-9]), slack=4 * float(means.std()))
    assert abs(float(means.mean()) - target) < 0.05


def test_pulse_level_engine_gives_the_same_rule() -> None:
    """Windows, segments and whole batches are the same physics as one sample after the other."""
    rule = basic(CTTv2, auto_granularity=20.0, transfer_every=2.0, in_chop_random=False)
    ends = []
    for engine, split in ((basic(EngineParameters, level="pulse", backend="reference"), 1), (None, 24)):
        weight = rule.build((300, 3, 4), factory(soft(0.02), engine=engine))
        x, d = normal(1, 300, 48, 4), normal(2, 300, 48, 3) + 0.5
        for start in range(0, 48, split):
            weight.update(x[:, start : start + split], d[:, start : start + split], 1.0)
        ends.append(weight)
    for name in ("fast", "slow"):
        expect.same_mean(getattr(ends[0], name).weight, getattr(ends[1], name).weight)
