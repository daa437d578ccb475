"""A word that names nothing is one line with the key as typed, and with what may have been meant."""

import sys
from pathlib import Path

import pytest

from crossweep.composition import composed
from crossweep.errors import ConfigError
from crossweep.train import main

SAYS = [
    ("device=reram_on", r"^device: must be one of capacitor, .*, table, got 'reram_on', did you mean reram_om\?$"),
    ("algorithm=agda", r"^algorithm: must be one of agad, .*, got 'agda', did you mean agad\?$"),
    ("device@device.fast=capacitro", r"^device: must be one of .*, got 'capacitro', did you mean capacitor\?$"),
    ("device@device.slow=nothing", r"^device: must be one of .*, got 'nothing'$"),
    ("devise=reram_om", r"^devise: is read by nothing, did you mean device\?$"),
    ("algoritm.fast_lr=2", r"^algoritm\.fast_lr: is read by nothing, did you mean algorithm\.fast_lr\?$"),
    ("symmetry_point.skw=0.1", r"^symmetry_point\.skw: is read by nothing, did you mean symmetry_point\.skew\?$"),
    ("seed.model=1", r"^seed\.model: is read by nothing; seed has device, training, pretraining$"),
    ("device={bogus: 1}", r"^device\.bogus: is read by nothing; device has "),
    ("model.kwargs={depths: [1]}", r"^model\.kwargs\.depths: is no key of model\.kwargs yet; \+model\.kwargs\.depths="),
    ("seed.device=0,1", r"^seed\.device: takes one value, got 0,1; with -m they run one after another, a list is \[0,1\]$"),
]  # fmt: skip


@pytest.mark.parametrize(("word", "says"), SAYS)
def test_a_word_that_names_nothing(word: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        composed(["data=synthetic", "model=swin_tiny", word])


def test_a_wrong_key_is_looked_for_beside_the_chosen_options() -> None:
    with pytest.raises(
        ConfigError, match=r"^model\.widht: is read by nothing, did you mean model\.widths\?$"
    ):
        composed(["model=mlp", "model.widht=[3]"])


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (
            ["symmetry_point.skw=0.1"],
            "symmetry_point.skw: is read by nothing, did you mean symmetry_point.skew?",
        ),
        (
            ["-m", "symmetry_point.skw=0,1"],
            "symmetry_point.skw: is read by nothing, did you mean symmetry_point.skew?",
        ),
        (["-m", "study=smok"], "did you mean smoke?"),
        (
            ["-m", "study=compare_algorithms", "study.params={device: x}"],
            "study.params.device: is no key of study.params yet; +study.params.device=... adds it",
        ),
    ],
)
def test_the_command_says_the_same(
    words: list[str],
    says: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("CROSSWEEP_MULTIRUN", str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["crossweep-train", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    line = capsys.readouterr().err
    assert ended.value.code == 2 and line.startswith("crossweep: ") and line.count("\n") == 1 and says in line
