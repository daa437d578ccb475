"""Several devices per weight: mean of n devices under an update policy, and one-sided pairs with refresh."""

from dataclasses import replace

import torch
from torch import Tensor

from crossweep.devices.base import Cells
from crossweep.devices.one_sided import PAIR, OneSided, mirrored, unmirrored
from crossweep.devices.response import step
from crossweep.engine.base import Crossbar
from crossweep.engine.pulse_plan import PulsePlan, UpdateParameters
from crossweep.engine.reference.engine import pulse_in_turn
from crossweep.rng import Stream
from crossweep.shapes import require_last
from crossweep.tiles.analog_tile import AnalogTile, TileParameters

REFRESH_PULSES = 31  # write-verify pulses that a refresh may spend on one device, aihwkit's desired_bl


class UnitCellTile(AnalogTile):
    """A crossbar with ``n`` devices per weight; states are ``[..., n, d, x]``, the weight is ``[..., d, x]``.

    The weight is the mean over the devices of what each shows (state minus its own reference). Skew and
    variability of the symmetry point are those of the weight. ``all`` lets every device take every pulse,
    with noise of its own; the ``single_`` policies give each sample to one device, so a pulse moves the
    weight by an n-th of the granularity and the effective learning rate is an n-th, as in the source.
    ``one_sided`` pairs add up: see ``OneSided``.

    Source: aihwkit ``VectorUnitCell`` (equal gammas), ``OneSidedUnitCell``.
    Differs: a weight is written to all devices under every policy; the refresh reads exactly and writes with
    verification instead of once.
    """

    cell_offset: Tensor
    batches: Tensor
    turn: Tensor
    shown: Tensor

    def __init__(
        self,
        shape: tuple[int, ...],
        parameters: TileParameters,
        *,
        population: Stream,
        draws: Stream,
        torch_device: torch.device | str = "cpu",
    ) -> None:
        device, point = parameters.device, parameters.symmetry_point
        many = (*shape[:-2], device.n_devices, *shape[-2:])
        centred = replace(parameters, symmetry_point=replace(point, skew=0.0, variability=0.0))
        super().__init__(many, centred, population=population, draws=draws, torch_device=torch_device)
        point.require(device, None if self.one_sided else device.symmetry_point(self.cells))
        offset = point.shift(device, torch.empty(shape), population.fork("cell"))
        self.register_buffer("cell_offset", offset.to(torch_device))
        self.register_buffer("batches", torch.zeros((), dtype=torch.int64, device=torch_device))
        self.register_buffer("turn", torch.zeros((), dtype=torch.int64, device=torch_device))
        if self.one_sided:
            self._mirror()
        if self.write_noise:  # else a device shows its state
            self.register_buffer("shown", self.state.clone())
        self.weight = self._combined()

    def _mirror(self) -> None:
        cells = mirrored(self.cells)
        self._hold(Crossbar(OneSided.of(self.device), cells))
        self.reference = torch.zeros_like(self.reference)
        self.state = torch.zeros_like(self.state).clamp(cells.w_min, cells.w_max)

    @property
    def one_sided(self) -> bool:
        """Whether the devices are a pair of opposite sign."""
        return self.device.update_policy == "one_sided"

    def _combined(self) -> Tensor:
        parts = (self.shown if self.write_noise else self.state) - self.reference
        return (parts.sum(PAIR) if self.one_sided else parts.mean(PAIR)) + self.cell_offset

    # -- set ---------------------------------------------------------------------------------------

    def set_weight(self, weight: Tensor) -> None:
        """Write ``weight [..., d, x]`` into the devices of each cell, clipped to what each can hold.

        Raises:
            ShapeError: the shape is not the tile's.
        """
        require_last("weight", weight, *self.state.shape[-2:])
        own = (weight.expand_as(self.cell_offset) - self.cell_offset).unsqueeze(PAIR)
        own = own.expand_as(self.state)
        if self.one_sided:  # the positive part to the first, the negative part to the second device
            own = torch.where(self.cells.extra["mirror"] > 0, own.clamp(min=0), own.clamp(max=0))
        self._settle(own + self.reference)
        self._show(torch.ones_like(self.state, dtype=torch.bool))

    def _settle(self, state: Tensor) -> None:
        self.state = torch.minimum(torch.maximum(state, self.cells.w_min), self.cells.w_max)

    # -- pulse -------------------------------------------------------------------------------------

    def update(self, plan: PulsePlan, update: UpdateParameters) -> None:
        """Apply the stochastic pulses of a mini-batch, each sample to the devices its policy names."""
        p_x, p_d, sign_x, sign_d = (t.unsqueeze(PAIR) for t in (plan.p_x, plan.p_d, plan.sign_x, plan.sign_d))
        bl, longest = plan.bl.unsqueeze(-2), plan.longest
        shared = PulsePlan.of_probabilities(p_x, p_d, sign_x, sign_d, bl, longest)
        if self.device.update_policy.startswith("single"):
            chosen = self._choose(plan.bl.shape[-1])
            each = torch.arange(self.device.n_devices, device=chosen.device).unsqueeze(-1)
            shared = shared.where_columns((chosen == each).unsqueeze(-1))
        self.state, pulses = self.engine.update(self.state, shared, self.bar, update, self.draws)
        self._account(pulses)

    def pulse(self, counts: Tensor, columns: Tensor | slice = slice(None)) -> None:
        """Give the cells of ``columns`` a known number of pulses, positive up: [..., d, columns]."""
        each = counts.unsqueeze(PAIR).expand_as(self.state[..., columns])
        if self.device.update_policy.startswith("single"):
            chosen = torch.zeros(self.device.n_devices, 1, 1, device=counts.device, dtype=counts.dtype)
            chosen[self._choose(1)] = 1
            each = each * chosen
        self.pulse_devices(each, columns)

    def pulse_devices(self, counts: Tensor, columns: Tensor | slice = slice(None)) -> None:
        cells = Cells.from_tensors({name: t[..., columns] for name, t in self.cells.tensors().items()})
        each = counts
        if self.one_sided:
            each = each * (each * cells.extra["mirror"] > 0)
        moved = pulse_in_turn(self.state[..., columns], each, Crossbar(self.bar.device, cells), self.draws)
        pulses = torch.zeros_like(self.state)
        pulses[..., columns] = each.abs()
        self.state = self.state.clone()
        self.state[..., columns] = moved
        self._account(pulses)

    def _choose(self, samples: int) -> Tensor:
        """The device that each of the next samples goes to [b]."""
        policy, n = self.device.update_policy, self.device.n_devices
        if policy == "single_random":
            uniform = self.draws.fork("turn").uniform(samples, like=self.weight)
            return (uniform * n).long().clamp(max=n - 1)
        order = torch.arange(samples, device=self.turn.device)
        if policy == "single_fixed":
            return torch.zeros_like(order)
        first, self.turn = self.turn, (self.turn + samples) % n
        return (first + order) % n

    def _show(self, touched: Tensor) -> None:
        if self.write_noise:
            noise = self.write_noise * self.draws.fork("write_noise").normal(
                *self.state.shape, like=self.state
            )
            self.shown = torch.where(touched > 0, self.state + noise, self.shown)
        self.weight = self._combined()

    # -- between mini-batches ----------------------------------------------------------------------

    def end_batch(self) -> None:
        super().end_batch()
        self.batches = self.batches + 1
        every = self.device.refresh_every
        if self.one_sided and every and int(self.batches) % every == 0:
            self.refresh()

    def refresh(self) -> None:
        """Reset the pairs that have run full and write their difference onto one device of each."""
        device, cells = self.device, self.cells
        size = self.state.abs() / device.w_max
        full = (size.amax(PAIR) > device.refresh_upper_thres) & (size.amin(PAIR) > device.refresh_lower_thres)
        if not full.any():
            return
        full = full.unsqueeze(PAIR).expand_as(self.state)
        difference = self.state.sum(PAIR, keepdim=True)
        target = torch.where(cells.extra["mirror"] > 0, difference.clamp(min=0), difference.clamp(max=0))
        state = torch.where(full, device.reset_state(cells, self.draws.fork("refresh")), self.state)
        state, pulses = self._write(state, target, full)
        self.state = state
        self._account(pulses + full)

    def _write(self, state: Tensor, target: Tensor, where: Tensor) -> tuple[Tensor, Tensor]:
        """Pulse with verification: once more while a device is over half a step below its target."""
        chosen = where.nonzero(as_tuple=True)  # a few of all
        v, goal = state[chosen], target.expand_as(state)[chosen]
        cells = Cells.from_tensors({k: t.expand_as(state)[chosen] for k, t in self.cells.tensors().items()})
        bar, sign, given = Crossbar(self.bar.device, cells), cells.extra["mirror"], torch.zeros_like(v)
        response = self.device.response(unmirrored(cells))
        for _ in range(REFRESH_PULSES):
            size = step(response, v * sign, up=True)
            wanted = sign * ((goal - v) * sign > size / 2)
            if not wanted.any():
                break
            v = pulse_in_turn(v, wanted, bar, self.draws.fork("refresh"))
            given = given + wanted.abs()
        state, pulses = state.clone(), torch.zeros_like(state)
        state[chosen], pulses[chosen] = v, given
        return state, pulses
