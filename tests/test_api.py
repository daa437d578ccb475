"""``import crossweep``: what it offers keeps the rules of the command line, and README's examples run as they stand."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from torch import nn

import crossweep
from crossweep.algorithms.agad import AGAD
from crossweep.algorithms.analog_sgd import AnalogSGD
from crossweep.algorithms.cttv2 import CTTv2
from crossweep.algorithms.tiki_taka import BufferedTransfer
from crossweep.build import build, devices, read
from crossweep.composition import composed, words
from crossweep.devices.base import AbstractDevice
from crossweep.devices.soft_bounds import SoftBounds
from crossweep.errors import ConfigError, DivergedError, StudyError
from crossweep.nn.convert import analog_weights
from crossweep.paths import conf_dir, version_base
from crossweep.rng import Stream
from tests.results import studies
from tests.runs import configuration
from tests.test_train import tiny

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CROSSWEEP_MULTIRUN", str(tmp_path / "multirun"))


def network(seed: int = 0) -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))


def inputs(n: int = 64) -> torch.Tensor:
    return torch.randn(n, 6, generator=Stream(1).generator())


def device_of(model: nn.Module) -> AbstractDevice:
    (weight, *_) = analog_weights(model).values()
    return weight.parts()[0].tiles()["fast"].device


def equal(one: nn.Module, other: nn.Module) -> bool:
    first, second = one.state_dict(), other.state_dict()
    tensors = [name for name, value in first.items() if isinstance(value, torch.Tensor)]
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in tensors)


# -- the package ---------------------------------------------------------------------------------------------------


def test_importing_crossweep_and_reading_a_study_loads_no_torch(tmp_path: Path) -> None:
    studies.study(tmp_path / "made", lambda x, _: 4 * float(x[0]), n=8)
    code = (
        "import crossweep, sys; assert not {'torch', 'hydra', 'pandas', 'optuna'} & sys.modules.keys();"
        "assert set(crossweep.__all__) <= set(dir(crossweep));"
        "assert len(crossweep.study('made').table) == 8; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)


def test_every_name_is_there_and_no_other() -> None:
    for name in crossweep.__all__:
        assert getattr(crossweep, name).__doc__
    with pytest.raises(AttributeError, match="converts"):
        crossweep.converts  # noqa: B018


# -- convert -------------------------------------------------------------------------------------------------------


def test_a_converted_model_is_what_the_entry_point_makes_of_it() -> None:
    net = network()
    model = crossweep.convert(
        net, "reram_om", "agad", {"symmetry_point.skew": 0.2}, noise="typical", seed={"device": 3}
    )
    made = build(
        configuration(
            "device=reram_om", "algorithm=agad", "symmetry_point.skew=0.2", "noise=typical", "seed.device=3"
        )
    )
    expected, _ = made.conversion.convert(network(), made.rule, made.factory)
    assert equal(model, expected) and list(analog_weights(model)) == ["0", "2"]
    assert isinstance(net[0], nn.Linear) and torch.equal(net[0].weight, network()[0].weight)


@pytest.mark.parametrize(
    "form", [{"symmetry_point.skew": 0.3}, ["symmetry_point.skew=0.3"], "symmetry_point.skew=0.3"]
)
def test_overrides_come_as_mapping_words_or_keywords(form: Any) -> None:
    assert equal(
        crossweep.convert(network(), overrides=form),
        crossweep.convert(network(), **{"symmetry_point.skew": 0.3}),
    )
    assert not equal(crossweep.convert(network(), overrides=form), crossweep.convert(network()))


def test_values_of_every_kind_arrive_as_they_are() -> None:
    given = {
        "a": 1,
        "b": 0.5,
        "c": True,
        "d": None,
        "e": "0.1",
        "f": [0, "x y", "1"],
        "g": {"h": [1.5]},
        "i": "it's",
        "j": 1e-7,
    }
    with initialize_config_dir(str(conf_dir()), **version_base()):
        found = compose(overrides=[f"+{word}" for word in words(given, {})])
    assert found == given


@dataclass(frozen=True, kw_only=True)
class Mine(SoftBounds):
    """A device of this module."""

    dw_min: float = 0.02


def test_devices_and_rules_come_as_objects_and_classes() -> None:
    mine = crossweep.option(Mine, "soft_bounds", n_devices=2)
    assert equal(crossweep.convert(network(), SoftBounds), crossweep.convert(network(), "soft_bounds"))
    assert device_of(crossweep.convert(network(), mine)) == mine and mine.n_devices == 2
    fine = crossweep.convert(network(), SoftBounds, "ttv2", {"device.dw_min_dtod": 0.1})
    assert device_of(fine) == crossweep.option(SoftBounds, dw_min_dtod=0.1)
    spread = crossweep.convert(network(), mine, "ttv2", variability="none")
    assert device_of(spread) == replace(
        mine, dw_min_dtod=0.0, w_max_dtod=0.0, w_min_dtod=0.0, up_down_dtod=0.0
    )
    for given in (AnalogSGD, crossweep.option(AnalogSGD)):
        rule = analog_weights(crossweep.convert(network(), algorithm=given))["0"].parts()[0].rule
        assert rule == crossweep.option("algorithm", "analog_sgd")
    assert "device=given_Mine" not in json.dumps(configuration("device=soft_bounds"))
    with pytest.raises(ConfigError, match="given_Mine"):  # it was an option for that call alone
        composed(["device=given_Mine"])


@dataclass(frozen=True, kw_only=True)
class Hasty(BufferedTransfer):
    """A rule of this module."""

    haste: float = 2.0


def test_an_option_is_an_object() -> None:
    trained = configuration("device=reram_om", "algorithm=agad", "io=perfect")
    assert crossweep.option("device", "reram_om") == devices(trained)[0]
    assert crossweep.option(AGAD) == read(trained).algorithm
    assert crossweep.option("io", "perfect").forward.is_perfect
    assert crossweep.option(CTTv2) == crossweep.option("algorithm", "cttv2") == crossweep.option("algorithm")
    assert crossweep.option(CTTv2) is crossweep.option(CTTv2)  # kept: asking again costs nothing
    changed = crossweep.option(SoftBounds, "reram_om", dw_min=0.05)
    assert changed == replace(crossweep.option("device", "reram_om"), dw_min=0.05)
    assert crossweep.option(CTTv2, **{"update.desired_bl": 7}).update.desired_bl == 7
    hasty = crossweep.option(Hasty, "_buffered")
    assert hasty.haste == 2.0 and hasty.step is None and hasty.update.desired_bl == 31


@pytest.mark.parametrize(
    ("ask", "says"),
    [
        (lambda: crossweep.option("device", "reram_on"), "reram_om"),
        (lambda: crossweep.option("divice", "reram_om"), r"^option: must be a class or one of device, .*got 'divice'$"),
        (lambda: crossweep.option("device", "reram_om", dw_min=-1), r"^device\.dw_min: must be a number > 0, got -1$"),
        (lambda: crossweep.option(SoftBounds, "reram_es"), r"^device: must describe SoftBounds, got ExpStep$"),
        (lambda: crossweep.option(int), r"^option: int is described by none of the groups"),
        (lambda: crossweep.convert(network(), Mine), r"^device: no option of crossweep names the class Mine; whose"),
    ],
)  # fmt: skip
def test_an_option_that_is_none_is_one_line(ask: Callable[[], object], says: str) -> None:
    with pytest.raises(ConfigError, match=says) as caught:
        ask()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"device": "reram_on"}, r"reram_om"),
        ({"algorithm": "cttv3"}, r"cttv2"),
        ({"device": 3}, r"^device: must be the name of an option or a dataclass of parameters, got 3"),
        ({"overrides": {"symmetry_point.skew": "x"}}, r"^symmetry_point\.skew: must be a number, got 'x'$"),
        ({"overrides": {"device.dw_min": -1}}, r"^device\.dw_min: must be a number > 0, got -1$"),
        ({"overrides": ["device.dwmin=1"]}, r"device\.dwmin"),
        ({"overrides": {"analog.exclude": ["nothing*"]}}, r"^analog\.exclude: pattern 'nothing\*' matches none"),
        ({"overrides": {"analog.layers": "head"}}, r"^analog\.layers: the model has no convertible layer in part 'head'$"),
        ({"nois": "typical"}, r"^nois: plays no part in a conversion, did you mean noise\?$"),
        ({"noise": torch.zeros(1)}, r"^noise: must be a number, a text, a list or a mapping"),
        ({"overrides": ["data=cifar"]}, r"^data: plays no part in a conversion; what does are device, noise"),
        ({"overrides": {"training.finetune.analog_lr": 1.0}}, r"^training\.finetune\.analog_lr: plays no part"),
        ({"overrides": ["+study=smoke"]}, r"^study: plays no part"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line_with_the_key_as_typed(arguments: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says) as caught:
        crossweep.convert(network(), **arguments)
    assert "\n" not in str(caught.value)


def test_a_network_that_would_be_another_is_refused_by_its_layer() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(6, 6), nn.Linear(6, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.second(x @ self.first.weight)

    with torch.random.fork_rng():
        net = Twice()
    with pytest.raises(ConfigError, match=r"analog\.exclude=\[first\]"):
        crossweep.convert(net)
    model = crossweep.convert(net, overrides={"analog.exclude": ["first"]})
    assert list(analog_weights(model)) == ["second"]
    with pytest.raises(ConfigError, match=r"^model: must hold its layers, got a single Linear"):
        crossweep.convert(net.second)


def test_a_sample_stands_for_inputs_that_cannot_be_guessed() -> None:
    class Pair(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.words, self.out = nn.Embedding(10, 6), nn.Linear(6, 3)

        def forward(self, i: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
            return self.out(self.words(i) + x)

    with torch.random.fork_rng():
        net = Pair()
    with pytest.raises(ConfigError, match=r"^sample: must be given"):
        crossweep.convert(net)
    sample = (torch.tensor([1, 2]), inputs(2))
    assert crossweep.convert(net, sample=sample)(*sample).shape == (2, 3)


def test_images_of_a_network_are_guessed_and_its_mode_and_statistics_stay() -> None:
    with torch.random.fork_rng():
        net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4 * 26 * 26, 2))
    before = {name: value.clone() for name, value in net.state_dict().items()}
    model = crossweep.convert(net, device="ideal", algorithm="analog_sgd")
    assert list(analog_weights(model)) == ["0", "3"] and net.training and model.training
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_hydra_of_the_surrounding_program_stays_as_it_is() -> None:
    with initialize_config_dir(str(conf_dir()), **version_base()):
        outside = GlobalHydra.instance().hydra
        crossweep.convert(network(), "ideal", "analog_sgd")
        with pytest.raises(ConfigError):
            crossweep.convert(network(), "unheard_of")
        assert GlobalHydra.instance().hydra is outside
        assert compose("train", overrides=["device=ideal"]).device.n_devices == 1


# -- Optimizer -----------------------------------------------------------------------------------------------------


def loss_of(model: nn.Module) -> torch.Tensor:
    x = inputs()
    return nn.functional.cross_entropy(model(x), (x[:, :3]).argmax(-1))


def test_the_configuration_gives_the_rates_that_are_not_given() -> None:
    model, finetune = crossweep.convert(network()), configuration()["training"]["finetune"]
    rates = [group["lr"] for group in crossweep.Optimizer(model).param_groups]
    assert rates == [finetune["analog_lr"], finetune["optimizer"]["lr"]]
    own = crossweep.Optimizer(model, analog_lr=0.3, name="adamw", lr=0.01, weight_decay=0.02)
    assert [group["lr"] for group in own.param_groups] == [0.3, 0.01] and own.param_groups[1][
        "weight_decay"
    ] == 0.02
    for wrong in ({"analog_lr": -1.0}, {"lr": "x"}, {"name": "lion"}, {"momentum": 1.0}):
        with pytest.raises(ConfigError, match=rf"^{next(iter(wrong))}: must be"):
            crossweep.Optimizer(model, **wrong)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="nothing to train"):
        crossweep.Optimizer(nn.Sequential(nn.Tanh()))


def test_a_loop_trains_crossbars_and_what_requires_a_gradient() -> None:
    model = crossweep.convert(network(), "ideal", "analog_sgd")
    model[2].bias.requires_grad_(False)
    before = {name: weight.logical_weight().clone() for name, weight in analog_weights(model).items()}
    biases = [model[0].bias.clone(), model[2].bias.clone()]
    optimizer = crossweep.Optimizer(model, analog_lr=0.3, lr=0.3)
    first = loss_of(model).item()
    for _ in range(20):
        optimizer.zero_grad()
        loss_of(model).backward()
        optimizer.step()
    assert loss_of(model).item() < 0.8 * first
    assert all(
        not torch.equal(weight.logical_weight(), before[name])
        for name, weight in analog_weights(model).items()
    )
    assert not torch.equal(model[0].bias, biases[0]) and torch.equal(model[2].bias, biases[1])


def test_gradients_that_are_forgotten_train_nothing_and_several_add_up() -> None:
    model, twice = (crossweep.convert(network(), "ideal", "analog_sgd") for _ in range(2))
    start = analog_weights(model)["0"].logical_weight().clone()
    optimizer = crossweep.Optimizer(model)
    loss_of(model).backward()
    optimizer.zero_grad()
    optimizer.step()
    assert torch.equal(analog_weights(model)["0"].logical_weight(), start)
    other = crossweep.Optimizer(twice)
    for _ in range(2):
        loss_of(twice).backward()
    other.step()
    assert analog_weights(twice)["0"].parts()[0].tally.samples == 2 * len(inputs())


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_schedulers_reach_both_rates_and_the_state_is_saved(name: Any) -> None:
    model = crossweep.convert(network(), "ideal", "analog_sgd")

    def made() -> tuple[Any, Any]:
        optimizer = crossweep.Optimizer(model, name=name, analog_lr=0.2, lr=0.1, momentum=0.9)
        return optimizer, torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5)

    optimizer, scheduler = made()
    bias = model[0].bias
    loss_of(model).backward()
    optimizer.step()
    scheduler.step()
    assert [group["lr"] for group in optimizer.param_groups] == [0.1, 0.05]
    saved = optimizer.state_dict()
    held = {key: torch.as_tensor(value).clone() for key, value in optimizer.state[bias].items()}
    assert held
    resumed, _ = made()
    resumed.load_state_dict(saved)
    assert [group["lr"] for group in resumed.param_groups] == [0.1, 0.05]
    assert all(torch.equal(torch.as_tensor(resumed.state[bias][key]), value) for key, value in held.items())
    resumed.param_groups[0]["lr"] = resumed.param_groups[1]["lr"] = 0.0
    before = bias.detach().clone(), analog_weights(model)["0"].logical_weight().clone()
    loss_of(model).backward()
    resumed.step()  # rates and state in use are those of this object
    assert not all(
        torch.equal(torch.as_tensor(resumed.state[bias][key]), value) for key, value in held.items()
    )
    assert torch.equal(bias, before[0]) and torch.equal(
        analog_weights(model)["0"].logical_weight(), before[1]
    )


def test_rules_that_change_course_are_told_the_loss_of_an_epoch() -> None:
    model = crossweep.convert(network(), "ideal", "mrl")
    optimizer, weight = crossweep.Optimizer(model), analog_weights(model)["0"].parts()[0]
    optimizer.end_epoch(loss_of(model))
    assert len(weight.losses) == 1


# -- run and load --------------------------------------------------------------------------------------------------


@pytest.fixture
def record() -> dict[str, Any]:
    return crossweep.run(tiny("training.baseline=[sgd]"))


def test_a_run_is_the_commands_own(record: dict[str, Any], tmp_path: Path) -> None:
    folder = Path(record["folder"])
    assert folder.parent == tmp_path / "multirun" / "runs" and folder.name.startswith("synthetic-cttv2-")
    on_disk = json.loads((folder / "record.json").read_text())
    assert record["metrics"] == on_disk["metrics"] and on_disk["choices"]["algorithm"] == "cttv2"
    assert on_disk["overrides"] == tiny("training.baseline=[sgd]")
    assert {"record.json", "history.csv", "checkpoint.safetensors", "train.log", ".hydra"} == {
        p.name for p in folder.iterdir()
    }
    again = crossweep.run(tiny(), **{"training.baseline": ["sgd"]})
    assert again["folder"] == record["folder"] and again["started"] == record["started"]


@pytest.mark.parametrize(
    ("more", "error", "says"),
    [
        (["symmetry_point.skew=x"], ConfigError, r"^symmetry_point\.skew: must be a number, got 'x'$"),
        (["study=smoke"], ConfigError, r"^study: is a sweep and needs -m"),
        (["device=nope"], ConfigError, r"device/?.*nope"),
        (
            ["training.baseline=[sgd]", "training.baseline_optimizers.sgd.lr=0.0"],
            DivergedError,
            "no better than guessing",
        ),
    ],
)
def test_a_run_that_is_refused_says_why_and_nothing_else(
    more: list[str], error: type[Exception], says: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(error, match=says):
        crossweep.run(tiny(*more))
    left = list((tmp_path / "multirun").rglob("record.json"))
    assert len(left) == (error is DivergedError) and capfd.readouterr() == ("", "")
    assert not list((tmp_path / "multirun").rglob(".hydra")) or error is DivergedError


def test_a_loaded_model_repeats_the_record_bit_for_bit(record: dict[str, Any]) -> None:
    trained = crossweep.load(record["folder"])
    assert trained.config == trained.record["config"] and not trained.model.training
    test, validation = trained.evaluate(), trained.evaluate("validation")
    assert 100 * (1 - test.accuracy) == record["metrics"]["test_error"]
    assert validation.loss == record["metrics"]["validation_loss"]
    with pytest.raises(ConfigError, match="split: must be one of"):
        trained.evaluate("target")  # type: ignore[arg-type]


@pytest.mark.parametrize("rule", ["digital", "analog_sgd"])
def test_runs_of_other_rules_are_loaded_too(rule: str) -> None:
    record = crossweep.run(tiny(f"algorithm={rule}", "training.baseline=[]"))
    assert crossweep.load(record["folder"]).evaluate().accuracy == record["metrics"]["test_accuracy"]


def changed(record: dict[str, Any], **changes: Any) -> Path:
    folder = Path(record["folder"])
    content = json.loads((folder / "record.json").read_text())
    (folder / "record.json").write_text(json.dumps({**content, **changes}))
    return folder


def test_what_cannot_be_loaded_says_why(record: dict[str, Any], tmp_path: Path) -> None:
    for nothing in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(ConfigError, match=r"is no folder of a finished run, it holds no record\.json$"):
            crossweep.load(nothing)
    config = record["config"]
    with pytest.raises(
        ConfigError, match=r"plugins: the run used elsewhere; if you trust it, load\(folder, plugins="
    ):
        crossweep.load(changed(record, config={**config, "plugins": ["elsewhere"]}))
    with pytest.raises(ConfigError, match=r"device\._target_: must name a class of crossweep"):
        crossweep.load(changed(record, config={**config, "device": {"_target_": "os.system"}}))
    with pytest.raises(ConfigError, match=r"does not fit this run"):
        crossweep.load(changed(record, config={**config, "model": {**config["model"], "widths": [4]}}))
    changed(record, config=config)
    with pytest.raises(
        ConfigError, match=r"was written by crossweep 0\.0\.1, this is .*; load it with that version"
    ):
        crossweep.load(changed(record, versions={**record["versions"], "crossweep": "0.0.1"}))
    changed(record, versions=record["versions"])
    (Path(record["folder"]) / "checkpoint.safetensors").unlink()
    with pytest.raises(
        ConfigError, match=r"has kept no checkpoint.*before its first epoch did, or the file was removed"
    ):
        crossweep.load(record["folder"])
    with pytest.raises(
        ConfigError, match=r"has kept no checkpoint\.safetensors; keep_checkpoint=true keeps it"
    ):
        crossweep.load(changed(record, config={**config, "keep_checkpoint": False}))


def test_a_test_bed_has_no_model_to_load() -> None:
    record = crossweep.run(
        task="weight_programming", algorithm="analog_sgd", quiet=True, **{"task.samples": 100, "task.size": 4}
    )
    with pytest.raises(ConfigError, match="is the run of a test-bed"):
        crossweep.load(record["folder"])


# -- study ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def made(tmp_path: Path) -> Path:
    return studies.study(tmp_path / "made", lambda x, _: 6 * float(x[0]) + float(x[1]), n=16, noise=0.05)


def test_a_study_hands_over_what_its_report_says(made: Path) -> None:
    from crossweep.results.reporting import build_report

    study = crossweep.study(made, budget=2.5)
    assert (
        study.analysis.budget == 2.5
        and len(study.table) == 16
        and not {"varied", "settings"} & set(study.table)
    )
    build_report(made, figures=False, budget=2.5)
    written = pd.read_csv(made / "tolerance.csv")
    assert list(study.specification["answer"]) == list(written["answer"])
    assert set(study.importance["axis"]) == {"skew", "variability"} and study.comparison.empty
    assert len(study.landscape) == 1 and "skew" in study.landscape.titles[0]
    one, other = study.landscape.plot(), study.landscape.plot()
    assert one is not other and len(one.axes) == 2
    assert (study.landscape._repr_png_() or b"").startswith(b"\x89PNG")
    with pytest.raises(StudyError, match=r"^landscape: has 1 maps, got number 1$"):
        study.landscape.plot(1)


def test_a_study_without_a_map_says_why(tmp_path: Path) -> None:
    few = studies.study(tmp_path / "few", lambda x, _: float(x[0]), n=16, axes={"skew": studies.AXES["skew"]})
    landscape = crossweep.study(few).landscape
    assert len(landscape) == 0 and landscape._repr_png_() is None
    with pytest.raises(StudyError, match=r"landscape: has 0 maps, got number 0 \(.+\)"):
        landscape.plot()
    with pytest.raises(StudyError, match="does not exist"):
        crossweep.study(tmp_path / "nowhere")
    with pytest.raises(StudyError, match="needs the folder of a study"):
        crossweep.study()


# -- README --------------------------------------------------------------------------------------------------------

EXAMPLES = re.findall(
    r"```python\n(.*?)```",
    (ROOT / "README.md").read_text().partition("## In Python\n")[2].partition("\n## ")[0],
    re.DOTALL,
)


def run_example(number: int) -> dict[str, Any]:
    names: dict[str, Any] = {}
    with torch.random.fork_rng():
        exec(EXAMPLES[number], names)
    return names


def test_readme_has_three_examples_of_ten_lines() -> None:
    assert len(EXAMPLES) == 3
    assert all(
        len([line for line in text.splitlines() if line and "import" not in line]) <= 10 for text in EXAMPLES
    )


def test_readme_converts_and_trains_in_a_loop_of_ones_own() -> None:
    names = run_example(0)
    x = names["inputs"]
    with torch.no_grad():
        right = names["model"](x).argmax(-1) == (x[:, 0] > x[:, 1]).long()
    assert float(right.float().mean()) > 0.8


def test_readme_loads_and_evaluates(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = crossweep.run
    monkeypatch.setattr(crossweep, "run", lambda given: run([*tiny("algorithm=cttv2")[:-1], *given]))
    names = run_example(1)
    assert names["record"]["algorithm"] == "agad" and names["record"]["choices"]["device"] == "reram_om"
    assert f"{names['record']['metrics']['test_accuracy']}" in capsys.readouterr().out


def test_readme_analyses_a_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    axes = {f"sp_{name}": axis for name, axis in studies.AXES.items()}
    studies.study(
        tmp_path / "multirun" / "landscape_skew_variability", lambda x, _: 5 * float(x[0]), axes=axes
    )
    names = run_example(2)
    assert (tmp_path / "landscape.png").stat().st_size > 10_000 and len(names["study"].specification) == 2
