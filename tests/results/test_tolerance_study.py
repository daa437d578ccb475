"""`study=tolerance` from its configuration to its specifications, on a landscape whose truth is known.

Everything is the product's own (axes, grid, seeds, records' configurations, report) but the training itself: a
run loses what this file says that its configuration costs.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hydra.core.global_hydra import GlobalHydra

from crossweep import train
from crossweep.axis import Axis
from crossweep.paths import conf_dir
from crossweep.results.analysis import Analysis, analyse
from crossweep.results.collecting import collect
from crossweep.results.reporting import build_report
from crossweep.results.sentences import summary
from crossweep.results.sheets import tolerance_sheet
from crossweep.results.study_axes import from_study
from tests.results.studies import record, write
from tests.runs import each

BUDGET, NOISE = 1.2, 0.02
# what the default configuration means, and where the flaw alone brings the loss to the budget
CONFIGURED = {
    "sp_skew": (0.0, 0.3), "sp_variability": (0.0, 0.2), "weight_transfer_noise": (0.0, 0.35),
    "write_noise": (0.0, 6.0), "pulse_noise": (0.3, 3.0), "mean_pulse_response": (0.01, 0.05),
    "step_dtod": (0.3, 0.7), "number_of_states": (200.0, 40.0), "output_noise": (0.04, 0.2),
    "io_resolution": (254.0, 40.0), "bounds_dtod": (0.3, 0.5),
}  # fmt: skip
AXES = {
    name: from_study(yaml.safe_load((conf_dir() / "axis" / f"{name}.yaml").read_text()))[0]
    for name in CONFIGURED
}
Run = Callable[..., Path]


def held(axis: Axis, config: Mapping[str, Any]) -> float:
    """Where a run stands on an axis, by the first of its keys; what is not set is as configured."""
    node: Any = config
    for part in axis.keys[0].split("."):
        node = node[part]
    if node is None or (axis.name == "io_resolution" and node < 1):
        return CONFIGURED[axis.name][0]
    return float(node)


def harm(axis: Axis, value: float) -> float:
    """Square of the way from the harmless end."""
    return float(axis.to_unit(value) - axis.to_unit(axis.ideal)) ** 2


def loss(config: Mapping[str, Any], nominal: float) -> float:
    """The nominal loss, and for every axis what its place costs more than the configured one does."""
    total = nominal
    for name, (usual, edge) in CONFIGURED.items():
        axis = AXES[name]
        steep = (BUDGET - 0.3) / (harm(axis, edge) - harm(axis, usual))
        total += steep * (harm(axis, held(axis, config)) - harm(axis, usual))
    return total


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Run the study with a nominal loss and further overrides; returns its folder."""

    def study(nominal: float, *overrides: str) -> Path:
        root = tmp_path_factory.mktemp("tolerance")
        rng = np.random.default_rng(0)

        def fake(cfg: Mapping[str, Any], folder: Path, **given: Any) -> dict[str, Any]:
            increase = loss(cfg, nominal) + NOISE * float(rng.standard_normal())
            told = record(
                increase, config=cfg, seed=cfg["seed"], choices=given["choices"], overrides=given["overrides"]
            )
            write(folder / "record.json", told)
            return told

        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(root)
            patch.setenv("HYDRA_FULL_ERROR", "1")
            patch.setattr(train, "train_all", each(fake))
            patch.setattr(sys, "argv", [
                "crossweep-train", "-m", "study=tolerance", "study.workers=1", "study.storage=memory",
                "study.report=null", "study.table=null", "study.progress=none", "hydra.output_subdir=null", *overrides,
            ])  # fmt: skip
            GlobalHydra.instance().clear()
            train.main()
            GlobalHydra.instance().clear()
        return root / "multirun" / "tolerance"

    return study


@pytest.fixture(scope="module")
def folder(run: Run) -> Path:
    return run(0.3, "study.seeds=[0]")


@pytest.fixture(scope="module")
def analysis(folder: Path) -> Analysis:
    return analyse(collect(folder), budget=BUDGET)


def test_the_device_as_configured_is_the_first_trial_and_the_only_one_of_its_kind(folder: Path) -> None:
    params = [json.loads((folder / f"trial_{i}" / "trial.json").read_text())["params"] for i in range(56)]
    assert params[0] == {"flaw": "as_configured"} and not (folder / "trial_56").exists()
    assert sum(p["flaw"] == "as_configured" for p in params) == 1
    for name in CONFIGURED:
        assert sum(p["flaw"] == name for p in params) == 5
    shipped = yaml.safe_load((conf_dir() / "study" / "tolerance.yaml").read_text())["study"]
    assert shipped["seeds"] == 3 and shipped["n_trials"] is None


def test_every_tolerance_is_right(analysis: Analysis) -> None:
    (group,) = analysis.groups
    assert group.configured is not None and abs(group.configured.mean - 0.3) < 0.1
    found = {t.axis.name: t for t in group.tolerances}
    assert set(found) == set(CONFIGURED)
    for name, (_, edge) in CONFIGURED.items():
        t = found[name]
        assert t.status == "crossed", (name, t.text)
        stricter, laxer = (t.low, t.high) if t.upward else (t.high, t.low)
        assert stricter < edge < laxer, (name, edge, t.text)
        assert abs(float(t.axis.to_unit(t.value)) - float(t.axis.to_unit(edge))) < 0.05, (name, edge, t.text)


def test_no_point_pools_different_configurations(analysis: Analysis) -> None:
    (group,) = analysis.groups
    assert [f.points.axes[0].name for f in group.fits] == list(CONFIGURED)
    for fit in group.fits:
        (axis,) = fit.points.axes
        usual = CONFIGURED[axis.name][0]
        assert set(fit.points.seeds) == {1}, axis.name
        # the configured device is a point of every curve on which its configuration has a place
        at = np.isclose(fit.points.x[:, 0], usual)
        assert at.sum() == (axis.name != "number_of_states"), axis.name
        np.testing.assert_allclose(fit.points.y[at], 0.3, atol=0.1)
    assert "1 run left out along number of states" in " ".join(summary(analysis))
    assert "1 seed." in summary(analysis)[0] and not analysis.mixed


@pytest.mark.slow
def test_a_device_that_misses_the_budget_itself_gets_no_specification(run: Run) -> None:
    few = ("as_configured", "sp_skew", "number_of_states")
    report = build_report(
        run(2.0, "study.seeds=[0,1]", f"axis.flaw.choices=[{','.join(few)}]"), figures=False
    )
    (group,) = report.analysis.groups
    assert group.configured is not None and group.configured.n == 2 and not group.tolerances
    first = report.summary.splitlines()[1]
    assert first.startswith("The device as configured already has an error increase of 2.0")
    assert "training longer or a larger budget comes before any specification" in first
    sheet = tolerance_sheet(report.analysis)
    assert list(sheet["axis"]) == list(few[1:]) and sheet["specification"].isna().all()
    assert (
        sheet["answer"]
        .str.startswith("none: The device as configured already has an error increase of 2.0")
        .all()
    )


def test_a_study_whose_configuration_changed_is_answered_in_parts(folder: Path, tmp_path: Path) -> None:
    """Half of the runs have another batch size: none of them are averaged with the others."""
    root = tmp_path / "mixed"
    write(root / "study.json", json.loads((folder / "study.json").read_text()))
    told = {path.parent: json.loads(path.read_text()) for path in folder.glob("trial_*/trial.json")}
    kept = [path for path, trial in told.items() if trial["params"]["flaw"] in ("sp_skew", "write_noise")]
    for i, path in enumerate(kept):
        write(root / path.name / "trial.json", told[path])
        content = json.loads((path / "record.json").read_text())
        if i % 2:
            content["config"]["training"]["finetune"]["batch_size"] = 7
            content["metrics"]["error_increase"] += 20
        write(root / path.name / "record.json", content)
    mixed = analyse(collect(root), budget=BUDGET)
    for group in mixed.groups:
        changed = group.name.endswith("training.finetune.batch_size 7")
        assert ((group.rows["metric.error_increase"] > 10) == changed).all()
    assert sum(len(g.rows) for g in mixed.groups) == 10 and len(mixed.groups) == 2
    assert mixed.mixed.keys() == {"training.finetune.batch_size"}
    assert "mix configurations" in " ".join(summary(mixed))


def test_an_axis_that_was_only_set_to_what_is_configured_is_not_mentioned(
    folder: Path, tmp_path: Path
) -> None:
    root = tmp_path / "short"
    write(root / "study.json", json.loads((folder / "study.json").read_text()))
    for path in folder.glob("trial_*/trial.json"):
        params = json.loads(path.read_text())["params"]
        if params["flaw"] in ("as_configured", "sp_skew") or params.get("weight_transfer_noise") == 0:
            for file in ("trial.json", "record.json"):
                write(root / path.parent.name / file, json.loads((path.parent / file).read_text()))
    (group,) = analyse(collect(root), budget=BUDGET).groups
    assert "weight_transfer_noise" in group.rows["axis.flaw"].to_list()
    assert [[a.name for a in fit.points.axes] for fit in group.fits] == [["sp_skew"]]
