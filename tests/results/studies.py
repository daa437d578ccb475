"""Made-up study folders on disk, as the sweeper and as Hydra's own multirun leave them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import qmc

AXES: dict[str, dict[str, Any]] = {
    "skew": {"keys": ["symmetry_point.skew"], "low": 0.0, "high": 0.5, "unit": "w_max", "label": "SP skew"},
    "variability": {
        "keys": ["symmetry_point.variability"],
        "low": 0.0,
        "high": 0.8,
        "unit": "w_max",
        "label": "SP variability",
    },
}


def record(increase: float | None, **changes: Any) -> dict[str, Any]:
    """A run's record; `increase` None stands for a run without a baseline."""
    error = 6.2 + (increase or 0.0)
    content: dict[str, Any] = {
        "format": 1,
        "state": "complete",
        "algorithm": "cttv2",
        "metrics": {"test_accuracy": 1 - error / 100, "test_error": error, "error_increase": increase},
        "baselines": {} if increase is None else {"sgd": {"test_error": 6.2, "test_accuracy": 0.938}},
        "history": [{"epoch": e, "train_loss": 1 / e, "test_accuracy": 0.9} for e in range(1, 6)],
        "seed": {"device": 0, "training": 0},
        "choices": {"device": "soft_bounds", "algorithm": "cttv2"},
        "overrides": [],
        "config": {"symmetry_point": {"skew": 0.0, "variability": 0.0}, "training": {"epochs": 5}},
        "learning_rates": {"analog": 0.1},
        "conversion": [],
        "cost": {"pulses": 1e6},
        "versions": {"crossweep": "0.1.0", "torch": "2.9", "python": "3.11"},
        "git": {"commit": "0123456789abcdef", "dirty": False},
        "hardware": {"device": "cpu", "cpu": "any", "threads": 1},
        "started": "2026-01-01T00:00:00",
        "wall_seconds": 12.5,
    }
    return {**content, **changes}


def write(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")


def study(
    root: Path,
    loss: Callable[[np.ndarray, str], float],
    *,
    n: int = 16,
    seeds: int = 1,
    algorithms: Sequence[str] = ("cttv2",),
    noise: float = 0.2,
    axes: dict[str, dict[str, Any]] = AXES,
    budget: float = 1.2,
) -> Path:
    """A finished study of the sweeper: n Sobol points for each algorithm, each with all seeds."""
    rng = np.random.default_rng(0)
    unit = qmc.Sobol(len(axes), rng=0).random(n)
    described = [{"name": name, "choices": None, **axis} for name, axis in axes.items()]
    if len(algorithms) > 1:
        described.append({"name": "algorithm", "keys": ["algorithm"], "choices": list(algorithms)})
    write(
        root / "study.json",
        {
            "format": 1,
            "name": root.name,
            "axes": described,
            "objectives": ["error_increase"],
            "directions": ["minimize"],
            "budget": budget,
        },
    )
    number = 0
    for place in unit:
        values = {
            k: a["low"] + u * (a["high"] - a["low"]) for u, (k, a) in zip(place, axes.items(), strict=True)
        }
        for algorithm in algorithms:
            folder = root / f"trial_{number}"
            params: dict[str, Any] = dict(values)
            if len(algorithms) > 1:
                params["algorithm"] = algorithm
            for seed in range(seeds):
                increase = loss(place, algorithm) + noise * float(rng.standard_normal())
                run = folder if seeds == 1 else folder / f"seed_{seed}"
                content = record(increase, algorithm=algorithm, seed={"device": seed, "training": seed})
                write(run / "record.json", content)
            trial = {"format": 1, "study": root.name, "number": number, "state": "complete", "params": params}
            write(folder / "trial.json", {**trial, "retry_of": None, "error": None})
            number += 1
    return root


def cliff(place: np.ndarray, algorithm: str = "cttv2") -> float:
    """A cliff of 40 points; c-TTv2's lies further out than TTv2's."""
    edge = {"cttv2": 0.9, "ttv2": 0.5}[algorithm]
    return float(40 / (1 + np.exp(-12 * (place[0] + 0.5 * place[1] - edge))))
