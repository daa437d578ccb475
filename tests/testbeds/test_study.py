"""The weight-programming study from the command line: its map, and its numbers against the published table."""

import json
import subprocess
import sys
from math import sqrt
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hydra.core.global_hydra import GlobalHydra

from crossweep.results.analysis import analyse
from crossweep.results.collecting import collect
from crossweep.results.plots.measured import panels
from crossweep.results.plots.style import Figure, drawing
from crossweep.train import main
from tests.results.studies import record, write
from tests.testbeds.test_tables import IN_PLACE, PROGRAMMING, SCATTER, SPREADS, Z

RULES = ("analog_sgd", "ttv2", "cttv2", "agad")


def study(folder: Path, *overrides: str) -> Path:
    """Run it in ``folder``; returns the study's folder."""
    words = ["-m", "crossweep.train", "-m", "study=weight_programming", "study.progress=none", *overrides]
    done = subprocess.run([sys.executable, *words], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "multirun" / "weight_programming"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The corners of the map at full length: 20 and 100 states, no spread and the largest."""
    ends = ("axis.sp_variability.points=2", "axis.number_of_states.points=2")
    states = ("axis.number_of_states.low=20", "axis.number_of_states.high=100")
    folder = tmp_path_factory.mktemp("study")
    return study(folder, *ends, *states, "axis.number_of_states.ideal=100")


def agreeing(rows: pd.DataFrame, wanted: float, spread: float, its_error: float | None = None) -> None:
    """The mean over our seeds, which scatter by ``spread``, and the table's mean, by default over three such seeds."""
    its_error = spread / sqrt(3) if its_error is None else its_error
    error = sqrt(spread**2 / len(rows) + its_error**2)
    mean = float(rows["metric.weight_error"].mean())
    assert abs(mean - wanted) < Z * error, (
        f"{mean:.2f} and {wanted:.2f}: {(mean - wanted) / error:.1f} errors"
    )


@pytest.mark.slow
@pytest.mark.parametrize("states", PROGRAMMING)
def test_rows_agree_with_the_published_table(whole: Path, states: int) -> None:
    rows = pd.read_csv(whole / "results.csv")
    assert len(rows) == 4 * 4 * 3
    rows = rows[rows["axis.number_of_states"] == states]
    for rule, wanted in PROGRAMMING[states].items():
        for offset in (0.0, 0.5):
            value = wanted[SPREADS.index(offset)]
            # as published: 3 to 5 where TTv2 breaks, 1 to 3 for c-TTv2 there, up to 0.6 elsewhere
            broken = {"ttv2": 4.0, "cttv2": 2.0}.get(rule, 0.5) if offset else 0.3
            cell = rows[(rows["algorithm"] == rule) & (rows["axis.sp_variability"] == offset)]
            agreeing(cell, value, broken)
    cell = rows[(rows["algorithm"] == "analog_sgd") & (rows["axis.sp_variability"] == 0)]
    wanted, its_error = IN_PLACE[states]
    agreeing(cell, wanted, SCATTER, its_error)


@pytest.mark.slow
def test_it_ends_with_a_panel_per_algorithm(whole: Path) -> None:
    for ending in ("png", "pdf"):
        assert (whole / "figures" / f"panels.{ending}").stat().st_size > 5_000
    page = (whole / "report.html").read_text(encoding="utf-8")
    assert "side by side" in page and all(f">{rule}<" in page for rule in RULES)
    described: dict[str, Any] = json.loads((whole / "study.json").read_text())
    assert described["objectives"] == ["weight_error"]


def test_only_transfer_rules_get_their_keys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A dry run lists every cell; in-memory SGD has no ``auto_granularity`` that a cell could set."""
    few = ("axis.sp_variability.points=2", "axis.number_of_states.points=2")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["crossweep-train", "-m", "study=weight_programming", *few, "--dry-run"])
    GlobalHydra.instance().clear()
    main()
    GlobalHydra.instance().clear()
    cells = [line for line in capsys.readouterr().out.splitlines() if "algorithm=" in line]
    assert len(cells) == 4 * 2 * 2
    for rule in RULES:
        own = [line for line in cells if f"algorithm={rule} " in f"{line} "]
        assert len(own) == 2 * 2
        assert all(("algorithm.auto_granularity=200" in line) == (rule != "analog_sgd") for line in own)
        assert all(("algorithm.in_chop_prob=0.1" in line) == (rule in ("cttv2", "agad")) for line in own)


# -- the figure ------------------------------------------------------------------------------------


AXES: list[dict[str, Any]] = [
    {"name": "spread", "keys": ["a"], "low": 0.0, "high": 0.5, "choices": None},
    {"name": "states", "keys": ["b"], "low": 4, "high": 100, "scale": "log", "choices": None},
    {"name": "algorithm", "keys": ["algorithm"], "choices": list(RULES)},
]
PLACES = [(spread, states) for spread in (0.0, 0.25, 0.5) for states in (4, 20, 100)]


def error_of(rule: str, spread: float, states: int) -> float:
    return 1 + 10 * RULES.index(rule) + spread + states / 1000


def gridded(root: Path, *, without: int | None = None) -> Path:
    """A finished grid of made-up numbers, one cell left out."""
    cells = [(rule, *place) for rule in reversed(RULES) for place in PLACES]
    content = {"format": 1, "name": root.name, "axes": AXES, "objectives": ["weight_error"]}
    write(root / "study.json", content | {"directions": ["minimize"], "budget": 10.0})
    for number, (rule, spread, states) in enumerate(cells):
        if number == without:
            continue
        folder, params = root / f"trial_{number}", {"algorithm": rule, "spread": spread, "states": states}
        metrics = {"weight_error": error_of(rule, spread, states)}
        write(folder / "record.json", record(None, algorithm=rule, metrics=metrics))
        trial = {"format": 1, "study": root.name, "number": number, "state": "complete", "params": params}
        write(folder / "trial.json", trial | {"retry_of": None, "error": None})
    return root


def drawn(root: Path) -> Figure | None:
    with drawing():
        return panels(analyse(collect([root]), metric="weight_error", budget=10.0))


def test_every_panel_shows_its_own_cells_under_one_scale(tmp_path: Path) -> None:
    figure = drawn(gridded(tmp_path / "s"))
    assert figure is not None
    shown = [ax for ax in figure.canvas.axes if ax.images]
    assert [ax.get_title() for ax in shown] == list(RULES)  # as the study lists them
    limits = {(ax.images[0].norm.vmin, ax.images[0].norm.vmax) for ax in shown}
    values = [error_of(rule, *place) for rule in RULES for place in PLACES]
    assert limits == {(min(values), max(values))}
    for rule, ax in zip(RULES, shown, strict=True):
        told = {tuple(map(round, text.get_position())): text.get_text() for text in ax.texts}
        for number, place in enumerate(PLACES):
            assert told[divmod(number, 3)] == f"{error_of(rule, *place):.3g}"
    (bar,) = (ax for ax in figure.canvas.axes if ax.get_ylabel() == "weight error [% of w_max]")
    figure.canvas.draw_without_rendering()
    assert [tick.get_text() for tick in bar.get_yticklabels()] == ["2", "5", "10", "20"]  # 1.004 to 31.6


def test_no_panels_without_a_complete_grid(tmp_path: Path) -> None:
    assert drawn(gridded(tmp_path / "s", without=7)) is None
