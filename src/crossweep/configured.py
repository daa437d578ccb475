"""What a configuration holds for the keys of an axis, where null is read as the product reads it.

A null in `noise` and `variability` means what device and io say: the two tables below, which `build` lays over
devices and reads. No torch, no omegaconf: reports and sweeps ask here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Flat = Mapping[str, Any]

# how a run is carried out, not what it computes
NOT_IDENTITY = (
    *("hydra", "plugins", "resume", "compute_device", "quiet", "show_layers", "keep_checkpoint"),
    "seeds",
    *("study", "axis"),
)
DEVICE_OVERLAY = {
    "noise.write": "write_noise_std",
    "noise.pulse": "dw_min_std",
    "variability.step": "dw_min_dtod",
    "variability.w_max": "w_max_dtod",
    "variability.w_min": "w_min_dtod",
    "variability.asymmetry": "up_down_dtod",
}
READ_OVERLAY = {"noise.output": "out_noise", "noise.input": "inp_noise", "noise.weight_read": "w_noise"}
AFTER = re.compile(r"test_error_after_([0-9.e+-]+)s")  # a metric of `evaluation.times`
ROLES, WAYS = ("fast", "slow"), ("forward", "backward")


def overlay(table: Mapping[str, str], **groups: object) -> dict[str, Any]:
    """What groups of the configuration, as objects, lay over a node: field to value, nulls left out."""
    keys = {field: key.split(".") for key, field in table.items()}
    found = {field: getattr(groups[group], name) for field, (group, name) in keys.items()}
    return {field: value for field, value in found.items() if value is not None}


def flattened(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """`{"a": {"b": 1}}` as `{"a.b": 1}`."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping):
            flat.update(flattened(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def configured(flat: Flat, keys: Sequence[str]) -> float | None:
    """The one number that a configuration holds for all keys of an axis, in the axis's unit.

    Args:
        flat: `{dotted key: value}`.
        keys: of the axis.

    Returns:
        None where it holds no number, or several: roles with devices of their own, reads that differ.
    """
    values = [value for key in keys for value in _held(flat, key)]
    if not values or values[0] is None or any(value != values[0] for value in values):
        return None
    return values[0]


def device_name(record: Mapping[str, Any]) -> str:
    """What a run's device is called: a measured one by its own name, any other by its option."""
    config = record.get("config") or {}
    fitted = (config.get("device") or {}).get("fitted") if isinstance(config, Mapping) else None
    own = fitted.get("name") if isinstance(fitted, Mapping) else None
    return str(own or (record.get("choices") or {}).get("device", "?"))


def metric_after(time: float) -> str:
    """Name of the metric of one of `evaluation.times` [s]: ``test_error_after_3600s``."""
    return f"test_error_after_{time:.0f}s" if time == round(time) else f"test_error_after_{time:g}s"


def errors_over_time(metrics: Mapping[str, Any]) -> list[tuple[float, float]]:
    """Times [s] and test errors [%] of a run that was evaluated again after its devices had lain unpulsed."""
    found = ((AFTER.fullmatch(name), value) for name, value in metrics.items())
    return sorted(
        (float(name[1]), float(value)) for name, value in found if name and _number(value) is not None
    )


def time_text(seconds: float) -> str:
    """A time in the unit that people would use: ``1 h``, ``365 d``."""
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}" if seconds < 1000 * size else f"{seconds / size:.0f} {unit}"
    return f"{seconds:g} s"


def _held(flat: Flat, key: str) -> Iterator[float | None]:
    """Every value that the product would use for a key."""
    group, _, field = key.rpartition(".")
    if flat.get(key) is None and key in DEVICE_OVERLAY:
        yield from _of_devices(flat, DEVICE_OVERLAY[key])
    elif flat.get(key) is None and key in READ_OVERLAY:
        yield from (_of_read(flat, way, READ_OVERLAY[key]) for way in WAYS)
    elif group == "device":
        yield from _of_devices(flat, field)
    elif group in ("io.forward", "io.backward"):
        yield _of_read(flat, group.partition(".")[2], field)
    else:
        yield _number(flat.get(key))


def _of_devices(flat: Flat, field: str) -> Iterator[float | None]:
    """The field of the fast and the slow tile's device: its own, else the shared one's, else the fitted one's."""
    for role in ROLES:
        own = f"device.{role}."
        places = [f"{own}{field}", f"{own}fitted.{field}"]
        if f"{own}_target_" not in flat:
            places += [f"device.{field}", f"device.fitted.{field}"]
        counted = field == "dw_min" and any(flat.get(p.replace(field, "n_states")) for p in places)
        # given as a number of states, the step follows from the model's own shape
        yield None if counted else next((v for p in places if (v := _number(flat.get(p))) is not None), None)


def _of_read(flat: Flat, way: str, field: str) -> float | None:
    """The field of one read; a resolution below one is a share of the range, above it a number of steps."""
    if flat.get(f"io.{way}.is_perfect"):
        return None
    value = _number(flat.get(f"io.{way}.{field}"))
    if value is None or not field.endswith("_res"):
        return value
    return None if value <= 0 else value if value > 1 else float(f"{1 / value:.9g}")


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
