"""Records maps of real trainings over SP skew and SP variability: c-TTv2, a perceptron with rectifiers on the digits.

``near``, out to 0.5, and ``wide``, out to 0.9, where training fails: grids of two seeds (other devices, another
order of batches) with the settings of Rasch et al., which `levelset.py` maps. ``map`` is what `make landscape`
trains, and ``dense`` a grid over the same range with twelve other seeds: whether their bands agree is a test. About twenty
minutes each on one core, ``dense`` two hours; started again it goes on.

    python tests/benchmarks/record_landscape.py near|wide|map|dense
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
STUDY = ("-m", "study=landscape_skew_variability", "study.report=null", "study.progress=plain")
RASCH = ("algorithm.update.desired_bl=5", "algorithm.in_chop_prob=0.1", "algorithm.auto_granularity=100")


def grid(high: float, points: int, seeds: str) -> tuple[str, ...]:
    """A grid over both axes from 0."""
    axes = (f"axis.{axis}.high={high} +axis.{axis}.points={points}" for axis in COLUMNS[:2])
    sampler = "study.sampler={name: grid, shuffle: true}"
    return (
        *" ".join(axes).split(),
        sampler,
        "study.n_trials=null",
        "study.anchors=[]",
        f"study.seeds={seeds}",
    )


MAPS = {
    "near": (*RASCH, *grid(0.5, 9, "2")),
    "wide": (*RASCH, *grid(0.9, 10, "2")),
    "map": (),
    "dense": grid(0.8, 9, str([*range(100, 112)]).replace(" ", "")),
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
    parser.add_argument("map", choices=list(MAPS))
    parser.add_argument("words", nargs="*", help="of the study, as in study.workers=2")
    chosen = parser.parse_args(arguments)
    name, output = f"record_{chosen.map}", HERE / f"digits_{chosen.map}.csv"
    words = (*STUDY, *MAPS[chosen.map], f"study.name={name}", *chosen.words)
    subprocess.run([sys.executable, "-m", "crossweep.train", *words], check=True)
    found = sorted(rows(Path("multirun") / name), key=lambda row: tuple(row[name] for name in COLUMNS[:3]))
    with output.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(found)
    print(f"{len(found)} trainings in {output}")


if __name__ == "__main__":
    main()
