"""Records the digits landscape that `levelset.py` maps: real trainings on a grid of SP skew and SP variability.

Two maps: ``near``, out to 0.5, and ``wide``, out to 0.9, where training fails. Every cell is
trained with two seeds (other devices, another order of batches), c-TTv2 with the settings of Rasch et al. on
soft-bounds devices, a perceptron with rectifiers on the digits. About twenty minutes a map on one core; started
again it goes on.

    python tests/benchmarks/record_landscape.py [near|wide]
"""

import argparse
import csv
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent
COLUMNS = ("sp_skew", "sp_variability", "seed", "error_increase", "test_error", "baseline_error")
STUDY = (
    *("-m", "study=landscape_skew_variability", "model=mlp", "model.activation=relu"),
    *("algorithm.update.desired_bl=5", "algorithm.in_chop_prob=0.1", "algorithm.auto_granularity=100"),
    *("evaluation.fresh_devices=0", "study.n_trials=null", "study.anchors=[]", "study.report=null"),
    *("study.sampler={name: grid, shuffle: true}", "study.workers=1", "study.progress=plain"),
)
MAPS = {
    "near": (
        *("axis.sp_skew.high=0.5", "axis.sp_variability.high=0.5"),
        *("+axis.sp_skew.points=9", "+axis.sp_variability.points=9"),
    ),
    "wide": (
        *("axis.sp_skew.high=0.9", "axis.sp_variability.high=0.9"),
        *("+axis.sp_skew.points=10", "+axis.sp_variability.points=10"),
    ),
}


def rows(folder: Path) -> Iterator[dict[str, float]]:
    """One row per training, in the order of the trials."""
    for path in sorted(folder.glob("trial_*/trial.json"), key=lambda file: int(file.parent.name[6:])):
        trial = json.loads(path.read_text())
        for seed in trial["seeds"] if trial["state"] != "failed" else ():
            metrics = json.loads((path.parent / f"seed_{seed}" / "record.json").read_text())["metrics"]
            numbers = {name: round(metrics[name], 4) for name in COLUMNS[3:]}
            yield {**trial["params"], "seed": seed, **numbers}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Record a landscape of real trainings")
    parser.add_argument("map", nargs="?", choices=list(MAPS), default="near")
    parser.add_argument("--seeds", type=int, default=2, help="trainings per cell")
    chosen = parser.parse_args(arguments)
    name, output = f"record_digits_{chosen.map}", HERE / f"digits_{chosen.map}.csv"
    words = (*STUDY, *MAPS[chosen.map], f"study.name={name}", f"study.seeds={chosen.seeds}")
    subprocess.run([sys.executable, "-m", "crossweep.train", *words], check=True)
    found = sorted(rows(Path("multirun") / name), key=lambda row: tuple(row[name] for name in COLUMNS[:3]))
    with output.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(found)
    print(f"{len(found)} trainings in {output}")


if __name__ == "__main__":
    main()
