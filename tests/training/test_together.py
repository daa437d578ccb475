"""Networks trained side by side find what each would have found alone."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from tests import expect
from tests.algorithms.rigs import factory, ideal
from tests.runs import configuration
from tests.training.test_loop import PLAIN, Net, task
from tests.training.test_pairing import changed
from timm.layers import DropPath
from torch import Tensor, nn

from crossweep.algorithms.digital import Digital
from crossweep.algorithms.mrl import MRL
from crossweep.bench.basic import basic
from crossweep.build import build
from crossweep.data.base import Task
from crossweep.nn.convert import analog_weights, convert
from crossweep.nn.instances import Instances
from crossweep.nn.randomness import Drawing
from crossweep.rng import Stream
from crossweep.tiles.mapping import TileMapping
from crossweep.training import company
from crossweep.training.allocation import bytes_per_weight
from crossweep.training.company import Room, groups, kept, needed, why_apart
from crossweep.training.crew import SideBySide
from crossweep.training.experiment import Experiment, Result, run_together
from crossweep.training.fit_settings import OptimizerSettings
from crossweep.training.loop import Loop, Row, train_together
from crossweep.training.progress import Silent

SHORT = (
    *(
        "data=synthetic",
        "data.train_per_class=8",
        "data.test_per_class=5",
        "training.finetune.batch_size=10",
        "training.pretrain.batch_size=10",
    ),
    *("training.pretrain.epochs=1", "training.finetune.epochs=2", "training.baseline=[sgd]", "quiet=true"),
    "evaluation.fresh_devices=0",
)
NETWORKS = {
    "mlp": ("model=mlp", "model.widths=[8]"),
    "with BatchNorm": ("model=resnet_cifar", "model.blocks=1", "model.width=4"),
    "swin": ("model=swin_micro",),
}
NUMBERS = ("train_loss", "train_accuracy", "validation_loss", "test_accuracy", "pulses_mean_single")


@pytest.fixture(autouse=True)
def own_multirun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CROSSWEEP_MULTIRUN", str(tmp_path / "multirun"))


@pytest.fixture
def companies(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many networks each company had."""
    sizes: list[int] = []
    made = Instances.__init__

    def noted(self: Instances, models: Sequence[nn.Module]) -> None:
        made(self, models)
        sizes.append(len(models))

    monkeypatch.setattr(Instances, "__init__", noted)
    return sizes


def experiments(many: int, *words: str) -> list[Experiment]:
    """The same in everything but its seeds."""
    seeds = [(f"seed.device={i}", f"seed.training={i}") for i in range(many)]
    made = [build(configuration(*SHORT, *words, *own)) for own in seeds]
    return [one for one in made if isinstance(one, Experiment)]


# without rounding at the ADC a difference in the last digit of a product stays one in the last digits
SMOOTH = ("algorithm=analog_sgd", "engine=mean", "io=perfect")
DRAWN = (
    "symmetry_point.skew={}",
    "symmetry_point.variability={}",
    "noise.weight_transfer={}",
    "device.up_down={}",
)


# what acts while they train
ACTS = (
    "device.n_states={1}",
    "noise.pulse={2}",
    "noise.write={0}",
    "training.finetune.analog_lr={2}",
    "training.finetune.optimizer.lr={2}",
    "training.finetune.optimizer.momentum={0}",
    "training.finetune.label_smoothing={0}",
)


def points(*words: str, keys: Sequence[str] = DRAWN) -> list[Experiment]:
    """Two points of a map, that differ in some numbers and in their seeds."""
    made = []
    for i in range(2):
        drawn = [word.format(0.1 * i, 100 + 100 * i, 0.3 - 0.2 * i) for word in keys]
        made.append(build(configuration(*SHORT, *words, *drawn, f"seed.device={i}", f"seed.training={i}")))
    return [one for one in made if isinstance(one, Experiment)]


def assert_same(alone: Sequence[Result], together: Sequence[Result]) -> None:
    for first, second in zip(alone, together, strict=True):
        assert first.state == second.state == "complete"
        for before, after in zip(first.history, second.history, strict=True):
            for name in NUMBERS:
                assert after[name] == pytest.approx(before[name], rel=2e-3, abs=1e-3), name
        assert second.baselines["sgd"]["test_loss"] == pytest.approx(
            first.baselines["sgd"]["test_loss"], rel=1e-3
        )
        assert second.cost["samples"] == first.cost["samples"]
        assert second.cost["forward_reads"] == first.cost["forward_reads"]
        assert second.metrics["transfer_weight_error"] == first.metrics["transfer_weight_error"]
    assert together[0].history[-1]["train_loss"] != together[1].history[-1]["train_loss"]


@pytest.mark.few(1)
@pytest.mark.parametrize("network", NETWORKS)
def test_experiments_side_by_side(network: str, tmp_path: Path, companies: list[int]) -> None:
    words = (*SMOOTH, *NETWORKS[network])
    alone = [one.run(tmp_path / f"alone_{i}", Silent()) for i, one in enumerate(experiments(2, *words))]
    assert not companies
    (tmp_path / "multirun").rename(tmp_path / "kept")  # the digital runs of the first part
    folders = [tmp_path / f"together_{i}" for i in range(2)]
    assert_same(alone, run_together(experiments(2, *words), folders, [Silent()] * 2))
    assert companies == [2, 2, 2, 2]  # two epochs of the digital runs, and of the analog ones


def test_points_side_by_side(tmp_path: Path, companies: list[int]) -> None:
    words = (*SMOOTH, *NETWORKS["mlp"])
    alone = [one.run(tmp_path / f"alone_{i}", Silent()) for i, one in enumerate(points(*words))]
    assert len({one.metrics["transfer_weight_error"] for one in alone}) == 2
    together = run_together(points(*words), [tmp_path / f"together_{i}" for i in range(2)], [Silent()] * 2)
    assert_same(alone, together)
    assert companies == [2, 2]  # the digital runs were there


@pytest.mark.parametrize("digital", ["sgd", "adamw"])
def test_points_that_differ_in_numbers_that_act(digital: str, tmp_path: Path, companies: list[int]) -> None:
    words = (
        *SMOOTH,
        *NETWORKS["mlp"],
        "analog.layers=all",
        "analog.exclude=[head]",
        f"training.finetune.optimizer.name={digital}",
    )
    words = (*words, "training.finetune.digital_parameters=[norm,bias,head]")
    keys = [key for key in ACTS if digital == "sgd" or "momentum" not in key]
    alone = [
        one.run(tmp_path / f"alone_{i}", Silent())
        for i, one in enumerate(points(*words, keys=(*DRAWN, *keys)))
    ]
    (tmp_path / "multirun").rename(tmp_path / "kept")
    folders = [tmp_path / f"together_{i}" for i in range(2)]
    together = run_together(points(*words, keys=(*DRAWN, *keys)), folders, [Silent()] * 2)
    assert_same(alone, together)
    assert companies == [2, 2, 2, 2]  # two epochs of the digital runs, and of the analog ones
    for first, second in zip(alone, together, strict=True):
        for before, after in zip(first.history, second.history, strict=True):
            assert [after[name] for name in ("analog_lr", "digital_lr")] == [
                before[name] for name in ("analog_lr", "digital_lr")
            ]
    assert together[0].history[0]["analog_lr"] > together[1].history[0]["analog_lr"]


@pytest.mark.few(10)
@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("symmetry_point.skew=0.2", "symmetry_point.variability=0.1"), None),
        (("noise.weight_transfer=0.1",), None),
        (("device.corrupt_devices_prob=0.1",), None),
        (("variability.w_max=0.1", "variability.w_min=0.2"), None),
        (("device.up_down=0.2",), None),
        (("device.n_states=30",), None),
        (("noise.write=0.1", "noise.pulse=1"), None),
        (("noise.output=0.1", "noise.input=0.1", "noise.weight_read=0.1", "io.forward.out_res=30"), None),
        (("device.lifetime=50",), "not built alike"),
        (("io.forward.out_sto_round=true",), "differ in forward_io.out_sto_round"),
        (("io.backward.out_sto_round=true",), "differ in backward_io.out_sto_round"),
        (("device=exp_step",), "not built alike"),
        (("algorithm=ttv2",), "differ in rule"),
        (("algorithm=digital",), "differ in the rule"),
        (("algorithm.transfer_lr=0.3", "algorithm.fast_lr=0.3", "algorithm.in_chop_prob=0.3"), None),
        (("algorithm.update.desired_bl=7",), "differ in program.update.desired_bl"),
        (("training.finetune.analog_lr=0.2", "training.finetune.label_smoothing=0.1"), None),
        (("training.finetune.analog_lr=0",), "differ in whether they train"),
        (("training.finetune.optimizer.name=adamw", "training.finetune.optimizer.lr=0.01"), None),
        (("training.finetune.epochs=3",), "differ in training.finetune.epochs"),
        (("training.finetune.schedule.name=constant",), "differ in training.finetune.schedule"),
        (("model.widths=[9]",), "differ in model"),
        (("analog.layers=head",), "differ in what is on crossbars"),
        (("data.noise=0.9",), "differ in data"),
        (("task=least_squares",), "test-beds train alone"),
    ],
)  # fmt: skip
def test_who_goes_with_whom(words: tuple[str, ...], reason: str | None) -> None:
    base = (*SHORT, *NETWORKS["mlp"])
    found = why_apart(*(build(configuration(*base, *own)) for own in ((), (*words, "seed.device=7"))))
    assert found is None if reason is None else found is not None and reason in found


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("cache", Path("elsewhere")),
        ("torch_device", torch.device("cuda")),
        ("baselines.sgd", basic(OptimizerSettings, lr=0.012)),
        ("finetune.batch_size", 5),
        ("finetune.digital_parameters", ("norm",)),
        ("finetune.augment", False),
        ("factory.engine.level", "mean"),
        ("factory.slow.mult_noise", True),
    ],
)
def test_what_acts_on_all_of_them_is_the_same(path: str, value: object) -> None:
    made = plain_experiment()
    assert why_apart(made, changed(made, "factory.draws", Stream(9))) is None
    assert why_apart(made, changed(made, path, value)) is not None


@cache
def plain_experiment() -> Experiment:
    """One that is only looked at."""
    (made,) = experiments(1, *NETWORKS["mlp"], "engine.backend=reference")
    return made


def test_groups_keep_their_order() -> None:
    base = (*SHORT, *NETWORKS["mlp"])
    given = (
        "seed.device=0",
        "algorithm.update.desired_bl=7",
        "symmetry_point.skew=0.1",
        "algorithm.update.desired_bl=7",
        "model.widths=[9]",
    )
    assert groups([build(configuration(*base, word)) for word in given]) == [[0, 2], [1, 3], [4]]


def test_what_a_training_keeps_is_counted() -> None:
    class Doubles(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return (x.flatten(1) * self.weight).square()

        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(6))

    # the input for the gradient of the weight, and the product for that of the square
    assert kept(Doubles(), torch.ones(4, 2, 3)) == 2 * 4 * 6 * 4
    one = experiments(1, *NETWORKS["mlp"])[0]
    larger = experiments(1, *NETWORKS["mlp"], "training.finetune.batch_size=20")[0]
    assert needed(one) < needed(larger) < 2 * needed(one)


def test_memory_is_counted_once_for_each_who_needs_it() -> None:
    one, weights = plain_experiment(), 8 * 64 + 5 * 8
    digital, adam = replace(one, rule=Digital()), basic(OptimizerSettings, name="adamw", lr=0.01)
    # devices and states in the network of one and in that of all; AdamW keeps a number more for each parameter than SGD
    crossbars = 2 * weights * bytes_per_weight(one.rule, one.factory)
    assert needed(one) - needed(digital) == pytest.approx(crossbars, abs=1)
    assert needed(changed(one, "baselines.sgd", adam)) - needed(one) == 4 * (weights + 8 + 5)


def test_room_is_a_share_of_what_is_free_for_each_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    one = plain_experiment()
    monkeypatch.setattr(company, "available", lambda _: 40 * needed(one))
    assert (Room().fits(one), Room().fits(one, 4), Room(share=0.25).fits(one)) == (20, 5, 10)
    assert (Room(limit=3).fits(one), Room(share=1e-9).fits(one), Room(limit=3).fits("a test-bed")) == (
        3,
        1,
        3,
    )


# -- one loop over several networks --------------------------------------------------------------------------------

ADAM = basic(OptimizerSettings, name="adamw", lr=0.01)
SETTINGS = replace(PLAIN, epochs=3, optimizer=ADAM)


class Plain(Net):
    """The network of the loop's tests, without its memory."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        for parameter in self.parameters():
            parameter.data += 0.1 * Stream(seed).fork("start").normal(*parameter.shape, like=parameter)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(self.norm(x.flatten(1))))  # type: ignore[no-any-return]


def loops(many: int, folder: Path | None = None, given: Task | None = None, **changes: Any) -> list[Loop]:
    return [
        Loop(
            title="fit", model=Plain(seed), task=given or task(), settings=replace(SETTINGS, **changes),
            head=["head"], streams=[Stream(seed)], progress=Silent(),
            checkpoint=None if folder is None else folder / f"{seed}.safetensors",
        )
        for seed in range(many)
    ]  # fmt: skip


def numbers(history: Sequence[Row]) -> list[list[float]]:
    return [[row[name] for name in ("train_loss", "validation_loss", "test_accuracy")] for row in history]


def same(first: Sequence[Row], second: Sequence[Row]) -> bool:
    return len(first) == len(second) and torch.allclose(
        torch.tensor(numbers(first)), torch.tensor(numbers(second)), rtol=1e-4, atol=1e-5
    )


def test_one_that_diverges_leaves_the_others_alone(companies: list[int]) -> None:
    alone, together = loops(3), loops(3)
    for made in (alone, together):
        made[1].model.head.bias.data[0] = torch.inf  # type: ignore[union-attr, operator, index]
    before, after = [loop.run() for loop in alone], train_together(together)
    assert [fit.state for fit in after] == ["complete", "diverged", "complete"]
    assert after[1].history == before[1].history == []
    assert all(same(after[k].history, before[k].history) for k in (0, 2))
    assert companies == [3, 2, 2]  # it has left after the first epoch


def test_who_comes_from_an_earlier_checkpoint_catches_up(tmp_path: Path, companies: list[int]) -> None:
    wanted = [loop.run() for loop in loops(3)]
    for seed, epochs in ((0, 1), (1, 2)):
        stopped = replace(loops(3, tmp_path)[seed], progress=StopsAfter(epochs))
        assert stopped.run().state == "pruned"
    companies.clear()
    after = train_together(loops(3, tmp_path))
    assert all(same(one.history, other.history) for one, other in zip(after, wanted, strict=True))
    assert companies == [2, 3]  # the third begins alone, two do the second epoch, all the third


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_optimizers_of_their_own_keep_their_momentum(name: str, companies: list[int]) -> None:
    """A company is made anew in every epoch."""

    def own() -> list[Loop]:
        rates = [basic(OptimizerSettings, name=name, lr=lr, momentum=0.9) for lr in (0.02, 0.05)]  # type: ignore[arg-type]
        pairs = zip(loops(2), rates, strict=True)
        return [replace(loop, settings=replace(loop.settings, optimizer=rate)) for loop, rate in pairs]

    alone, together = [loop.run() for loop in own()], train_together(own())
    assert companies == [2, 2, 2]
    assert all(same(one.history, other.history) for one, other in zip(together, alone, strict=True))


def test_each_is_told_the_loss_of_its_own_epoch() -> None:
    """A gradient that begins on the coarsest tile goes to a finer one where, and only where, the loss has risen."""
    models = [Plain(0), Plain(1)]
    for model in models:
        rule = basic(MRL, n_tiles=3, warm_start=True)
        convert(model, ["body"], rule, basic(TileMapping), factory(ideal(0.01)))
    for losses in ([1.0, 1.0], [0.5, 2.0]):
        crew = SideBySide(models, [SETTINGS] * 2, [None] * 2)
        crew.end_epoch(losses)
        crew.settle()
    assert [analog_weights(model)["body"].parts()[0].gradient for model in models] == [2, 1]


class Drops(Plain):
    """With dropout, and the stochastic depth of timm."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.drop, self.path = nn.Dropout(0.3), DropPath(0.4)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.drop(self.body(self.norm(x.flatten(1))))
        return self.head(self.path(hidden) + hidden)  # type: ignore[no-any-return]


class Draws(Plain):
    """With random numbers of its own making."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + (0.1 * torch.randn(3) if self.training else 0.0)


def test_dropout_and_stochastic_depth_are_each_networks_own(companies: list[int]) -> None:
    before = [replace(loop, model=Drops(k)).run() for k, loop in enumerate(loops(3))]
    after = train_together([replace(loop, model=Drops(k)) for k, loop in enumerate(loops(3))])
    assert companies == [3, 3, 3]
    assert all(same(one.history, other.history) for one, other in zip(after, before, strict=True))
    plain = loops(1)[0].run()  # what is dropped matters
    assert not same(before[0].history, plain.history)


def test_dropped_are_as_many_as_asked_for_and_the_mean_stays() -> None:
    x, n = torch.ones(100_000, requires_grad=True), 100_000
    with Drawing(Stream(3)):
        y = nn.functional.dropout(x, 0.3)
        assert torch.equal(nn.functional.dropout(x, 0.3, training=False), x)
        assert not nn.functional.dropout(x, 1.0).detach().any()
    expect.rate(int((y > 0).sum()), n, 0.7)
    assert torch.equal(y[y > 0], torch.full_like(y[y > 0], 1 / 0.7))
    (gradient,) = torch.autograd.grad(y.sum(), x)
    assert torch.equal(gradient, y.detach())


def test_what_draws_in_a_way_of_its_own_trains_alone(
    companies: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    before = [replace(loop, model=Draws(k)).run() for k, loop in enumerate(loops(2))]
    with caplog.at_level(logging.WARNING):
        after = train_together([replace(loop, model=Draws(k)) for k, loop in enumerate(loops(2))])
    assert "draws random numbers" in caplog.text and companies == [2]
    assert [one.history[0]["train_loss"] for one in after] == [one.history[0]["train_loss"] for one in before]


class StopsAfter(Silent):
    """A pruner's verdict."""

    def __init__(self, epochs: int) -> None:
        self.epochs = epochs

    def epoch(self, title: str, row: Any, epochs: int) -> bool:
        return bool(row["epoch"] >= self.epochs)


def test_who_cannot_go_in_step_trains_alone_and_it_is_said(
    tmp_path: Path, companies: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    words = ("algorithm=analog_sgd", "device=one_sided_reram", *NETWORKS["mlp"], "training.baseline=[]")
    words = (*words[:1], "device.n_devices=2", "device.update_policy=all", *words[2:])
    with caplog.at_level(logging.WARNING):
        found = run_together(experiments(2, *words), [tmp_path / "a", tmp_path / "b"], [Silent()] * 2)
    assert [one.state for one in found] == ["complete", "complete"]
    assert not companies and "several devices make a weight" in caplog.text
