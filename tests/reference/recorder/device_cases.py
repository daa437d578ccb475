"""The device models (non-default parameters, wide spread) and presets that are recorded."""

from __future__ import annotations

from typing import Any

SPREAD = {
    "dw_min": 0.02,
    "dw_min_dtod": 0.3,
    "up_down": 0.15,
    "up_down_dtod": 0.1,
    "w_max": 0.9,
    "w_min": -0.7,
    "w_max_dtod": 0.3,
    "w_min_dtod": 0.25,
}
SLOPES = {"gamma_up": 0.4, "gamma_down": 0.7, "gamma_up_dtod": 0.2, "gamma_down_dtod": 0.15}
REFERENCE = {"subtract_symmetry_point": True, "reference_mean": 0.15, "reference_std": 0.1}
RERAM_EXP = {
    "A_up": -1.18445,
    "A_down": -0.081404,
    "gamma_up": 5.0,
    "gamma_down": 5.0,
    "a": -0.5,
    "b": -0.5,
}

MODELS: dict[str, dict[str, Any]] = {
    "constant_step": {"model": "constant_step"},
    "constant_step_log_normal": {
        "model": "constant_step",
        "dw_min_dtod_log_normal": True,
        "dw_min_dtod": 0.7,
        "up_down": -0.2,
    },
    "constant_step_stuck": {
        "model": "constant_step",
        "corrupt_devices_prob": 0.3,
        "corrupt_devices_range": 0.4,
        "perfect_bias": True,
    },
    "constant_step_inconsistent": {
        "model": "constant_step",
        "enforce_consistency": False,
        "dw_min_dtod": 0.7,
        "w_max_dtod": 0.8,
        "w_min_dtod": 0.8,
    },
    "linear_step": {"model": "linear_step", "mult_noise": True} | SLOPES,
    "linear_step_additive": {"model": "linear_step", "mult_noise": False} | SLOPES,
    "linear_step_own_bounds": {"model": "linear_step", "mean_bound_reference": False} | SLOPES,
    "linear_step_increasing": {"model": "linear_step", "allow_increasing": True}
    | SLOPES
    | {"gamma_up": 0.1, "gamma_up_dtod": 0.5},
    "linear_step_reverse_up": {"model": "linear_step", "reverse_up": True, "reverse_offset": 0.1} | SLOPES,
    "linear_step_reverse_down": {"model": "linear_step", "reverse_down": True, "reverse_offset": 0.1}
    | SLOPES,
    "soft_bounds": {"model": "soft_bounds"},
    "soft_bounds_additive": {"model": "soft_bounds", "mult_noise": False},
    "soft_bounds_reference": {"model": "soft_bounds_reference", "slope_up_dtod": 0.2, "slope_down_dtod": 0.1}
    | REFERENCE,
    "soft_bounds_reference_kept": {"model": "soft_bounds_reference", "mult_noise": True}
    | REFERENCE
    | {"subtract_symmetry_point": False},
    "soft_bounds_reference_at_sp": {"model": "soft_bounds_reference", "subtract_symmetry_point": True},
    "exp_step": {"model": "exp_step"},
    "exp_step_reram": {"model": "exp_step"} | RERAM_EXP,
    "pow_step": {
        "model": "pow_step",
        "pow_gamma": 1.7,
        "pow_gamma_dtod": 0.2,
        "pow_up_down": 0.2,
        "pow_up_down_dtod": 0.1,
    },
    "pow_step_reference": {"model": "pow_step_reference", "pow_gamma": 0.8, "pow_gamma_dtod": 0.1}
    | REFERENCE,
    "pow_step_reference_at_sp": {
        "model": "pow_step_reference",
        "pow_gamma": 1.4,
        "pow_gamma_dtod": 0.0,
        "subtract_symmetry_point": True,
    },
    "piecewise_step": {
        "model": "piecewise_step",
        "piecewise_up": [1.5, 1.1, 0.9, 0.4, 0.2],
        "piecewise_down": [0.1, 0.5, 1.0, 1.2, 1.6],
    },
}
PRESETS = {
    name: {"preset": name}
    for name in (
        "reram_es",
        "reram_sb",
        "reram_om",
        "reram_hfo2",
        "capacitor",
        "ecram",
        "ecram_mo",
        "gokmen_vlasov",
        "idealized",
        "pcm",
    )
}
