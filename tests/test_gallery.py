"""The gallery of rules: every option of the configuration takes its hurried settings and can be drawn."""

import csv
import sys
from pathlib import Path

import pytest

from crossweep import gallery
from crossweep.chosen import option
from crossweep.testbeds.constant_gradient import ConstantGradient


@pytest.mark.few(5)
@pytest.mark.parametrize("name", gallery.options())
def test_every_rule_can_be_shown(name: str) -> None:
    bed = option(ConstantGradient, instances=1, samples=20, correlation=0.4)
    outcome = gallery.run(bed, gallery.rule(name), -0.5, 0)
    assert outcome.curve.isfinite().all() and outcome.cost["samples"] == 20


def test_the_command_draws_and_tabulates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CROSSWEEP_MULTIRUN", str(tmp_path))
    words = ["--samples", "40", "--instances", "1", "--only", "cttv2", "tt_adam"]
    monkeypatch.setattr(sys, "argv", ["crossweep.gallery", *words])
    gallery.main()
    folder = tmp_path / "algorithms"
    names = {"cttv2", "tt_adam", "constant_gradient", "correlation"}
    assert {path.stem for path in folder.glob("*.png")} == names
    rows = list(csv.DictReader((folder / "table.csv").read_text().splitlines()))
    assert [row["algorithm"] for row in rows] == ["cttv2"] * 2 + ["tt_adam"] * 2
