"""When a rule reads, how fast it writes, when its choppers flip: numbers that a user sets, counted in what happens."""

import numpy as np
import pytest
import torch

from crossweep import feed
from crossweep.algorithms.cttv2 import CTTv2
from crossweep.algorithms.mixed_precision import MixedPrecision
from crossweep.algorithms.mrl import MRL
from crossweep.algorithms.ttv2 import TTv2
from crossweep.bench.basic import basic
from crossweep.engine.chain import _windows
from crossweep.engine.pulse_plan import UpdateParameters
from crossweep.engine.schedule import TransferClock
from tests import expect
from tests.algorithms.rigs import factory, ideal, normal

CERTAIN = basic(UpdateParameters, desired_bl=1000, pulse_type="deterministic_implicit")


def reads(rule: TTv2, batch: int, batches: int, states: int = 20) -> float:
    """Columns read within some mini-batches of a 3 x 5 crossbar."""
    weight = rule.build((3, 5), factory(ideal(2 / states)))
    for _ in range(batches):
        weight.update(torch.zeros(batch, 5), torch.zeros(batch, 3), 0.1)
    return weight.cost()["slice_reads"]


@pytest.mark.parametrize(("passes", "every"), [(1, 4), (2, 8), (0.5, 2)])
def test_a_negative_period_is_in_states_of_the_fast_tile_per_full_pass(passes: float, every: int) -> None:
    """20 states: the whole tile, five columns, is read once in ``20 |transfer_every|`` samples."""
    assert reads(basic(TTv2, transfer_every=-passes), 40, 2) == 80 / every
    assert reads(basic(TTv2, transfer_every=-passes), 40, 4, states=40) == 80 / every


@pytest.mark.parametrize(("wanted", "every"), [(2.0, 14), (0.5, 4), (1.0, 7)])
def test_a_period_in_mini_batches_grows_with_them(wanted: float, every: int) -> None:
    assert reads(basic(TTv2, transfer_every=wanted, units_in_mbatch=True), 7, 8) == 56 // every
    assert reads(basic(TTv2, transfer_every=wanted), 7, 8) == 56 // max(1, round(wanted))


def test_rates_of_a_chain_grow_from_tile_to_tile() -> None:
    """One column, tiles at rest, certain pulses: what a tile gains is its rate times what the one before holds."""
    rule = basic(MRL,
        n_tiles=4, transfer_growth=1.0, transfer_lr=0.02, lr_growth=3.0, scale_transfer_lr=False,
        transfer_update=CERTAIN,
    )  # fmt: skip
    weight = rule.build((1, 1), factory(ideal(1e-4)))
    for tile in weight.chain:
        tile.set_weight(torch.full((1, 1), 0.5))
    weight.update(torch.zeros(1, 1), torch.zeros(1, 1), 0.1)
    gained = [tile.weight.item() - 0.5 for tile in weight.chain]
    # a tile that gained first hands on a little more
    assert gained == pytest.approx([0.0, 0.5 * 0.02, 0.5 * 0.06, 0.5 * 0.18], rel=0.1)


def test_mixed_precision_writes_its_rows_in_turn() -> None:
    rule = basic(MixedPrecision, n_rows_per_transfer=2, sto_round=False, update=CERTAIN)
    weight = rule.build((5, 3), factory(ideal(0.01)))
    written = []
    for _ in range(3):
        before = weight.weight.clone()
        weight.chi += 0.05
        weight.update(torch.zeros(1, 3), torch.zeros(1, 5), 0.1)
        written.append((weight.weight != before).all(-1).nonzero().flatten().tolist())
    assert written == [[0, 1], [2, 3], [0, 4]]


@pytest.mark.parametrize("probability", [0.3, 1.0])
def test_rows_flip_once_per_pass_with_their_probability(probability: float) -> None:
    rule = basic(CTTv2, in_chop_prob=0.0, out_chop_prob=probability)
    weight = rule.build((200, 3), factory(ideal(0.05)))
    flips, before, passes = 0, weight.chop_out.clone(), 60
    for _ in range(passes):  # a pass is three samples
        weight.update(torch.zeros(3, 3), torch.zeros(3, 200), 0.1)
        flips += int((weight.chop_out != before).sum())
        before = weight.chop_out.clone()
    assert flips == passes * 200 if probability == 1 else flips > 0
    expect.rate(flips, passes * 200, probability)


def test_a_rate_that_changes_is_taken_in_every_mini_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs of the mini-batch before are used again only where nothing that they depend on has changed."""
    rule = basic(
        TTv2, transfer_every=0.3, units_in_mbatch=True, transfer_update=CERTAIN, auto_granularity=1.0
    )
    one, other = (rule.build((3, 5), factory(ideal(0.01))) for _ in range(2))
    monkeypatch.setattr(other, "_known_program", other.program)
    for t, (batch, rate) in enumerate([(7, 0.3), (7, 0.1), (4, 0.1), (4, 0.1), (7, 0.3)]):
        x, d = normal(t, batch, 5), normal(100 + t, batch, 3)
        for weight in (one, other):
            weight.update(x, d, rate)
        assert torch.equal(one.fast.state, other.fast.state) and torch.equal(one.slow.state, other.slow.state)
    assert one.slow.pulses > 0


def test_windows_of_a_captured_step_are_its_own() -> None:
    """They take the numbers of later mini-batches in place; what a clock says elsewhere stays."""
    clock = TransferClock(slices=5)
    before = clock.windows(7, padded=True).until.copy()
    with feed.feeding(feed.Trial()):
        _windows(clock, 7).until[...] = -1
    assert np.array_equal(clock.windows(7, padded=True).until, before)
