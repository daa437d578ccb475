"""Which experiments train at once, and how many of them there is room for."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from crossweep.algorithms.base import AnalogWeight
from crossweep.common import ApartError, Number, common, same
from crossweep.data.base import batches
from crossweep.nn.instances import joined
from crossweep.rng import Stream
from crossweep.tiles.factory import TileFactory
from crossweep.training.allocation import available, bytes_per_weight
from crossweep.training.evaluate import EVALUATED_AT_ONCE
from crossweep.training.experiment import Experiment
from crossweep.training.outline import Outline, fresh

# what `run_together` takes from one of them for all
_SHARED = ("data", "model", "baselines", "cache", "torch_device")
_SHARED_FITTING = ("epochs", "batch_size", "schedule", "digital_parameters", "augment")
# of the weight that is tried: every column is read within these mini-batches
_SHAPE, _SAMPLES, _BATCHES = (2, 3), 8, 3
_STATES = {"sgd": 1, "adamw": 2}  # tensors that an optimizer keeps for each parameter
_FLOAT = 4  # bytes


def groups(experiments: Sequence[object]) -> list[list[int]]:
    """Places of those that train at once, in order."""
    found: list[list[int]] = []
    for place, one in enumerate(experiments):
        for group in found:
            if why_apart(experiments[group[0]], one) is None:
                group.append(place)
                break
        else:
            found.append([place])
    return found


def why_apart(first: object, other: object) -> str | None:
    """Why two experiments cannot train side by side; None: nothing speaks against it.

    Whether rules and devices go in step is tried on a small weight: what acts only where devices are drawn may differ, and
    so may numbers of which whoever goes by them takes each one's own; nobody has to list them.
    """
    if not (isinstance(first, Experiment) and isinstance(other, Experiment)):
        return "test-beds train alone"
    differing = [name for name in _SHARED if not same(getattr(first, name), getattr(other, name))]
    loops = first.finetune, other.finetune
    differing += [
        f"training.finetune.{name}"
        for name in _SHARED_FITTING
        if not same(*(getattr(one, name) for one in loops))
    ]
    if differing:
        return f"they differ in {', '.join(differing)}"
    return _crossbars_apart(first, other)


def _crossbars_apart(first: Experiment, other: Experiment) -> str | None:
    if not same(
        replace(first.conversion, weight_transfer=0.0), replace(other.conversion, weight_transfer=0.0)
    ):
        return "they differ in what is on crossbars"
    if first.rule.is_digital or other.rule.is_digital:
        return None if same(first.rule, other.rule) else "they differ in the rule"
    if not same(first.factory.engine, other.factory.engine):
        return "they differ in the engine"
    try:
        _try(first, other)
    except ApartError as reason:
        return str(reason)
    return None


def _acts_alike(first: TileFactory, other: TileFactory) -> bool:
    """Whether two factories differ at most in streams and in where the symmetry points lie."""
    names = ("fast", "slow", "engine", "forward", "backward")
    return all(same(getattr(first, name), getattr(other, name)) for name in names)


def _small(one: Experiment) -> AnalogWeight:
    """A small weight under the rule of an experiment, on its devices; nothing of the experiment is drawn, and no kernel is
    compiled."""
    engine = replace(one.factory.engine, backend="reference")
    apart = replace(one.factory, engine=engine, torch_device="cpu", instances=1)
    return one.rule.build(_SHAPE, replace(apart, population=Stream(0), draws=Stream(0)))


def _try(first: Experiment, other: Experiment) -> None:
    """All that training does with a weight, where not all is alike.

    Raises:
        ApartError: something that the instances differ in has acted.
    """
    rates = first.finetune.analog_lr, other.finetune.analog_lr
    rate: Number = common(rates, "training.finetune.analog_lr")
    if rates[0] == rates[1]:
        if same(first.rule, other.rule) and _acts_alike(first.factory, other.factory):
            return
        rate = 0.1
    weight = joined([_small(first), _small(other)])
    like, stream, many = torch.empty(0), Stream(0), weight.reads.many

    def drawn(name: str, lines: int) -> Tensor:
        return stream.fork(name).normal(many, _SAMPLES, lines, like=like)

    for _ in range(_BATCHES):
        x, d = drawn("x", _SHAPE[1]), drawn("d", _SHAPE[0])
        weight.read(x)
        weight.read_transposed(d)
        weight.update(x, d, rate)


# -- memory --------------------------------------------------------------------------------------------------------


@dataclass
class Room:
    """How many trainings this process has room for.

    Args:
        limit: so many, as far as is known; it falls where memory runs out.
        useful: so many at most; training side by side gains little beyond.
        share: of the free memory that may be used.
    """

    limit: int = 1 << 30
    useful: int = 32
    share: float = 0.5

    def fits(self, one: object, workers: int = 1) -> int:
        """How many like this one are sure to fit, where as many workers share the machine."""
        free = available(one.torch_device) if isinstance(one, Experiment) else None
        if not isinstance(one, Experiment) or free is None:
            return self.limit
        return max(1, min(self.limit, int(self.share * free / workers / needed(one))))


ROOM = Room()


def needed(one: Experiment) -> int:
    """Memory that one training takes beside others at its peak [byte].

    Devices and states, once in its network and once in that of all; digital parameters likewise, with gradients and the
    optimizer's numbers; and twice what autograd keeps of a mini-batch, since an analog layer keeps its input and its error.
    An evaluation keeps nothing, but has more images at once: it is taken for as much as training would keep of them.
    """
    task, batch_size = one.data.target(), one.finetune.batch_size
    network = fresh(one.model, Outline.of(task), Stream(0).generator())
    names = one.conversion.names(network, one.rule)
    analog = sum(network.get_parameter(f"{name}.weight").numel() for name in names)
    digital = sum(parameter.numel() for parameter in network.parameters())
    states = max(_STATES[settings.name] for settings in (one.finetune.optimizer, *one.baselines.values()))
    crossbars = 2 * analog * bytes_per_weight(one.rule, one.factory) if analog else 0.0
    images, _ = next(batches(task.train, batch_size))
    passes = (2 + EVALUATED_AT_ONCE / batch_size) * kept(network.train(), images)
    return int(crossbars + _FLOAT * digital * (3 + states) + passes)


def kept(network: nn.Module, images: Tensor) -> int:
    """What autograd keeps of a mini-batch [byte]."""
    parameters = {tensor.untyped_storage().data_ptr() for tensor in network.parameters()}
    found: dict[int, torch.UntypedStorage] = {}  # by address, which nobody else gets while it is held here

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        found[storage.data_ptr()] = storage
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor), torch.random.fork_rng([]):
        network(images)
    return sum(storage.nbytes() for address, storage in found.items() if address not in parameters)
