"""In-memory SGD: pulses straight onto the weight."""

from dataclasses import dataclass
from itertools import pairwise

from torch import Tensor

from crossweep.algorithms.base import AbstractAlgorithm, AnalogWeight
from crossweep.common import Rate, fed, now
from crossweep.engine.base import granularity
from crossweep.engine.pulse_plan import UpdateParameters, micro_batches
from crossweep.tiles.factory import TileFactory


@dataclass(frozen=True, kw_only=True)
class AnalogSGD(AbstractAlgorithm):
    """Per sample one stochastic pulsed update ``-lr d x^T`` on the single tile that holds the weight.

    Expected drift at a critical point is ``-lr E|grad| G(w)``: the weight is pulled to the symmetry point.

    Args:
        update: pulse trains of the gradient.

    Source: Gokmen & Vlasov, Front. Neurosci. 10:333 (2016).
    """

    update: UpdateParameters

    def build(self, shape: tuple[int, ...], factory: TileFactory) -> "AnalogSGDWeight":
        return AnalogSGDWeight(shape, self, factory)


class AnalogSGDWeight(AnalogWeight):
    """One tile."""

    fed = True

    def __init__(self, shape: tuple[int, ...], rule: AnalogSGD, factory: TileFactory) -> None:
        super().__init__(shape, factory)
        self.rule = rule
        self.single = factory.tile("single", shape)

    @property
    def weight(self) -> Tensor:
        return self.single.weight

    def set_weight(self, weight: Tensor) -> None:
        self.single.set_weight(weight)

    def train_on(self, x: Tensor, d: Tensor, lr: Rate) -> None:
        tile, engine = self.single, self.engine
        rate = fed(lambda: now(lr), x)
        plan = engine.plan(x, d, rate, granularity(tile.device), self.rule.update, tile.draws)
        self.slots.add_(plan.bl.sum(-1))
        for start, stop in pairwise((0, *micro_batches(x.shape[-2], engine.micro_batch))):
            tile.update(plan.samples(start, stop, alone=True), self.rule.update)
