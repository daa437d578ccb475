"""Nothing that a file or a configuration names runs, unless crossweep or a package that the user lists holds it."""

import json
import pickle
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_dir

from crossweep import trust
from crossweep.build import build, plain
from crossweep.device_card import card
from crossweep.errors import ConfigError, CrossweepError
from crossweep.nodes import make
from crossweep.paths import conf_dir, version_base
from crossweep.training.checkpoint import load_checkpoint, save_checkpoint
from tests.results import studies
from tests.runs import configuration, trained

NEVER = "must name a class of crossweep or of a package listed in `plugins`"


@pytest.fixture
def trap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A module on the path that leaves a mark when it is imported, and the mark's place."""
    mark = tmp_path / "mark"
    text = f"""
from dataclasses import dataclass
from pathlib import Path
from crossweep.devices.soft_bounds import SoftBounds
Path({str(mark)!r}).write_text("imported")
@dataclass(frozen=True, kw_only=True)
class Mine(SoftBounds):
    pass
"""
    (tmp_path / "trapped_package.py").write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield mark
    sys.modules.pop("trapped_package", None)


def nodes(tree: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The place of every node with a ``_target_``."""
    if isinstance(tree, dict):
        if "_target_" in tree:
            yield path
        for key, value in tree.items():
            yield from nodes(value, (*path, key))


def within(tree: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        tree = tree[key]
    return tree


FIRST = configuration("algorithm=mixed_precision_adamw"), configuration("algorithm=zero_shifting")
BED = configuration("task=weight_programming", "algorithm=zero_shifting")
PLACES = [(cfg, path) for cfg in (*FIRST, BED) for path in nodes(cfg) if cfg is not BED or path == ("task",)]


@pytest.mark.parametrize(
    "target", ["trapped_package.Mine", "subprocess.getoutput", "os.system", "builtins.exec"]
)
@pytest.mark.parametrize(
    ("cfg", "path"), PLACES, ids=lambda value: ".".join(value) if isinstance(value, tuple) else ""
)
def test_every_node_refuses_foreign_code_before_importing_it(
    cfg: dict[str, Any], path: tuple[str, ...], target: str, trap: Path
) -> None:
    bad = json.loads(json.dumps(cfg))
    within(bad, path)["_target_"] = target
    with pytest.raises(ConfigError, match=NEVER) as caught:
        build(bad)
    assert str(caught.value).startswith(f"{'.'.join(path)}._target_: ")
    assert not trap.exists()


@pytest.mark.parametrize(
    "target",
    [
        "crossweep.records.write_json",  # a function that nothing marked as a recipe
        "crossweep.records.Path",  # imported there from elsewhere
        "crossweep.train.subprocess",
        "crossweep.errors.ConfigError",
        "crossweep.rng.Stream",
    ],
)
def test_only_classes_of_parameters_can_be_named_within_crossweep(target: str) -> None:
    with pytest.raises(ConfigError, match=r"device\._target_: must name a "):
        build(configuration(f"device._target_={target}"))


def test_a_class_of_another_kind_is_refused_before_it_is_made(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"device\._target_: must name a subclass of AbstractDevice"):
        build(configuration("device._target_=crossweep.data.digits.Digits"))
    with pytest.raises(ConfigError, match=r"device\.w_max: must be a number"):
        make(
            {
                "_target_": "crossweep.devices.soft_bounds.SoftBounds",
                "w_max": {"_target_": "crossweep.devices.symmetry_point.SymmetryPoint"},
            },
            "device",
        )


def test_partial_is_no_way_around(trap: Path) -> None:
    node = {
        "_target_": "crossweep.algorithms.mixed_precision.TorchOptimizer",
        "_partial_": True,
        "name": "SGD",
    }
    cfg = configuration("algorithm=mixed_precision") | {}
    cfg["algorithm"] = cfg["algorithm"] | {"optimizer": node}
    with pytest.raises(ConfigError, match=r"algorithm\.optimizer\._partial_: is no parameter"):
        build(cfg)


def test_packages_that_the_user_lists_are_trusted(trap: Path) -> None:
    words = "device._target_=trapped_package.Mine"
    built = build(configuration(words, "plugins=[trapped_package]"))
    assert type(built.factory.fast).__name__ == "Mine"
    with pytest.raises(ConfigError, match=NEVER):
        build(configuration(words, "plugins=[trapped]"))
    for bad in ("plugins=trapped_package", "plugins=[1]", "plugins=['']", "plugins=null"):
        with pytest.raises(ConfigError, match="plugins: must be a list of names of packages"):
            build(configuration(words, bad))


# -- files that colleagues send ----------------------------------------------------------------------------------------


def device_file(folder: Path, text: str) -> str:
    file = folder / "device.yaml"
    file.write_text(text)
    return str(file)


GOOD = "_target_: crossweep.devices.soft_bounds.SoftBounds\nw_max: 1.0\nw_min: -1.0\n"
DEVICE_FILES = {
    '_target_: subprocess.getoutput\ncmd: "touch MARK"\n': NEVER,
    "_target_: trapped_package.Mine\nplugins: [trapped_package]\n": NEVER,
    GOOD + "plugins: [trapped_package]\n": "plugins: is no parameter",
    GOOD + 'dw_min: {_target_: subprocess.getoutput, cmd: "touch MARK"}\n': "must hold numbers",
    GOOD + "dw_min: [{_target_: trapped_package.Mine}]\n": "must hold numbers",
    GOOD + "update_policy: ${oc.env:CROSSWEEP_SECRET}\n": "must hold numbers",
    GOOD + "update_policy: ['${oc.env:CROSSWEEP_SECRET}']\n": "must hold numbers",
    GOOD + "'${oc.env:CROSSWEEP_SECRET}': 1.0\n": "must hold numbers",
    '_target_: !!python/object/apply:os.system ["touch MARK"]\n': "is not yaml",
    "&a\n_target_: crossweep.devices.measured.measured\nfile: x\nfitted: *a\n": "must hold numbers",
}


@pytest.mark.parametrize("entry", ["train", "card"])
@pytest.mark.parametrize("content", DEVICE_FILES)
def test_a_device_file_is_data(
    content: str, entry: str, trap: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CROSSWEEP_SECRET", "one_sided")
    words = ("device=measured", f"device.file={device_file(tmp_path, content.replace('MARK', str(trap)))}")
    run: Callable[[], object] = (
        (lambda: build(configuration(*words))) if entry == "train" else (lambda: card(words))
    )
    with pytest.raises(CrossweepError, match=DEVICE_FILES[content]) as caught:
        run()
    assert "one_sided" not in str(caught.value)
    assert not trap.exists()


def test_a_device_file_may_name_a_package_that_the_user_lists(trap: Path, tmp_path: Path) -> None:
    file = device_file(
        tmp_path, GOOD.replace("crossweep.devices.soft_bounds.SoftBounds", "trapped_package.Mine")
    )
    words = ("device=measured", f"device.file={file}", "plugins=[trapped_package]")
    assert type(build(configuration(*words)).factory.fast).__name__ == "Mine"
    assert type(card(words).device).__name__ == "Mine"


@dataclass
class Bomb:
    """Leaves a mark when it is unpickled."""

    mark: str

    def __reduce__(self) -> tuple[Any, ...]:
        return (eval, (f"open({self.mark!r}, 'w').close()",))


@pytest.mark.parametrize("how", ["pickle", "torch", "safetensors"])
def test_a_checkpoint_is_data(how: str, tmp_path: Path) -> None:
    mark, path = tmp_path / "mark", tmp_path / "checkpoint.safetensors"
    if how == "pickle":
        path.write_bytes(pickle.dumps(Bomb(str(mark))))
    elif how == "torch":
        torch.save({"state": Bomb(str(mark))}, path)
    else:
        save_checkpoint(path, {"model": {"_target_": "os.system", "py/reduce": ["touch", str(mark)]}})
    if how == "safetensors":
        assert load_checkpoint(path)["model"]["_target_"] == "os.system"  # a text like any other
    else:
        with pytest.raises(ConfigError, match="cannot be read"):
            load_checkpoint(path)
    assert not mark.exists()


def test_a_folder_with_a_record_and_a_study_is_data(
    trap: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Runs and studies from elsewhere are shown, and believed nothing."""
    from crossweep.report import main

    monkeypatch.setenv("CROSSWEEP_SECRET", "do not tell")
    secret = "${oc.env:CROSSWEEP_SECRET}"
    evil = {
        "format": 1, "state": "complete", "algorithm": secret,
        "metrics": {"test_error": 1.0, "test_accuracy": 0.99, "error_increase": 0.1}, "baselines": {}, "history": [],
        "seed": {"device": 0, "training": 0}, "choices": {"device": "trapped_package.Mine"},
        "overrides": ["device._target_=trapped_package.Mine", "plugins=[trapped_package]"],
        "config": {"device": {"_target_": "trapped_package.Mine", "dw_min": secret}, "plugins": ["trapped_package"]},
        "learning_rates": {}, "conversion": [], "cost": {}, "versions": {}, "git": None, "hardware": {},
        "started": "", "wall_seconds": 1.0,
    }  # fmt: skip
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "record.json").write_text(json.dumps(evil))
    assert trained(tmp_path / "run")["algorithm"] == secret

    study = studies.study(tmp_path / "study", studies.cliff, n=4)
    described = json.loads((study / "study.json").read_text())
    parts = dict.fromkeys(("report", "table", "sampler", "pruner", "storage"), "trapped_package.Mine")
    studies.write(study / "study.json", described | parts | {"name": secret, "settings": parts})
    studies.write(study / "trial_0" / "record.json", evil)
    (study / "trial_0" / ".hydra").mkdir()
    (study / "trial_0" / ".hydra" / "config.yaml").write_text("a: !!python/object/apply:os.system [ls]\n")
    main([str(study)])
    assert (study / "report.html").is_file()
    assert not any(b"do not tell" in path.read_bytes() for path in study.rglob("*") if path.is_file())
    assert not trap.exists()


def test_pickles_of_a_data_set_are_compared_with_their_checksums_first(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    for folder, names in {
        "cifar-10-batches-py": [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch", "batches.meta"],
        "cifar-100-python": ["train", "test", "meta"],
    }.items():
        (tmp_path / folder).mkdir()
        for name in names:
            (tmp_path / folder / name).write_bytes(pickle.dumps(Bomb(str(mark))))
    built = build(configuration("data=cifar", f"data.root={tmp_path}"))
    for task in (built.data.source, built.data.target):
        with pytest.raises(ConfigError, match=r"data\.root"):
            task()
    assert not mark.exists()


# -- the parts of a study ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("override", "key"),
    [
        ("study.report=trapped_package.main", "study.report"),
        ("study.table=os.system", "study.table"),
        ("study.sampler={target: trapped_package.Mine}", "study.sampler.target"),
        ("study.pruner={name: patient, inner: {target: trapped_package.Mine}}", "study.pruner.inner.target"),
        ("study.storage={target: subprocess.getoutput, cmd: ls}", "study.storage.target"),
    ],
)
def test_parts_of_a_study_come_from_known_packages(override: str, key: str, trap: Path) -> None:
    from crossweep.sweep.plugins import require_known
    from crossweep.sweep.settings import from_mappings

    with initialize_config_dir(str(conf_dir()), **version_base()):
        cfg = plain(compose("train", overrides=["study=smoke", override]))
    settings = from_mappings(cfg["study"])
    with pytest.raises(ConfigError, match=NEVER) as caught:
        require_known(settings, ())
    assert str(caught.value).startswith(f"{key}: ")
    assert not trap.exists()
    require_known(settings, ("trapped_package", "os", "subprocess"))
    require_known(from_mappings({"sampler": {"target": "optuna.samplers.RandomSampler"}}), ())


def test_recipes_are_marked_functions() -> None:
    assert trust.is_recipe(trust.find("crossweep.devices.measured.measured", "x", ()))
