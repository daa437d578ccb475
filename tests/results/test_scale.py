"""Ten thousand trial folders: collected, analysed and drawn within memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.results.studies import cliff, study

N = 10_000
# what a record holds beside the essentials: a resolved configuration of some 20 kB
LAYER = dict.fromkeys(("dw_min", "w_max", "w_min", "up_down", "dw_min_dtod", "dw_min_std"), 0.123456)
PADDING = {f"layer{i}": {"device": LAYER, "analog": True, "shape": [64, 64]} for i in range(70)}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = study(tmp_path_factory.mktemp("multirun") / "large", cliff, n=16_384)
    for number in range(16_384):
        path = root / f"trial_{number}" / "record.json"
        if number >= N:
            path.unlink()
            (path.parent / "trial.json").unlink()
            path.parent.rmdir()
            continue
        content = json.loads(path.read_text())
        path.write_text(json.dumps({**content, "config": {**content["config"], **PADDING}}, indent=1))
    return root


def run(folder: Path, *options: str) -> tuple[int, str]:
    """Peak memory [kB] and output of the command in a process of its own."""
    code = (
        "import resource, sys; from crossweep.report import main; status = main(sys.argv[1:]);"
        "print('peak', resource.getrusage(resource.RUSAGE_SELF).ru_maxrss); sys.exit(status)"
    )
    command = [sys.executable, "-c", code, str(folder), *options]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env={**os.environ})
    return int(done.stdout.split("peak ")[1]), done.stdout


def test_collects_ten_thousand_folders(folder: Path) -> None:
    peak, said = run(folder, "--collect")
    assert f"{N} runs" in said
    assert peak < 1_000_000


def test_reports_ten_thousand_folders(folder: Path) -> None:
    peak, said = run(folder)
    assert f"{N} trials" in said and "of 10000; a random part" in said
    assert peak < 1_000_000
    assert (folder / "report.html").stat().st_size < 5_000_000
