"""Device cards and the gallery."""

from dataclasses import replace
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from crossweep.device_card import card, draw, gallery, main, names, rows
from tests.devices import catalogue


@pytest.mark.parametrize("name", ["reram_om", "constant_step", "pcm"])
def test_a_card_is_drawn(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    main([f"device={name}", "device.n_states=30"])
    folder = tmp_path / "multirun" / "devices" / name
    assert all((folder / f"card.{kind}").stat().st_size > 10_000 for kind in ("png", "svg"))


def test_the_table_states_what_was_asked_for() -> None:
    shown = dict(rows(card(["device=reram_om", "device.n_states=40"])))
    assert shown["states [1]"] == "40" and shown["model"] == "SoftBounds"
    assert dict(rows(card(["device=ideal"])))["symmetry point"] == "none"


def test_the_gallery_shows_every_device(tmp_path: Path) -> None:
    assert names() == catalogue.NAMES
    path = gallery(
        [card([f"device={name}"]) for name in ("reram_om", "reram_hfo2")], tmp_path / "gallery.png"
    )
    assert path.stat().st_size > 10_000


def test_an_unknown_device_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([])
    assert "device: must be one of" in capsys.readouterr().err


def test_a_card_has_the_panels_that_the_device_has_something_for(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[list[str]] = []

    def keep(figure: Figure, *_: object, **__: object) -> None:
        drawn.append([axes.get_xlabel() or axes.get_ylabel() for axes in figure.axes])
        assert figure.legends, "nobody says which line is the mean"

    monkeypatch.setattr(Figure, "savefig", keep)
    for name in ("soft_bounds", "constant_step", "pcm"):
        draw(card([f"device={name}"]), Path("card.png"))
    assert [len(panels) for panels in drawn] == [4, 3, 2]
    one = replace(card(["device=soft_bounds"]), siemens=(3.5e-5, 2.5e-5))
    draw(one, Path("card.png"))
    gallery([one, card(["device=pcm"])], Path("gallery.png"))
    assert len(drawn[-1]) == 2
