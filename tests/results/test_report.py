"""The report: complete, self-contained, true to its tables, and honest where there is nothing to draw."""

from __future__ import annotations

import json
import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pandas as pd
import pytest

from crossweep import report as command
from crossweep.axis import number_text
from crossweep.errors import StudyError
from crossweep.results import build_report, terminal_summary
from crossweep.results.analysis import analyse
from crossweep.results.collecting import collect
from crossweep.results.page import html_table
from crossweep.results.plots.style import COLUMN, LINES, RC, canvas, drawing, loss_axis
from crossweep.results.reporting import Report
from crossweep.results.sentences import summary
from tests.results.studies import cliff, record, study, write


class Page(HTMLParser):
    """Tags, links and ids of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.links: list[str] = []
        self.sources: list[str] = []
        self.ids: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        given = dict(attrs)
        if tag == "a" and given.get("data-to"):  # the script makes a link of it where the folders are
            self.links.append(str(given["data-to"]))
        assert tag != "a" or "href" not in given, "a link that is dead where the page was mailed"
        self.sources += [
            str(v) for k, v in attrs if k in ("src", "srcset") or (k == "href" and tag == "link")
        ]
        if given.get("id"):
            self.ids.append(str(given["id"]))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Report, Page, str]:
    """A study of two algorithms, with one failed and one diverged trial and a foreign folder."""
    root = study(
        tmp_path_factory.mktemp("multirun") / "two", cliff, n=32, seeds=1, algorithms=("cttv2", "ttv2")
    )
    (root / "note <b>s").mkdir()
    write(
        root / "trial_64" / "trial.json",
        {"number": 64, "state": "failed", "params": {"skew": 0.3}, "error": "<oom>"},
    )
    diverged = record(80.0, state="diverged", algorithm="ttv2")
    write(root / "trial_65" / "record.json", diverged)
    params = {"skew": 0.5, "variability": 0.8, "algorithm": "ttv2"}
    write(root / "trial_65" / "trial.json", {"number": 65, "state": "diverged", "params": params})
    report = build_report(root)
    text = report.path.read_text("utf-8")
    return report, Page(text), text


def test_everything_is_written(made: tuple[Report, Page, str]) -> None:
    root = made[0].path.parent
    names = {
        "results.parquet",
        "results.csv",
        "tolerance.csv",
        "tolerance_joint.csv",
        "comparison.csv",
        "points.csv",
    }
    assert names <= {p.name for p in root.iterdir()}
    figures = {p.name for p in (root / "figures").iterdir()}
    pngs = {n.removesuffix(".png") for n in figures if n.endswith(".png")}
    assert pngs == {n.removesuffix(".pdf") for n in figures if n.endswith(".pdf")}
    assert {
        "landscape_0",
        "landscape_1",
        "tolerance",
        "joint_0",
        "along_skew",
        "importance_0",
        "fit_0",
    } <= pngs
    assert made[1].tags["svg"] == made[1].tags["figure"] == len(pngs)


def test_the_page_needs_nothing_from_outside(made: tuple[Report, Page, str]) -> None:
    _, page, text = made
    assert page.sources == ["data:,"]
    outside = set(re.findall(r"https?://[^\s\"'<)]+", text))
    assert outside <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
    assert "@import" not in text and "url(http" not in text


def test_links_lead_to_trial_folders(made: tuple[Report, Page, str]) -> None:
    report, page, _ = made
    folders = {(report.path.parent / unquote(link)).resolve() for link in page.links}
    assert all(f.is_dir() for f in folders)
    assert {f.name for f in folders} >= {f"trial_{i}" for i in range(64)}
    assert not any(link.startswith("/") for link in page.links)


def test_ids_are_unique_and_text_is_escaped(made: tuple[Report, Page, str]) -> None:
    _, page, text = made
    assert [i for i, n in Counter(page.ids).items() if n > 1] == []
    assert "&lt;oom&gt;" in text and "<oom>" not in text and "note <b>" not in text


def test_figures_follow_the_theme(made: tuple[Report, Page, str]) -> None:
    text = made[2]
    assert "var(--ink)" in text and "prefers-color-scheme: dark" in text
    svgs = re.findall(r"<svg.*?</svg>", text, re.S)
    assert not any(RC["text.color"] in svg or LINES[0] in svg for svg in svgs)


def test_every_trial_of_a_map_can_be_asked(made: tuple[Report, Page, str]) -> None:
    svg = next(s for s in re.findall(r"<svg.*?</svg>", made[2], re.S) if "landscape_0" in s)
    tips = re.findall(r"<title>(trial \d+: [^<]*)</title>", svg)
    assert len(tips) == 33 and "error increase 80.00, diverged" in " ".join(tips)


def test_the_sheet_says_what_the_truth_is(made: tuple[Report, Page, str]) -> None:
    sheet = pd.read_csv(made[0].path.parent / "tolerance.csv").set_index(["group", "axis"])
    for name, edge in (("cttv2", 0.9), ("ttv2", 0.5)):
        exact = 0.5 * (edge - np.log(40 / 1.2 - 1) / 12)
        row = sheet.loc[(name, "skew")]
        # an empty end is censored: the interval is open there
        assert not row["low"] > exact and not row["high"] < exact
        assert (
            row["unit"] == "w_max"
            and row["limit"] == "at most"
            and not row["specification"] > row["tolerance"]
        )
    assert sheet.loc[("cttv2", "skew"), "low"] < sheet.loc[("cttv2", "skew"), "high"]
    joint = pd.read_csv(made[0].path.parent / "tolerance_joint.csv")
    assert set(joint["group"]) == {"cttv2", "ttv2"} and {"at", "value", "low", "high"} <= set(joint)


def test_the_terminal_gets_the_answer_in_ten_lines(made: tuple[Report, Page, str]) -> None:
    lines = made[0].summary.splitlines()
    assert len(lines) <= 10
    assert "66 trials (64 complete, 1 failed, 1 diverged)" in lines[0] and "1 folder skipped" in lines[0]
    assert any(re.search(r"SP skew: cttv2 \(.*\) tolerates more than ttv2", line) for line in lines)


def test_figures_fit_a_paper_column_and_are_legible(made: tuple[Report, Page, str]) -> None:
    from matplotlib.image import imread

    for path in (made[0].path.parent / "figures").glob("*.png"):
        height, width = imread(path).shape[:2]
        assert width <= 1.11 * COLUMN * 300, path.name
        assert height <= 2.5 * COLUMN * 300, path.name
    assert min(v for k, v in RC.items() if k.endswith("size") and k != "hatch.linewidth") >= 7


@pytest.mark.slow
def test_a_report_of_three_hundred_trials_is_small(tmp_path: Path) -> None:
    report = build_report(
        study(tmp_path / "s", cliff, n=128, seeds=2, algorithms=("cttv2", "ttv2")), figures=False
    )
    assert len(report.analysis.table.rows) == 512
    assert report.path.stat().st_size < 3_000_000


def test_a_young_study_is_reported_without_a_surface(tmp_path: Path) -> None:
    report = build_report(study(tmp_path / "s", cliff, n=4), figures=False)
    text = report.path.read_text("utf-8")
    assert "4 finished points; a surface over 2 axes needs 10" in text and "needs 10" in report.summary
    svgs = re.findall(r"<svg.*?</svg>", text, re.S)
    assert len(svgs) == 1 and "trials over SP skew and SP variability" in svgs[0]
    assert len(re.findall(r"<title>trial \d+", svgs[0])) == 4 and "No surface is drawn" in text
    sheet = pd.read_csv(tmp_path / "s" / "tolerance.csv")
    assert sheet["answer"].str.startswith("none: ").all()


def test_one_finished_trial_and_nothing_but_failures(tmp_path: Path) -> None:
    assert build_report(study(tmp_path / "one", cliff, n=1), figures=False).path.is_file()
    write(tmp_path / "bad" / "study.json", {"name": "bad", "axes": []})
    write(tmp_path / "bad" / "trial_0" / "trial.json", {"number": 0, "state": "failed", "error": "boom"})
    with pytest.raises(StudyError, match="`metric` must be one"):
        build_report(tmp_path / "bad")


def test_stale_sheets_do_not_outlive_their_report(tmp_path: Path) -> None:
    root = study(tmp_path / "s", cliff, n=4)
    (root / "tolerance_joint.csv").write_text("old")
    build_report(root, figures=False)
    assert not (root / "tolerance_joint.csv").exists()


def test_algorithms_without_axes_are_compared_over_seeds(tmp_path: Path) -> None:
    root = tmp_path / "compare"
    rng, number = np.random.default_rng(0), 0
    for seed in range(5):
        common = rng.normal(0, 1.0)
        for algorithm, loss in (("cttv2", 1.0), ("agad", 0.4), ("digital", 0.0)):
            increase = loss + common + rng.normal(0, 0.05)
            overrides = [f"algorithm={algorithm}", f"seed={seed}"]
            content = record(increase, algorithm=algorithm, overrides=overrides, seed={"training": seed})
            write(root / str(number) / "record.json", content)
            number += 1
    report = build_report(root)
    assert [g.name for g in report.analysis.groups] == [
        "cttv2",
        "agad",
    ]  # digital is their measure
    (c,) = report.analysis.comparisons
    assert c.units == "seeds" and abs(c.difference.mean) == pytest.approx(0.6, abs=0.15) and c.p < 0.01
    assert re.search(
        r"the error increase of agad is 0\.\d+ points smaller than that of cttv2", report.summary
    )
    assert {"losses.png", "differences.png"} <= {p.name for p in (root / "figures").iterdir()}


def test_one_axis_at_a_time_gives_one_curve_per_axis(tmp_path: Path) -> None:
    root, number = tmp_path / "tolerance", 0
    axes = [{"name": n, "keys": [n], "low": 0.0, "high": 1.0} for n in ("a", "b", "c")]
    write(root / "study.json", {"name": "tolerance", "axes": axes, "budget": 1.0})
    rng = np.random.default_rng(0)
    for name, slope in (("a", 4.0), ("b", 2.0), ("c", 0.1)):
        for value in np.linspace(0, 1, 9):
            params = {"a": 0.0, "b": 0.0, "c": 0.0, name: float(value)}
            folder, loss = root / f"trial_{number}", slope * value + 0.05 * rng.standard_normal()
            write(folder / "record.json", record(loss))
            write(folder / "trial.json", {"number": number, "state": "complete", "params": params})
            number += 1
    analysis = analyse(collect(root), budget=1.0)
    (group,) = analysis.groups
    found = {t.axis.name: t for t in group.tolerances}
    assert len(group.fits) == 3 and set(found) == {"a", "b"}
    assert found["a"].low < 0.25 < found["a"].high and found["b"].low < 0.5 < found["b"].high
    # c has no effect to fit: nothing is specified, and what was measured is said
    (flat,) = [line for line in summary(analysis) if line.startswith("no answer for c")]
    assert "All 9 points are within the budget, though (largest 0." in flat
    assert flat.endswith("More seeds (study.seeds) or more trials (study.n_trials) would help.")


def test_the_studys_own_budget_and_metric_are_used(tmp_path: Path) -> None:
    root = study(tmp_path / "s", cliff, n=4, budget=3.5)
    assert build_report(root, figures=False).analysis.budget == 3.5
    told = build_report(root, figures=False, metric="test_error", budget=10)
    assert told.analysis.metric == "test_error" and told.analysis.budget == 10
    with pytest.raises(StudyError, match="got nonsense"):
        build_report(root, figures=False, metric="nonsense")
    assert terminal_summary(root).startswith("s: 4 trials")


def test_tables_sort_by_value_not_by_text() -> None:
    text = html_table(pd.DataFrame({"x": [0.25, np.nan, 1e-7], "t": ["a<b", "c", "d"]}))
    assert 'data-v="0.25"' in text and '<td class="number"></td>' in text and 'data-v="1e-07"' in text
    assert "a&lt;b" in text and '<th scope="col" class="number"><button>x</button></th>' in text


def test_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = study(tmp_path / "all" / "s", cliff, n=16)
    command.main([str(root), "--no-figures", "--budget", "2"])
    assert "within 2 points" in (out := capsys.readouterr().out) and f"report: {root / 'report.html'}" in out
    assert not (root / "figures").exists()
    command.main([str(root), "--collect"])
    assert "16 runs (16 complete), 0 folders skipped" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="2"):
        command.main([str(tmp_path / "nowhere")])
    assert "`DIR` must be an existing folder" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="0"):
        command.main(["--help"])
    assert "tolerance.csv" in capsys.readouterr().out


def test_folder_of_studies_one_report_each_or_one_for_all(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = study(tmp_path / "all" / "one", cliff, n=4)
    other = study(tmp_path / "all" / "other", cliff, n=4)
    command.main([str(tmp_path / "all"), "--no-figures"])
    assert (one / "report.html").is_file() and (other / "report.html").is_file()
    with pytest.raises(SystemExit, match="2"):
        command.main([str(one), str(other), "--no-figures", "--output", str(tmp_path / "x")])
    assert "add --compare" in capsys.readouterr().err
    command.main([str(one), str(other), "--compare", "--no-figures"])
    text = (tmp_path / "all" / "comparison" / "report.html").read_text("utf-8")
    assert 'data-to="../one/trial_0/"' in text and "one, other" in text
    assert len(pd.read_csv(tmp_path / "all" / "comparison" / "tolerance.csv")["group"].unique()) == 2


def test_optunas_evaluators_agree_on_what_costs_most(made: tuple[Report, Page, str]) -> None:
    sheet = pd.read_csv(made[0].path.parent / "importance.csv").set_index(["group", "axis"])
    for group in ("cttv2", "ttv2"):
        for measure in ("alone", "total", "fANOVA"):
            assert sheet.loc[(group, "skew"), measure] > sheet.loc[(group, "variability"), measure]
        assert sheet.loc[group, "fANOVA"].sum() == pytest.approx(1.0)


def test_groups_that_are_all_over_the_budget_or_all_beyond_the_range_are_not_ranked(tmp_path: Path) -> None:
    def lost(place: np.ndarray, algorithm: str) -> float:
        return 5.0 + 20 * float(place[0]) + (1.0 if algorithm == "ttv2" else 0.0)

    axes = {
        "skew": {"keys": ["s"], "low": 10.0, "high": 2000.0, "unit": "states", "label": "number of states"}
    }
    root = study(tmp_path / "s", lost, n=8, algorithms=("cttv2", "ttv2"), axes=axes)
    lines = summary(analyse(collect(root), budget=1.2))
    assert sum("from the start" in line for line in lines) == 2
    assert not any("tolerates more" in line for line in lines)


def test_axes_are_named_by_label_and_unit_and_numbers_written_out(tmp_path: Path) -> None:
    axes = {
        "n_states": {"keys": ["s"], "low": 10, "high": 2000, "scale": "log", "unit": "states", "label": "number of states"},
        "life": {"keys": ["l"], "low": 100.0, "high": 1e5, "unit": "mini-batches", "label": "retention"},
    }  # fmt: skip
    root = study(tmp_path / "s", lambda u, _: 0.2 + 0.4 * u[0] + 0.3 * u[1], n=16, noise=0.01, axes=axes)
    report = build_report(root, figures=False)
    text = report.path.read_text("utf-8")
    importance = pd.read_csv(root / "importance.csv")
    assert set(importance["label"]) == {"number of states", "retention"}
    assert set(importance["unit"]) == {"states", "mini-batches"}
    said = report.summary + text + (root / "tolerance.csv").read_text()
    assert "number of states [states]" in text and "2000 states" in said and "100000 mini-batches" in said
    assert not re.search(
        r"\de\+0\d",
        report.summary + re.sub(r"<svg.*?</svg>|<pre>.*?</pre>|data-v=\"[^\"]*\"", "", text, flags=re.S),
    )


def test_the_reference_and_what_the_runs_warn_of_are_told(tmp_path: Path) -> None:
    root = study(tmp_path / "s", cliff, n=8)
    for i, path in enumerate(sorted(root.glob("trial_*/record.json"))):
        content = json.loads(path.read_text())
        warnings = [f"the increase is negative ({-0.1 * i:.1f} points)"] if i < 3 else []
        write(path, {**content, "reference": "adamw" if i else "sgd", "warnings": warnings})
    lines = " ".join(summary(analyse(collect(root))))
    assert "adamw (7 runs), sgd (1 runs)" in lines
    assert lines.count("the increase is negative") == 1 and "(3 of 8 runs)" in lines


def test_the_first_lines_say_what_was_run(tmp_path: Path) -> None:
    root = study(tmp_path / "s", cliff, n=16)
    described = json.loads((root / "study.json").read_text())
    write(root / "study.json", described | {"command": "crossweep-train -m study=s 'axis=[sp_skew]'"})
    for path in root.glob("trial_*/record.json"):
        content = json.loads(path.read_text())
        content["choices"] |= {"model": "swin_micro", "data": "digits"}
        write(path, content | {"reference": "adamw", "metrics": content["metrics"] | {"baseline_error": 6.2}})
    text = build_report(root, figures=False).path.read_text("utf-8")
    facts = dict(re.findall(r"<dt>([^<]*)</dt><dd>(.*?)</dd>", text.partition("</dl>")[0]))
    assert facts["device"] == "soft_bounds" and facts["training rule"] == "cttv2"
    assert facts["model"] == "swin_micro" and facts["data"] == "digits"
    assert re.fullmatch(r"[\d.]+ to [\d.]+ % analog, 6.2 % digital reference \(AdamW\)", facts["test error"])
    assert facts["versions"] == "crossweep 0.1.0, torch 2.9, commit 01234567"
    assert facts["command"] == "<code>crossweep-train -m study=s &#x27;axis=[sp_skew]&#x27;</code>"
    words = text.partition("<summary>Words</summary>")[2].partition("</details>")[0]
    assert all(f"<dt>{word}</dt>" in words for word in ("error increase", "likely range", "w_max", "budget"))
    assert "<dt>pruned</dt>" not in words  # only what the page uses


def test_the_language_is_a_device_engineers(made: tuple[Report, Page, str]) -> None:
    text = re.sub(r"<(style|script|pre)>.*?</\1>|<svg.*?</svg>", "", made[2], flags=re.S)
    before, _, trust = text.partition("How far to trust it")
    after = trust.partition("</ul>")[2].partition("How well the surfaces fit")[0]
    for word in ("posterior", "Q²", "left-out", "pointwise", "95 % interval"):
        assert word not in before and word not in after, word
    # "loss" is the training loss alone
    assert not re.search(r"\bloss\b(?! )|\ba loss\b|loss of", before + after)


@pytest.mark.slow
def test_nothing_is_ranked_where_nothing_is_decided(tmp_path: Path) -> None:
    def alike(place: np.ndarray, _: str) -> float:
        return cliff(place)

    analysis = analyse(collect(study(tmp_path / "s", alike, n=16, algorithms=("cttv2", "ttv2"))))
    lines = summary(analysis)
    assert len(analysis.tolerances) > 1 and not any("tolerates more" in line for line in lines)
    page = build_report(tmp_path / "s", figures=False).path.read_text("utf-8")
    assert "of each group, and what it tolerates" in page and "mean over its runs" in page


def test_a_tolerance_study_lists_flaw_and_value(tmp_path: Path) -> None:
    names = ("a", "b", "c")
    axes = [
        {"name": n, "keys": [n], "low": 0.0, "high": 1.0, "unit": "w_max", "when": {"flaw": [n]}}
        for n in names
    ]
    switch = {"name": "flaw", "keys": [], "choices": ["as_configured", *names]}
    root, number = tmp_path / "tolerance", 0
    write(root / "study.json", {"name": "tolerance", "axes": [switch, *axes]})
    for name, value in [("as_configured", 0.0), *((n, v) for n in names for v in (0.25, 0.5))]:
        params = {"flaw": name} | ({} if name == "as_configured" else {name: value})
        write(root / f"trial_{number}" / "record.json", record(value))
        write(
            root / f"trial_{number}" / "trial.json", {"number": number, "state": "complete", "params": params}
        )
        number += 1  # noqa: SIM113
    text = build_report(root, figures=False).path.read_text("utf-8")
    table = text.partition("<h2>Trials</h2>")[2]
    heads = re.findall(r"<button>([^<]*)</button>", table)
    assert heads[:6] == ["trial", "seed", "state", "algorithm", "flaw", "value"]
    assert "as configured" in table and "0.25 w_max" in table


def test_single_runs_of_several_kinds_are_told_apart_and_never_compared_across_data(
    tmp_path: Path,
) -> None:
    kinds = [
        ("soft_bounds", "cttv2", "digits"),
        ("reram_om", "cttv2", "digits"),
        ("reram_om", "agad", "cifar"),
    ]
    for device, algorithm, data in kinds:
        for seed in range(2):
            choices = {"device": device, "algorithm": algorithm, "data": data, "model": "mlp"}
            content = record(1.0 + seed, algorithm=algorithm, choices=choices, seed={"training": seed})
            write(tmp_path / "runs" / f"{data}-{algorithm}-{device}-{seed}" / "record.json", content)
    analysis = analyse(collect(tmp_path / "runs"))
    assert {g.name for g in analysis.groups} == {
        *("cttv2, soft_bounds, digits", "cttv2, reram_om, digits", "agad, reram_om, cifar"),
    }
    assert [{c.first, c.second} for c in analysis.comparisons] == [
        {"cttv2, soft_bounds, digits", "cttv2, reram_om, digits"}
    ]


def test_numbers_are_written_as_people_do() -> None:
    said = [number_text(v) for v in (2000.0, 123456.0, 1e6, 3.2e7, 1e-7, 2.5e-6, 0.001, -4e8, 0.0)]
    assert said == ["2000", "123456", "10⁶", "3.2×10⁷", "10⁻⁷", "2.5×10⁻⁶", "0.001", "-4×10⁸", "0"]


@pytest.mark.parametrize(
    ("values", "scale"),
    [
        (np.linspace(0, 6, 20), "linear"),  # a few budgets
        (np.linspace(20, 60, 20), "linear"),  # nothing near the budget to spread out
        (np.concatenate([np.linspace(0, 3, 12), np.linspace(20, 60, 8)]), "symlog"),  # a plateau and a cliff
    ],
)
def test_the_scale_of_a_curve_follows_the_data(values: np.ndarray, scale: str) -> None:
    with drawing():
        made, ax = canvas()
        loss_axis(ax, "error increase", "y", 1.2, values)
        made.draw_without_rendering()
    assert ax.get_yscale() == scale
    low, high = ax.get_ylim()
    places = ax.transData.transform(np.column_stack([np.zeros(len(values)), values]))[:, 1]
    bottom, top = ax.transData.transform([(0, low), (0, high)])[:, 1]
    shares = (places - bottom) / (top - bottom)
    assert (shares >= 0).all() and (shares <= 1).all()
    assert np.quantile(shares, 0.75) - np.quantile(shares, 0.25) > 0.25, "crushed into an edge"
    assert low <= 1.2 <= high
