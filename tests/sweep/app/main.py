"""A very small Hydra program: a noisy function of x and y that can crash, hang, return NaN, prune."""

import json
import math
import os
import random
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, ListConfig, OmegaConf

from crossweep.paths import version_base
from crossweep.sweep.trial import TrialHandle, current_trial

HERE = Path(__file__).resolve().parent


def misbehave(cfg: DictConfig, draw: random.Random) -> None:
    """What jobs do on bad days, each with its own probability."""
    if draw.random() < cfg.chaos.kill:
        os.kill(os.getpid(), signal.SIGKILL)
    if draw.random() < cfg.chaos.hang:
        time.sleep(3600)
    if draw.random() < cfg.chaos.crash:
        raise RuntimeError("bad day")


def run(cfg: DictConfig) -> dict[str, float] | float:
    hydra_cfg = HydraConfig.get()
    return _run(cfg, Path(hydra_cfg.runtime.output_dir), hydra_cfg.overrides.task, current_trial())


def together(configs: Sequence[DictConfig], trials: Sequence[TrialHandle]) -> list[dict[str, float] | float]:
    """Several runs of a study at once."""
    found = []
    for cfg, trial in zip(configs, trials, strict=True):
        folder = Path(cfg.hydra.sweep.dir) / cfg.hydra.sweep.subdir
        found.append(_run(cfg, folder, cfg.hydra.overrides.task, trial))
    return found


def _run(cfg: DictConfig, folder: Path, words: ListConfig, trial: TrialHandle) -> dict[str, float] | float:
    # another draw for every attempt at a point, as real failures are, unless a seed asks for the same ones
    draw = random.Random(f"{folder.name}{time.time_ns() if cfg.draw_seed is None else cfg.draw_seed}")
    slept = draw.choice(list(cfg.sleep))
    time.sleep(slept)
    misbehave(cfg, draw)
    value = math.hypot(cfg.x, cfg.y) + {"round": 0.0, "square": 0.1}[cfg.shape.name]
    value += cfg.noise * random.Random(int(cfg.seed)).gauss(0, 1)
    if draw.random() < cfg.chaos.nan:
        value = math.nan
    for step in range(cfg.steps):
        trial.report(step, value + cfg.curve / (step + 1))
        if trial.should_prune():
            trial.prune()
    metrics = {"loss": value, "cost": abs(cfg.x), "where": float(os.getpid())}
    record = {
        "format": 1,
        "state": "diverged" if math.isnan(value) else "complete",
        "algorithm": "none",
        "metrics": {key: None if math.isnan(item) else item for key, item in metrics.items()},
        "baselines": {},
        "history": [],
        "seed": {"device": int(cfg.seed), "training": int(cfg.seed)},
        "choices": {},
        "overrides": OmegaConf.to_container(words, resolve=False),
        "config": {"x": float(cfg.x), "y": float(cfg.y)},
        "threads": os.environ.get("OMP_NUM_THREADS"),
        "gpu": os.environ.get("CUDA_VISIBLE_DEVICES"),
        "slept": slept,
        "wall_seconds": slept,
    }
    (folder / "record.json").write_text(json.dumps(record))
    return value if cfg.bare else metrics


if os.environ.get("APP_TOGETHER"):
    setattr(run, "together", together)  # noqa: B010

main = hydra.main(config_path=str(HERE / "conf"), config_name="main", **version_base())(run)

if __name__ == "__main__":
    if os.environ.get("APP_TRACE"):
        print(sys.orig_argv)
    main()
