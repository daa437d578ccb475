"""The warm start of multi-tile residual learning: which tile takes the gradient, and when the next one does."""

import copy
import csv
from pathlib import Path

import pytest
import torch

from crossweep.algorithms.chain_weight import ChainWeight
from crossweep.algorithms.mrl import MRL
from crossweep.bench.basic import basic
from tests.algorithms.rigs import DEVICES, factory, normal
from tests.runs import trained

SHAPE = (4, 5)


def warm(n_tiles: int = 3) -> ChainWeight:
    rule = basic(MRL, n_tiles=n_tiles, warm_start=True, transfer_every=1, transfer_growth=2)
    return rule.build(SHAPE, factory(DEVICES["soft_bounds"]))


def train(weight: ChainWeight, first: int = 0) -> list[bool]:
    """Which tiles of the chain, finest first, a few mini-batches move."""
    before = [tile.state.clone() for tile in weight.chain]
    for t in range(first, first + 6):
        weight.update(normal(t, 7, 5), normal(100 + t, 7, 4), 0.3)
    return [not torch.equal(tile.state, old) for tile, old in zip(weight.chain, before, strict=True)]


def test_the_gradient_climbs_from_the_coarsest_tile_to_the_finest() -> None:
    weight = warm()
    assert train(weight) == [False, False, True]
    for loss in (3.0, 2.0):
        weight.end_epoch(loss)
    assert train(weight, 10) == [False, False, True]  # while the loss falls nothing changes
    weight.end_epoch(2.5)
    assert train(weight, 20) == [False, True, True]  # and what the middle tile holds goes on to the last
    weight.end_epoch(9.0)  # the first epoch of a stage has nothing to be compared with
    weight.end_epoch(8.0)
    assert train(weight, 30) == [False, True, True]
    weight.end_epoch(8.5)
    assert train(weight, 40) == [True, True, True]
    weight.end_epoch(9.0)
    assert weight.gradient == 0  # there it stays


def test_after_four_switches_one_rise_is_not_enough() -> None:
    weight = warm(n_tiles=7)
    for _ in range(4):
        weight.end_epoch(1.0)
        weight.end_epoch(2.0)
    assert weight.gradient == 2
    weight.end_epoch(1.0)
    weight.end_epoch(2.0)
    assert weight.gradient == 2
    for loss in (1.5, 1.4, 1.3, 1.2, 1.1, 1.3):  # the earlier rise is more than five epochs ago
        weight.end_epoch(loss)
    assert weight.gradient == 2
    weight.end_epoch(1.4)
    assert weight.gradient == 1


def test_without_a_warm_start_the_finest_tile_takes_the_gradient() -> None:
    weight = basic(MRL, n_tiles=3).build(SHAPE, factory(DEVICES["soft_bounds"]))
    assert weight.gradient == 0


def test_the_stage_is_saved() -> None:
    weight = warm()
    for loss in (1.0, 2.0, 1.5):
        weight.end_epoch(loss)
    again = warm()
    again.load_state_dict(copy.deepcopy(weight.state_dict()))
    assert (again.gradient, again.losses) == (1, [1.5])
    again.end_epoch(1.7)
    assert again.gradient == 0


def test_a_training_run_tells_every_weight_the_loss_of_its_epochs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[float] = []
    monkeypatch.setenv("CROSSWEEP_MULTIRUN", str(tmp_path / "multirun"))
    monkeypatch.setattr(ChainWeight, "end_epoch", lambda self, loss: told.append(loss))
    words = ("model=mlp", "model.widths=[8]", "training.finetune.epochs=2", "training.pretrain.epochs=1")
    short = ("training.baseline=[]", "evaluation.fresh_devices=0", "quiet=true")
    trained(tmp_path / "run", *words, *short, "algorithm=mrl", "algorithm.warm_start=true")
    with (tmp_path / "run" / "history.csv").open() as file:
        losses = [float(row["train_loss"]) for row in csv.DictReader(file)]
    assert told == [pytest.approx(loss) for loss in losses for _ in range(2)]  # two layers


def test_rates_and_periods_grow_from_tile_to_tile() -> None:
    rule = basic(MRL, n_tiles=4, transfer_lr=0.1, lr_growth=2.0, transfer_every=3.0, transfer_growth=5.0)
    transfers = rule.build(SHAPE, factory(DEVICES["soft_bounds"])).program(1, 1.0).transfers
    assert [transfer.what.write.strength for transfer in transfers] == pytest.approx([0.1, 0.2, 0.4])
    assert [transfer.every for transfer in transfers] == [3, 15, 75]
