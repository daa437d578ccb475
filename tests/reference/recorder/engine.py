"""Glue to aihwkit: its configurations from neutral dictionaries, its state under neutral names."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import torch
from numpy_devices import Array, Cells

warnings.filterwarnings("ignore")

from aihwkit.simulator.configs import compounds, configs, devices  # noqa: E402
from aihwkit.simulator.parameters.enums import PulseType  # noqa: E402
from aihwkit.simulator.parameters.io import IOParameters  # noqa: E402
from aihwkit.simulator.parameters.training import UpdateParameters  # noqa: E402
from aihwkit.simulator.presets import devices as presets  # noqa: E402
from aihwkit.simulator.tiles.analog import AnalogTile  # noqa: E402

DEVICES = {
    "constant_step": devices.ConstantStepDevice,
    "linear_step": devices.LinearStepDevice,
    "soft_bounds": devices.SoftBoundsDevice,
    "soft_bounds_reference": devices.SoftBoundsReferenceDevice,
    "exp_step": devices.ExpStepDevice,
    "pow_step": devices.PowStepDevice,
    "pow_step_reference": devices.PowStepReferenceDevice,
    "piecewise_step": devices.PiecewiseStepDevice,
}
PRESETS = {
    "reram_es": presets.ReRamESPresetDevice,
    "reram_sb": presets.ReRamSBPresetDevice,
    "reram_om": presets.ReRamArrayOMPresetDevice,
    "reram_hfo2": presets.ReRamArrayHfO2PresetDevice,
    "capacitor": presets.CapacitorPresetDevice,
    "ecram": presets.EcRamPresetDevice,
    "ecram_mo": presets.EcRamMOPresetDevice,
    "gokmen_vlasov": presets.GokmenVlasovPresetDevice,
    "idealized": presets.IdealizedPresetDevice,
    "pcm": presets.PCMPresetDevice,
}
COMPOUNDS = {
    "ttv1": compounds.TransferCompound,
    "ttv2": compounds.BufferedTransferCompound,
    "cttv2": compounds.ChoppedTransferCompound,
    "agad": compounds.DynamicTransferCompound,
}
HIDDEN = {  # neutral name of each engine array; the slopes add to the step: step_up + slope_up w
    "max_bound": "w_max",
    "min_bound": "w_min",
    "dwmin_up": "step_up",
    "dwmin_down": "step_down",
    "reference": "reference",
    "slope_up": "slope_up",
    "slope_down": "slope_down",
    "gamma_up": "gamma_up",
    "gamma_down": "gamma_down",
    "reset_bias": "reset_bias",
    "decay_scales": "decay_scale",
}
STATE = {
    "hidden_weights_chi": "chi",
    "buffered_FP_weight": "H",
    "buffered_FP_weight_0": "H",
    "running_mean_weight": "running_mean",
    "past_mean_weight": "past_mean",
}
COUNTERS = (
    "current_slice_indices",
    "transfer_counter",
    "m_x",
    "m_d",
    "current_update_index",
    "current_row_index",
)
EXP_FIELDS = ("A_up", "A_down", "gamma_up", "gamma_down", "a", "b")


def device(spec: dict[str, Any]) -> Any:
    """Device description from `{"model": or "preset": name, field: value, ...}` with aihwkit's fields."""
    spec = dict(spec)
    kind = PRESETS[spec.pop("preset")] if "preset" in spec else DEVICES[spec.pop("model")]
    return kind(**spec)


def update_parameters(spec: dict[str, Any]) -> Any:
    return UpdateParameters(**(spec | {"pulse_type": getattr(PulseType, spec["pulse_type"])}))


def describe_update(parameters: Any) -> dict[str, Any]:
    """The fields of an update description that matter, as plain values."""
    names = ("desired_bl", "fixed_bl", "update_management", "update_bl_management", "um_grad_scale")
    names += ("x_res_implicit", "d_res_implicit")
    return {name: getattr(parameters, name) for name in names} | {"pulse_type": parameters.pulse_type.name}


def single_tile(d_size: int, x_size: int, spec: dict[str, Any], update: dict[str, Any]) -> Any:
    """Tile with one device per cross-point."""
    return AnalogTile(
        d_size, x_size, configs.SingleRPUConfig(device=device(spec), update=update_parameters(update))
    )


def algorithm_tile(case: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Tile of a training algorithm and all settings in force, defaults filled in."""
    shape, update = (case["d_size"], case["x_size"]), update_parameters(case["update"])
    cells = [device(spec) for spec in case["devices"]]
    if case["algorithm"] == "analog_sgd":
        return AnalogTile(*shape, configs.SingleRPUConfig(device=cells[0], update=update)), {}
    given = dict(case["settings"])
    if case["algorithm"] == "mixed_precision":
        compound = compounds.MixedPrecisionCompound(device=cells[0], **given)
        config = configs.DigitalRankUpdateRPUConfig(device=compound, update=update)
        names = (
            "transfer_every",
            "n_rows_per_transfer",
            "granularity",
            "transfer_lr",
            "n_x_bins",
            "n_d_bins",
        )
        return AnalogTile(*shape, config), {name: getattr(compound, name) for name in names}
    given["transfer_forward"] = IOParameters(**given.get("transfer_forward", {"is_perfect": True}))
    if "transfer_update" in given:
        given["transfer_update"] = update_parameters(given["transfer_update"])
    compound = COMPOUNDS[case["algorithm"]](unit_cell_devices=cells, construction_seed=case["seed"], **given)
    tile = AnalogTile(*shape, configs.UnitCellRPUConfig(device=compound, update=update))
    return tile, describe_compound(compound, case)


def describe_compound(compound: Any, case: dict[str, Any]) -> dict[str, Any]:
    """Plain values of all fields of a transfer compound."""
    skip = ("unit_cell_devices", "construction_seed", "transfer_forward", "transfer_update", "bindings_class")
    plain = {
        name: value
        for name, value in vars(compound).items()
        if name not in skip and isinstance(value, int | float | bool | list)
    }
    forward = case["settings"].get("transfer_forward", {"is_perfect": True})
    return plain | {"transfer_forward": forward, "transfer_update": describe_update(compound.transfer_update)}


def extra(tile: Any) -> dict[str, list[float]]:
    prefix = "rpu.rpu_device."
    return {k[len(prefix) :]: v for k, v in tile.tile.dump_extra().items() if k.startswith(prefix)}


def hidden(tile: Any, suffix: str = "") -> dict[str, Array]:
    """Hidden device parameters under neutral names (`suffix` picks one array of a compound)."""
    raw = tile.get_hidden_parameters()
    return {new: raw[old + suffix].numpy().copy() for old, new in HIDDEN.items() if old + suffix in raw}


def state(tile: Any, n_arrays: int) -> dict[str, Array]:
    """Weights and buffers: visible, A, (A1, ...), C, H, running_mean, past_mean, chi, and the choppers."""
    raw = tile.get_hidden_parameters()
    found = {"visible": tile.get_weights()[0].numpy().copy()}
    names = ["A", *(f"A{i}" for i in range(1, n_arrays - 1)), "C"]
    for i, name in enumerate(names):
        if f"hidden_weights_{i}" in raw:
            found[name] = raw[f"hidden_weights_{i}"].numpy().copy()
    if "C" not in found:
        found["C"] = found["visible"]
    found |= {new: raw[old].numpy().copy() for old, new in STATE.items() if old in raw}
    return found


def choppers(tile: Any) -> dict[str, Array]:
    more = extra(tile)
    return {name: np.array(more[name]) for name in ("in_chopper", "out_chopper") if more.get(name)}


def counters(tile: Any) -> dict[str, Array]:
    more = extra(tile)
    return {name: np.array(more[name]) for name in COUNTERS if more.get(name)}


def cells_of(tile: Any, specs: list[dict[str, Any]]) -> list[Cells]:
    """The drawn devices of every array of a tile, for the plain-numpy loop."""
    more, many = extra(tile), len(specs) > 1
    compound = more["weight_granularity"][0] if many else None
    inner = "rpu_device." if "rpu_device.weight_granularity" in more else ""
    found = []
    for i in range(len(specs)):
        spec = specs[min(i, 1)]  # the engine reuses the second description from the third array on
        at = f"{i}." if many else inner
        described = device(spec)
        scalars: dict[str, Any] = {"n_states": more[f"{at}num_states"][0], "compound_granularity": compound}
        for name in (*EXP_FIELDS, "piecewise_up", "piecewise_down"):
            if hasattr(described, name):
                scalars[name] = getattr(described, name)
        arrays = {name: a.astype(float) for name, a in hidden(tile, f"_{i}" if many else "").items()}
        model = spec.get("model") or model_of(described)
        grain = more[f"{at}weight_granularity"][0]
        found.append(Cells(model=model, granularity=grain, arrays=arrays, scalars=scalars))
    return found


def model_of(described: Any) -> str:
    return next(name for name, kind in DEVICES.items() if isinstance(described, kind))


def run_update(tile: Any, x: Array, d: Array, lr: float) -> None:
    tile.set_learning_rate(float(lr))
    tile.update(torch.from_numpy(np.float32(x)), torch.from_numpy(np.float32(d)))
