"""The contract of an engine: apply the pulses of one mini-batch to the devices of one crossbar."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from torch import Tensor

from crossweep.devices.base import AbstractDevice, Cells
from crossweep.devices.response import Response
from crossweep.rng import Stream
from crossweep.schema import Checked, Whole
from crossweep.tiles.engine.choose import Backend, usable
from crossweep.tiles.pulse_train import PulsePlan, UpdateParameters


@dataclass(frozen=True)
class Crossbar:
    """What an engine needs to know of one crossbar: the model and its drawn devices.

    Args:
        device: the model.
        cells: the devices.
        kept: what the compiled engine made of the devices, by leading index; they do not change.
    """

    device: AbstractDevice
    cells: Cells
    kept: dict[tuple[int, ...], tuple[Any, ...]] = field(default_factory=dict, compare=False, repr=False)

    @cached_property
    def response(self) -> Response:
        """What pulses do to these devices."""
        return self.device.response(self.cells)


@dataclass(frozen=True, kw_only=True)
class AbstractEngine(Checked, ABC):
    """Applies a pulse plan; an engine has parameters but no state.

    Args:
        backend: ``reference`` is torch alone, ``cpu`` uses compiled kernels where there are any, ``auto`` is ``cpu``
            on CPUs (see ``choose``). The two draw different random numbers of the same distribution.
        micro_batch: samples of a mini-batch whose pulses are drawn and kept at once [sample], >= 0; 0: all.

    Raises:
        ConfigError: ``micro_batch`` is negative, or ``backend`` is unknown.
    """

    backend: Backend = "auto"
    micro_batch: Whole = 4096

    def compiled(self, *tensors: Tensor) -> bool:
        """Whether compiled kernels are to work on these tensors."""
        return usable(self.backend, *tensors)

    @abstractmethod
    def apply(
        self, v: Tensor, plan: PulsePlan, bar: Crossbar, update: UpdateParameters, stream: Stream
    ) -> tuple[Tensor, Tensor]:
        """Run all samples of ``plan``, in order.

        Args:
            v: device states [..., d, x] [w]; left untouched.
            plan: pulse probabilities of the samples.
            bar: the crossbar.
            update: pulse parameters (pulse type, bit length).
            stream: source of pulses and noise.

        Returns:
            The new states, and the number of pulses each device received (both [..., d, x]).
        """
