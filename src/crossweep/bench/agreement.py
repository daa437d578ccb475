"""Do two engines do the same? A weight is built twice, with the same devices, streams and inputs, and compared.

Pulses of the gradient are whole numbers that follow from inputs and streams alone: they must be equal. States, buffers
and outputs of reads follow in float32, where another order of operations is another rounding: they must be equal within
``TOLERANCE``. Where such a number is cut into bins (converters, the threshold of a buffer), one that lies on an edge may
fall on either side; that happens to a few, and ``APART`` bounds their share.
"""

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import torch
from torch import Tensor

from crossweep.algorithms.agad import AGAD
from crossweep.algorithms.analog_sgd import AnalogSGD
from crossweep.algorithms.base import AbstractAlgorithm, AnalogWeight
from crossweep.algorithms.chain_weight import ChainWeight
from crossweep.algorithms.cttv2 import CTTv2
from crossweep.algorithms.erider import ERIDER
from crossweep.algorithms.mixed_precision import MixedPrecision
from crossweep.algorithms.mrl import MRL
from crossweep.algorithms.rlv2 import RLv2
from crossweep.algorithms.tt_adam import TTAdam
from crossweep.algorithms.ttv1 import TTv1
from crossweep.algorithms.ttv2 import TTv2
from crossweep.bench.basic import basic
from crossweep.common import Moving, Number, common
from crossweep.devices.base import AbstractDevice
from crossweep.devices.exp_step import ExpStep
from crossweep.devices.pow_step import PowStep
from crossweep.devices.soft_bounds import SoftBounds
from crossweep.devices.symmetry_point import SymmetryPoint
from crossweep.devices.table import TableStep
from crossweep.engine.base import Backend, EngineParameters, Level
from crossweep.engine.io_parameters import PERFECT, IOParameters
from crossweep.engine.pulse_plan import UpdateParameters
from crossweep.nn.instances import gather
from crossweep.rng import Stream
from crossweep.tiles.factory import TileFactory
from crossweep.training.graph import Graph, Steps

T = TypeVar("T")
TOLERANCE = 2e-5  # of the range of the numbers [1]: some hundred roundings of float32
# share of numbers on the edge of a bin [1]. A rounding of 10^-6 of the range meets one of 510 edges in a thousandth of
# all reads, and a device is read several times. One line of a crossbar of up to 150 is more: a wrong line is no accident
APART = 0.006
LR = 0.3
_APART = 0.4  # by how much numbers of the second of several points are smaller [1]

DEVICES: dict[str, AbstractDevice] = {
    "affine": basic(SoftBounds, dw_min=0.02, w_max=1.0, w_min=-1.0, up_down_dtod=0.1, write_noise_std=0.5),
    "exponential": basic(ExpStep, dw_min=0.02, w_max=1.0, w_min=-1.0),
    "power": basic(PowStep, dw_min=0.02, w_max=1.0, w_min=-1.0),
    "table": basic(TableStep,
        dw_min=0.02, w_max=1.0, w_min=-1.0, up=[[1.5, 1.0, 0.3], [1.2, 1.1, 0.2]],
        down=[[0.3, 1.0, 1.6], [0.2, 0.9, 1.4]],
    ),
    "relaxing": basic(SoftBounds,
        dw_min=0.02, w_max=1.0, w_min=-1.0, lifetime=50.0, reset_dtod=0.02, diffusion=0.002, drift_nu=0.1,
        drift_nu_std=0.2,
    ),
}  # fmt: skip
SHORT, LONG = basic(UpdateParameters, desired_bl=5), basic(UpdateParameters, desired_bl=31)
CHOPPED: dict[str, Any] = {"in_chop_prob": 0.34, "out_chop_prob": 0.3, "auto_granularity": 20.0}
# transfers often enough to see them within a few mini-batches
RULES: dict[str, AbstractAlgorithm] = {
    "analog_sgd": basic(AnalogSGD, update=LONG),
    "cttv2": basic(CTTv2, **CHOPPED, update=SHORT),
    "cttv2, BL 31": basic(CTTv2, **CHOPPED, update=LONG, forget_buffer=False),
    "analog_sgd, BL 70": basic(
        AnalogSGD, update=basic(UpdateParameters, desired_bl=70, update_bl_management=False)
    ),
    "cttv2, BL 70": basic(
        CTTv2, **CHOPPED, update=basic(UpdateParameters, desired_bl=70, update_bl_management=False)
    ),
    "cttv2, columns": basic(
        CTTv2, in_chop_prob=0.34, auto_granularity=20.0, update=SHORT, transfer_every=3.0
    ),
    "agad, columns": basic(
        AGAD, in_chop_prob=0.34, correct_accumulation=True, correct_gradient_magnitudes=True, update=SHORT
    ),
    "cttv2, rows": basic(CTTv2, **CHOPPED, transfer_columns=False, gamma=0.1),
    "agad": basic(AGAD, **CHOPPED, correct_accumulation=True),
    "ttv2": basic(TTv2, auto_granularity=20.0, momentum=0.1, n_reads_per_transfer=2, transfer_every=2.0),
    "tt_adam": basic(TTAdam, in_chop_prob=0.34, transfer_lr=1.0),
    "tt_adam, factored": basic(TTAdam, in_chop_prob=0.34, transfer_lr=1.0, normalise="factored"),
    "erider": basic(ERIDER, **CHOPPED, gamma=0.1),
    "ttv1": basic(TTv1, transfer_lr=0.1, transfer_update=SHORT),
    "residual_learning": basic(
        TTv1, transfer_lr=0.1, transfer_update=SHORT, gamma=0.1, n_reads_per_transfer=2
    ),
    "rlv2": basic(RLv2, transfer_lr=0.3, transfer_update=SHORT, gamma=0.1, thres_scale=0.1),
    "mrl": basic(MRL, transfer_lr=0.1, transfer_update=SHORT, gamma=0.3, transfer_growth=3.0),
    "mixed_precision": basic(MixedPrecision),
}
READS: dict[str, IOParameters] = {
    "perfect": PERFECT,
    "preset": basic(IOParameters),
    "narrow": basic(IOParameters, inp_noise=0.05, out_noise=0.06, out_bound=0.5),
    "weight noise": basic(
        IOParameters, w_noise=0.02, out_noise=0.0, noise_management="constant", nm_thres=1.5
    ),
    "pcm noise": basic(IOParameters, w_noise=0.02, w_noise_type="pcm_read", bound_management="none"),
    "ir drop": basic(IOParameters, ir_drop=1.0, noise_management="none", bound_management="none"),
}


@dataclass(frozen=True, kw_only=True)
class Scene:
    """What two engines are compared on.

    Args:
        rule: of ``RULES``.
        device: of ``DEVICES``.
        level: of the engines.
        reads: periphery, of ``READS``.
        shape: rows and columns.
        samples: of each mini-batch.
        batches: mini-batches.
        instances: side by side; 0: one alone, without a leading axis.
        points: instances differ in numbers, of device, periphery, rule and learning rate.
        micro_batch: as in ``EngineParameters``.
        max_relaxation: as in ``EngineParameters``; small values cut windows into parts.
    """

    rule: str = "cttv2"
    device: str = "affine"
    level: Level = "count"
    reads: str = "preset"
    shape: tuple[int, int] = (20, 37)
    samples: int = 7
    batches: int = 3
    instances: int = 0
    points: bool = False
    micro_batch: int = 4096
    max_relaxation: float = 1.0

    @property
    def title(self) -> str:
        """All of it in a line."""
        d, x = self.shape
        side = f", {self.instances} {'points' if self.points else 'instances'}" if self.instances else ""
        part = f" in parts of {self.micro_batch}" if self.micro_batch < self.samples else ""
        part += f", relaxing by {self.max_relaxation}" if self.max_relaxation != 1 else ""
        return f"{self.rule}, {self.device}, {self.level}, {self.reads}, {d}x{x}, {self.samples} samples{part}{side}"

    def weight(self, backend: Backend, place: torch.device) -> AnalogWeight:
        """The weight, on one engine."""
        own = self.alone(backend, place)
        return together(own) if self.instances else own[0]

    def alone(self, backend: Backend, place: torch.device) -> list[AnalogWeight]:
        """The weight of each instance."""
        return [self._alone(backend, place, seed) for seed in range(max(1, self.instances))]

    def _alone(self, backend: Backend, place: torch.device, seed: int) -> AnalogWeight:
        i = seed * self.points
        device = _apart(DEVICES[self.device], i, "dw_min", "dw_min_std", "write_noise_std", "up_down_dtod")
        io = _apart(
            READS[self.reads], i, "inp_noise", "out_noise", "w_noise", "ir_drop", "inp_res", "out_bound"
        )
        rule = _apart(
            RULES[self.rule], i, "fast_lr", "transfer_lr", "gamma", "in_chop_prob", "auto_granularity"
        )
        engine = basic(
            EngineParameters,
            level=self.level,
            backend=backend,
            micro_batch=self.micro_batch,
            max_relaxation=self.max_relaxation,
        )
        factory = TileFactory(
            fast=device, slow=device, symmetry_point=basic(SymmetryPoint, skew=0.1, variability=0.05), engine=engine,
            forward=io, backward=io, population=Stream(seed, "population"), draws=Stream(seed, "draws"),
            torch_device=place,
        )  # fmt: skip
        weight = rule.build(self.shape, factory)
        weight.set_weight(0.2 * _normal(f"start {seed}", *self.shape).to(place))
        return weight

    def rate(self, lr: float) -> Number:
        """The learning rate, or that of each point."""
        each = [lr / (1 + _APART * i) for i in range(self.instances)]
        return common(each, "analog_lr") if self.points else lr  # type: ignore[no-any-return]

    def values(self, name: str, lines: int) -> Tensor:
        """Standard normal inputs or errors of a mini-batch, the last sample of which is silent."""
        lead = (self.instances,) if self.instances else ()
        drawn = _normal(name, *lead, self.samples, lines)
        drawn[..., -1, : lines // 2] = 0.0
        return drawn


@dataclass
class Agreement:
    """What a comparison found.

    Args:
        scene: what was compared.
        worst: largest difference of numbers that count as equal [their range].
        apart: largest share of numbers that differ by more [1].
        faults: what must not be; empty: the engines agree.
    """

    scene: Scene
    worst: float = 0.0
    apart: float = 0.0
    faults: list[str] = field(default_factory=list)

    def whole(self, what: str, one: Any, other: Any) -> None:
        """Whole numbers must be equal."""
        first, second = (torch.as_tensor(value).double().cpu() for value in (one, other))
        if first.shape != second.shape or not torch.equal(first, second):
            different = float((first != second).double().mean()) if first.shape == second.shape else 1.0
            self.faults.append(f"{what}: {different:.2%} differ")

    def close(self, what: str, one: Tensor, other: Tensor) -> None:
        """Numbers must be equal within rounding, but for a few."""
        first, second = one.detach().double().cpu(), other.detach().double().cpu()
        if first.shape != second.shape:
            self.faults.append(f"{what}: {tuple(first.shape)} and {tuple(second.shape)}")
            return
        known = ~(first.isnan() & second.isnan())  # what a device has not got yet
        first, second = first[known], second[known]
        if not first.numel():
            return
        off = (first - second).abs() / first.abs().max().clamp(min=1e-6)
        far = ~(off <= TOLERANCE)
        share = float(far.double().mean())
        self.worst = max(self.worst, float(off.masked_fill(far, 0.0).max()))
        self.apart = max(self.apart, share)
        # of a few numbers one may lie on an edge
        if int(far.sum()) > max(1, APART * off.numel()):
            self.faults.append(f"{what}: {share:.2%} differ by up to {float(off.max()):.1g} of the range")


Trace = dict[str, Any]
"""What a weight gave and what is left of it, by name: tensors on the CPU, and whole numbers."""


def agreement(scene: Scene, backend: Backend, place: torch.device, *, truth: Backend = "cpu") -> Agreement:
    """Read, read backwards and train on one engine and on the other, and compare all that is left behind.

    Args:
        scene: what is done.
        backend: the engine that is examined.
        place: where it works.
        truth: the engine that it is compared with, on the CPU.
    """
    return compared(scene, traced(scene, truth, torch.device("cpu")), traced(scene, backend, place))


def traced(
    scene: Scene, backend: Backend, place: torch.device, graph: Callable[[], Graph] | None = None
) -> Trace:
    """What an engine does in a scene; ``refuses`` alone, where it does not do it by itself.

    ``graph``: with what its steps are captured from the second on; None: they are not.
    """
    weight, (d, x) = scene.weight(backend, place), scene.shape
    refused = weight.refuses() if isinstance(weight, ChainWeight) else None
    if refused and backend != "reference":
        return {"refuses": refused}
    found: Trace = {}
    lr = LR

    def step(inputs: Tensor, errors: Tensor) -> tuple[Tensor, ...]:
        reads = weight.read(inputs), weight.read_transposed(errors)
        weight.update(inputs, errors, Moving(lambda: scene.rate(lr)))
        return reads

    steps = step if graph is None else Steps(step, weight, make=graph)
    for t in range(scene.batches):
        inputs, errors = (
            values.to(place) for values in (scene.values(f"x {t}", x), scene.values(f"d {t}", d))
        )
        reads = (one.clone() for one in steps(inputs, errors))  # a graph writes the next ones there
        found[f"forward read {t}"], found[f"backward read {t}"] = reads
        lr *= 0.8
    if isinstance(steps, Steps) and not steps.captured:
        return {"refuses": "its steps are not captured"}
    gradient = next(iter(weight.tiles()))
    # those of a transfer follow from reads, so do all of mixed precision
    exact = scene.level != "mean" and scene.rule != "mixed_precision"
    found |= {"pulses of the gradient": weight.tiles()[gradient].pulses_given.double()} if exact else {}
    found |= {name: tensor.clone() for name, tensor in weight.named_buffers()}
    found = {name: tensor.detach().cpu() for name, tensor in found.items()}
    counts = weight.tally.as_dict()
    return found | {name: counts[name] for name in set(counts) - {"transfers", "transfer_slots"}}


def compared(scene: Scene, first: Trace, second: Trace) -> Agreement:
    """Two traces of a scene."""
    found = Agreement(scene)
    for trace in (first, second):
        if "refuses" in trace:
            found.faults.append(f"the engine refuses: {trace['refuses']}")
            return found
    for name, value in first.items():
        numbers = isinstance(value, Tensor) and value.is_floating_point()
        if numbers and name != "pulses of the gradient":
            found.close(name, value, second[name])
        else:
            found.whole(name, value, second[name])
    return found


def in_graphs(shape: tuple[int, int], samples: int) -> Iterator[Scene]:
    """What is compared with and without graphs."""

    def scene(rule: str = "cttv2, columns", **keys: Any) -> Scene:
        given: dict[str, Any] = {"shape": shape, "samples": samples, "batches": 4, "reads": "perfect"}
        return Scene(rule=rule, **(given | keys))

    yield from (scene(rule) for rule in ("analog_sgd", "cttv2, columns"))
    yield from (
        scene(rule) for rule in ("agad, columns", "tt_adam", "tt_adam, factored", "ttv1", "mixed_precision")
    )
    yield from (scene(reads="narrow"), scene(device="relaxing"), scene(instances=3))
    yield from (
        scene(rule=rule, instances=2, points=True, reads="narrow") for rule in ("agad, columns", "ttv1")
    )
    yield from (scene(level=level) for level in ("mean", "pulse"))


def together(own: Sequence[AnalogWeight]) -> AnalogWeight:
    """Instances of one weight as one."""
    whole = copy.deepcopy(own[0])
    for name, module in whole.named_modules():
        gather(module, [weight.get_submodule(name) for weight in own])
    return whole


def _apart(one: T, i: int, *names: str) -> T:
    """A description with some of its numbers, those that it has, smaller by what point ``i`` has less of them."""
    own = {name: getattr(one, name, None) for name in names}
    smaller = {name: value / (1 + _APART * i) for name, value in own.items() if isinstance(value, float)}
    return replace(one, **smaller)  # type: ignore[type-var]


def _normal(name: str, *shape: int) -> Tensor:
    return Stream(0, "agreement").fork(name).normal(*shape, like=torch.empty(0))


def scenes(shape: tuple[int, int] = (20, 37), samples: int = 7) -> Iterator[Scene]:
    """All that engines are compared on: every rule, response, level and periphery, and what is awkward about sizes.

    Args:
        shape: rows and columns; at most 150 each, so that a wrong line shows.
        samples: of a mini-batch.
    """

    def scene(**keys: Any) -> Scene:
        given: dict[str, Any] = {"shape": shape, "samples": samples}
        return Scene(**(given | keys))

    yield from (scene(rule=rule) for rule in RULES)
    yield from (scene(rule="analog_sgd", device=device) for device in DEVICES)
    yield from (scene(device=device) for device in ("exponential", "power", "table", "relaxing"))
    for level in ("mean", "pulse"):
        yield from (
            scene(rule=rule, level=level) for rule in ("analog_sgd", "cttv2", "agad", "residual_learning")
        )
    yield from (
        scene(rule=rule, level="mean", device=device)
        for rule in ("analog_sgd", "cttv2")
        for device in ("exponential", "power", "table")
    )
    yield from (scene(rule="analog_sgd", reads=reads) for reads in READS)
    yield from (scene(reads=reads, batches=2) for reads in ("perfect", "narrow", "weight noise", "pcm noise"))
    yield from (scene(instances=3, rule=rule) for rule in ("analog_sgd", "cttv2", "agad", "rlv2"))
    yield from (scene(instances=3, level=level) for level in ("mean", "pulse"))
    points: dict[str, Any] = {"instances": 3, "points": True, "reads": "narrow"}
    rules = ("cttv2", "erider", "tt_adam", "residual_learning", "mixed_precision")
    yield from (scene(rule=rule, **points) for rule in rules)
    yield from (scene(rule="analog_sgd", device=device, **points) for device in DEVICES)
    yield from (scene(rule="agad", level=level, **points) for level in ("mean", "pulse"))
    yield from (scene(device="table", **points | {"reads": reads}) for reads in ("pcm noise", "ir drop"))
    yield scene(rule="analog_sgd", max_relaxation=0.02, **points)
    yield from (scene(shape=odd) for odd in ((1, 5), (5, 1), (33, 65)))
    yield scene(samples=1)
    yield scene(samples=5 * samples, micro_batch=2 * samples)
    yield from (scene(rule=rule, max_relaxation=0.02) for rule in ("analog_sgd", "cttv2"))
    yield scene(level="mean", max_relaxation=0.02)
    yield from (
        scene(rule=rule, level=level)
        for rule in ("analog_sgd, BL 70", "cttv2, BL 70")
        for level in ("count", "pulse")
    )
