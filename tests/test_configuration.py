"""Every option of every group composes and builds; a mistake is one line that names the key."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from crossweep.build import build, devices, periphery, plain
from crossweep.devices.base import AbstractDevice
from crossweep.devices.soft_bounds import SoftBounds
from crossweep.errors import ConfigError
from crossweep.nodes import fill
from crossweep.paths import conf_dir, version_base
from crossweep.training.experiment import Experiment
from tests.runs import GROUPS

# these say nothing without a value of the user's
NEED_A_VALUE = {("device", "measured"): "device.file", ("model", "timm"): "model.name"}


def options(group: str) -> list[str]:
    return sorted(path.stem for path in (conf_dir() / group).glob("*.yaml") if not path.stem.startswith("_"))


@pytest.fixture(scope="module", autouse=True)
def hydra_finds_the_options() -> Iterator[None]:
    import crossweep.train  # noqa: F401  (registers the resolver)

    with initialize_config_dir(str(conf_dir()), **version_base()):
        yield


def composed(*overrides: str) -> DictConfig:
    return compose("train", overrides=list(overrides))


def built(*overrides: str) -> Experiment:
    return build(plain(composed(*overrides)))


@pytest.mark.few(each="group")
@pytest.mark.parametrize(("group", "option"), [(g, o) for g in GROUPS for o in options(g)])
def test_every_option_builds(group: str, option: str) -> None:
    if key := NEED_A_VALUE.get((group, option)):
        with pytest.raises(ConfigError, match=key):
            built(f"{group}={option}")
        return
    assert isinstance(built(f"{group}={option}"), Experiment)


@pytest.mark.parametrize("option", options("experiment"))
def test_every_experiment_builds(option: str) -> None:
    assert isinstance(built(f"experiment={option}"), Experiment)


def test_one_device_choice_sets_both_tiles_and_roles_can_differ() -> None:
    def pair(*overrides: str) -> tuple[AbstractDevice, AbstractDevice]:
        return devices(plain(composed(*overrides)))

    fast, slow = pair("device=reram_sb")
    assert fast == slow and fast.dw_min == 0.002
    fast, slow = pair("device=reram_sb", "device@device.fast=capacitor")
    assert type(fast).__name__ == "LinearStep" and fast.dw_min == 0.005 and slow.dw_min == 0.002
    fast, slow = pair("device.dw_min=0.05", "+device.slow.dw_min=0.02")
    assert (fast.dw_min, slow.dw_min) == (0.05, 0.02) and fast.w_max == slow.w_max


def test_levels_override_the_device_and_null_keeps_it() -> None:
    cfg = plain(composed("device=reram_om", "noise.pulse=0.1", "variability.step=0.0", "noise.write=2.5"))
    fast, _ = devices(cfg)
    assert (fast.dw_min_std, fast.dw_min_dtod, fast.write_noise_std) == (0.1, 0.0, 2.5)
    assert fast.w_max_dtod == pytest.approx(0.3499)  # null: the device's own
    forward, backward = periphery(
        plain(composed("noise.output=0.3", "noise.input=0.2", "noise.weight_read=0.1"))
    )
    assert (forward.out_noise, backward.inp_noise, forward.w_noise) == (0.3, 0.2, 0.1)


def test_number_of_states_sets_the_step_of_every_device() -> None:
    for option in options("device"):
        if ("device", option) not in NEED_A_VALUE and option != "ideal":
            fast, _ = devices(plain(composed(f"device={option}", "device.n_states=20")))
            assert fast.states == pytest.approx(20), option


BAD = {
    "noise.weight_transfer=-0.1": "noise.weight_transfer: must be a number >= 0, got -0.1",
    "noise.pulse=-1.0": "noise.pulse: must be a number >= 0 or null, got -1.0",
    "device.w_min=0.0": "w_min < 0 < w_max",
    "device.dw_min=abc": "device.dw_min: must be a number > 0, got 'abc'",
    "device.n_states=0": "device.n_states",
    "symmetry_point.variability=-0.1": "symmetry_point.variability: must be a number >= 0",
    "symmetry_point.tiles=left": "symmetry_point.tiles: must be one of",
    "algorithm.update.desired_bl=0": "algorithm.update.desired_bl: must be a whole number in [1, 10000], got 0",
    "algorithm.update.desired_bl=2.5": "algorithm.update.desired_bl: must be a whole number in [1, 10000], got 2.5",
    "algorithm.in_chop_prob=2.0": "algorithm.in_chop_prob: must be a number in [0, 1], got 2.0",
    "io.forward.noise_management=often": "io.forward.noise_management: must be one of ",
    "engine.max_relaxation=0.0": "engine.max_relaxation: must be a number > 0",
    "engine.micro_batch=-1": "engine.micro_batch: must be a whole number >= 0, got -1",
    "analog.omega=0.0": "analog.omega: must be a number in (0, 1], got 0.0",
    "analog.max_tile_size=-1": "analog.max_tile_size: must be a whole number >= 0",
    "data.target_classes=[]": "data.target_classes",
    "data.target_classes=[5,12]": "data.target_classes",
    "model.name=swin_tinny": "model.name",
    "training.finetune.epochs=-1": "training.finetune.epochs: must be a whole number >= 0, got -1",
    "training.baseline=[lion]": "training.baseline: must be a list of names among",
    "compute_device=quantum": "compute_device: must be auto, cpu or a device of this machine, got 'quantum'",
    "seed.device=-1": "seed.device: must be a whole number in [0, 9223372036854775807], got -1",
    "evaluation.fresh_devices=0.5": "evaluation.fresh_devices: must be a whole number",
    "+algorithm.fast_rate=1.0": "algorithm.fast_rate: is no parameter of CTTv2",
    "+algoritm=agad": "algoritm: is read by nothing, did you mean algorithm?",
    "+noise.puls=0.1": "noise.puls: is no parameter of Noise, did you mean pulse?",
    "+seed.devise=1": "seed.devise: is no parameter of Seeds, did you mean device?",
    "+training.epochs=3": "training.epochs: is no parameter of Training",
    "+device.slow.dw_min=-1.0": "device.slow.dw_min: must be a number > 0, got -1.0",
    "quiet=maybe": "quiet: must be true or false, got 'maybe'",
    "training.baseline_optimizers.sgd.lr=inf": "training.baseline_optimizers.sgd.lr: must be a number >= 0, finite",
    "device._target_=crossweep.devices.nowhere.Device": "device._target_: cannot import",
}


@pytest.mark.parametrize("override", BAD)
def test_bad_values_name_the_key_and_the_rule(override: str) -> None:
    with pytest.raises(ConfigError) as caught:
        built(override)
    assert BAD[override] in str(caught.value).replace("`", "")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ("device=constant_step", "symmetry_point.skew=0.3"),
            "symmetry_point.skew, .variability: must be 0 for ConstantStep, which has no symmetry point, got 0.3",
        ),
        (
            ("algorithm=zero_shifting", "device=pcm"),
            "zero-shifting needs a symmetry point, and OneSided has none",
        ),
    ],
)
def test_what_does_not_suit_each_other_is_refused_before_training(
    overrides: tuple[str, ...], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        built(*overrides)


@pytest.mark.parametrize(
    ("node", "message"),
    [
        ({"w_max": True}, "x.w_max: must be a number, got True"),
        ({"mult_noise": 1}, "x.mult_noise: must be true or false, got 1"),
        ({"n_states": "many"}, "x.n_states: must be a number > 0 or null, got 'many'"),
    ],
)
def test_types_are_checked(node: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        fill(SoftBounds, node, "x")


def test_configuration_is_found_in_the_checkout() -> None:
    assert (conf_dir() / "train.yaml").is_file() and isinstance(conf_dir(), Path)


@pytest.mark.parametrize(("data", "wanted"), [("digits", 300.0), ("cifar", 3000.0)])
def test_granularity_follows_the_training(data: str, wanted: float) -> None:
    cfg = composed(f"data={data}")
    assert cfg.algorithm.auto_granularity == cfg.training.auto_granularity == wanted
    assert composed(f"data={data}", "algorithm.auto_granularity=7.0").algorithm.auto_granularity == 7.0
