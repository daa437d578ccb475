"""When a rule reads, how fast it writes, when its choppers flip: numbers that a user sets, counted in what happens."""

import pytest
import torch

from crossweep.algorithms.cttv2 import CTTv2
from crossweep.algorithms.mixed_precision import MixedPrecision
from crossweep.algorithms.mrl import MRL
from crossweep.algorithms.ttv2 import TTv2
from crossweep.bench.basic import basic
from crossweep.engine.pulse_plan import UpdateParameters
from tests import expect
from tests.algorithms.rigs import factory, ideal

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
