"""Keys of ``noise`` and ``variability`` reach the field of the devices and of the periphery that they are named for."""

from dataclasses import asdict
from typing import Any

from crossweep.build import devices, periphery
from tests.runs import configuration

DEVICE = {
    "noise.write": "write_noise_std",
    "noise.pulse": "dw_min_std",
    "variability.step": "dw_min_dtod",
    "variability.w_max": "w_max_dtod",
    "variability.w_min": "w_min_dtod",
    "variability.asymmetry": "up_down_dtod",
}
READS = {"noise.output": "out_noise", "noise.input": "inp_noise", "noise.weight_read": "w_noise"}


def test_each_key_sets_its_field_and_no_other() -> None:
    values = {key: 0.117 + 0.01 * number for number, key in enumerate([*DEVICE, *READS])}
    cfg = configuration(*(f"{key}={value:.3f}" for key, value in values.items()))

    def set_to(given: Any) -> dict[str, float]:
        wanted = {round(value, 3): key for key, value in values.items()}
        return {wanted[value]: name for name, value in asdict(given).items() if value in wanted}

    for device in devices(cfg):
        assert set_to(device) == DEVICE
    for io in periphery(cfg):
        assert set_to(io) == READS
