"""One layer's weight over a grid of tiles, each with its digital scale."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from math import prod

import torch
from torch import Tensor, nn

from crossweep import feed
from crossweep.algorithms.base import AbstractAlgorithm, AnalogWeight
from crossweep.common import Rate
from crossweep.errors import ShapeError
from crossweep.tiles.factory import TileFactory
from crossweep.tiles.mapping import TileMapping


@dataclass(frozen=True, kw_only=True)
class Writing:
    """How weights are written.

    Args:
        bound: largest weight that the mean device can hold [w].
        noise: standard deviation of the error of each written device [w].
    """

    bound: float
    noise: float


class TiledWeight(nn.Module):
    """A ``d_size`` by ``x_size`` weight split over tiles; partial sums over inputs are added digitally.

    The logical weight is ``scale * tile weight``. The scale multiplies the forward output and the error of the
    backward read; the update divides the error by it, so the logical weight follows ``-lr d x^T`` whatever the scale.

    Leading dimensions ``...`` are groups (of a convolution): matrices that share nothing, each on tiles of its own.

    Args:
        weight: initial logical weight [..., d, x].
        rule: the training rule.
        mapping: splitting and scaling.
        factory: makes the tiles.
        transfer_noise: standard deviation of the error of each written device [w_max of the slow device], >= 0.
    """

    def __init__(
        self,
        weight: Tensor,
        rule: AbstractAlgorithm,
        mapping: TileMapping,
        factory: TileFactory,
        *,
        transfer_noise: float = 0.0,
    ) -> None:
        super().__init__()
        *groups, self.d_size, self.x_size = weight.shape
        self.groups = tuple(groups)
        self.mapping = mapping
        self.writing = Writing(bound=factory.slow.reach, noise=transfer_noise * factory.slow.w_max)
        self.transfers = factory.draws.fork("weight_transfer")
        self.row_edges = [0, *accumulate(mapping.pieces(self.d_size))]
        self.column_edges = [0, *accumulate(mapping.pieces(self.x_size))]
        self.blocks = nn.ModuleList()
        for i, (top, bottom) in enumerate(zip(self.row_edges, self.row_edges[1:])):
            for j, (left, right) in enumerate(zip(self.column_edges, self.column_edges[1:])):
                shape = (*self.groups, bottom - top, right - left)
                block = rule.build(shape, factory.within(f"tile_{i}_{j}"))
                block.register_buffer("scale", torch.ones(*shape[:-1], 1, device=weight.device))
                self.blocks.append(block)
        self.pending: list[tuple[int, Tensor, Tensor]] = []
        self._turns = 0
        self.set_weight(weight)

    def parts(self) -> list[AnalogWeight]:
        """The weights of the single tiles or tile pairs, row by row."""
        return list(self.blocks)  # type: ignore[arg-type]

    def _grid(self) -> list[tuple[AnalogWeight, slice, slice]]:
        rows = [slice(*edge) for edge in zip(self.row_edges, self.row_edges[1:])]
        columns = [slice(*edge) for edge in zip(self.column_edges, self.column_edges[1:])]
        cells = [(row, column) for row in rows for column in columns]
        return [(block, *cell) for block, cell in zip(self.parts(), cells, strict=True)]

    # -- weights -----------------------------------------------------------------------------------------------

    def set_weight(self, weight: Tensor) -> None:
        """Write the logical weight [..., d, x] onto the tiles, with weight-transfer noise.

        The error of each device is Gaussian and independent of its value; it is added in tile units, after scaling,
        before the devices clip.
        """
        for block, rows, columns in self._grid():
            part = weight[..., rows, columns]
            scale = self.mapping.scale(part, self.writing.bound)
            written = part / scale
            if self.writing.noise > 0:
                stream = self.transfers.fork(f"{rows.start}_{columns.start}")
                noise = stream.normal(*written.shape, like=written, portable=True)
                written = written + self.writing.noise * noise
            block.scale = scale
            block.set_weight(written)

    def logical_weight(self) -> Tensor:
        """The weight that the layer's output stands for [..., d, x], noise-free."""
        whole = torch.empty(*self.groups, self.d_size, self.x_size, device=self.parts()[0].scale.device)
        for block, rows, columns in self._grid():
            whole[..., rows, columns] = block.weight * block.scale
        return whole

    def require(self, x: Tensor) -> None:
        """Check that an input has as many axes as this weight reads: those of instances, groups, vectors and lines.

        Raises:
            ShapeError: it has not.
        """
        axes = len(self.transfers.lead) + len(self.groups) + 2
        if x.dim() != axes:
            raise ShapeError(
                f"x: must have {axes} axes, got {tuple(x.shape)}; does it depend on the instance?"
            )

    # -- read --------------------------------------------------------------------------------------------------

    def read(self, x: Tensor) -> Tensor:
        """Forward read [..., b, x] -> [..., b, d]."""
        if len(self.blocks) == 1:
            (block,) = self.parts()
            return block.read(x) * block.scale.mT
        y = x.new_zeros(*x.shape[:-1], self.d_size)
        for block, rows, columns in self._grid():
            y[..., rows] += block.read(x[..., columns]) * block.scale.mT
        return y

    def read_transposed(self, d: Tensor) -> Tensor:
        """Backward read [..., b, d] -> [..., b, x]."""
        if len(self.blocks) == 1:
            (block,) = self.parts()
            return block.read_transposed(d * block.scale.mT)
        x = d.new_zeros(*d.shape[:-1], self.x_size)
        for block, rows, columns in self._grid():
            x[..., columns] += block.read_transposed(d[..., rows] * block.scale.mT)
        return x

    # -- train -------------------------------------------------------------------------------------------------

    def next_turn(self) -> int:
        """Number of a forward pass."""
        self._turns += 1
        return self._turns

    def remember(self, x: Tensor, d: Tensor, turn: int) -> None:
        """Keep the backward pass of forward pass ``turn`` for the next ``update``."""
        self.pending.append((turn, x.detach(), d.detach()))

    def forget(self) -> None:
        """Drop what was kept."""
        self.pending.clear()

    def end_epoch(self, loss: float) -> None:
        """Tell every tile the mean training loss of an epoch."""
        for block in self.parts():
            block.end_epoch(loss)

    def update(self, lr: Rate) -> None:
        """Train every tile on all backward passes since the last update, in the order of their forward passes.

        A weight that is used over many time steps sees its samples in time order, although errors travel backwards.
        """
        if not self.pending:
            return
        _, xs, ds = zip(*sorted(self.pending, key=lambda part: part[0]))
        x, d = (part[0] if len(part) == 1 else torch.cat(part, -2) for part in (xs, ds))
        self.forget()
        for block, rows, columns in self._grid():
            block.update(x[..., columns], d[..., rows] / block.scale.mT, lr)

    @property
    def work(self) -> int:
        """Weights times samples of the next ``update``."""
        return self.d_size * self.x_size * sum(prod(x.shape[:-1]) for _, x, _ in self.pending)


def update_all(weights: Sequence[TiledWeight], lr: Rate) -> None:
    """Train several weights on what each has pending, on the CPU side by side.

    Every weight draws from streams of its own: the result does not depend on the number of threads.
    """
    from crossweep.engine.cpu.kernels.threads import side_by_side

    by_work = sorted((weight for weight in weights if weight.pending), key=lambda weight: -weight.work)
    total = sum(weight.work for weight in by_work)
    # a weight that is most of the model uses the threads better alone
    alike = bool(by_work) and not feed.active() and by_work[0].work * torch.get_num_threads() <= total
    if alike and all(x.device.type == "cpu" for weight in by_work for _, x, _ in weight.pending):
        side_by_side([partial(weight.update, lr) for weight in by_work])
        return
    for weight in weights:
        weight.update(lr)
