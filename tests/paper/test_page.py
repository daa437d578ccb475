"""RESULTS.md says what the saved runs say, and its parts follow from them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from crossweep.errors import StudyError
from crossweep.paper.__main__ import PAGES, report
from crossweep.paper.control import control_table
from crossweep.paper.flaws import COST, analysed, costs, curves, sheet
from crossweep.paper.optimisers import optimisers_table
from crossweep.paper.page import figures, filled, parts, runs_table, saved, tune_table
from crossweep.paper.presets import presets_scatter, presets_table
from crossweep.paper.retention import retention_table
from crossweep.paper.rules import BUDGET, Cell, judged, limits_table, rules_table
from crossweep.paper.saved import load, save
from crossweep.results.plots.style import drawing
from crossweep.results.table import Study, Table
from tests.results.studies import record, write
from tests.results.test_agreement import write_study

ROOT = Path(__file__).resolve().parents[2]
KEPT = ROOT / "tests" / "fixtures" / "paper"
ERRORS = {"cttv2": (31.0, 31.5, 30.5, 31.2, 30.8), "ttv2": (36.0, 35.0, 37.0, 36.4, 35.6)}


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """Two rules on one network, five seeds each; the reference errs on 30 % of the images."""
    root = tmp_path / "runs" / "paper_rules"
    axes = [{"name": "algorithm", "keys": ["algorithm"], "choices": list(ERRORS)}]
    write(
        root / "study.json",
        {"format": 1, "name": "paper_rules", "axes": axes, "objectives": ["error_increase"]},
    )
    for n, (rule, errors) in enumerate(ERRORS.items()):
        trial = {"number": n, "state": "complete", "params": {"algorithm": rule}}
        write(root / f"trial_{n}" / "trial.json", trial)
        for seed, error in enumerate(errors):
            metrics = {"test_error": error, "error_increase": error - 30.0, "fresh_error_mean": error + 0.5}
            pulses = {"pulses_mean": 1000.0, "pulses_most": 9000.0, "pulses_never": 0.25}
            run = record(
                0.0,
                algorithm=rule,
                metrics=metrics | pulses,
                baselines={"adamw": {"test_error": 30.0}, "momentum": {"test_error": 30.9}},
                choices={"experiment": "paper/small_swin", "data": "cifar", "model": "swin_micro"},
                seed={"device": seed, "training": seed},
            )
            write(root / f"trial_{n}" / f"seed_{seed}" / "record.json", run)
    save(root, tmp_path / "kept" / "paper_rules")
    return tmp_path / "kept"


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_the_pages_are_what_the_saved_runs_say(page: Path) -> None:
    text = (ROOT / page).read_text()
    assert filled(text, saved(KEPT)) == text, "make paper-report"


def test_a_rule_within_the_budget_is_told_from_one_beyond(kept: Path) -> None:
    made = parts(saved(kept))
    near, far = made["rules_table"].splitlines()[2:]
    assert near.startswith(
        "| Swin, 0.1 M weights | 0-9 | `cttv2` | 31.0 ± 0.4 | +1.00 (+0.53 to +1.47) | cannot be judged"
    )
    assert "+0.10 (-0.37 to +0.57) | reproduced |" in near
    assert "`ttv2` | 36.0 ± 0.8 | +6.00" in far and far.count("| not reproduced |") == 2
    assert (
        "* Within 1.2 points of SGD with momentum: **reproduced** for `cttv2` (Swin" in made["rules_verdict"]
    )
    assert "| +0.50 (+0.50 to +0.50) | 1,000 | 9,000 | 25.0% |" in made["fresh_table"]


def test_both_comparisons_of_a_cell_are_adjusted_together() -> None:
    below, above = (BUDGET + sign * np.array([0.2, 0.5, 0.9, 0.4, 0.6]) for sign in (-1, 0.8))
    above[0] = 2.5
    cell = Cell(
        "net", "0-9", "cttv2", seeds=(), error=below, over_best=below, over_sgd=above, accuracy=np.array([])
    )
    single = [stats.ttest_1samp(values, BUDGET).pvalue for values in (below, above)]
    assert single[0] < single[1]
    ((best,), (sgd,)) = judged([cell])
    assert (best.p, sgd.p) == pytest.approx((2 * single[0], max(2 * single[0], single[1])))


def table_of(**columns: object) -> Table:
    return Table(rows=pd.DataFrame(columns), studies=(), skipped=())


def test_digital_runs_here_and_there_are_compared_seed_by_seed_with_welchs_interval(tmp_path: Path) -> None:
    """Runs of several rules share their digital run: it counts once."""
    plain = tmp_path / "control.csv"
    plain.write_text("data,optimizer,seed,test_error\ncifar,adamw,0,47\ncifar,adamw,1,47.5\ncifar,sgd,0,9\n")
    here = table_of(
        **{"choice.experiment": "paper/small_swin", "choice.data": "cifar", "seed": [0, 0, 1, 2, 2]},
        **{"baseline.adamw.test_error": [49.0, 49.0, 50.0, 54.0, 54.0], "baseline.sgd.test_error": np.nan},
    )
    (row,) = control_table(here, plain).splitlines()[2:]
    variances = np.array([7 / 3, 0.125 / 2])  # of the two means
    freedom = variances.sum() ** 2 / (variances**2 / [2, 1]).sum()
    reach = stats.t.ppf(0.975, freedom) * np.sqrt(variances.sum())
    told = f"+3.75 ({3.75 - reach:+.2f} to {3.75 + reach:+.2f})"
    assert row == f"| 0-9 | adamw | 51.0 ± 2.6 | 47.2 ± 0.4 | {told} |"


def test_a_search_lists_what_it_tried_the_best_first() -> None:
    told = table_of(
        **{"algorithm": ["cttv2", "ttv2", "cttv2", "cttv2"], "axis.fast_lr": [0.1, 0.2, 0.3, 0.4]},
        **{"axis.gamma": 0.5, "varied": [("fast_lr",), (), ("fast_lr", "gamma"), ("fast_lr",)]},
        **{"metric.validation_accuracy": [0.4, 0.9, 0.6, np.nan]},
    )
    assert tune_table([told]).splitlines()[2:] == [
        "| `cttv2` | fast lr 0.3, gamma 0.5 | 60.0 |",
        "| `cttv2` | fast lr 0.1 | 40.0 |",
        "| `ttv2` |  | 90.0 |",
    ]


def test_every_optimiser_stands_where_its_validation_loss_put_it() -> None:
    """The setting with the smaller test error is not the one that validation chose; one that diverged is not either."""
    settings = [
        ("cttv2", 100.0, np.nan),
        ("cttv2", 300.0, np.nan),
        ("cttv2", 1000.0, np.nan),
        ("tt_adam", np.nan, 0.01),
    ]
    losses, errors = [(0.2, 0.3), (0.1, 0.3), (0.1, np.nan), (0.9, 0.9)], [(1, 2), (5, 6), (0, 0), (3, 5)]
    rows = [
        {
            "trial": trial, "seed": seed, "algorithm": rule, "axis.algorithm": rule, "axis.threshold": threshold,
            "axis.rate": rate, "varied": ("algorithm", "threshold" if rule == "cttv2" else "rate"),
            "metric.validation_loss": losses[trial][seed], "metric.test_error": float(errors[trial][seed]),
            "metric.error_increase": errors[trial][seed] - 1.0, "baseline.sgd.test_error": 3.0,
            "baseline.adamw.test_error": 1.0 + seed,
        }
        for trial, (rule, threshold, rate) in enumerate(settings)
        for seed in (0, 1)
    ]  # fmt: skip
    table = optimisers_table(Table(rows=pd.DataFrame(rows), studies=(), skipped=())).splitlines()[2:]
    assert [line.split(" | ")[:3] for line in table] == [
        ["| digital adamw", "", "1.5 ± 0.7"],
        ["| digital sgd", "", "3.0 ± 0.0"],
        ["| `tt_adam`", "rate 0.01", "4.0 ± 1.4"],
        ["| `cttv2`", "threshold 300", "5.5 ± 0.7"],
    ]
    assert "+3.00 (-9.71 to +15.71) | cannot be judged |" in table[2]


def test_the_runs_are_those_that_ended() -> None:
    rows = pd.DataFrame(
        {
            "state": ["complete", "diverged", "failed"],
            "seed": [1, 0, 5],
            "commit": ["abcdefghi", "abcdefg", None],
        }
    ).assign(wall_seconds=1800.0)
    record = {"hardware": {"cpu": "any", "threads": 1}, "versions": {"torch": "2.9"}}
    study = Study(name="paper_rules", folder=Path(), axes=(), first_record=record)
    (row,) = runs_table({"paper_rules": Table(rows=rows, studies=(study,), skipped=())}).splitlines()[2:]
    assert row == "| `paper/rules` | 2 | 0, 1 | 1.0 | any, 1 thread | torch 2.9 | abcdefg |"


def test_each_change_has_its_increase_under_each_rule(kept: Path) -> None:
    told = load(kept / "paper_rules")
    assert told is not None
    rows = told.rows.assign(**{"axis.change": ["nothing"] * 5 + ["longer trains"] * 5})
    table = limits_table(Table(rows=rows, studies=told.studies, skipped=()))
    assert table.splitlines()[2:] == [
        "| nothing | +1.00 (+0.53 to +1.47) | - |",
        "| longer trains | - | +6.00 (+5.05 to +6.95) |",
    ]


def test_a_claim_is_judged_over_both_halves_seed_by_seed(kept: Path) -> None:
    told = load(kept / "paper_rules")
    assert told is not None
    first = told.rows
    # of every seed the halves differ by as much in the other direction: their mean does not scatter
    mirrored = 5.0 - first["metric.error_increase"]
    second = first.assign(**{"choice.data": "cifar_second", "metric.error_increase": mirrored})
    both = Table(rows=pd.concat([first, second.iloc[::-1]]), studies=told.studies, skipped=())
    text = rules_table([both])
    assert text.count("| both | `cttv2` | 31.0 ± 0.4 | +2.50 (+2.50 to +2.50) | not reproduced |") == 1
    assert text.count("reproduced |") == text.count("| both |") * 2 == 4  # halves alone are not judged


def test_presets_have_a_row_per_device_and_a_column_per_rule(kept: Path) -> None:
    told = load(kept / "paper_rules")
    assert told is not None
    rows = told.rows.assign(
        **{"axis.device": ["reram_sb", "reram_om"] * 5, "axis.algorithm": told.rows["algorithm"]}
    )
    axes = [
        {"name": "device", "choices": ["reram_sb", "ecram", "reram_om"]},
        {"name": "algorithm", "choices": list(ERRORS)},
    ]
    described = {**told.studies[0].described, "axes": axes}
    presets = Table(rows=rows, studies=(replace(told.studies[0], described=described),), skipped=())
    assert presets_table(presets).splitlines() == [
        "| device | `cttv2` | `ttv2` |",
        "| --- | --- | --- |",
        "| `reram_sb` | +0.8 | +5.7 |",
        "| `reram_om` | +1.4 | +6.2 |",
    ]
    # variances .0633, .045, .98, .52 with 2, 1, 1, 2 degrees of freedom
    assert presets_scatter(presets).startswith(
        "Means of 5 seeds. Between the seeds of a cell the increase scatters by 0.6 "
    )


def test_published_cells_stand_beside_what_was_measured(tmp_path: Path) -> None:
    save(write_study(tmp_path / "states"), tmp_path / "kept" / "states")
    text = parts(saved(tmp_path / "kept"))["states_table"]
    assert text.splitlines()[:3] == [
        "| rule | states | published | here | difference |",
        "| --- | --- | --- | --- | --- |",
        "| `ttv2` | 10 | 90 | 90.3 (86.5 to 94.1) | +0.3 |",
    ]
    assert "| `agad` | 10 | 91 | 91.5 | +0.5 |" in text
    assert "Somebody, 2025; in %. 1 or 3 seeds here," in text
    assert text.endswith("Not as printed: training.epochs: 5 instead of 30.")


def test_cells_that_do_not_train_have_no_say_in_the_scatter() -> None:
    told = table_of(
        **{"axis.device": [*"aaabbc"], "axis.algorithm": "cttv2", "seed": [0, 1, 2, 0, 1, 0]},
        **{"metric.error_increase": [1.0, 3.0, 5.0, 20.0, 60.0, 2.0]},
    )
    assert "scatters by 2.0 points" in presets_scatter(told)


def test_what_waiting_adds_is_told_per_rule_and_drift(kept: Path) -> None:
    told = load(kept / "paper_rules")
    assert told is not None
    later = {
        "metric.test_error_after_3600s": 1.0,
        "metric.test_error_after_7200s": 2.0,
        "metric.test_error_after_5s": 0.5,
    }
    rows = told.rows.assign(
        **{"axis.drift": 0.05}, **{c: told.rows["metric.test_error"] + d for c, d in later.items()}
    )
    header, _, row, _ = retention_table(Table(rows=rows, studies=told.studies, skipped=())).splitlines()
    assert header.endswith("| after 5 s [points] | after an hour [points] | after 2 hours [points] |")
    assert row.startswith(
        "| `cttv2` | 0.05 | +1.00 (+0.53 to +1.47) | +0.50 (+0.50 to +0.50) | +1.00 (+1.00 "
    )


def test_what_has_not_run_says_how_to_run_it(kept: Path) -> None:
    made = parts(saved(kept))
    assert made["hybrid_sheet"] == "*Not run yet: `crossweep-train -m study=paper/hybrid`.*"
    for name, text in made.items():
        if text.startswith("*Not run yet"):
            study = text.partition("study=")[2].rstrip("`.*")
            assert (ROOT / "conf" / "study" / f"{study}.yaml").is_file(), name


def test_an_unknown_part_is_refused(kept: Path) -> None:
    with pytest.raises(StudyError, match="no part is called nothing; there are runs, "):
        filled("<!-- nothing -->\n<!-- end -->", saved(kept))


def test_the_command_writes_page_and_figures(kept: Path, tmp_path: Path) -> None:
    page = tmp_path / "RESULTS.md"
    page.write_text("Before.\n<!-- rules_table -->\nold\n<!-- end -->\nAfter.\n")
    report(tmp_path / "runs", tmp_path / "again", tmp_path / "pictures", [page])
    text = page.read_text()
    assert text.startswith("Before.\n<!-- rules_table -->\n| network") and text.endswith(
        "<!-- end -->\nAfter.\n"
    )
    assert "old" not in text
    assert {path.name for path in (tmp_path / "pictures").iterdir()} == {
        "results_rules.png",
        "results_epochs.png",
    }


def _offsets(tmp_path: Path) -> Table:
    """Two rules that err on five points more than the reference; a skew costs TTv2 20 points per unit."""
    rng, root = np.random.default_rng(1), tmp_path / "skew"
    skew = {"name": "skew", "keys": ["symmetry_point.skew"], "low": 0.0, "high": 0.4, "unit": "w_max"}
    rules = {"name": "algorithm", "keys": ["algorithm"], "choices": ["cttv2", "ttv2"]}
    config = {"symmetry_point.skew": 0.0}
    told = {
        "format": 1,
        "name": "skew",
        "axes": [skew, rules],
        "objectives": ["error_increase"],
        "config": config,
    }
    write(root / "study.json", told)
    cells = [(rule, place) for rule in rules["choices"] for place in np.linspace(0, 0.4, 9)]
    for n, (rule, place) in enumerate(cells):
        params = {"skew": float(place), "algorithm": rule}
        write(root / f"trial_{n}" / "trial.json", {"number": n, "state": "complete", "params": params})
        for seed in range(3):
            increase = 5.0 + seed + 20 * place * (rule == "ttv2") + 0.05 * rng.standard_normal()
            run = record(increase, algorithm=rule, seed={"device": seed, "training": seed})
            run["config"]["symmetry_point"]["skew"] = float(place)
            write(root / f"trial_{n}" / f"seed_{seed}" / "record.json", run)
    save(root, tmp_path / "skew_kept")
    table = load(tmp_path / "skew_kept")
    assert table is not None
    return table


def test_a_flaw_costs_what_it_adds_to_the_same_rule(tmp_path: Path) -> None:
    table = _offsets(tmp_path)
    cost = costs(table).rows
    clean = cost["axis.skew"] == 0.0
    assert clean.any() and (cost.loc[clean, f"metric.{COST}"].abs() < 1e-9).all()
    assert cost.loc[~clean & (cost["algorithm"] == "cttv2"), f"metric.{COST}"].abs().max() < 0.5
    analysis = analysed(table)
    answers = {group.name: group.tolerances for group in analysis.groups}
    assert answers["ttv2"][0].low < 1.2 / 20 < answers["ttv2"][0].high
    rows = sheet(analysis).splitlines()[2:]
    assert rows[0].startswith("| `cttv2` | skew [w_max] | not determined | -0.") and "9 places" in rows[0]
    assert rows[1].startswith("| `ttv2` | skew [w_max] | at most 0.0")


@pytest.mark.parametrize("harmless", ["set to zero", "left as configured"])
def test_curves_show_the_cost_of_each_flaw_from_the_harmless_run_on(harmless: str, tmp_path: Path) -> None:
    table = _offsets(tmp_path)
    if harmless == "left as configured":
        rows = table.rows.copy()
        clean = rows["axis.skew"] == 0.0
        rows.loc[clean, "axis.skew"] = np.nan
        rows["varied"] = [() if own else names for own, names in zip(clean, rows["varied"], strict=True)]
        table = replace(table, rows=rows)
    with drawing():
        (figure,) = curves(table, "results_skew")
    panel = figure.canvas.axes[0]
    drawn = [np.asarray(bars.lines[0].get_data()) for bars in panel.containers]
    assert len(drawn) == 2
    for (places, values), slope in zip(drawn, (0.0, 20.0), strict=True):
        assert np.allclose(places, np.linspace(0, 0.4, 9)) and values[0] == 0.0
        assert np.abs(values - slope * places).max() < 0.5


def test_figures_are_drawn_for_what_there_is(kept: Path) -> None:
    with drawing():
        assert [figure.name for figure in figures(saved(kept))] == ["results_rules", "results_epochs"]


def test_a_study_without_a_harmless_run_is_refused(tmp_path: Path) -> None:
    table = _offsets(tmp_path)
    rows = table.rows[table.rows["axis.skew"] > 0]
    with pytest.raises(StudyError, match="no run without a flaw"):
        costs(Table(rows=rows, studies=table.studies, skipped=()))
