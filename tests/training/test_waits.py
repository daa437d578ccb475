"""Nothing in a training step asks for numbers that a device has yet to compute."""

from dataclasses import replace

import pytest
import torch
from tests.algorithms.rigs import COUNT, DEVICES, factory
from tests.training.test_loop import PLAIN, Net, split, task
from tests.waits import Waits
from torch import nn

from crossweep.algorithms.cost import Tally
from crossweep.algorithms.cttv2 import CTTv2
from crossweep.bench.agreement import LR, RULES, Scene
from crossweep.bench.basic import basic
from crossweep.nn.convert import convert
from crossweep.rng import Stream
from crossweep.tiles.mapping import TileMapping
from crossweep.training import loop as loop_module
from crossweep.training.loop import Loop, Row, train_together
from crossweep.training.progress import Silent

CPU = torch.device("cpu")


def test_asking_is_noticed() -> None:
    with Waits() as waits:
        tally = Tally(transfers=torch.tensor(3))
        tally.as_dict()
    assert len(waits.found) == 1
    assert waits.found[0].startswith("algorithms/cost.py:")


@pytest.mark.parametrize("device", ["affine", "relaxing"])
@pytest.mark.parametrize("rule", RULES)
def test_a_weight_reads_and_trains_without_asking(rule: str, device: str) -> None:
    scene = Scene(rule=rule, device=device, reads="narrow", instances=2)
    weight = scene.weight("cpu", CPU)
    x, d = scene.values("x", scene.shape[1]), scene.values("d", scene.shape[0])
    with Waits() as waits:
        for _ in range(2):
            weight.read(x)
            weight.read_transposed(d)
            weight.update(x, d, LR)
    assert waits.found == []


def analog(seed: int) -> nn.Module:
    model = Net()
    made = factory(DEVICES["soft_bounds"], engine=replace(COUNT, backend="cpu"), seed=seed)
    convert(model, ["body"], basic(CTTv2, auto_granularity=20.0), basic(TileMapping), made)
    return model


def trained(many: int, epochs: int = 2) -> list[list[Row]]:
    settings = replace(PLAIN, epochs=epochs)
    loops = [
        Loop(
            title="fit", model=analog(seed), task=task(), settings=settings, head=["head"],
            streams=[Stream(seed)], checkpoint=None, progress=Silent(),
        )
        for seed in range(many)
    ]  # fmt: skip
    return [result.history for result in train_together(loops)]


@pytest.mark.parametrize("many", [1, 2])
def test_an_epoch_asks_at_its_end(many: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def of(looks: bool) -> list[str]:
        monkeypatch.setattr(loop_module, "_looks", lambda device, batch, total: looks or batch == total)
        with Waits() as waits:
            trained(many, epochs=1)
        return [place.rpartition(":")[0] for place in waits.found]

    often, seldom = of(True), of(False)
    assert often.count("training/loop.py") - seldom.count("training/loop.py") == 2  # of three mini-batches
    # the last look and three sums; what evaluation found; the pulses of an epoch
    assert seldom.count("training/loop.py") == 4
    assert set(seldom) <= {"training/loop.py", "training/evaluate.py", "training/endurance.py"}


def test_asking_seldom_changes_nothing_but_when_divergence_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    def rows() -> list[list[Row]]:
        return [[row | {"seconds": 0.0} for row in history] for history in trained(2)]

    often = rows()
    monkeypatch.setattr(loop_module, "_looks", lambda device, batch, total: batch == total)
    assert rows() == often


def test_a_loss_that_is_not_finite_is_found_in_its_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the losses after it are."""
    images = split(1, torch.arange(12) % 3)
    images.images[0] = torch.inf
    given = task(train=images)
    monkeypatch.setattr(loop_module, "_looks", lambda device, batch, total: batch == total)
    monkeypatch.setattr(Net, "forward", lambda self, x: x.flatten(1)[:, :3] + self.head.bias)
    loop = Loop(
        title="fit", model=Net(), task=given, settings=PLAIN, head=["head"], streams=[Stream(4)],
        checkpoint=None, progress=Silent(),
    )  # fmt: skip
    assert loop.run().state == "diverged"


def test_when_it_is_asked() -> None:
    cuda = torch.device("cuda")
    assert all(loop_module._looks(CPU, batch, 100) for batch in range(1, 101))
    assert [batch for batch in range(1, 101) if loop_module._looks(cuda, batch, 100)] == [32, 64, 96, 100]
