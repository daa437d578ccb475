"""What a run of the benchmark leaves behind: a table to read, and the numbers."""

import json
import os
import platform
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

Row = dict[str, Any]
Rows = list[Row]


def hardware() -> dict[str, str]:
    """Machine and versions."""
    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [
            line.split(":", 1)[1].strip()
            for line in info.read_text().splitlines()
            if line.startswith("model name")
        ]
        name = names[0] if names else name
    parts = {"cpu": name, "threads": str(torch.get_num_threads())}
    if torch.cuda.is_available():
        parts["gpu"] = torch.cuda.get_device_name()
    return (
        parts
        | {"python": platform.python_version()}
        | {k: version(k) for k in ("crossweep", "torch", "numba", "numpy")}
    )


def markdown(title: str, rows: Rows) -> str:
    """One table; ratios come first because they travel between machines."""
    if not rows:
        return ""
    names = sorted(rows[0], key=lambda name: "x " not in name)
    lines = [f"## {title}", "", "| " + " | ".join(names) + " |", "|" + " --- |" * len(names)]
    lines += ["| " + " | ".join(_cell(row.get(name, "")) for name in names) + " |" for row in rows]
    return "\n".join([*lines, ""])


def _cell(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def write(parts: dict[str, Rows], folder: Path) -> Path:
    """Write ``bench.md`` and ``bench.json``; whole files appear or none."""
    folder.mkdir(parents=True, exist_ok=True)
    machine, when = hardware(), datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    head = ["# Benchmark", "", f"{when}; " + ", ".join(f"{k} {v}" for k, v in machine.items()), ""]
    head += ["Medians; rivals ran in turn. G/s: 10^9 weight-samples per second of elapsed time.", ""]
    text = "\n".join([*head, *(markdown(title, rows) for title, rows in parts.items())])
    record = {"when": when, "hardware": machine, "tables": parts}
    for name, content in (("bench.md", text), ("bench.json", json.dumps(record, indent=1))):
        temporary = folder / f".{name}.{os.getpid()}"
        temporary.write_text(content)
        temporary.replace(folder / name)
    return folder / "bench.md"
