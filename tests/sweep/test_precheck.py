"""What no run would see, or every run would refuse, is said before the first trial; nothing is written."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hydra.core.global_hydra import GlobalHydra

from crossweep import train
from crossweep.build import build
from crossweep.errors import ConfigError
from crossweep.sweep.axes import from_yaml, grid
from crossweep.sweep.precheck import require_reaches_the_run
from crossweep.sweep.space import parse
from tests.runs import configuration, trained

Refused = Callable[..., str]
TINY = ("model=mlp", "data=synthetic", "training.pretrain.epochs=1", "training.finetune.epochs=1")


@pytest.fixture
def refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Refused]:
    """The one line with which ``crossweep-train WORD...`` ends; it must have done nothing before."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    monkeypatch.setattr(train, "train_all", lambda runs: pytest.fail("a run began"))

    def run(*words: str) -> str:
        monkeypatch.setattr(sys, "argv", ["crossweep-train", *words])
        GlobalHydra.instance().clear()
        with pytest.raises(SystemExit) as ended:
            train.main()
        assert ended.value.code == 2
        said = capsys.readouterr().err.strip()
        assert len(said.splitlines()) == 1
        assert not [path for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".log"]
        return said

    yield run
    GlobalHydra.instance().clear()


@pytest.mark.parametrize("key", ["study.budget", "hydra.job.name", "hydra/launcher", "study", "axis.x.low"])
def test_keys_that_reach_no_run_are_no_axes(key: str) -> None:
    space, _ = parse([f"{key}=1,2"], {}, {}, {}, {})
    with pytest.raises(ConfigError, match=f"^{key}: cannot be swept"):
        require_reaches_the_run(space)
    space, _ = parse([], {}, {"x": {"keys": [key], "low": 0, "high": 1}}, {}, {})
    with pytest.raises(ConfigError, match=f"^{key}: cannot be swept"):
        require_reaches_the_run(space)


STUDY = ("-m", "study=smoke", "study.n_trials=1")
LINES = {
    (*STUDY, "study.budget=1,2"): "study.budget: cannot be swept",
    (*STUDY, "study.objectives=[accuracy]"): "study.objectives: must name metrics of a run (test_accuracy, ",
    (*STUDY, "study.constraints=['lost <= 3']"): "study.constraints: must name metrics of a run",
    (*STUDY, "study.objectives=[weight_error]"): "got 'weight_error'",
    (*STUDY, "evaluation.fresh_devices=0", "study.objectives=[fresh_error_mean]"): "got 'fresh_error_mean'",
    (*STUDY, "study.anchors=[{nothing: 1}]"): "study.anchors: no axis nothing",
    (*STUDY, "+algoritm=agad"): "algoritm: is read by nothing, did you mean algorithm?",
    (
        *STUDY,
        "+training.finetune.epoch=1,2",
    ): "training.finetune.epoch: is no parameter of FitSettings, did you mean",
    (*STUDY, "algorithm=cttv2,ttv2", "algorithm.fast_lr=-1.0"): "algorithm.fast_lr: must be a number >= 0",
    ("-m", *TINY, "seed.device=0,1,-1"): "seed.device: must be a whole number",
    ("-m", *TINY, "symmetry_point.skew=0.0,nan"): "symmetry_point.skew: must be a number",
    (
        "-m",
        *TINY,
        "training.finetune.batch_size=10,50000",
    ): "training.finetune.batch_size: must be at most the",
    (*STUDY, "training.pretrain.batch_size=50000"): "training.pretrain.batch_size: must be at most the",
    ("-m", *TINY, "analog.include=[],[nothing*]"): "analog.include: pattern 'nothing*' matches none of",
    ("-m", *TINY, "analog.exclude=[],[nothing*]"): "analog.exclude: pattern 'nothing*' matches none of",
    (
        "-m",
        "model=mlp",
        "seed.training=0,1",
        "data=cifar",
        "data.root=nowhere",
    ): "data.root: must be the folder that holds",
    ("-m", "model=mlp", "data=digits,image_folder"): "data.source_root: must be a folder with train/<class>/",
    ("-m", *TINY, "device=measured", "device.file=no.yaml,nor.yaml"): "device.file: must be a yaml",
    ("-m", "task=least_squares", "algorithm=cttv2,digital"): "task: a test-bed needs a rule with tiles",
    ("-m", *TINY, "hydra.job.name=a,b"): "Sweeping over Hydra's configuration is not supported",
    ("-m", *TINY, "+foo=1,2"): "foo: is read by nothing",
    ("-m", "study=optimisers", "experiment=paper/small_resnet"): "experiment=paper/small_resnet: chooses "
    "model=resnet_cifar, but study=optimisers model=mlp_relu, and a study comes last",
    (
        "-m",
        "study=optimisers",
        "experiment=chopper,paper/small_resnet",
    ): "experiment=chopper: chooses model=mlp, but",
}


@pytest.mark.few(14)
@pytest.mark.parametrize("words", LINES, ids=" ".join)
def test_a_study_and_a_grid_are_checked_before_the_first_run(
    words: tuple[str, ...], refused: Refused
) -> None:
    assert LINES[words] in refused(*words)


@pytest.mark.few(3)
@pytest.mark.parametrize(
    "words",
    [
        TINY,
        (*TINY, "evaluation.fresh_devices=1", "data.validation=0.0"),
        (*TINY, "algorithm=digital", "training.baseline=[]"),
        (*TINY, "analog.layers=none", "training.finetune.epochs=0"),
        ("task=weight_programming", "task.samples=100", "task.size=2"),
        ("task=constant_gradient", "task.samples=50"),
        ("task=correlation_detection", "task.samples=50", "task.tail=10"),
        ("task=least_squares", "task.steps=10", "task.size=2"),
    ],
    ids=" ".join,
)
def test_an_experiment_knows_the_metrics_of_its_runs(
    words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CROSSWEEP_MULTIRUN", str(tmp_path))
    quick = ("quiet=true", "device=ideal", "engine=mean")
    record = trained(tmp_path / "run", *words, *quick)
    found = {name for name, value in record["metrics"].items() if value is not None}
    assert found == set(build(configuration(*words, *quick)).metric_names)


def test_two_axes_share_a_key_where_no_trial_has_both() -> None:
    nodes = {
        "rule": {"keys": ["algorithm"], "choices": ["a", "b"]},
        "slow": {"keys": ["algorithm.lr"], "choices": [0.1], "when": {"rule": "a"}},
        "quick": {"keys": ["algorithm.lr"], "choices": [0.5], "when": {"rule": ["b"]}},
    }
    space, _ = parse([], {}, nodes, {}, {})
    assert {axis.name for axis in space.axes} == set(nodes)
    for when in ({"rule": ["a", "b"]}, None):
        both = nodes | {"quick": {**nodes["quick"], "when": when}}
        with pytest.raises(ConfigError, match=r"algorithm\.lr: driven by two axes, slow and quick"):
            parse([], {}, both, {}, {})


def test_the_cells_of_an_axis_may_be_named() -> None:
    axis = from_yaml("x", {"keys": ["a"], "low": 1, "high": 100, "scale": "log", "points": [1, 2, 100]})
    assert grid(axis) == [1, 2, 100]
    with pytest.raises(ConfigError, match=r"axis\.x\.points: within 1\.\.100"):
        from_yaml("x", {"keys": ["a"], "low": 1, "high": 100, "points": [0.5, 2]})
