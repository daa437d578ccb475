"""From an engine's tensors to the compiled kernels and back, one leading instance after the other."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import pairwise, product
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from crossweep.devices.response import Affine, Exponential, Power, Table
from crossweep.engine.base import Crossbar
from crossweep.engine.cpu.blocks import TALL, column_blocks, covering
from crossweep.engine.cpu.kernels.scalars import AFFINE, EXPONENTIAL, POWER, TABLE, Scalars
from crossweep.engine.cpu.words import (
    Expected,
    PulseWords,
    at,
    column_slots,
    draw_words,
    expected_words,
    pulse_words,
    turned,
)
from crossweep.engine.pulse_plan import PulsePlan
from crossweep.engine.reference.respond import respond
from crossweep.rng import Stream

Floats = NDArray[np.float32]
Work = Callable[..., Any]
_NO_LINE, _NO_FLOATS, _NO_WORDS, _NO_SLOTS = (
    np.zeros(0, np.float32), np.zeros((0, 0), np.float32), np.zeros((0, 0), np.uint64), np.zeros((0, 0, 0), np.uint64)
)  # fmt: skip
_OPERATIONS = 100.0  # elementary operations of one response, in units of those of one pulse word


@dataclass(frozen=True)
class Part:
    """One leading instance of a plan, as the kernels take it."""

    words: PulseWords
    first: int
    last: int
    plan: PulsePlan
    place: tuple[int, ...]

    @classmethod
    def of(cls, plan: PulsePlan, stream: Stream, place: tuple[int, ...], *, expected: bool = False) -> "Part":
        """The part at leading index ``place``; draws the pulses if nobody has, or takes what is expected."""
        words = expected_words(plan, place) if expected else pulse_words(plan, stream, place)
        return cls(words, plan.first, plan.first + plan.bl.shape[-1], plan, place)

    @property
    def trains(self) -> tuple[Any, ...]:
        """Pulses and signs of the rows, then of the columns."""
        x, d = self.words.x, self.words.d
        return d.pulses, d.signs, x.pulses, x.signs

    @property
    def lines(self) -> tuple[Any, ...]:
        """What counts are made of: the trains, or expected pulses of rows and columns; slots of the rows of a tall
        crossbar."""
        if isinstance(self.words, Expected):
            return (_NO_WORDS,) * 4 + (self.words.d.pulses, self.words.x.pulses, _NO_SLOTS)
        tall = self.plan.d.shape[-1] >= TALL
        return (*self.uncounted[:-1], self.words.d.slots) if tall else self.uncounted

    @property
    def uncounted(self) -> tuple[Any, ...]:
        """The same where pulses are not counted."""
        return (*self.trains, _NO_FLOATS, _NO_FLOATS, _NO_SLOTS)

    @property
    def squares(self) -> tuple[Any, Any]:
        """Of expected pulses."""
        return self.words.squares if isinstance(self.words, Expected) else (_NO_LINE, _NO_LINE)

    @property
    def seen(self) -> tuple[Any, ...]:
        """Slots from and to which each column sees, columns turned, rows turned."""
        plan, words = self.plan, self.words
        turns = (
            turned(plan.turn_x, plan.x.shape[-1], self.place),
            turned(plan.turn_d, plan.d.shape[-1], self.place),
        )
        return (*column_slots(plan, words), *turns)

    def work(self, segments: int = 1) -> float:
        """Elementary operations per device, roughly."""
        used = int(self.words.slots[self.last] - self.words.slots[self.first])
        return used / 64 + 1 + _OPERATIONS * segments


def every_part(plan: PulsePlan, stream: Stream, *, expected: bool) -> Iterator[tuple[tuple[int, ...], Part]]:
    """The part of every instance that ``stream`` draws for; what nobody has drawn is drawn at once."""
    everywhere = list(product(*map(range, stream.lead)))
    missing = {place: stream.at(place) for place in everywhere if place not in plan.drawn.words}
    if missing and not expected and plan.drawn.lead == stream.lead:
        draw_words(plan, missing)
    for place in everywhere:
        yield place, Part.of(plan, stream.at(place), place, expected=expected)


def places(v: Tensor) -> Iterator[tuple[int, ...]]:
    """All leading indices of states ``v [..., d, x]``."""
    return product(*(range(size) for size in v.shape[:-2]))


def array(tensor: Tensor, place: tuple[int, ...]) -> Floats:
    """The ``[d, x]`` matrix of ``tensor`` at leading index ``place``, shared if contiguous."""
    one = tensor if tensor.dim() == 2 else tensor[at(tuple(tensor.shape[:-2]), place)]
    matrix: Floats = one.detach().contiguous().numpy()
    return matrix


class Known(NamedTuple):
    """One crossbar as the kernels take it.

    Args:
        matrices: steps, slopes and bounds of affine devices; units of steps, scale (twice) and bounds of exponential ones;
            units of steps, exponents and bounds where steps follow a power; gains, scale, origin and bounds of tabulated
            ones.
        scalars: what they share; kappa belongs to a call.
    """

    matrices: tuple[Floats, ...]
    scalars: Scalars

    def in_blocks(self, kappa: float) -> Scalars:
        """The scalars where so many pulses of one direction come together in the mean."""
        return self.scalars._replace(kappa=np.float32(kappa))


def known(bar: Crossbar) -> Known:
    """What the kernels are told of one crossbar; its devices do not change."""
    if () not in bar.kept:
        bar.kept[()] = Known(_matrices(bar), _scalars(bar))
    return bar.kept[()]  # type: ignore[return-value]


def _matrices(bar: Crossbar) -> tuple[Floats, ...]:
    response, bounds = bar.response, (bar.cells.w_max, bar.cells.w_min)
    if isinstance(response, Exponential):
        own = response.unit_up, response.unit_down, response.scale, response.scale
    elif isinstance(response, Power):
        own = response.unit_up, response.unit_down, response.power_up, response.power_down
    elif isinstance(response, Table):
        own = response.gain_up, response.gain_down, *_places(response)
    else:
        assert isinstance(response, Affine)
        own = response.up, response.down, response.slope_up, response.slope_down
    return tuple(array(tensor.expand_as(bounds[0]), ()) for tensor in (*own, *bounds))


def _scalars(bar: Crossbar) -> Scalars:
    one = bar.response
    kind, relative, shape, curves = AFFINE, True, (0.0,) * 7, np.zeros((4, 2), np.float32)
    match one:
        case Affine():
            relative = not one.additive
        case Exponential():
            kind = EXPONENTIAL
            shape = (*one.curve_up, *one.curve_down, one.offset, one.noise_floor, one.noise_slope)
        case Power():
            kind = POWER
        case Table():
            kind, curves = TABLE, one.curves.reshape(4, -1).contiguous().numpy()
    return Scalars(kind, curves, *map(np.float32, (one.noise, relative, 1.0, bar.device.write_noise, *shape)))


def _places(table: Table) -> tuple[Tensor, Tensor]:
    """Scale and origin of the places of states on a table's curves, laid end to end."""
    nodes = table.curves.shape[-1]
    scale = (nodes - 1) / table.width
    own = -table.low * scale
    return scale, own if table.which is None else own + nodes * table.which


def update_closed(
    v: Tensor, plan: PulsePlan, bar: Crossbar, most: float, stream: Stream, *, expected: bool = False
) -> tuple[Tensor, Tensor]:
    """Level ``count`` for devices that the kernels know; ``mean`` with ``expected`` pulses."""
    from crossweep.engine.cpu.kernels.threads import spread_all
    from crossweep.engine.cpu.kernels.update import update_blocks

    v, given = v.clone(memory_format=torch.contiguous_format), torch.zeros_like(v)
    works: list[Work] = []
    spans: list[tuple[Part, int, int]] = []
    cost = 0.0
    for place in places(v):
        own, here = stream.at(place), bar.at(v, place)
        part = Part.of(plan, own, place, expected=expected)
        edges = part.words.edges(part.first, part.last, here.device.relative_step, most)
        kappa = part.words.blocks(part.first, part.last)
        state, total = v[place].numpy(), given[place].numpy()
        devices = known(here)
        constants = devices.matrices, devices.in_blocks(kappa), own.fork("noise").next_key()
        works.append(
            partial(update_blocks, part.lines, part.squares, part.seen, edges, state, total, *constants)
        )  # type: ignore[call-arg]
        cost += state.size * part.work(edges.size - 1)
        spans.append((part, int(edges[0]), int(edges[-1])))
    spread_all(works, column_blocks(v.shape[-1]), cost)
    for place, span in zip(places(v), spans, strict=True):
        _one_way(*span, bar, given, place)
    return v, given


def update_in_order(v: Tensor, plan: PulsePlan, bar: Crossbar, stream: Stream) -> tuple[Tensor, Tensor]:
    """``pulse`` level."""
    from crossweep.engine.cpu.kernels.pulse import PIECE, pulse_blocks
    from crossweep.engine.cpu.kernels.threads import spread_all

    v, given = v.clone(memory_format=torch.contiguous_format), torch.zeros_like(v)
    works: list[Work] = []
    spans: list[tuple[Part, int, int]] = []
    cost = 0.0
    for place in places(v):
        own, here = stream.at(place), bar.at(v, place)
        part = Part.of(plan, own, place)
        pieces = part.words.pieces(part.first, part.last, PIECE)
        state, total = v[place].numpy(), given[place].numpy()
        constants = *known(here), own.fork("noise").next_key()
        works.append(partial(pulse_blocks, part.trains, part.seen, pieces, state, total, *constants))  # type: ignore[call-arg]
        cost += 50.0 * state.size * part.work(0)
        slots = part.words.slots
        spans.append((part, int(slots[part.first]), int(slots[part.last])))
    spread_all(works, covering(v.shape[-2]), cost)
    for place, span in zip(places(v), spans, strict=True):
        _one_way(*span, bar, given, place)
    return v, given


def _one_way(part: Part, begin: int, end: int, bar: Crossbar, given: Tensor, place: tuple[int, ...]) -> None:
    """Of a one-sided pair each device receives the pulses of one direction: count them apart, in place."""
    if "mirror" in bar.cells.extra:
        up, total = count(part, begin, end, given[place])
        own = bar.cells.extra["mirror"].expand_as(given)[place]
        given[place] = torch.where(own > 0, up, total - up)


def give(
    v: Tensor, w: Tensor, reference: Tensor, counts: Tensor, columns: Tensor, bar: Crossbar, stream: Stream
) -> tuple[Tensor, Tensor]:
    """States and visible weights after ``counts [..., d, r]`` pulses of ``columns [r]``, positive up."""
    from crossweep.engine.cpu.kernels.sequence import give_rows
    from crossweep.engine.cpu.kernels.threads import spread

    v, w = (t.clone(memory_format=torch.contiguous_format) for t in (v, w))
    chosen = columns.numpy()
    for place in places(v):
        matrices, numbers = known(bar.at(v, place))
        states = v[place].numpy(), w[place].numpy(), array(reference.expand_as(v), place)
        key = stream.at(place).next_key()
        constants = (*matrices, numbers, numbers.write, key)
        work: Work = partial(give_rows, *states, array(counts, place), chosen, *constants)  # type: ignore[call-arg]
        spread(work, v.shape[-2], 3.0 * counts[place].numel())
    return v, w


def update_counted(
    v: Tensor, plan: PulsePlan, bar: Crossbar, most: float, stream: Stream
) -> tuple[Tensor, Tensor]:
    """``count`` level for devices with a formula of their own: compiled counts, the response in torch."""
    v, given = v.clone(memory_format=torch.contiguous_format), torch.zeros_like(v)
    for place in places(v):
        part, own = Part.of(plan, stream.at(place), place), bar.at(v, place)
        edges = part.words.edges(part.first, part.last, own.device.relative_step, most)
        kappa = part.words.blocks(part.first, part.last)
        state = v[place]
        for begin, end in pairwise(edges.tolist()):
            up, total = count(part, begin, end, state)
            moved = respond(state, up, total - up, own, stream.at(place), kappa)
            state = torch.where(total > 0, moved, state)
            given[place] += own.received(up, total - up)
        v[place] = state
    return v, given


def count(part: Part, begin: int, end: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """Up counts and all counts between two slots, [d, x] each."""
    from crossweep.engine.cpu.kernels.threads import spread
    from crossweep.engine.cpu.kernels.update import count_blocks

    up, total = torch.zeros_like(like), torch.zeros_like(like)
    work: Work = partial(count_blocks, part.lines, part.seen, begin, end, up.numpy(), total.numpy())  # type: ignore[call-arg]
    spread(work, column_blocks(like.shape[-1]), like.numel() * ((end - begin) / 64 + 1))
    return up, total


def count_samples(plan: PulsePlan, stream: Stream) -> Tensor:
    """Coincidences of each sample of a plan one side of which is a single line: [..., b, lines of the other side]."""
    from crossweep.engine.cpu.kernels.draw import count_pieces
    from crossweep.engine.cpu.kernels.threads import spread

    lead = torch.broadcast_shapes(plan.x.shape[:-2], plan.d.shape[:-2])
    b, n = plan.x.shape[-2], max(plan.x.shape[-1], plan.d.shape[-1])
    out = torch.empty(*lead, b, n)
    for place in places(out):
        words = pulse_words(plan, stream.at(place), place)
        single, wide = (words.x, words.d) if plan.x.shape[-1] == 1 else (words.d, words.x)
        work: Work = partial(count_pieces, single.pulses, wide.pulses, words.slots, out[place].numpy())
        spread(work, b, 3.0 * b * n)
    return out


def show(v: Tensor, reference: Tensor, w: Tensor, touched: Tensor, std: float, stream: Stream) -> Tensor:
    """Visible weights with write noise of ``std``, redrawn where ``touched`` is positive."""
    from crossweep.engine.cpu.kernels.threads import spread
    from crossweep.engine.cpu.kernels.update import show_rows

    shown = w.clone(memory_format=torch.contiguous_format)
    for place in places(v):
        out = shown[place].numpy()
        inputs = array(v, place), array(reference.expand_as(v), place), out, array(touched, place)
        work: Work = partial(show_rows, *inputs, np.float32(std), stream.at(place).next_key())
        spread(work, out.shape[0], 20.0 * out.size)
    return shown
