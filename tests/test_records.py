"""Files are written whole or not at all, and JSON stays readable."""

import json
from pathlib import Path

import pytest

from crossweep import records


def test_json_has_no_non_finite_numbers(tmp_path: Path) -> None:
    path = records.write_json(
        tmp_path / "deep" / "a.json", {"x": float("nan"), "y": [1.0, float("inf")], 3: "z"}
    )
    assert json.loads(path.read_text()) == {"x": None, "y": [1.0, None], "3": "z"}


def test_failed_write_leaves_the_old_file_and_no_debris(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = records.write_bytes(tmp_path / "a.bin", b"old")

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(records.os, "fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        records.write_bytes(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_csv_has_the_union_of_keys(tmp_path: Path) -> None:
    path = records.write_csv(tmp_path / "h.csv", [{"epoch": 1, "a": 2}, {"epoch": 2, "b": 3}])
    assert path.read_text() == "epoch,a,b\n1,2,\n2,,3\n"
