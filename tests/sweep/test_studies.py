"""Every study of the package lists its points, every axis composes and builds from one end to the other."""

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
import yaml
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra

from crossweep import train
from crossweep.axis import Axis
from crossweep.build import build, plain
from crossweep.paths import conf_dir, version_base
from crossweep.records import read_record
from crossweep.sweep.axes import contains, from_yaml, grid, overrides
from crossweep.training import experiment
from crossweep.training.experiment import Experiment
from tests.data.files import write_cifar, write_idx
from tests.some import some

FOLDER = conf_dir() / "study"
STUDIES = sorted(str(path.relative_to(FOLDER).with_suffix("")) for path in FOLDER.rglob("[!_]*.yaml"))
# those of the paper differ in their axes and points
OFTEN = (*(name for name in STUDIES if "/" not in name), "paper/rules", "paper/tolerance")
AXES = sorted(path.stem for path in (conf_dir() / "axis").glob("[!_]*.yaml"))
Command = Callable[..., str]


@pytest.fixture
def command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Command]:
    """Run ``crossweep-train`` with these words in this process; returns what it printed."""
    monkeypatch.chdir(tmp_path)
    write_idx(tmp_path / "data", "MNIST")  # where options of data look for files
    write_cifar(tmp_path / "data", monkeypatch)
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    monkeypatch.setenv("CROSSWEEP_MULTIRUN", str(tmp_path / "multirun"))

    def run(*words: str) -> str:
        monkeypatch.setattr(sys, "argv", ["crossweep-train", *words])
        GlobalHydra.instance().clear()
        train.main()
        return capsys.readouterr().out

    yield run
    GlobalHydra.instance().clear()


def axis_of(name: str) -> tuple[Axis, dict[str, object]]:
    content = yaml.safe_load((conf_dir() / "axis" / f"{name}.yaml").read_text())
    assert list(content) == [name], f"conf/axis/{name}.yaml: holds one axis, named as the file"
    node = content[name]
    return from_yaml(name, node), node


@pytest.mark.few(7)
@pytest.mark.parametrize("study", some(STUDIES, *OFTEN))
def test_every_study_lists_what_it_would_run(study: str, command: Command, tmp_path: Path) -> None:
    few = ("training.pretrain.batch_size=8", "training.finetune.batch_size=8")  # made-up data sets are small
    listing = command("-m", f"study={study}", *few, "--dry-run")
    trials = [line for line in listing.splitlines() if line.startswith("  trial ")]
    named = yaml.safe_load((FOLDER / f"{study}.yaml").read_text())["study"]
    assert named["name"] == study.replace("/", "_")
    assert len(trials) == (named.get("n_trials") or len(trials)) > 0
    # a list of runs is not a run
    assert not list(tmp_path.glob("multirun/*"))


def test_a_dry_run_needs_a_study(command: Command, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        command("-m", "--dry-run", "symmetry_point.skew=0.0,0.1")
    assert ended.value.code == 2
    assert "--dry-run: lists what a study would run, so it needs -m study=NAME" in capsys.readouterr().err


@pytest.mark.few(8)
@pytest.mark.parametrize("name", AXES)
def test_every_axis_builds_at_both_ends_and_says_where_it_comes_from(name: str) -> None:
    axis, node = axis_of(name)
    missing = [key for key in ("unit", "label", "source") if not node.get(key)]
    assert not missing, f"conf/axis/{name}.yaml: add {', '.join(missing)}"
    assert axis.ideal is None or contains(axis, axis.ideal)
    assert axis.nominal is None or contains(axis, axis.nominal)
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(conf_dir()), **version_base()):
        for value in (grid(axis)[0], grid(axis)[-1]):
            cfg = compose("train", overrides=[f"axis=[{name}]", *overrides(axis, value)])
            assert isinstance(build(plain(cfg)), Experiment)


def test_a_shortened_study_of_published_numbers_ends_with_its_table(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    companies: list[int] = []
    together = train.train_all

    def noted(runs: Sequence[train.Run]) -> list[dict[str, Any]]:
        companies.append(len(runs))
        return together(runs)

    monkeypatch.setattr(train, "train_all", noted)
    short = (
        "training.finetune.epochs=1",
        "training.baseline=[]",
        "model.widths=[8]",
        "engine.backend=reference",
    )
    cells = (
        "axis.number_of_states.points=[14]",
        "study.params.algorithm='choice(analog_sgd)'",
        "study.seeds=2",
    )
    command("-m", "study=states", *short, *cells, "study.objectives=[test_error]", "study.workers=1")
    folder = tmp_path / "multirun" / "states"
    assert companies == [2]  # its seeds train at once, and each has what a run of its own has
    for seed in folder.glob("trial_*/seed_*"):
        assert read_record(seed / "record.json")["seed"]["training"] == int(seed.name.removeprefix("seed_"))
        assert f"seed.training={seed.name[-1]}" in (seed / ".hydra" / "overrides.yaml").read_text()
        # what no terminal shows in a study, so that a long run can be looked after
        assert "fine-tune 1/1" in (seed / "train.log").read_text()
    header, *rows = (folder / "published.csv").read_text().splitlines()
    assert header.startswith("algorithm,number_of_states,published,here,low,high,seeds,difference,verdict")
    # made-up images: far from what is printed
    assert [row.split(",")[:3] for row in rows] == [["analog_sgd", "14.0", "88.5"]]
    assert ",2," in rows[0] and "below by" in rows[0]
    page = (folder / "report.html").read_text()
    assert "Against published numbers" in page
    assert "Not as printed there: training.finetune.epochs: 1 instead of 30." in page


@pytest.mark.few(1)
@pytest.mark.parametrize(
    ("axes", "more", "sizes"),
    [
        ("[sp_skew,sp_variability]", (), [8]),  # four points of two seeds
        ("[weight_transfer_noise,stuck_devices]", (), [8]),
        # what acts in every read too: each instance has its own
        pytest.param("[sp_skew,output_noise]", (), [8], marks=pytest.mark.slow),
        # rules do not go in step, the points of one do
        (
            "[sp_skew]",
            (
                "+study.params.algorithm='choice(cttv2,ttv2)'",
                "+axis.sp_skew.points=[0,0.1]",
                "study.sampler=grid",
            ),
            [4, 4],
        ),
    ],
)
def test_points_train_at_once_where_they_can(
    axes: str,
    more: tuple[str, ...],
    sizes: list[int],
    command: Command,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    companies: list[int] = []
    together = experiment.run_together

    def noted(experiments: Sequence[Any], *rest: Any) -> Any:
        companies.append(len(experiments))
        return together(experiments, *rest)

    monkeypatch.setattr(experiment, "run_together", noted)
    short = (
        *(
            "data=synthetic",
            "data.train_per_class=8",
            "data.test_per_class=5",
            "model=mlp",
            "model.widths=[8]",
        ),
        *("training.pretrain.epochs=1", "training.finetune.epochs=1", "training.baseline=[]"),
        *(
            "training.finetune.batch_size=10",
            "training.pretrain.batch_size=10",
            "study.report=null",
            "study.objectives=[test_error]",
        ),
    )
    words = ("study.n_trials=4", "study.seeds=2", "study.workers=1", f"axis={axes}", "study.anchors=[]")
    command("-m", "study=landscape_skew_variability", *short, *words, *more)
    assert companies == sizes
    folder = tmp_path / "multirun" / "landscape_skew_variability"
    points = set()
    for number in range(4):
        records = [
            read_record(path) for path in sorted((folder / f"trial_{number}").glob("seed_*/record.json"))
        ]
        assert [record["seed"]["training"] for record in records] == [0, 1]
        assert all(record["state"] == "complete" for record in records)
        told = json.loads((folder / f"trial_{number}" / "trial.json").read_text())
        assert told["values"] == [fmean(record["metrics"]["test_error"] for record in records)]
        points |= {str(record["config"]) for record in records}
    assert len(points) == 8
