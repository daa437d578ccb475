"""``compute_device: auto``: what is faster, by the layers and weight-samples of a step, and why."""

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.algorithms.rigs import DEVICES, factory
from tests.contracts.test_algorithms import ANALOG, rule
from tests.models import options
from tests.runs import configuration
from torch import nn

from crossweep.bench.basic import basic
from crossweep.build import build
from crossweep.engine.base import Backend, EngineParameters
from crossweep.nn.self_check import self_check
from crossweep.rng import Stream
from crossweep.tiles.mapping import TileMapping
from crossweep.training import experiment as experiment_module
from crossweep.training.allocation import bytes_per_weight
from crossweep.training.experiment import Experiment
from crossweep.training.outline import Outline, fresh, loads
from crossweep.training.place import Load, faster, refused


def one(calls: float, work: float) -> dict[Any, Load]:
    return {"analog": Load(calls, work), "digital": Load()}


def test_a_large_network_goes_to_the_gpu_and_a_small_one_does_not() -> None:
    """The step of a Swin that was measured, one of the digits' perceptron, and many of these at once."""
    swin, perceptron = one(28, 1.3e9), one(2, 3e4 * 16)
    assert faster(swin, 2, None).device == "cuda"
    assert faster(perceptron, 2, None).device == "cpu"
    assert faster(one(2, 1e4 * 3e4 * 16), 2, None).device == "cuda"
    assert faster(swin, 2, None).reason == (
        "a step of 28 layers and 1,300,000,000 weight-samples takes about"
        " 269 ms on 2 threads of the CPU, 46.1 ms on the GPU"
    )


@pytest.mark.parametrize("threads", [1, 2, 8, 64])
def test_more_work_never_brings_it_back_to_the_cpu(threads: int) -> None:
    places = [faster(one(20, work), threads, None).device for work in (1e5, 1e7, 1e9, 1e11, 1e13)]
    assert places == sorted(places)
    assert places[0] == "cpu" and places[-1] == "cuda"


def test_what_the_gpus_engine_refuses_stays_on_the_cpu() -> None:
    assert faster(one(28, 1e15), 1, "several devices make a weight") == (
        "cpu", "the engine on the GPU does not do these updates: several devices make a weight"
    )  # fmt: skip


@pytest.mark.parametrize("name", ANALOG)
def test_every_rule_on_plain_devices_is_served_by_the_gpus_engine(name: str) -> None:
    assert refused(rule(name), factory(DEVICES["soft_bounds"], engine=basic(EngineParameters))) is None


@pytest.mark.parametrize("device", ["cells", "pair"])
def test_several_devices_for_a_weight_are_not(device: str) -> None:
    found = refused(rule("cttv2"), factory(DEVICES[device], engine=basic(EngineParameters)))
    assert found == "several devices make a weight"


def test_a_response_without_closed_form_is_not() -> None:
    found = refused(
        rule("cttv2"), factory(DEVICES["exp_step"], engine=basic(EngineParameters, level="pulse"))
    )
    assert found == "a device's steps have no closed form"


@pytest.fixture
def with_gpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As if there were one: nothing is computed there."""
    monkeypatch.setenv("CROSSWEEP_MULTIRUN", str(tmp_path / "multirun"))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    experiment_module._say.cache_clear()


def placed(*overrides: str, together: int = 1) -> Experiment:
    made = build(configuration(*overrides), together=together)
    assert isinstance(made, Experiment)
    return made


SMALL = ("data=synthetic", "model=mlp", "model.widths=[8]")


def test_it_says_which_and_why_once(with_gpu: None, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        made = [placed(*SMALL) for _ in range(2)]
    assert [str(one.torch_device) for one in made] == ["cpu", "cpu"]
    assert made[0].factory.choice.implementation == "cpu"
    (line,) = [record.message for record in caplog.records]
    # 64 inputs and 8 hidden for 16 images, and their 5 classes
    assert line.startswith(
        f"compute_device: cpu; a step of 2 layers and {16 * 8 * (64 + 5):,} weight-samples takes"
    )


def test_many_at_once_go_where_one_does_not(with_gpu: None) -> None:
    # a million times the same small network is much work in few launches
    made = placed(*SMALL, together=10**7)
    assert str(made.torch_device) == str(made.factory.torch_device) == "cuda"
    assert made.factory.choice.implementation == "cuda"


def test_a_large_network_is_placed_on_the_gpu(with_gpu: None) -> None:
    images = ("data=synthetic", "data.size=32", "data.channels=3", "data.train_per_class=20")
    made = placed(*images, "model=swin_micro", "training.finetune.batch_size=64")
    assert str(made.torch_device) == "cuda"
    cells = ("device.n_devices=2", "training.finetune.batch_size=64")
    assert str(placed(*images, "model=swin_micro", *cells).torch_device) == "cpu"


def test_what_was_asked_for_decides(with_gpu: None, caplog: pytest.LogCaptureFixture) -> None:
    for engine, device in (("cpu", "cpu"), ("reference", "cpu"), ("cuda", "cuda")):
        assert str(placed(*SMALL, f"engine.backend={engine}").torch_device) == device
    assert str(placed(*SMALL, "compute_device=cpu").torch_device) == "cpu"
    assert not caplog.records


def test_without_a_gpu_nothing_is_said(
    caplog: pytest.LogCaptureFixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CROSSWEEP_MULTIRUN", str(tmp_path / "multirun"))
    assert str(placed(*SMALL, together=10**7).torch_device) == "cpu"
    assert not caplog.records


@pytest.mark.parametrize(
    ("name", "calls", "vectors"), [("mlp", [1, 1, 1], [1, 1, 1]), ("lstm", [1, 8, 1], [8, 8, 1])]
)
def test_calls_and_vectors_of_every_layer_are_counted(
    name: str, calls: list[int], vectors: list[int]
) -> None:
    """A sequence of eight rows goes into a recurrent layer at once, and through its states step by step."""
    target = Outline("digits", (1, 8, 8), 5, 100)
    found, network = (
        loads(options.load(name), target),
        fresh(options.load(name), target, Stream(0).generator()),
    )
    sizes = [network.get_parameter(f"{layer}.weight").numel() for layer in found]
    assert [load.calls for load in found.values()] == calls
    assert [load.work for load in found.values()] == [
        n * size for n, size in zip(vectors, sizes, strict=True)
    ]


@pytest.mark.parametrize(("asked", "engine"), [("cuda", "cpu"), ("auto", "cpu"), ("reference", "reference")])
def test_weights_that_are_only_looked_at_are_made_on_the_cpu(
    asked: Backend, engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("crossweep.engine.choose.interpreted", lambda: False)
    made = replace(
        factory(DEVICES["soft_bounds"]), torch_device="cuda", engine=basic(EngineParameters, backend=asked)
    )
    assert made.trial().choice.implementation == engine
    assert bytes_per_weight(rule("cttv2"), made) > 0
    with torch.random.fork_rng():
        network = nn.Sequential(nn.Linear(3, 2))
    self_check(network, ["0"], basic(TileMapping), made, torch.zeros(1, 3))
