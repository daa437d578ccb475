"""A measured device keeps its name and its conductances: file, folder, card, axes, tables, report."""

from pathlib import Path
from typing import Any

import pytest

from crossweep.configured import device_name, flattened
from crossweep.device_card import card, main, rows
from crossweep.devices import measured
from crossweep.fit_device import main as fit
from crossweep.results.study_axes import from_study
from tests.fitting.recorded import response, save, table

ONLY = ("--model", "soft_bounds", "--range", "1e-5", "6e-5")


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Two files of one name, in folders of their own."""
    monkeypatch.chdir(tmp_path)
    for k, lab in enumerate(("a", "b")):
        (tmp_path / lab).mkdir()
        save(tmp_path / lab / "pulses.csv", table(response(2, seed=k)))
    return ["a/pulses.csv", "b/pulses.csv"]


@pytest.mark.slow
def test_two_devices_live_side_by_side(files: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    fit([files[0], *ONLY])
    with pytest.raises(SystemExit):
        fit([files[1], *ONLY])
    assert "give --name" in capsys.readouterr().err
    fit([files[1], "--name", "lab_b", *ONLY])
    found = [measured.read(f"multirun/devices/{name}/device.yaml") for name in ("pulses", "lab_b")]
    assert [one["name"] for one in found] == ["pulses", "lab_b"]
    assert found[0]["dw_min"] != found[1]["dw_min"]
    assert all(one["siemens_zero"] == 3.5e-5 and one["siemens_per_w"] == 2.5e-5 for one in found)
    main(["device=measured", "device.file=multirun/devices/lab_b/device.yaml"])
    assert (
        Path("multirun/devices/lab_b/card.png").is_file() and not Path("multirun/devices/measured").exists()
    )


def test_a_card_gives_microsiemens(
    files: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    fit([files[0], "--name", "mine", *ONLY])
    shown = capsys.readouterr().out
    assert "soft_bounds │ multiplicative" in shown and "…" not in shown  # nothing is cut at 80 columns
    assert shown.count("µS)") == 6  # steps, bounds, noise of a reading, symmetry point
    fit([files[0], "--name", "mine", "--model", "table", "--range", "1e-5", "6e-5"])
    assert "range [µS]" in (tabulated := capsys.readouterr().out) and "uS)" not in shown + tabulated
    fit([files[0], "--name", "mine", *ONLY])
    file = "multirun/devices/mine/device.yaml"
    one = card(["device=measured", f"device.file={file}", "device.w_max=1.0", "device.w_min=-0.8"])
    told = dict(rows(one))
    assert one.name == "mine" and told["range (mean bounds) [w]"] == "-0.8 .. 1 (15 .. 60 µS)"
    assert told["step in mid-range [w]"].endswith(f"({25 * one.device.granularity:.3g} µS)")
    assert "µS" not in str(rows(card(["device=soft_bounds"])))


def fitted(**keys: Any) -> dict[str, Any]:
    content = {"name": "mine", "w_max": 0.8, "dw_min": 0.01, "siemens_zero": 3.5e-5, "siemens_per_w": 2.5e-5}
    return {"device": {"w_max": None, "dw_min": None, "fitted": content} | keys}


@pytest.mark.parametrize(
    ("unit", "text"),
    [
        ("w", "0.1 w (2.5 µS)"),
        ("w_max", "0.1 w_max (2 µS)"),
        ("dw_min", "0.1 dw_min (0.025 µS)"),
        ("1", "0.1"),
    ],
)
def test_values_on_an_axis_give_microsiemens(unit: str, text: str) -> None:
    described = {"some": {"low": 0.0, "high": 1.0, "unit": unit}}
    (axis,) = from_study(described, flattened(fitted()))
    assert axis.text(0.1) == text
    (plain,) = from_study(described, flattened({"device": {"w_max": 0.6, "dw_min": 0.001}}))
    assert "µS" not in plain.text(0.1)


def test_a_changed_range_counts_and_a_device_has_its_own_name() -> None:
    (axis,) = from_study({"s": {"low": 0.0, "high": 1.0, "unit": "w_max"}}, flattened(fitted(w_max=0.4)))
    assert axis.text(0.1) == "0.1 w_max (1 µS)"
    assert device_name({"config": fitted(), "choices": {"device": "measured"}}) == "mine"
    assert device_name({"config": {"device": {}}, "choices": {"device": "ecram"}}) == "ecram"
