"""What the sweeper costs per trial: a study of trivial trials in one process, journal storage.

Time and processor time per trial, and whether they grow with the study.

    python tests/benchmarks/sweep_overhead.py --trials 2000
"""

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

APP = Path(__file__).resolve().parents[1] / "sweep" / "app" / "main.py"
WINDOW = 100  # trials at both ends that are compared


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Overhead per trial")
    parser.add_argument("--trials", type=int, default=2000)
    parser.add_argument("--sampler", default="qmc")
    parser.add_argument("--storage", default="journal")
    chosen = parser.parse_args(arguments)
    options = [
        *(
            "-m",
            "study=map",
            f"study.n_trials={chosen.trials}",
            f"study.sampler={chosen.sampler}",
            "sleep=[0.0]",
        ),
        *(f"+study.storage={chosen.storage}", "+study.progress=none"),
    ]
    with tempfile.TemporaryDirectory() as folder:
        started, before = time.perf_counter(), os.times()
        subprocess.run(
            [sys.executable, str(APP), *options], cwd=folder, check=True, stdout=subprocess.DEVNULL
        )
        wall, after = time.perf_counter() - started, os.times()
        files = Path(folder, "multirun", "map").glob("trial_*/trial.json")
        ends = sorted(datetime.fromisoformat(json.loads(file.read_text())["finished"]) for file in files)
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    gaps = [(b - a).total_seconds() * 1000 for a, b in itertools.pairwise(ends)]
    first, last = statistics.median(gaps[:WINDOW]), statistics.median(gaps[-WINDOW:])
    print(f"{chosen.trials} trials, {chosen.sampler} sampler, {chosen.storage} storage")
    print(f"median {statistics.median(gaps):.1f} ms per trial (at most 60 is the aim)")
    print(
        f"first {WINDOW}: {first:.1f} ms, last {WINDOW}: {last:.1f} ms, growth {last / first:.2f} (at most 2)"
    )
    print(f"whole command: {wall:.1f} s, {cpu:.1f} s of processor time, start-up included")


if __name__ == "__main__":
    main()
