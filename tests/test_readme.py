"""README as a stranger follows it: every command runs, four journeys reach their end, no link is dead.

Trainings are shortened, or take the place of a record that is known, where only their outcome counts. What a notebook
does is in `test_api.py`.
"""

import os
import re
import shlex
import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra

from crossweep import device_card, fit_device, report, train
from crossweep.build import build
from crossweep.paths import conf_dir, version_base
from tests.data.files import write_cifar, write_image_folder, write_sequences
from tests.fitting import recorded
from tests.results.studies import cliff, record, study, write
from tests.runs import each

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```(\w*)\n(.*?)```", README, re.DOTALL)


def commands(text: str) -> list[str]:
    """The lines of the shell blocks of a text."""
    blocks = re.findall(r"```bash\n(.*?)```", text, re.DOTALL)
    return [line for block in blocks for line in block.splitlines()]


COMMANDS = commands(README)
TEXTS = sorted(ROOT.glob("*.md"))
SHORT = (
    *("training.pretrain.epochs=2", "training.finetune.epochs=3", "training.finetune.batch_size=10"),
    *("evaluation.fresh_devices=0", "quiet=true"),
)
SMALL = {
    "data=": ("data=synthetic", "data.train_per_class=20", "data.test_per_class=20"),
    "model=": ("model=mlp", "model.widths=[8]"),
    "training.baseline=": ("training.baseline=[momentum]",),
}
HERE = ("study.workers=1", "study.storage=memory", "study.progress=none", "study.report=null")
Run = Callable[..., None]


def section(title: str) -> list[str]:
    """The commands below a heading."""
    return commands(README.partition(f"## {title}\n")[2].partition("\n## ")[0])


def shortened(words: list[str]) -> list[str]:
    """A command that takes seconds: an epoch, and a small network and data set where it names none."""
    small = [w for key, words_ in SMALL.items() if not any(g.startswith(key) for g in words) for w in words_]
    return [*words, *small, *SHORT]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """Run a line of README in this process, in a folder of its own; further words shorten it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    monkeypatch.setenv("PASSWORD", "secret")
    monkeypatch.delenv("CROSSWEEP_MULTIRUN", raising=False)

    def line(text: str, *more: str) -> None:
        program, *words = shlex.split(text)
        while "=" in program:  # an environment variable
            if program.startswith("PYTHONPATH="):
                monkeypatch.syspath_prepend(os.fspath(tmp_path / program.partition("=")[2]))
            program, *words = words
        main = {
            "crossweep-train": train.main,
            "crossweep-report": report.main,
            "crossweep-fit-device": fit_device.main,
            "crossweep-device": device_card.main,
        }[program]
        if program == "crossweep-train" and "--help" not in words:
            words = [*shortened(words), *more]
        if program == "crossweep-report":
            words.append("--no-figures")
        monkeypatch.setattr(sys, "argv", [program, *words])
        GlobalHydra.instance().clear()
        main() if program == "crossweep-train" else main(words)  # type: ignore[operator]
        GlobalHydra.instance().clear()

    yield line
    GlobalHydra.instance().clear()


def known(increase: Callable[[Mapping[str, Any]], float]) -> Callable[..., dict[str, Any]]:
    """In place of a training: checks that the run can be built, and records what is known to come out."""

    def fake(cfg: Mapping[str, Any], folder: Path, **given: Any) -> dict[str, Any]:
        build(cfg)
        more = {"choices": given["choices"], "overrides": given["overrides"]}
        told = record(
            increase(cfg), config=cfg, seed=cfg["seed"], algorithm=given["choices"]["algorithm"], **more
        )
        write(folder / "record.json", told)
        return told

    return fake


def measured(folder: Path) -> None:
    """A file of pulses as a laboratory would have it."""
    recorded.save(folder / "pulses.csv", recorded.table(recorded.response(3)))


def own_rule(folder: Path) -> None:
    """The files that README shows, under the names that it gives them."""
    for kind, block in BLOCKS:
        if kind in ("python", "yaml") and (name := re.match(r"# (\S+)\n", block)):
            path = folder / name[1]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block)


@pytest.mark.slow
def test_every_command_runs(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measured(tmp_path)
    own_rule(tmp_path)
    write_image_folder(tmp_path / "photos" / "source", ["cat", "dog"])
    write_image_folder(tmp_path / "photos" / "target", ["crow", "duck"])
    write_cifar(tmp_path / "DATA", monkeypatch)
    write_sequences(tmp_path / "SERIES", "JapaneseVowels")
    (tmp_path / "MINE.txt").write_text("To be, or not to be. " * 300)
    for name in ("landscape_skew_variability", "tolerance", "tune"):
        study(tmp_path / "multirun" / name, cliff, n=8)
    monkeypatch.setattr(train, "train_all", each(known(lambda _: 1.0)))
    for line in COMMANDS:
        if line.startswith("pip install"):
            continue
        if "--help" in line:
            with pytest.raises(SystemExit) as ended:
                run(line)
            assert not ended.value.code
        elif " study=" in line:
            name = re.search(r"study\.name=(\S+)", line)
            other = () if name else ("study.name=of_the_test",)
            run(line, *other, *(() if "--dry-run" in line else ("--dry-run",)))
        else:
            run(line)
    assert (tmp_path / "multirun" / "devices" / "my_rram" / "card.png").is_file()
    assert (tmp_path / "multirun" / "tolerance" / "report.html").is_file()


def test_commands_are_spelled_one_way() -> None:
    assert {line.split()[0] for line in COMMANDS} <= {
        *(
            "pip",
            "PYTHONPATH=.",
            "crossweep-train",
            "crossweep-report",
            "crossweep-fit-device",
            "crossweep-device",
        ),
    }
    assert "python -m crossweep.train" not in README and len(README.splitlines()) <= 250
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert set(re.findall(r"`make ([a-z-]+)", README)) <= set(targets)
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    named = README.partition("Extras, ")[2].partition("\n\n")[0]
    assert {*re.findall(r"`([a-z]+)`", named)} == extras.keys() - {"dev"}


# -- journeys ----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_csv_becomes_a_specification(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measured(tmp_path)
    fit, card, training, dry, sweep, answer = section("Your device: from CSV to specification")
    for line in (fit, card, training, dry):
        run(line)
    assert (tmp_path / "multirun" / "devices" / "my_rram" / "card.png").is_file()
    (told,) = tmp_path.glob("multirun/runs/*/record.json")
    assert "my_rram" in told.read_text()
    # every point of the study is known: a skew of 0.3 w_max costs the budget of 2 points
    monkeypatch.setattr(
        train, "train_all", each(known(lambda cfg: 20 * cfg["symmetry_point"]["skew"] ** 2 + 0.2))
    )
    run(
        sweep,
        *HERE,
        "study.seeds=1",
        "axis.flaw.choices=[as_configured,sp_skew,write_noise]",
        "axis.sp_skew.points=9",
    )
    run(answer)
    sheet = pd.read_csv(tmp_path / "multirun" / "tolerance" / "tolerance.csv").set_index("axis")
    assert 0.2 < sheet.loc["sp_skew", "specification"] <= 0.32 and "µS" in sheet.loc["sp_skew", "requirement"]
    page = (tmp_path / "multirun" / "tolerance" / "report.html").read_text("utf-8")
    assert "<dt>device</dt><dd>my_rram (w = 0 is" in page and "Specification" in page
    assert "crossweep-train -m study=tolerance device=measured" in page


def test_a_rule_of_ones_own_is_compared(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own_rule(tmp_path)
    (line,) = section("Your rule, device or axis, without a fork")
    run(line)
    said = capsys.readouterr().out
    assert "6 runs" in said and len(re.findall(r"│\s+eager │", said)) == 3
    (grid,) = (tmp_path / "multirun" / "grid").iterdir()
    report.main([str(grid), "--no-figures"])
    page = (grid / "report.html").read_text("utf-8")
    assert "<dd>eager, cttv2</dd>" in page or "<dd>cttv2, eager</dd>" in page
    assert "Paired comparison" in page


def test_a_timm_network_is_fine_tuned_on_ones_own_images(run: Run, tmp_path: Path) -> None:
    line = section("Your network and your images")[0]
    for task, names in (("source", ["cat", "dog"]), ("target", ["crow", "duck"])):
        write_image_folder(tmp_path / "photos" / task, names)
    # noise for images: there is nothing to compare with
    run(line, "data.validation=0.2", "training.pretrain.batch_size=8", "training.baseline=[]")
    (told,) = tmp_path.glob("multirun/runs/*/record.json")
    text = told.read_text()
    assert '"state": "complete"' in text and "mobilenetv3_small_050" in text
    assert (told.parent / "checkpoint.safetensors").is_file()


# -- links and words ---------------------------------------------------------------------------------------------------


def anchors(text: str) -> set[str]:
    heads = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.name)
def test_no_relative_link_is_dead(path: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text()):
        if "://" in target:
            continue
        file, _, anchor = target.partition("#")
        assert not file or (ROOT / file).exists(), target
        assert not anchor or anchor in anchors((ROOT / file if file else path).read_text()), target


def test_what_readme_lists_is_what_there_is() -> None:
    conf = {p.name: {q.stem for q in p.glob("*.yaml") if q.stem[0] != "_"} for p in (ROOT / "conf").iterdir()}
    rows = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \| [^|]+ \| ([^|]*) \|", README, re.MULTILINE)
    for names, options in rows:
        groups = re.findall(r"`(\w+)`", names)
        there = set().union(*(conf[name] for name in groups))
        assert set(re.findall(r"`(\w+)`", options)) == there, groups
    assert len(rows) >= 9


def test_the_citation_is_of_this_version() -> None:
    import yaml

    import crossweep

    said = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert said["version"] == crossweep.__version__ and said["license"] == "Apache-2.0" and said["authors"]


def test_the_words_for_slurm_compose() -> None:
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    words = README.partition("`hydra/launcher=submitit_slurm")[2].partition("`")[0].split()
    with initialize_config_dir(str(conf_dir()), **version_base()):
        asked = ["study=tolerance", "hydra/launcher=submitit_slurm", *words]
        launcher = compose("train", overrides=asked, return_hydra_config=True).hydra.launcher
    assert launcher._target_.endswith("SlurmLauncher")
    for word in words:
        key, _, value = word.removeprefix("hydra.launcher.").partition("=")
        assert str(launcher[key]) == value
    assert (launcher.gpus_per_node, launcher.tasks_per_node) == (1, 1)
