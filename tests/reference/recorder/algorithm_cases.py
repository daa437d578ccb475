"""The recorded algorithm cases: each differs from its family's base in the fields that its name says."""

from __future__ import annotations

from typing import Any

REAL = {
    "pulse_type": "DETERMINISTIC_IMPLICIT"
}  # counts = rint(BL p_x p_d): any real x, d without a random bit
BITS = {"pulse_type": "STOCHASTIC_COMPRESSED"}  # with one magnitude per vector every probability is 0 or 1

SOFT = {
    "model": "soft_bounds_reference",
    "dw_min": 0.05,
    "dw_min_dtod": 0.3,
    "dw_min_dtod_log_normal": True,
    "dw_min_std": 0.0,
    "up_down": 0.1,
    "up_down_dtod": 0.1,
    "w_max": 1.0,
    "w_min": -0.8,
    "w_max_dtod": 0.3,
    "w_min_dtod": 0.3,
    "subtract_symmetry_point": True,
    "reference_mean": -0.1,
    "reference_std": 0.1,
}
SOFT_FINE = SOFT | {"dw_min": 0.02, "slope_up_dtod": 0.1, "slope_down_dtod": 0.1, "reference_mean": 0.2}
SOFT_BINARY = SOFT | {"dw_min": 2.0**-5, "subtract_symmetry_point": False}
LINEAR = {
    "model": "linear_step",
    "dw_min": 0.03,
    "dw_min_std": 0.0,
    "up_down": -0.1,
    "up_down_dtod": 0.05,
    "gamma_up": 0.4,
    "gamma_down": 0.7,
    "gamma_up_dtod": 0.1,
    "gamma_down_dtod": 0.1,
    "w_max": 1.2,
    "w_min": -0.8,
}
CONSTANT = {"model": "constant_step", "dw_min": 0.04, "dw_min_std": 0.0, "up_down_dtod": 0.1, "w_max": 0.9}
EXP = {
    "model": "exp_step",
    "dw_min": 0.04,
    "dw_min_std": 0.0,
    "up_down": 0.26,
    "up_down_dtod": 0.05,
    "w_max": 1.0,
    "w_min": -1.0,
    "A_up": -1.18445,
    "A_down": -0.081404,
    "gamma_up": 5.0,
    "gamma_down": 5.0,
    "a": -0.5,
    "b": -0.5,
}
POW = {
    "model": "pow_step",
    "dw_min": 0.08,
    "dw_min_std": 0.0,
    "pow_gamma": 1.5,
    "pow_gamma_dtod": 0.1,
    "w_max": 0.8,
}
PIECEWISE = {
    "model": "piecewise_step",
    "dw_min": 0.05,
    "dw_min_std": 0.0,
    "piecewise_up": [1.4, 1.0, 0.6, 0.3],
    "piecewise_down": [0.2, 0.7, 1.1, 1.5],
}
ONE_PULSE = {"desired_bl": 1, "update_management": False, "update_bl_management": False}


def case(name: str, algorithm: str, **changes: Any) -> dict[str, Any]:
    base = {
        "name": name,
        "algorithm": algorithm,
        "d_size": 5,
        "x_size": 4,
        "devices": [SOFT, SOFT_FINE] if algorithm not in ("analog_sgd", "mixed_precision") else [SOFT],
        "settings": {},
        "update": REAL | {"desired_bl": 5},
        "inputs": "real",
        "learning_rate": 0.1,
        "n_updates": 520,
        "batch": 1,
        "seed": 11,
        "check_visible": True,
    }
    return base | changes


def family(algorithm: str, base: dict[str, Any], cases: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Cases `<algorithm>_<key>`; a case's `settings` are added to the family's."""
    found = []
    for key, changes in cases.items():
        settings = base.get("settings", {}) | changes.get("settings", {})
        found.append(case(f"{algorithm}_{key}", algorithm, **(base | changes | {"settings": settings})))
    return found


SGD = family(
    "analog_sgd",
    {"update": REAL | {"desired_bl": 31}, "learning_rate": 0.05},
    {
        "soft_bounds_reference": {},
        "linear_step": {"devices": [LINEAR], "d_size": 4, "x_size": 6},
        "constant_step": {"devices": [CONSTANT], "update": REAL | {"desired_bl": 7}},
        "exp_step": {"devices": [EXP], "update": REAL | {"desired_bl": 15, "um_grad_scale": 0.5}},
        "pow_step": {"devices": [POW]},
        "piecewise_step": {"devices": [PIECEWISE], "batch": 4, "n_updates": 200},
        "saturated": {"update": REAL | {"desired_bl": 7}, "learning_rate": 0.5},
        "implicit_resolution": {
            "update": REAL | {"desired_bl": 7, "x_res_implicit": 0.11, "d_res_implicit": 0.13}
        },
        "no_management": {
            "update": REAL | {"desired_bl": 10, "update_bl_management": False, "update_management": False},
            "learning_rate": 0.4,
        },
        "free_bl": {
            "update": REAL
            | {"desired_bl": 3, "fixed_bl": False, "update_bl_management": False, "update_management": False},
            "learning_rate": 0.34,
        },
        "pulse_trains": {
            "devices": [SOFT_BINARY],
            "update": BITS | {"desired_bl": 31},
            "inputs": "sign",
            "learning_rate": 0.25,
        },
        "pulse_trains_saturated": {
            "update": BITS | {"desired_bl": 3},
            "inputs": "sign",
            "learning_rate": 4.0,
        },
        "single_pulse": {"update": BITS | ONE_PULSE, "inputs": "sign", "learning_rate": 4.0},
    },
)
TTV1_WRITE = REAL | {"desired_bl": 31}
TTV1 = family(
    "ttv1",
    {"settings": {"transfer_update": TTV1_WRITE, "fast_lr": 1.0}},
    {
        "hidden": {},
        "gamma": {"settings": {"gamma": 0.3}, "d_size": 4, "x_size": 6},
        "gamma_vec": {"settings": {"gamma_vec": [0.2, 0.8]}},
        "every_3": {"settings": {"transfer_every": 3.0, "units_in_mbatch": False, "transfer_lr": 2.0}},
        "rows": {"settings": {"transfer_columns": False, "transfer_every": 2.0}, "d_size": 4, "x_size": 6},
        "absolute_rates": {
            "settings": {
                "scale_fast_lr": False,
                "scale_transfer_lr": False,
                "fast_lr": 0.08,
                "transfer_lr": 0.2,
                "gamma": 0.1,
            }
        },
        "two_reads": {"settings": {"n_reads_per_transfer": 2}},
        "batch": {"batch": 4, "n_updates": 200, "settings": {"transfer_every": 1.0}},
        "batch_by_sample": {
            "batch": 3,
            "n_updates": 200,
            "settings": {"transfer_every": 2.0, "units_in_mbatch": False},
        },
        "no_fast_lr": {"settings": {"fast_lr": 0.0, "transfer_lr": 2.0}},
        "reset": {
            "devices": [SOFT | {"reset": 0.05, "reset_dtod": 0.05, "reset_std": 0.0}, SOFT_FINE],
            "settings": {"with_reset_prob": 1.0, "transfer_every": 4.0},
        },
        "three_arrays": {
            "devices": [SOFT, SOFT_FINE, LINEAR],
            "settings": {"gamma": 0.4, "units_in_mbatch": False, "transfer_every": 1.0},
        },
        "three_arrays_rows": {
            "devices": [SOFT, SOFT_FINE, LINEAR],
            "settings": {
                "gamma_vec": [0.04, 0.2, 1.0],
                "units_in_mbatch": False,
                "transfer_every": 1.0,
                "transfer_columns": False,
            },
            "d_size": 4,
            "x_size": 6,
        },
        "converters": {
            "settings": {
                "transfer_forward": {
                    "inp_bound": 1.0,
                    "inp_res": 1 / 126,
                    "out_bound": 2.0,
                    "out_res": 1 / 62,
                    "out_noise": 0.0,
                }
            }
        },
        "constant_linear": {"devices": [CONSTANT, LINEAR]},
        "pulse_trains": {
            "devices": [SOFT_BINARY, SOFT_BINARY],
            "update": BITS | {"desired_bl": 31},
            "inputs": "sign",
            "learning_rate": 0.25,
        },
    },
)
ABSOLUTE = {"scale_fast_lr": False, "fast_lr": 0.1}
TTV2 = family(
    "ttv2",
    {"settings": ABSOLUTE},
    {
        "default": {},
        "momentum": {"settings": {"momentum": 0.4}, "d_size": 4, "x_size": 6},
        "keep_buffer": {"settings": {"forget_buffer": False, "momentum": 0.0}},
        "keep_buffer_momentum": {"settings": {"forget_buffer": False, "momentum": 0.3}},
        "threshold": {"settings": {"thres_scale": 2.5}},
        "many_pulses": {
            "settings": {
                "transfer_lr": 4.0,
                "forget_buffer": False,
                "transfer_update": ONE_PULSE | REAL | {"desired_bl": 4},
            }
        },
        "managed_pulses": {
            "settings": {"transfer_lr": 4.0, "momentum": 0.0, "transfer_update": REAL | {"desired_bl": 5}}
        },
        "rows_every_2": {
            "settings": {"transfer_columns": False, "transfer_every": 2.0, "units_in_mbatch": False},
            "d_size": 4,
            "x_size": 6,
        },
        "scaled_rates": {"settings": {"scale_fast_lr": True, "fast_lr": 1.0, "scale_transfer_lr": True}},
        "gamma": {"settings": {"gamma": 0.25}},
        "batch": {"batch": 4, "n_updates": 200},
        "two_reads": {"settings": {"n_reads_per_transfer": 2}},
        "exp_linear": {"devices": [EXP, LINEAR]},
        "pulse_trains": {"update": BITS | {"desired_bl": 3}, "inputs": "sign", "settings": {"fast_lr": 4.0}},
    },
)
TTV2_CHOPPED = [
    c | {"name": c["name"].replace("cttv2", "ttv2_unchopped")}
    for c in family(
        "cttv2",
        {"settings": {"in_chop_prob": 0.0, "fast_lr": 0.1}},
        {
            "default": {},
            "auto": {
                "settings": {"auto_granularity": 20.0, "auto_scale": True, "fast_lr": 0.5, "momentum": 0.1}
            },
            "gamma": {
                "settings": {"gamma_vec": [0.5, 1.0], "units_in_mbatch": True},
                "batch": 2,
                "n_updates": 300,
            },
        },
    )
]
REGULAR = {"in_chop_random": False, "in_chop_prob": 0.2}
CTTV2 = family(
    "cttv2",
    {"settings": {"fast_lr": 0.1, "in_chop_prob": 0.15}},
    {
        "random": {},
        "regular": {"settings": REGULAR},
        "out_chopper": {"settings": {"out_chop_prob": 0.1}, "d_size": 4, "x_size": 6},
        "auto_scale": {"settings": {"auto_scale": True, "fast_lr": 0.4, "auto_granularity": 25.0}},
        "auto_scale_no_fast_lr": {"settings": {"auto_scale": True, "fast_lr": 0.0}},
        "auto_scale_scaled": {
            "settings": REGULAR
            | {"auto_scale": True, "fast_lr": 5.0, "scale_fast_lr": True, "auto_momentum": 0.9}
        },
        "momentum": {"settings": {"momentum": 0.3}},
        "keep_buffer": {
            "settings": {"forget_buffer": False, "momentum": 0.2, "transfer_lr": 0.4},
            "d_size": 4,
            "x_size": 6,
        },
        "correct_magnitudes": {
            "settings": REGULAR | {"correct_gradient_magnitudes": True, "transfer_lr": 0.1}
        },
        "correct_magnitudes_auto": {
            "settings": {
                "correct_gradient_magnitudes": True,
                "auto_scale": True,
                "fast_lr": 0.4,
                "transfer_lr": 0.2,
                "auto_granularity": 10.0,
            }
        },
        "every_2": {"settings": REGULAR | {"transfer_every": 2.0, "auto_granularity": 10.0}},
        "every_3_rows": {
            "settings": {"transfer_every": 3.0, "transfer_columns": False, "out_chop_prob": 0.15},
            "d_size": 4,
            "x_size": 6,
        },
        "every_negative": {  # with many states in C, see the README on what a negative value does otherwise
            "devices": [SOFT, SOFT_FINE | {"dw_min": 0.0002}],
            "settings": REGULAR | {"transfer_every": -0.25, "auto_granularity": 5.0, "transfer_lr": 2.0},
        },
        "granularity": {"settings": {"buffer_granularity": 3.0, "transfer_lr": 2.0}},
        "no_buffer": {"settings": REGULAR | {"no_buffer": True, "transfer_lr": 2.0}},
        "many_pulses": {
            "settings": {
                "transfer_lr": 2.0,
                "momentum": 0.2,
                "transfer_update": ONE_PULSE | REAL | {"desired_bl": 4},
            }
        },
        "batch": {
            "batch": 3,
            "n_updates": 200,
            "settings": {"auto_scale": True, "fast_lr": 0.4, "auto_momentum": 0.8},
        },
        "batch_units": {
            "batch": 4,
            "n_updates": 200,
            "settings": REGULAR | {"units_in_mbatch": True, "transfer_every": 0.5},
        },
        "gamma": {"settings": REGULAR | {"gamma_vec": [0.5, 1.0]}, "check_visible": False},
        "constant_linear": {"devices": [CONSTANT, LINEAR], "settings": REGULAR},
        "exp_soft": {"devices": [EXP, SOFT_FINE]},
        "pulse_trains": {"update": BITS | {"desired_bl": 3}, "inputs": "sign", "settings": {"fast_lr": 4.0}},
        "pulse_trains_regular": {
            "update": BITS | {"desired_bl": 3},
            "inputs": "sign",
            "settings": REGULAR | {"auto_scale": True, "fast_lr": 6.0, "auto_granularity": 25.0},
        },
    },
)
AGAD = family(
    "agad",
    {"settings": {"fast_lr": 0.1, "in_chop_prob": 0.2}},
    {
        "default": {},
        "random": {"settings": {"in_chop_random": True, "in_chop_prob": 0.15}},
        "auto_scale": {"settings": {"auto_scale": True, "fast_lr": 0.4, "auto_granularity": 25.0}},
        "tail": {"settings": {"tail_weightening": 2.0, "in_chop_prob": 0.1}, "d_size": 4, "x_size": 6},
        "momentum": {"settings": {"momentum": 0.3}},
        "keep_buffer": {"settings": {"forget_buffer": False, "momentum": 0.2}},
        "buffer_cap": {"settings": {"forget_buffer": False, "buffer_cap": 1.5, "transfer_lr": 4.0}},
        "correct_magnitudes": {
            "settings": {
                "correct_gradient_magnitudes": True,
                "auto_scale": True,
                "fast_lr": 0.4,
                "transfer_lr": 0.2,
            }
        },
        "correct_accumulation": {"settings": {"experimental_correct_accumulation": True}},
        "every_2_rows": {
            "settings": {"transfer_every": 2.0, "transfer_columns": False},
            "d_size": 4,
            "x_size": 6,
        },
        "every_3": {"settings": {"transfer_every": 3.0, "auto_granularity": 10.0}},
        "managed_pulses": {"settings": {"transfer_update": REAL | {"desired_bl": 3}, "transfer_lr": 4.0}},
        "batch": {"batch": 3, "n_updates": 200, "settings": {"auto_scale": True, "fast_lr": 0.4}},
        "linear_exp": {"devices": [LINEAR, EXP]},
        "pulse_trains": {"update": BITS | {"desired_bl": 3}, "inputs": "sign", "settings": {"fast_lr": 4.0}},
    },
)
MIXED = family(
    "mixed_precision",
    {"update": REAL | {"desired_bl": 31}, "settings": {"stoc_round_x": False, "stoc_round_d": False}},
    {
        "default": {},
        "coarse": {"settings": {"granularity": 0.2}, "d_size": 4, "x_size": 6},
        "some_rows": {"settings": {"n_rows_per_transfer": 2, "transfer_every": 3}},
        "transfer_lr": {"settings": {"transfer_lr": 0.4, "granularity": 0.15}},
        "short_trains": {"update": REAL | {"desired_bl": 8}, "learning_rate": 0.08},
        "bins": {"settings": {"n_x_bins": 6, "n_d_bins": 4}},
        "batch": {"batch": 4, "n_updates": 200},
        "batch_every_2": {"batch": 3, "n_updates": 200, "settings": {"transfer_every": 2}},
        "linear_step": {"devices": [LINEAR]},
    },
)
CASES = [*SGD, *TTV1, *TTV2, *TTV2_CHOPPED, *CTTV2, *AGAD, *MIXED]
