# mypy: ignore-errors
"""The response of a block's devices, whatever its kind."""

from crossweep.engine.cpu.kernels.affine import load_devices, respond_block
from crossweep.engine.cpu.kernels.exponential import load_shapes, respond_shapes
from crossweep.engine.cpu.kernels.jit import kernel
from crossweep.engine.cpu.kernels.power import load_powers, respond_powers
from crossweep.engine.cpu.kernels.scalars import AFFINE, EXPONENTIAL, POWER
from crossweep.engine.cpu.kernels.tabulated import load_curves, respond_curves


@kernel
def load_cells(f, device, scalars, row, first):
    """Bring a block's devices to their places."""
    if scalars.kind == AFFINE:
        load_devices(f, device, row, first)
    elif scalars.kind == EXPONENTIAL:
        load_shapes(f, device, row, first)
    elif scalars.kind == POWER:
        load_powers(f, device, row, first)
    else:
        load_curves(f, device, row, first)


@kernel
def move(f, ids, scalars, key):
    """Move the devices of a block by the pulses at ``UP`` and ``ALL``, with the noise at ``XI``."""
    if scalars.kind == AFFINE:
        respond_block(f, ids, scalars, key)
    elif scalars.kind == EXPONENTIAL:
        respond_shapes(f, ids, scalars, key)
    elif scalars.kind == POWER:
        respond_powers(f, ids, scalars, key)
    else:
        respond_curves(f, ids, scalars, key)
