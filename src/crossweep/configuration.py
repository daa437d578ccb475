"""Every key of a run's configuration, outside the options that name a class of their own.

`Configuration` is the whole of what `crossweep-train` composes: a key that is no field of it, or of what its fields
describe, is read by nothing and refused.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from crossweep.algorithms.base import AbstractAlgorithm
from crossweep.data.base import AbstractData
from crossweep.devices.symmetry_point import SymmetryPoint
from crossweep.engine.base import EngineParameters
from crossweep.engine.io_parameters import IOParameters
from crossweep.errors import FieldError
from crossweep.models.base import AbstractModel
from crossweep.schema import Checked, Count, Items, NotNegative, Positive, Range, Seed, Share
from crossweep.testbeds.base import AbstractTestbed
from crossweep.tiles.mapping import TileMapping
from crossweep.training.estimate import Hardware
from crossweep.training.fit_settings import FitSettings, OptimizerSettings


@dataclass(frozen=True, kw_only=True)
class Noise(Checked):
    """How noisy; null keeps what device and periphery say.

    Args:
        weight_transfer: Gaussian error when pretrained weights are written, std [w_max], >= 0.
        write: visible minus persistent weight after a pulse, std [dw_min], >= 0.
        pulse: cycle-to-cycle spread of one pulse [its step], >= 0.
        output: noise of a read before the ADC [w x input], >= 0.
        input: noise after the DAC [inp_bound], >= 0.
        weight_read: weight noise of a read [w], >= 0.
    """

    weight_transfer: NotNegative
    write: NotNegative | None
    pulse: NotNegative | None
    output: NotNegative | None
    input: NotNegative | None
    weight_read: NotNegative | None


@dataclass(frozen=True, kw_only=True)
class Variability(Checked):
    """Device-to-device spreads; null keeps the device's own.

    Args:
        step: of the step size [dw_min], >= 0.
        w_max: of the upper bound [w_max], >= 0.
        w_min: of the lower bound [w_min], >= 0.
        asymmetry: of the up/down asymmetry [1], >= 0.
    """

    step: NotNegative | None
    w_max: NotNegative | None
    w_min: NotNegative | None
    asymmetry: NotNegative | None


@dataclass(frozen=True, kw_only=True)
class PlacedSymmetryPoint(SymmetryPoint):
    """A symmetry point, and the tiles that have it.

    Args:
        tiles: which tiles of a transfer rule: ``fast``, ``slow`` or ``both``; a single tile is all of them.
    """

    tiles: Literal["fast", "slow", "both"]


@dataclass(frozen=True, kw_only=True)
class Periphery(Checked):
    """The reads of a layer.

    Args:
        forward: ``y = W x``.
        backward: the transposed read.
    """

    forward: IOParameters
    backward: IOParameters


@dataclass(frozen=True, kw_only=True)
class Analog(TileMapping):
    """Which layers go onto crossbars, and how.

    Args:
        layers: a named part of the model, or ``none``.
        include: further layers, as shell patterns on module names.
        exclude: layers that stay digital, likewise.
        share: of the weights of these layers [1], the last layers first; the others stay digital.
    """

    layers: str
    include: tuple[str, ...]
    exclude: tuple[str, ...]
    share: Share


@dataclass(frozen=True, kw_only=True)
class Seeds(Checked):
    """Where every random number comes from.

    Args:
        device: which devices are drawn.
        training: head, batches, pulses, noise, choppers.
        pretraining: the network that all runs start from.
    """

    device: Seed
    training: Seed
    pretraining: Seed


@dataclass(frozen=True, kw_only=True)
class Evaluation(Checked):
    """What is measured at the end.

    Args:
        fresh_devices: new device populations that the trained weights are written to [1], 0..1000.
        times: after which the trained network is evaluated again, its devices unpulsed [s]; a mini-batch counts as 1 s.
        trainings: that the same devices must endure in their life, calibrated once [1], >= 1.
        target_loss: pulses are also counted up to the first epoch with this training loss [nat]; null: not.
    """

    fresh_devices: Annotated[int, Range(least=0, most=1000)]
    times: Annotated[Sequence[Positive], Items(distinct=True)]
    trainings: Count
    target_loss: NotNegative | None


@dataclass(frozen=True, kw_only=True)
class Training(Checked):
    """The loops and what they are compared with.

    Args:
        pretrain: the digital loop on the source task.
        finetune: the loop on the target task, on crossbars.
        auto_granularity: of rules with a buffer; ``algorithm.auto_granularity`` follows it.
        baseline: paired digital runs, by name.
        baseline_optimizers: their optimizers by name.
    """

    pretrain: FitSettings
    finetune: FitSettings
    auto_granularity: NotNegative
    baseline: tuple[str, ...]
    baseline_optimizers: Mapping[str, OptimizerSettings]

    def __post_init__(self) -> None:
        super().__post_init__()
        if unknown := [name for name in self.baseline if name not in self.baseline_optimizers]:
            known = tuple(self.baseline_optimizers)
            raise FieldError("baseline", f"must be a list of names among {known}, got {unknown}")


@dataclass(frozen=True, kw_only=True)
class Configuration(Checked):
    """All of it.

    Args:
        device: the device of every tile; ``fast`` and ``slow`` below it change one of them.
        resume: ``auto`` goes on where an interrupted run stopped, ``never`` starts afresh.
        hardware: constants for estimates of time and energy; no result depends on them.
        compute_device: ``cpu``, ``cuda``, ``cuda:1``, ...; ``auto``: the CPU or the GPU, whichever is faster.
        seeds: how many runs, with seeds that grow by one.
        keep_checkpoint: keep the trained model beside the record.
        quiet: no progress and no tables on the terminal; the run's log keeps them.
        show_layers: list at the end which layers are on crossbars, instead of counting them.
        plugins: packages whose classes a ``_target_`` may name, beside crossweep's.
        task: a small test-bed instead of a network.
        study: settings of a sweep; not the run's business.
        axis: axes of a sweep; not the run's business.
    """

    device: Mapping[str, Any]
    noise: Noise
    symmetry_point: PlacedSymmetryPoint
    variability: Variability
    io: Periphery
    engine: EngineParameters
    algorithm: AbstractAlgorithm
    model: AbstractModel
    data: AbstractData
    training: Training
    analog: Analog
    seed: Seeds
    seeds: Count
    evaluation: Evaluation
    hardware: Hardware
    resume: Literal["auto", "never"]
    compute_device: str
    keep_checkpoint: bool
    quiet: bool
    show_layers: bool
    plugins: tuple[str, ...]
    task: AbstractTestbed | None = None
    study: Mapping[str, Any] | None = None
    axis: Any = None
