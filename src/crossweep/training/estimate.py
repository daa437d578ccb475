"""Time and energy of a training on a chip, estimated from counted events and a table of published constants.

Nothing here is measured: estimates are kept apart from metrics.
"""

from dataclasses import dataclass
from math import prod

from torch import nn

from crossweep.algorithms.base import AnalogWeight
from crossweep.nn.convert import analog_weights
from crossweep.schema import Checked, NotNegative, Positive

NS, PJ = 1e-9, 1e-12  # a nanosecond in seconds, a picojoule in joules


@dataclass(frozen=True, kw_only=True)
class Hardware(Checked):
    """Constants of a chip.

    Args:
        pulse_time: one slot of a pulse train [ns].
        read_time: one matrix-vector product with its conversions [ns].
        digital_rate: digital operations per nanosecond that one crossbar may use [1/ns].
        pulse_energy: one pulse of one device [pJ].
        read_energy: one device in one read of all columns [pJ].
        dac_energy: one input of a read [pJ].
        adc_energy: one output of a read [pJ].
        digital_energy: one digital operation [pJ].
    """

    pulse_time: Positive
    read_time: Positive
    digital_rate: Positive
    pulse_energy: NotNegative
    read_energy: NotNegative
    dac_energy: NotNegative
    adc_energy: NotNegative
    digital_energy: NotNegative


def estimate(model: nn.Module, hardware: Hardware) -> dict[str, float]:
    """What training would cost on a chip: forward and backward reads, gradient pulses, transfers and their digital work.

    Evaluation, writing the weights and digital layers are left out.

    Returns:
        ``time_s``: layers one after the other, the crossbars of a layer at once; ``pipelined_s``: all layers at once, that
        is, the slowest; ``energy_j`` and its parts ``energy_pulses_j``, ``energy_reads_j`` (devices),
        ``energy_conversions_j`` and ``energy_digital_j``. Empty without crossbars.
    """
    layers = [weight.parts() for weight in analog_weights(model).values()]
    if not layers:
        return {}
    times = [max(_seconds(block, hardware) for block in blocks) for blocks in layers]
    energy = {"pulses": 0.0, "reads": 0.0, "conversions": 0.0, "digital": 0.0}
    for block in (block for blocks in layers for block in blocks):
        for name, joules in _joules(block, hardware).items():
            energy[name] += joules
    parts = {f"energy_{name}_j": joules for name, joules in energy.items()}
    return {"time_s": sum(times), "pipelined_s": max(times), "energy_j": sum(energy.values()), **parts}


def _seconds(block: AnalogWeight, hardware: Hardware) -> float:
    cost, side_by_side = block.cost(), prod(block.shape[:-2])
    reads = cost["samples"] + cost["backward_reads"] + cost["slice_reads"]
    slots = cost["slots"] + cost["transfer_slots"]
    each = (
        reads * hardware.read_time
        + slots * hardware.pulse_time
        + cost["digital_operations"] / hardware.digital_rate
    )
    return NS * each / side_by_side


def _joules(block: AnalogWeight, hardware: Hardware) -> dict[str, float]:
    cost, (d_size, x_size) = block.cost(), block.shape[-2:]
    forward, backward, slices = cost["samples"], cost["backward_reads"], cost["slice_reads"]
    length = block.slice_length
    devices = (forward + backward) * d_size * x_size + slices * length
    inputs = forward * x_size + backward * d_size + slices
    outputs = forward * d_size + backward * x_size + slices * length
    return {
        "pulses": PJ * cost["pulses"] * hardware.pulse_energy,
        "reads": PJ * devices * hardware.read_energy,
        "conversions": PJ * (inputs * hardware.dac_energy + outputs * hardware.adc_energy),
        "digital": PJ * cost["digital_operations"] * hardware.digital_energy,
    }
