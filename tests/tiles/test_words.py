"""Pulse words: probabilities, packing, windows, turned signs, and independence from the number of threads."""

import numpy as np
import pytest
import torch
from tests import expect
from tests.algorithms.rigs import COUNT, PULSE

from crossweep.bench.basic import basic
from crossweep.devices.constant_step import ConstantStep
from crossweep.devices.soft_bounds import SoftBounds
from crossweep.engine.base import Crossbar
from crossweep.engine.choose import engine as made
from crossweep.engine.cpu import updates
from crossweep.engine.cpu.words import Lines, PulseWords, pulse_words
from crossweep.engine.pulse_plan import PulsePlan, UpdateParameters, plan_pulses
from crossweep.rng import Stream


def bits(lines: Lines, slots: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Pulses, and whether the line is negative, slot by slot, of the first ``n`` lines [slots, n]."""
    place = np.arange(slots)
    word, shift = place >> 6, (place & 63).astype(np.uint64)[:, None]
    one = np.uint64(1)
    return (lines.pulses[word, :n] >> shift) & one, (lines.signs[word, :n] >> shift) & one


def random_plan(rng: Stream, samples: int = 40, x: int = 70, d: int = 50, bl: int = 9) -> PulsePlan:
    like = torch.empty(0)
    xs, ds = rng.fork("x").normal(samples, x, like=like), rng.fork("d").normal(samples, d, like=like)
    rate = 0.5 * rng.fork("rate").uniform(samples, like=like)
    return plan_pulses(xs, ds, rate, 0.02, basic(UpdateParameters, desired_bl=bl))


@pytest.mark.parametrize("bl", [1, 5, 31, 40])
@pytest.mark.parametrize("p", [1e-4, 0.003, 0.3, 0.77])
def test_bits_have_their_probability(p: float, bl: int, rng: Stream) -> None:
    samples, n = 600, 257
    x = torch.full((samples, n), p)
    one, used = torch.ones(samples), torch.full((samples,), float(bl))
    plan = PulsePlan(x=x, d=x[:, :1], scale_x=one, scale_d=one, bl=used, longest=bl)
    words = pulse_words(plan, rng, ())
    pulses, _ = bits(words.x, samples * bl, n)
    expect.rate(int(pulses.sum()), pulses.size, p)
    per_sample = pulses.reshape(samples, bl, n).sum(1)
    if bl > 1 and p > 0.1:  # slots of one sample are independent too: binomial counts
        expect.variance(
            per_sample.astype(float), bl * p * (1 - p), detects=0.04, kurtosis=3 + 1 / (bl * p * (1 - p))
        )
    assert abs(words.x.mean - p).max() < 2e-5 + p / 100
    assert not words.x.pulses[-1][0] >> np.uint64((samples * bl - 1) % 64) >> np.uint64(1), (
        "slots beyond the end"
    )


def test_certain_pulses_are_certain(rng: Stream) -> None:
    x = torch.ones(300, 64)
    one = torch.ones(300)
    plan = PulsePlan(x=x, d=-x, scale_x=one, scale_d=2 * one, bl=7 * one, longest=7)
    words = pulse_words(plan, rng, ())
    for lines, negative in ((words.x, 0), (words.d, 1)):
        pulses, signs = bits(lines, 2100, 64)
        assert pulses.all()
        assert (signs == negative).all()


def test_neighbouring_lines_and_slots_are_independent(rng: Stream) -> None:
    x = torch.full((4000, 65), 0.5)
    one = torch.ones(4000)
    words = pulse_words(PulsePlan(x=x, d=x, scale_x=one, scale_d=one, bl=5 * one, longest=5), rng, ())
    pulses = bits(words.x, 20000, 65)[0].astype(bool)
    for first, second in (
        (pulses[:, 1:], pulses[:, :-1]),
        (pulses[1:], pulses[:-1]),
        (pulses, bits(words.d, 20000, 65)[0].astype(bool)),
    ):
        expect.rate(int((first ^ second).sum()), first.size, 0.5)


def expected_counts(words: PulseWords, plan: PulsePlan) -> torch.Tensor:
    """Net counts of a plan by a dense product of its bits."""
    x, negative_x = bits(words.x, int(words.slots[-1]), plan.x.shape[-1])
    d, negative_d = bits(words.d, int(words.slots[-1]), plan.d.shape[-1])
    sample = torch.from_numpy(np.repeat(np.arange(words.bl.size), words.bl))
    signed_x = torch.from_numpy(np.where(negative_x, -1.0, 1.0) * x)
    signed_d = torch.from_numpy(np.where(negative_d, -1.0, 1.0) * d)
    seen = ((sample >= plan.first) & (sample < plan.first + plan.bl.shape[-1])).unsqueeze(-1)
    if plan.since is not None and plan.until is not None:
        seen = seen & (sample.unsqueeze(-1) >= plan.since) & (sample.unsqueeze(-1) < plan.until)
    turn_x = 1.0 if plan.turn_x is None else plan.turn_x
    turn_d = 1.0 if plan.turn_d is None else plan.turn_d
    return -((signed_d * turn_d).T @ (signed_x * turn_x * seen))


@pytest.mark.parametrize("engine", [COUNT, PULSE], ids=["count", "pulse"])
@pytest.mark.parametrize("case", ["whole", "part", "windows", "turned"])
def test_counts_are_those_of_the_bits(engine, case: str, rng: Stream) -> None:
    plan = random_plan(rng)
    if case in ("part", "windows"):
        plan = plan.samples(7, 33)
    if case == "windows":
        since = 7 + torch.arange(70) % 5
        plan = plan.within(since, since + torch.arange(70) % 22)
    if case == "turned":
        plan = plan.flip_columns(1 - 2.0 * (torch.arange(70) % 3 == 0)).flip_rows(
            1 - 2.0 * (torch.arange(50) % 2)
        )
    device = basic(ConstantStep,
        dw_min=2.0**-10, dw_min_std=0.0, w_max=50.0, w_min=-50.0,
        dw_min_dtod=0.0, up_down_dtod=0.0, w_max_dtod=0.0, w_min_dtod=0.0,
    )  # fmt: skip
    bar = Crossbar(device, device.draw((50, 70), rng))
    moved, pulses = made(engine).update(torch.zeros(50, 70), plan, bar, basic(UpdateParameters), rng)
    expected = expected_counts(pulse_words(plan, rng, ()), plan)
    assert torch.equal((moved * 2**10).round(), expected.float())
    assert int(pulses.sum()) >= int(expected.abs().sum())


def test_parts_share_the_drawn_pulses(rng: Stream) -> None:
    plan = random_plan(rng)
    first = pulse_words(plan.samples(3, 9), rng, ())
    assert pulse_words(plan.samples(20, 25).flip_rows(-torch.ones(50)), rng, ()) is first


@pytest.mark.parametrize("engine", [COUNT, PULSE], ids=["count", "pulse"])
def test_bits_do_not_depend_on_the_number_of_threads(engine, rng: Stream) -> None:
    device = basic(SoftBounds, dw_min=0.02, dw_min_std=1.0, write_noise_std=0.0)
    bar = Crossbar(device, device.draw((130, 300), rng))
    update, threads, results = basic(UpdateParameters), torch.get_num_threads(), []
    try:
        for number in (1, 2, 3):
            torch.set_num_threads(number)
            plan = random_plan(Stream(5), 150, 300, 130, 31)
            results.append(made(engine).update(torch.zeros(130, 300), plan, bar, update, Stream(6)))
    finally:
        torch.set_num_threads(threads)
    for moved, pulses in results[1:]:
        assert torch.equal(moved, results[0][0])
        assert torch.equal(pulses, results[0][1])


def test_leading_dimensions_are_independent_crossbars(rng: Stream) -> None:
    device = basic(SoftBounds, dw_min=0.02)
    cells = device.draw((2, 3, 20, 30), rng)
    like, update = torch.empty(0), basic(UpdateParameters)
    x, d = rng.fork("x").normal(2, 3, 8, 30, like=like), rng.fork("d").normal(2, 3, 8, 20, like=like)
    x[1, 2] = 0.0
    plan = plan_pulses(x, d, 0.1, 0.02, update)
    moved, pulses = made(COUNT).update(torch.zeros(2, 3, 20, 30), plan, Crossbar(device, cells), update, rng)
    assert moved[1, 2].eq(0).all()
    assert pulses[1, 2].eq(0).all()
    assert not torch.equal(moved[0, 0], moved[0, 1])
    assert len(plan.drawn.words) == 6


@pytest.mark.parametrize(
    ("rows", "samples", "bl"), [(160, 7, 3), (257, 90, 31), (300, 40, 100), (600, 300, 9)]
)
def test_tall_crossbars_count_what_flat_ones_do(
    rows: int, samples: int, bl: int, rng: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counters in bit planes against a popcount for every device: the same whole numbers."""
    columns = 37
    whole = random_plan(rng, samples, columns, rows, bl)
    like = torch.empty(0)
    signs = (rng.fork(name).normal(size, like=like).sign() for name, size in (("tx", columns), ("td", rows)))
    edges = (rng.fork(name).uniform(columns, like=like) * samples for name in ("since", "until"))
    since, until = (edge.long() for edge in edges)
    turned = whole.flip_columns(next(signs)).flip_rows(next(signs))
    for plan in (whole, turned, turned.within(torch.minimum(since, until), torch.maximum(since, until))):
        part = updates.Part.of(plan, rng, ())
        last = int(part.words.slots[-1])
        for begin, end in ((0, last), (last // 3, last - 5)):
            state, found = torch.zeros(rows, columns), []
            for least in (1, 10**9):
                monkeypatch.setattr(updates, "TALL", least)
                found.append(updates.count(part, begin, end, state))
            assert float(found[0][1].max()) > 1
            for tall, flat in zip(*found, strict=True):
                torch.testing.assert_close(tall, flat, rtol=0, atol=0)
