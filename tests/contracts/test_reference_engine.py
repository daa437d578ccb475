"""The reference engine is torch alone: every rule, level and device runs with no compiled kernel in reach."""

import importlib
import pkgutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from numba.core.dispatcher import Dispatcher

from crossweep.algorithms.base import AnalogWeight
from crossweep.bench.basic import basic
from crossweep.engine.base import EngineParameters
from crossweep.engine.choose import choose
from crossweep.engine.cpu import kernels
from crossweep.engine.io_parameters import IOParameters
from crossweep.errors import ConfigError
from crossweep.tiles.factory import TileFactory
from tests.algorithms.rigs import DEVICES, factory, normal
from tests.contracts.test_algorithms import ANALOG, ENGINES, SHAPE, rule
from tests.runs import trained
from tests.tables import in_pairs

CPU = torch.device("cpu")


@pytest.fixture
def no_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever Python may call of the kernels raises."""

    def never(*_: object) -> None:
        raise AssertionError("a compiled kernel was called")

    names = [found.name for found in pkgutil.iter_modules(kernels.__path__, f"{kernels.__name__}.")]
    # all before the first is patched: a module keeps what it imports from another
    for module in [importlib.import_module(name) for name in names]:
        for name, value in list(vars(module).items()):
            if isinstance(value, Dispatcher):
                monkeypatch.setattr(module, name, never)


def made(name: str, device: str, engine: EngineParameters, backend: str) -> AnalogWeight:
    if name == "zero_shifting" and device in ("constant_step", "pair"):
        pytest.skip("no symmetry point to find")
    # write noise, and reads with a periphery: whatever a kernel exists for
    noisy = replace(DEVICES[device], write_noise_std=0.5)
    io = basic(IOParameters, out_bound=20.0)
    given = factory(noisy, engine=replace(engine, backend=backend), io=io)  # type: ignore[arg-type]
    return rule(name).build(SHAPE, given)


def use(weight: AnalogWeight) -> None:
    """All that a layer does with a weight."""
    weight.set_weight(0.2 * normal(77, *SHAPE))
    for t in range(2):
        weight.read(normal(t, 5, 5))
        weight.read_transposed(normal(t, 5, 4))
        weight.update(normal(t, 5, 5), normal(1000 + t, 5, 4), 0.3)


@pytest.mark.few(each="name device level")
@in_pairs("name, device, level", ANALOG, DEVICES, tuple(ENGINES))
def test_the_reference_calls_no_kernel(name: str, device: str, level: str, no_kernels: None) -> None:
    weight = made(name, device, ENGINES[level], "reference")
    use(weight)
    assert torch.isfinite(weight.weight).all()
    assert weight.cost()["pulses"] > 0


@pytest.mark.parametrize("name", ["cttv2", "analog_sgd"])
def test_the_compiled_engine_does(name: str, no_kernels: None) -> None:
    with pytest.raises(AssertionError, match="a compiled kernel was called"):
        use(made(name, "soft_bounds", ENGINES["count"], "auto"))


def test_a_whole_training_runs_on_the_reference_and_says_so(
    no_kernels: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CROSSWEEP_MULTIRUN", str(tmp_path / "multirun"))
    words = ("model=mlp", "model.widths=[8]", "training.finetune.epochs=1", "training.pretrain.epochs=1")
    short = ("training.baseline=[]", "evaluation.fresh_devices=1", "quiet=true", "data=synthetic")
    record = trained(tmp_path / "run", *words, *short, "engine.backend=reference")
    assert record["hardware"]["engine"] == {"implementation": "reference", "reason": "asked for"}
    assert record["cost"]["pulses_fast"] > 0


def test_what_is_chosen_and_why() -> None:
    cuda = torch.device("cuda")
    assert choose("auto", CPU) == ("cpu", "tiles lie on the CPU")
    assert choose("auto", CPU, instances=8).implementation == "reference"
    assert choose("cpu", CPU, instances=8) == ("cpu", "asked for")
    assert choose("auto", torch.device("mps")) == ("reference", "there are no compiled kernels for mps")
    with pytest.raises(ConfigError, match=r"engine\.backend: cpu works on compute_device=cpu only, got cuda"):
        choose("cpu", cuda)
    with pytest.raises(ConfigError, match=r"backend: must be one of .*, got 'gpu'"):
        replace(ENGINES["count"], backend="gpu")  # type: ignore[arg-type]


def test_all_that_a_factory_makes_works_with_what_was_chosen() -> None:
    many: TileFactory = replace(factory(DEVICES["soft_bounds"], engine=ENGINES["count"]), instances=8)
    weight = rule("cttv2").build((8, *SHAPE), many)
    assert [made.engine.name for made in (weight, *weight.tiles().values())] == 3 * ["reference"]
