"""Steps from a graph are the steps that are launched. Without a GPU the graph is a tape of what was launched."""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

pytest.importorskip("triton")
from tests.algorithms.rigs import COUNT, DEVICES, factory
from tests.some import some
from tests.training.test_loop import PLAIN, Net, task
from triton.runtime.interpreter import InterpretedFunction

from crossweep import feed
from crossweep.algorithms.agad import AGAD
from crossweep.algorithms.analog_sgd import AnalogSGD
from crossweep.algorithms.base import AbstractAlgorithm
from crossweep.algorithms.cttv2 import CTTv2
from crossweep.algorithms.mixed_precision import MixedPrecision
from crossweep.algorithms.mrl import MRL
from crossweep.algorithms.tt_adam import TTAdam
from crossweep.algorithms.ttv1 import TTv1
from crossweep.bench.agreement import Scene, compared, in_graphs, traced
from crossweep.bench.basic import basic
from crossweep.bench.tape import Tape, TapeError
from crossweep.common import Moving
from crossweep.nn.convert import convert
from crossweep.rng import Stream
from crossweep.tiles.mapping import TileMapping
from crossweep.training import crew as crew_module
from crossweep.training import graph as graph_module
from crossweep.training import loop as loop_module
from crossweep.training.fit_settings import FitSettings, OptimizerSettings, RateSchedule
from crossweep.training.graph import Steps, steps_of
from crossweep.training.loop import Loop, train_together
from crossweep.training.optimizer import HybridOptimizer
from crossweep.training.progress import Silent

pytestmark = pytest.mark.filterwarnings("ignore:(overflow|invalid value) encountered:RuntimeWarning")
CPU = torch.device("cpu")
SCENES = {scene.title: scene for scene in in_graphs((3, 5), 4)}
FIRST = [one.title for one in SCENES.values() if one.rule in ("cttv2, columns", "mixed_precision")][:2]


@pytest.mark.few(1)
@pytest.mark.parametrize("title", some(SCENES, *FIRST))
def test_kernels_in_a_graph_do_what_launched_ones_do(title: str) -> None:
    """Pulses and counts to the last one; states as the engine on the CPU has them."""
    scene = SCENES[title]
    assert compared(scene, traced(scene, "cpu", CPU), traced(scene, "cuda", CPU, Tape)).faults == []


@pytest.mark.slow
@pytest.mark.parametrize("title", SCENES)
def test_they_do_it_to_the_last_bit(title: str) -> None:
    scene = SCENES[title]
    first, second = (traced(scene, "cuda", CPU, make) for make in (None, Tape))
    for name, value in first.items():
        same = (
            torch.equal(value.nan_to_num(), second[name].nan_to_num())
            if isinstance(value, Tensor)
            else value == second[name]
        )
        assert same, name


# -- whole trainings, kernels left out: what torch and the host do around them ----------------------


@pytest.fixture
def no_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(InterpretedFunction, "run", lambda kernel, *args, grid, warmup, **kwargs: None)
    empty = torch.empty

    def zeros(*shape: Any, **options: Any) -> Tensor:  # what kernels would have filled
        return empty(*shape, **options).zero_()

    monkeypatch.setattr(torch, "empty", zeros)


RULES: dict[str, AbstractAlgorithm] = {
    "cttv2": basic(CTTv2, in_chop_prob=0.3, auto_granularity=20.0, correct_gradient_magnitudes=True),
    "agad": basic(AGAD, in_chop_prob=0.34, correct_accumulation=True, transfer_every=3.0),
    "tt_adam": basic(TTAdam, in_chop_prob=0.3, transfer_lr=1.0, normalise="factored"),
    "ttv1": basic(TTv1, transfer_lr=0.1),
    "analog_sgd": basic(AnalogSGD),
    "mixed_precision": basic(MixedPrecision, transfer_every=2, n_rows_per_transfer=3),
}
SGD = basic(OptimizerSettings, name="sgd", lr=0.05, momentum=0.9, weight_decay=0.01)
ADAMW = basic(OptimizerSettings, name="adamw", lr=0.01, weight_decay=0.01)
# batches of 4, 4 and 2: each kind is tried, captured and replayed
SETTINGS = replace(PLAIN, epochs=3, schedule=basic(RateSchedule, name="cosine"), optimizer=SGD, analog_lr=0.3)


def analog(rule: AbstractAlgorithm, seed: int = 0, graph: str = "auto", **keys: Any) -> nn.Module:
    model = keys.pop("model", Net)()
    engine = replace(COUNT, backend="cuda", graph=graph)
    convert(
        model,
        ["body"],
        rule,
        basic(TileMapping),
        factory(DEVICES[keys.pop("device", "soft_bounds")], engine=engine, seed=seed),
    )
    return model


class Fused(HybridOptimizer):
    """As where parameters lie on a GPU."""

    def __init__(self, *given: Any, **options: Any) -> None:
        super().__init__(*given, **options | {"fused": True})


@pytest.fixture
def as_on_a_gpu(
    no_kernels: None, monkeypatch: pytest.MonkeyPatch
) -> Callable[[Callable[[], Any] | None], None]:
    """Training looks at losses at the end of epochs; steps come from what is given."""
    monkeypatch.setattr(loop_module, "_looks", lambda device, batch, total: batch == total)
    monkeypatch.setattr(crew_module, "HybridOptimizer", Fused)
    graph_module._say.cache_clear()

    def use(make: Callable[[], Any] | None) -> None:
        monkeypatch.setattr(graph_module, "graphs", lambda device: make)

    return use


def trained(
    rule: AbstractAlgorithm,
    settings: FitSettings = SETTINGS,
    many: int = 1,
    points: Sequence[str] = (),
    **keys: Any,
) -> list[tuple[Any, ...]]:
    """History, numbers of the model, and streams, of each network; some ``points`` of the rule, and then the learning rate,
    are smaller in the second."""
    models, loops = [], []
    for seed in range(many):
        less = 1 + 0.5 * seed * bool(points)
        own = replace(rule, **{name: getattr(rule, name) / less for name in points})
        rates = replace(settings, analog_lr=settings.analog_lr / less)
        models.append(analog(own, seed, **keys))
        loops.append(
            Loop(
                title="fit", model=models[-1], task=task(), settings=rates, head=["head"], streams=[Stream(seed)],
                checkpoint=None, progress=Silent(),
            )
        )  # fmt: skip
    results = train_together(loops)
    return [
        (
            [row | {"seconds": 0.0} for row in result.history], numbers(model),
            [one[1] for one in graph_module.Host.of(model).streams],
        )
        for result, model in zip(results, models, strict=True)
    ]  # fmt: skip


def numbers(model: nn.Module) -> dict[str, Any]:
    return {
        key: value.tolist() if isinstance(value, Tensor) else repr(value)
        for key, value in model.state_dict().items()
    }


@pytest.fixture
def tapes() -> list[Tape]:
    return []


@pytest.fixture
def make(tapes: list[Tape]) -> Callable[[], Tape]:
    def one() -> Tape:
        tapes.append(Tape())
        return tapes[-1]

    return one


@pytest.mark.few(4)
@pytest.mark.parametrize(
    ("rule", "optimizer", "many", "device"),
    [
        *((rule, SGD, 1, "soft_bounds") for rule in RULES),
        ("cttv2", ADAMW, 1, "soft_bounds"),
        ("agad", SGD, 2, "soft_bounds"),
        ("cttv2", SGD, 1, "relaxing"),
    ],
)
def test_a_training_from_graphs_is_the_training_that_is_launched(
    rule: str,
    optimizer: OptimizerSettings,
    many: int,
    device: str,
    as_on_a_gpu: Any,
    make: Any,
    tapes: list[Tape],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)
    settings = replace(SETTINGS, optimizer=optimizer, epochs=3 if many == 1 else 1)
    if many > 1:  # a company is made anew in each epoch
        settings = replace(settings, batch_size=3)
    launched_first(as_on_a_gpu, make, tapes, partial(trained, RULES[rule], settings, many, device=device))
    assert len(tapes) > 1 - (many > 1) and not [one for one in caplog.messages if "not captured" in one]


@pytest.mark.parametrize(
    ("rule", "points"),
    [
        ("cttv2", ["in_chop_prob", "auto_granularity"]),
        ("ttv1", ["transfer_lr", "fast_lr"]),
        ("mixed_precision", ["lr_scale", "transfer_lr"]),
        ("tt_adam", ["in_chop_prob", "transfer_lr"]),
    ],
)
def test_points_train_from_graphs_as_they_are_launched(
    rule: str,
    points: list[str],
    as_on_a_gpu: Any,
    make: Any,
    tapes: list[Tape],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Each with numbers of its own, of which the learning rates change in every step."""
    caplog.set_level(logging.WARNING)
    settings = replace(SETTINGS, epochs=1, batch_size=3)
    launched_first(as_on_a_gpu, make, tapes, partial(trained, RULES[rule], settings, 2, points))
    assert tapes and not caplog.messages


def launched_first(as_on_a_gpu: Any, make: Any, tapes: list[Tape], train: Callable[[], Any]) -> None:
    """A training without graphs, and the same one from graphs."""
    as_on_a_gpu(None)
    launched = train()
    assert not tapes
    as_on_a_gpu(make)
    assert comparable(train()) == comparable(launched)


def comparable(found: list[tuple[Any, ...]]) -> str:
    return repr(found)  # what is no number equals itself


def test_no_argument_of_a_launch_or_operation_changes_from_step_to_step(
    no_kernels: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def changed() -> bool:
        """Whether two steps in a row differ in anything but the content of tensors."""
        scene, now = Scene(rule="ttv1", shape=(3, 5), samples=4), [0.3]
        weight = scene.weight("cuda", CPU)
        found = []
        for _ in range(2):
            steps = Steps(
                lambda x, d: (weight.update(x, d, Moving(lambda: now[0])), x)[1:], weight, make=Tape
            )
            for t in range(2):
                steps(scene.values(f"x {t}", 5), scene.values(f"d {t}", 3))
                now[0] *= 0.7
            assert steps.captured
            found.append(steps._kinds[0].graph.entries)  # type: ignore[union-attr]
        return bool(found[0] != found[1])

    assert not changed()
    monkeypatch.setattr(feed, "given", lambda make, like: torch.as_tensor(make()))
    with pytest.raises(AssertionError):  # nor is a tensor of the host taken for one of the device
        changed()


def test_a_plain_number_that_changes_is_found(
    as_on_a_gpu: Any, make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The comparison above would not hold if a learning rate were handed over as it is."""
    as_on_a_gpu(None)
    launched = trained(RULES["analog_sgd"])
    monkeypatch.setattr(feed, "number", lambda make, like: make())
    as_on_a_gpu(make)
    assert comparable(trained(RULES["analog_sgd"])) != comparable(launched)


class Dropping(Net):
    """Draws on the device."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(nn.functional.dropout(x, 0.2, self.training))


REFUSED = {
    "signs of rows flip": {"rule": basic(CTTv2, out_chop_prob=0.3)},
    "transfers out of several tiles": {"rule": basic(MRL, transfer_lr=0.1)},
    "random numbers are drawn": {"rule": RULES["cttv2"], "model": Dropping},
    "not trained by kernels alone": {"rule": RULES["analog_sgd"], "device": "cells"},
}


@pytest.mark.parametrize("reason", REFUSED)
def test_what_cannot_be_captured_is_launched_and_a_line_says_why(
    reason: str, as_on_a_gpu: Any, make: Any, tapes: list[Tape], caplog: pytest.LogCaptureFixture
) -> None:
    keys: dict[str, Any] = {"settings": replace(SETTINGS, epochs=1)} | REFUSED[reason]
    as_on_a_gpu(None)
    launched = trained(**keys)
    as_on_a_gpu(make)
    caplog.set_level(logging.WARNING)
    assert comparable(trained(**keys)) == comparable(launched)
    assert not tapes
    assert [one for one in caplog.messages if one.startswith("training steps are launched") and reason in one]


class Breaking(Tape):
    """A driver that gives up in the middle."""

    def capture(self, step: Callable[[], tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
        super().capture(step)
        raise RuntimeError("CUDA error: operation not permitted when stream is capturing\nmore")


@pytest.mark.parametrize("rule", ["cttv2", "mixed_precision"])
def test_a_capture_that_fails_leaves_no_trace(
    rule: str, as_on_a_gpu: Any, caplog: pytest.LogCaptureFixture
) -> None:
    as_on_a_gpu(None)
    launched = trained(RULES[rule])
    as_on_a_gpu(Breaking)
    caplog.set_level(logging.WARNING)
    assert comparable(trained(RULES[rule])) == comparable(launched)
    said = [one for one in caplog.messages if "not captured" in one]
    assert said == [
        "training steps are launched one by one, not captured in a graph: "
        "RuntimeError: CUDA error: operation not permitted when stream is capturing"
    ]


def test_the_switch_and_where_it_acts(as_on_a_gpu: Any, make: Any) -> None:
    def steps(**keys: Any) -> Steps | None:
        return steps_of(analog(RULES["cttv2"], **keys), lambda: ())

    assert steps() is None  # nothing captures on a CPU
    as_on_a_gpu(make)
    assert steps() is not None
    assert steps(graph="off") is None
    assert steps_of(Net(), lambda: ()) is None


def test_weights_that_are_written_between_steps_are_seen(as_on_a_gpu: Any, make: Any) -> None:
    """A graph knows where tensors lie: what replaces them goes there, and other devices end it."""

    def run(make: Any) -> dict[str, Any]:
        model, x = analog(RULES["cttv2"]), torch.ones(4, 6)
        weights = model.body.analog  # type: ignore[union-attr]

        def step(x: Tensor) -> tuple[Tensor, ...]:
            y = model(x)
            y.sum().backward()
            weights.update(0.3)
            model.zero_grad()
            return (y.detach(),)

        steps = step if make is None else Steps(step, model, make=make)
        found = []
        for t in range(8):
            if t == 3:
                weights.set_weight(torch.full((4, 6), 0.2))
            if t == 5:
                model.load_state_dict(model.state_dict())
            found.append(steps(x)[0].tolist())
            assert make is None or steps.captured is (t not in (0, 5))  # type: ignore[attr-defined]
        return numbers(model) | {"outputs": found}

    assert repr(run(make)) == repr(run(None))


# -- the tape ---------------------------------------------------------------------------------------


@pytest.fixture
def captured() -> Iterator[Callable[[Callable[[], Tensor]], Tensor]]:
    def one(step: Callable[[], Tensor]) -> Tensor:
        with feed.feeding(feed.Record(0, CPU)):
            return Tape().capture(lambda: (step(),))[0]

    yield one


def test_a_tape_refuses_what_a_graph_refuses(captured: Any) -> None:
    x = torch.ones(3)
    for step, match in (
        (lambda: x * float(x.sum()), "asks a tensor"),
        (lambda: x[x > 0], "asks a tensor"),
        (lambda: x + torch.arange(3), "makes a tensor on the host"),
        (lambda: x + torch.tensor([1.0, 2.0, 3.0]), "takes a tensor of the host"),
    ):
        with pytest.raises(TapeError, match=match):
            captured(step)


def test_a_tape_does_nothing_until_it_is_replayed() -> None:
    x, tape = torch.ones(3), Tape()
    with feed.feeding(feed.Record(0, CPU)):
        (y,) = tape.capture(lambda: (x.mul_(2.0) + 1.0,))
    assert x.tolist() == [1.0] * 3
    for power in (2.0, 4.0):
        tape.replay()
        assert x.tolist() == [power] * 3 and y.tolist() == [power + 1] * 3
