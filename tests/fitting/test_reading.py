"""Every layout of one measurement is read as that measurement; what a file leaves open is asked for in one line."""

from pathlib import Path

import numpy as np
import pytest

from crossweep.errors import ConfigError
from crossweep.fitting.columns import parse_said
from crossweep.fitting.layouts import Given
from crossweep.fitting.reading import Layout, Recording, read
from tests.fitting.recorded import comma, response, save, table

ROWS = response()
G = np.array([g for _, _, g in ROWS]) * 1e-6
PULSES = np.array([0, *(s for _, s, _ in ROWS[1:])])
PLAIN = table(ROWS)
PREAMBLE = "Setup title\tpulses\nTest date\t2026-01-02\nVread\t0.1\n"
Row = tuple[int, int, float]


def scaled(factor: float) -> list[Row]:
    return [(n, s, g * factor) for n, s, g in ROWS]


def _wide(shift: int) -> str:
    lines = [",".join(f"{ROWS[100 * c + shift + k][2]:.4f}" for c in range(3)) for k in range(50)]
    return "\n".join(["C1,C2,C3", *lines]) + "\n"


def _side_by_side() -> str:
    lines = [
        f"{k + 1},{ROWS[100 * c + k][2]:.4f},{ROWS[100 * c + 50 + k][2]:.4f}"
        for c in range(3)
        for k in range(50)
    ]
    return "\n".join(["pulse,G_up [uS],G_down [uS]", *lines]) + "\n"


INVERSE = [(n, s, 1e3 / g) for n, s, g in ROWS]
SAW = [(n, s, 20.0 + k % 7) for k, (n, s, _) in enumerate(ROWS)]
D_EXPONENT = table(scaled(1e-6), "pulse,polarity,G [S]", "{n},{s:+d},{g:.6e}").replace("e-", "D-")
AMPERES = table(scaled(0.1), "pulse\tpolarity\tI [uA]", "{n}\t{s:+d}\t{g:.5f}")
CODES = PLAIN.replace(",-1,", ",2,").replace(",+1,", ",1,")
STILL = table(ROWS, "pulse,polarity,G [uS]", "{c},{s:+d},{g:.4f}")
TWICE = table(ROWS, "pulse,polarity,G before [uS],G after [uS]", "{n},{s:+d},{g:.4f},{g:.4f}")
SAME: dict[str, tuple[str, str]] = {  # text and encoding of files that hold the one device in full
    "plain": (PLAIN, "utf-8"),
    "byte order mark": (PLAIN, "utf-8-sig"),
    "utf-16": (PLAIN.replace(",", "\t"), "utf-16"),
    "cp1252 with a micro sign": (table(ROWS, "pulse,polarity,G [µS]"), "cp1252"),
    "semicolon and decimal comma": (comma(PLAIN, ";"), "utf-8"),
    "tab and decimal comma": (comma(PLAIN, "\t"), "utf-8"),
    "thousands": (table(scaled(1e3), "pulse,polarity,G [nS]", '{n},{s:+d},"{g:,.1f}"'), "utf-8"),
    "exponent with D": (D_EXPONENT, "utf-8"),
    "units behind values": (table(ROWS, "pulse,polarity,G", "{n},{s:+d},{g:.4f}uS"), "utf-8"),
    "a row of units": (table(ROWS, "pulse,polarity,G\n-,-,uS"), "utf-8"),
    "spaces": (table(ROWS, "pulse polarity G [uS]", "{n} {s:+d} {g:.4f}"), "utf-8"),
    "lines of the instrument": (PREAMBLE + table(ROWS, "pulse\tpolarity\tG [uS]", "{n}\t{s:+d}\t{g:.4f}"), "utf-8"),
    "current with a read voltage above": (PREAMBLE + AMPERES, "utf-8"),
    "resistance": (table(INVERSE, "pulse,polarity,R (kOhm)", "{n},{s:+d},{g:.7f}"), "utf-8"),
    "polarity as a voltage": (table(ROWS, "pulse,V_pulse,G [uS]", "{n},{v},{g:.4f}"), "utf-8"),
    "no polarity": (table(ROWS, "pulse number,G [uS]", "{t},{g:.4f}"), "utf-8"),
    "no polarity, trains counted anew": (table(ROWS, "pulse number,G [uS]", "{n},{g:.4f}"), "utf-8"),
    "hash in the header": (table(ROWS, "cycle,pulse#,type,G [uS]", "{c},{n},{w},{g:.4f}"), "utf-8"),
    "commented header": (table(ROWS, "# made by hand\n# pulse,polarity,G [uS]"), "utf-8"),
    "no header, siemens": (table(scaled(1e-6), "", "{n},{s:+d},{g:.6e}"), "utf-8"),
    "cycle beside the number": (table(ROWS, "Cycle,Pulse No.,Type,Conductance_uS", "{c},{n},{w},{g:.4f}"), "utf-8"),
    "counted through": (table(ROWS, line="{t},{s:+d},{g:.4f}"), "utf-8"),
    "trains counted from 0": (table([(n - 1, s, g) for n, s, g in ROWS]), "utf-8"),
    "depression counted down": (table([(n if s > 0 else 51 - n, s, g) for n, s, g in ROWS]), "utf-8"),
}  # fmt: skip


def of(text: str, tmp_path: Path, encoding: str = "utf-8", **said: object) -> Recording:
    path = save(tmp_path / "pulses.csv", text, encoding)
    return read([path], Layout(**said))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", SAME)
def test_every_layout_is_the_same_measurement(name: str, tmp_path: Path) -> None:
    (one,) = of(*SAME[name][:1], tmp_path, SAME[name][1]).trains
    assert one.pulses.tolist() == PULSES.tolist()
    assert np.allclose(one.conductance, G, rtol=1e-4) and one.fresh.sum() == 1


def test_readings_before_the_first_pulse_and_repeated_ones_count_no_pulse(tmp_path: Path) -> None:
    rows = response(before=True)
    (one,) = of(table(rows), tmp_path).trains
    assert one.pulses.tolist() == [0 if n == 0 else s for n, s, _ in rows] and one.fresh.sum() == 1
    repeated = PLAIN.replace("50,-1,", "50,read,16\n50,read,16.1\n50,-1,")
    assert "50,read" in repeated
    (two,) = of(
        table(ROWS, "pulse,type,G [uS]", "{t},{w},{g:.4f}") + "300,read,15.5\n300,read,15.6\n", tmp_path
    ).trains
    assert two.pulses[-3:].tolist() == [-1, 0, 0]


def test_every_fifth_reading_counts_five_pulses(tmp_path: Path) -> None:
    rows = [row for row in ROWS if row[0] % 5 == 0]
    (one,) = of(table(rows), tmp_path).trains
    assert one.pulses.tolist() == [0, *(5 * s for _, s, _ in rows[1:])]


def test_a_state_that_was_set_anew_begins_a_series(tmp_path: Path) -> None:
    told = "\n".join(
        line.replace("0,+1", "0,start").replace("0,-1", "0,start") if line.startswith("0,") else line
        for line in table(response(before=True)).splitlines()
    )
    assert of(told, tmp_path).trains[0].fresh.sum() == 6
    untold = table([(n, s, g + (3 if n == 0 else 0)) for n, s, g in response(before=True)])
    (one,) = of(untold, tmp_path, zero="before").trains
    assert one.fresh.sum() == 6
    up = table([row for row in ROWS if row[1] > 0])  # the down trains between them are not in the file
    recording = of(up, tmp_path)
    assert recording.trains[0].fresh.sum() == 3 and recording.trains[0].one_way
    assert any(what == "restarts" for what, _ in recording.understood)


@pytest.mark.parametrize(
    ("header", "names"),
    [
        ("chip,cell", ["A+1", "A+2", "B+1", "B+2"]),
        ("row,col", ["A+1", "A+2", "B+1", "B+2"]),
        ("device,site", ["A", "B"]),
    ],
)
def test_devices_are_told_apart_by_all_columns_that_name_them(
    header: str, names: list[str], tmp_path: Path
) -> None:
    lines = [f"{header},pulse,polarity,G [uS]"]
    for first in "AB":
        for second in (1, 2) if len(names) == 4 else (1,):
            lines += [f"{first},{second},{line}" for line in PLAIN.splitlines()[1:]]
    recording = of("\n".join(lines), tmp_path)
    assert [t.device for t in recording.trains] == names
    assert all(t.pulses.tolist() == PULSES.tolist() for t in recording.trains)


def test_a_hash_within_a_line_is_no_comment(tmp_path: Path) -> None:
    lines = ["# a comment", "pulse#,polarity,G [uS],device id"]
    lines += [f"{line},A#{k}" for k in (1, 2, 3) for line in PLAIN.splitlines()[1:]]
    assert [t.device for t in of("\n".join(lines), tmp_path).trains] == ["A#1", "A#2", "A#3"]


def test_cycles_as_columns_and_directions_as_files(tmp_path: Path) -> None:
    up, down = (save(tmp_path / f"{name}.csv", _wide(k)) for name, k in (("set", 0), ("reset", 50)))
    (one,) = read([up, down], Layout(given=Given(unit="uS"))).trains
    assert one.fresh.sum() == 6 and one.pulses.sum() == 0 and np.abs(one.pulses).sum() == 6 * 49
    assert np.allclose(one.conductance, G, rtol=1e-4)
    (two,) = of(_side_by_side(), tmp_path).trains
    assert np.allclose(two.conductance, G, rtol=1e-4) and two.pulses.tolist() == PULSES.tolist()


def test_missing_values_are_gaps_and_odd_rows_are_said(tmp_path: Path) -> None:
    text = PLAIN.replace(f"7,+1,{ROWS[6][2]:.4f}", "7,+1,#N/A").replace(f"9,+1,{ROWS[8][2]:.4f}", "9,+1,-")
    recording = of(text + "end of file\n", tmp_path)
    assert np.isnan(recording.trains[0].conductance[[6, 8]]).all()
    assert dict(recording.understood)["rows dropped"].startswith("1 without numbers")


def test_the_user_decides(tmp_path: Path) -> None:
    text = table(ROWS, "a,b,c,d,chip", "{c},{n},{w},{g:.4f},X")
    said = parse_said("pulse=b,polarity=3,conductance=d,device=chip")
    (one,) = of(text, tmp_path, said=said, given=Given(unit="uS")).trains
    assert (
        one.device == "X"
        and one.pulses.tolist() == PULSES.tolist()
        and np.allclose(one.conductance, G, rtol=1e-4)
    )


REFUSED: dict[str, tuple[str, str]] = {
    "no unit": (table(ROWS, "pulse,polarity,G"), "--unit uS"),
    "13 siemens": (table(ROWS, "pulse,polarity,G [S]"), "at most 1 S.*--unit"),
    "no read voltage": (table(ROWS, "pulse,polarity,I [uA]"), "--read-voltage 0.1"),
    "either decimal mark": (comma(table(ROWS, line="{n},{s:+d},{g:.3f}"), ";"), "--decimal"),
    "the number stands still": (STILL, "stands still.*--columns pulse"),
    "a fraction": (table(ROWS, line="{t}.5,{s:+d},{g:.4f}"), "must be whole"),
    "codes": (CODES, "must tell up from down"),
    "a word": (table(ROWS).replace(",-1,", ",sideways,"), "polarity must be"),
    "exchanged": (table([(n, -s, g) for n, s, g in ROWS]), "exchange the polarities"),
    "two conductances": (TWICE, "conductance=NAME"),
    "noise instead of a response": (table(SAW, "pulse,G [uS]", "{t},{g:.1f}"), "--columns polarity"),
    "a spreadsheet": ("PK\x03\x04 whatever", "spreadsheet"),
    "nothing": ("", "no table|no text"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_a_file_leaves_open_is_asked_for(name: str, tmp_path: Path) -> None:
    text, message = REFUSED[name]
    with pytest.raises(ConfigError, match=message) as caught:
        of(text, tmp_path)
    assert "\n" not in str(caught.value)
