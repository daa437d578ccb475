"""``python -m crossweep.bench [PART ...]``: measure, print, write multirun/bench/bench.md and bench.json.

``python -m crossweep.bench gpu-check`` is another matter, see `gpu_check`.
"""

import sys
from collections.abc import Callable
from pathlib import Path

import torch

from crossweep.bench import fidelity, gpu_check, memory, peer, steps, table
from crossweep.bench.table import Rows
from crossweep.bench.timing import in_turn, ratio
from crossweep.bench.updates import DEVICES, LEVELS, Case, pulses_per_update, updater
from crossweep.errors import ConfigError, reported


def against_peer() -> Rows:
    """The acceptance cases against aihwkit, in turn."""
    if not peer.available():
        return []
    rows = []
    for rule in ("cttv2", "agad", "analog_sgd"):
        for d, x, samples in ((384, 384, 64), (768, 192, 256)):
            cases = [Case(rule=rule, level=level, d=d, x=x, samples=samples) for level in ("count", "pulse")]
            calls = [updater(case) for case in cases]
            timings = in_turn([peer.updater(cases[0]), *(call for call, _ in calls)], seconds=8.0, most=12)
            for case, (_, weight), timing in zip(cases, calls, timings[1:], strict=True):
                rounds = len(timing.walls) + 2
                rows.append(
                    {
                        "x peer": ratio(timings[0], timing),
                        "x peer (processor time)": timings[0].cpu / timing.cpu,
                        "update": f"{rule} {d}x{x}x{samples}",
                        "level": case.level,
                        "ms": timing.wall * 1e3,
                        "peer ms": timings[0].wall * 1e3,
                        "G/s": case.weight_samples / timing.wall / 1e9,
                        "pulses per device": pulses_per_update(weight, rounds),
                    }
                )
    return rows


def pulse_counts() -> Rows:
    """Pulses of one update at equal settings here and there: both simulate the same pulse trains."""
    if not peer.available():
        return []
    from crossweep.bench.counting import counted_pulses

    rows = []
    for samples, bl in ((64, 31), (64, 5), (256, 31)):
        case = Case(rule="analog_sgd", d=128, x=128, samples=samples, bl=bl)
        ours, theirs = counted_pulses(case), peer.counted_pulses(case)
        rows.append(
            {"x peer": ours / theirs, "samples": samples, "BL": bl, "pulses": ours, "peer pulses": theirs}
        )
    return rows


def _throughput(case: Case, base: Case | None = None) -> table.Row:
    call, _ = updater(case)
    cases, calls = [case], [call]
    if base is not None:
        cases, calls = [case, base], [call, updater(base)[0]]
    timings = in_turn(calls, seconds=1.0, most=9)
    rates = [c.weight_samples / t.wall / 1e9 for c, t in zip(cases, timings, strict=True)]
    row: table.Row = {"G/s": rates[0], "ms": timings[0].wall * 1e3}
    if base is not None:
        row = {"x base": rates[0] / rates[1]} | row
    return row


def by_device() -> Rows:
    """Plain SGD, dense pulses, every device family and level."""
    rows = []
    for level in LEVELS:
        for device in DEVICES:
            case = Case(rule="analog_sgd", level=level, device=device, d=256, x=256, samples=64)
            rows.append({"level": level, "device": device} | _throughput(case))
    return rows


def by_size() -> Rows:
    """How throughput scales with tile, samples and bit length, relative to 256 x 256, 256 samples, BL 31."""
    base = Case(rule="analog_sgd", d=256, x=256, samples=256)
    shapes = [(d, 256, 31) for d in (64, 128, 512, 1024)]
    batches = [(256, b, 31) for b in (1, 16, 64, 1024, 4096, 8192)]
    lengths = [(256, 256, bl) for bl in (1, 5, 15)]
    rows = []
    for size, samples, bl in (*shapes, *batches, *lengths):
        case = Case(rule="analog_sgd", d=size, x=size, samples=samples, bl=bl)
        rows.append({"tile": f"{size}x{size}", "samples": samples, "BL": bl} | _throughput(case, base))
    return rows


def whole_steps() -> Rows:
    """Training steps of whole models, all linear layers analog, every token a sample of the transfer."""
    rows: Rows = []
    for name, batch in (("swin_micro", 64), ("swin_tiny", 16)):
        digital = steps.digital_model(name)
        settings = [
            ("cttv2", "count", 5, "perfect"), ("cttv2", "count", 31, "perfect"), ("cttv2", "mean", 5,
            "perfect"),
            ("cttv2", "count", 5, "preset"), ("agad", "count", 5, "perfect"), ("analog_sgd", "count", 31,
            "perfect"),
        ]  # fmt: skip
        models = [steps.analog_model(digital, *setting) for setting in settings]
        calls = [steps.stepper(model, batch) for model in (digital, *models)]
        timings = in_turn(calls, seconds=20.0, most=9)
        for (rule, level, bl, io), timing in zip(settings, timings[1:], strict=True):
            rows.append(
                {
                    "x digital": ratio(timing, timings[0]),
                    "x digital (processor time)": timing.cpu / timings[0].cpu,
                    "model": f"{name}, batch {batch}",
                    "rule": rule,
                    "level": level,
                    "BL": bl,
                    "periphery": io,
                    "ms": timing.wall * 1e3,
                    "digital ms": timings[0].wall * 1e3,
                }
            )
    return rows


def side_by_side() -> Rows:
    """Training steps of several instances at once, in units of the step of one: c-TTv2, BL 5, preset periphery."""
    rows: Rows = []
    digital = steps.digital_model("swin_micro")
    for batch, sizes in ((4, (8, 32)), (64, (4,))):
        made = [
            [steps.analog_model(digital, "cttv2", "count", 5, "preset") for _ in range(many)]
            for many in sizes
        ]
        one = steps.stepper(steps.analog_model(digital, "cttv2", "count", 5, "preset"), batch)
        timings = in_turn([one, *(steps.together(models, batch) for models in made)], seconds=20.0, most=7)
        for many, timing in zip(sizes, timings[1:], strict=True):
            rows.append(
                {
                    "x one": ratio(timing, timings[0]),
                    "x one (processor time)": timing.cpu / timings[0].cpu,
                    "instances": many,
                    "batch": batch,
                    "ms": timing.wall * 1e3,
                    "one ms": timings[0].wall * 1e3,
                }
            )
    return rows


PARTS: dict[str, tuple[str, Callable[[], Rows]]] = {
    "peer": ("Updates against aihwkit (ReRamSB preset, BL 31)", against_peer),
    "counts": ("Pulses per device of one update, here and in aihwkit", pulse_counts),
    "devices": ("Updates by level and device (256x256, 64 samples, BL 31, dense pulses)", by_device),
    "sizes": ("Updates by size (level count, analog SGD)", by_size),
    "steps": ("Whole training steps", whole_steps),
    "instances": ("Steps of several instances side by side (swin_micro)", side_by_side),
    "memory": ("Peak memory of a training step, beyond model and tiles", memory.by_model),
    "gpu": ("The engine on the GPU, and whether it agrees", gpu_check.rows),
    "fidelity": ("Moments of one update, against level pulse", fidelity.by_case),
}


GPU_CHECK = "gpu-check"


def main(arguments: list[str]) -> int:
    """Measure the named parts, or all; what the process ends with."""
    if arguments == [GPU_CHECK]:
        return gpu_check.main()
    if arguments in (["--help"], ["-h"]):
        print("usage: python -m crossweep.bench [PART ...]; without a part all of them, in minutes")
        print("\n".join(f"  {name:<10} {title}" for name, (title, _) in PARTS.items()))
        print(f"alone: {GPU_CHECK}  does the engine on the GPU agree with the CPU's, and how fast is it")
        return 0
    unknown = [name for name in arguments if name not in PARTS]
    if unknown:
        raise ConfigError(f"bench: parts are {', '.join(PARTS)}, got {', '.join(unknown)}")
    torch.manual_seed(0)
    results = {}
    for name in arguments or PARTS:
        title, measure = PARTS[name]
        results[title] = measure()
        print(table.markdown(title, results[title]), flush=True)
    print("written:", table.write(results, Path("multirun/bench")))
    return 0


if __name__ == "__main__":
    with reported("crossweep.bench"):
        sys.exit(main(sys.argv[1:]))
