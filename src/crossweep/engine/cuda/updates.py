"""From an engine's tensors to the kernels and back: pulsed updates, known numbers of pulses, write noise."""

from collections.abc import Sequence
from math import prod

import numpy as np
import torch
from torch import Tensor

from crossweep import feed
from crossweep.engine.base import Crossbar
from crossweep.engine.cuda.devices import devices, relative_steps
from crossweep.engine.cuda.launch import blocks, cdiv, flat, keys_of, numbers, power
from crossweep.engine.cuda.words import words_of
from crossweep.engine.pulse_plan import PulsePlan
from crossweep.rng import Stream

LEVELS = {"count": 0, "mean": 1, "pulse": 2}


def update(
    v: Tensor, plan: PulsePlan, bar: Crossbar, level: str, most: float, stream: Stream
) -> tuple[Tensor, Tensor]:
    """States after all pulses of ``plan``, and the pulses of each device, both [..., d, x]."""
    from crossweep.engine.cuda.kernels.windows import update as launch

    lead, (rows, columns) = tuple(v.shape[:-2]), v.shape[-2:]
    words, words_at = words_of(plan, stream, lead, expected=level == "mean")
    first, last = plan.first, plan.first + plan.bl.shape[-1]
    streams = [stream.at(place).fork("noise") for place in np.ndindex(lead)]
    keys, known = keys_of(streams, v), devices(bar, v)
    state = flat(v, lead, 2).clone()
    given, ups = torch.zeros_like(state), torch.zeros_like(state)
    own = words_at.long()
    if (
        level == "pulse"
    ):  # no segments, and no lists of words elsewhere: what stands for them is not looked at
        pieces, edges, segments, kappas = words.listed(first, last), words.slots, words_at, given
    else:
        steps = relative_steps(bar)
        step: float | Tensor = steps[0]
        if len(steps) > 1:
            step = feed.constant(lambda: np.array(steps)[:, None].repeat(prod(lead) // len(steps), 0), v)
        edges, segments = words.edges(words_at, first, last, step, most)
        pieces, kappas = (words.slots, words.slots, words_at), words.kappas(first, last)[own].contiguous()
    mirror = bar.cells.extra.get("mirror")
    since, until = _seen(plan, first, last, columns)
    sign_x, sign_d = (_signs(turn, lead, n, v) for turn, n in ((plan.turn_x, columns), (plan.turn_d, rows)))
    height, width, warps = blocks(rows)
    if state.numel():
        launch[(cdiv(columns, width), cdiv(rows, height), prod(lead))](
            state, given, ups, known.matrices, words.lines, words.spreads, words.slots, words_at,
            edges, segments, since, until, sign_x, sign_d, pieces,
            kappas, keys, known.shape, known.curves, words.samples, rows, columns,
            edges.shape[-1], pieces[0].shape[-1], known.nodes,
            LEVEL=LEVELS[level], PIECES=words.pieces, SIGNED=words.signed, KIND=known.kind, MIRROR=mirror is not None,
            R=height, C=width, num_warps=warps,
        )  # fmt: skip
    given = given.view(v.shape)
    if mirror is not None:
        up = ups.view(v.shape)
        given = torch.where(mirror > 0, up, given - up)
    return state.view(v.shape), given


def _seen(plan: PulsePlan, first: int, last: int, columns: int) -> tuple[Tensor, Tensor]:
    """First sample, and one past the last, that each column sees [columns] (int32)."""
    device = plan.x.device
    if plan.since is None or plan.until is None:
        return tuple(torch.full((columns,), edge, dtype=torch.int32, device=device) for edge in (first, last))  # type: ignore[return-value]
    return plan.since.clamp(first, last).int().contiguous(), plan.until.clamp(first, last).int().contiguous()


def _signs(turn: Tensor | None, lead: tuple[int, ...], n: int, like: Tensor) -> Tensor:
    """Signs of lines [crossbars, n]."""
    if turn is None:
        return torch.ones(prod(lead), n, device=like.device)
    return flat(turn.float(), lead, 1)


def give(
    v: Tensor, w: Tensor, reference: Tensor, counts: Tensor, columns: Tensor, bar: Crossbar, stream: Stream
) -> tuple[Tensor, Tensor]:
    """States and visible weights after ``counts [..., d, r]`` pulses of ``columns [r]``."""
    from crossweep.engine.cuda.kernels.pulse import give_known

    lead, (rows, size) = tuple(v.shape[:-2]), v.shape[-2:]
    known = devices(bar, v)
    keys = keys_of([stream.at(place) for place in np.ndindex(lead)], v)
    state, shown, base = flat(v, lead, 2).clone(), flat(w, lead, 2).clone(), flat(reference, lead, 2)
    chosen = columns.numel()
    height, width, warps = blocks(rows)
    if chosen:
        give_known[(cdiv(chosen, width), cdiv(rows, height), prod(lead))](
            state, shown, base, flat(counts.float(), lead, 2), columns.int().to(v.device), known.matrices, known.shape,
            keys, rows, size, chosen, R=height, C=width, num_warps=warps,
        )  # fmt: skip
    return state.view(v.shape), shown.view(v.shape)


def show(
    v: Tensor, reference: Tensor, w: Tensor, touched: Tensor, std: Sequence[float], stream: Stream
) -> Tensor:
    """Visible weights with write noise of ``std`` of each instance, or of all, redrawn where ``touched`` is positive."""
    from crossweep.engine.cuda.kernels.pulse import show as launch

    lead, (rows, columns) = tuple(v.shape[:-2]), v.shape[-2:]
    keys = keys_of([stream.at(place) for place in np.ndindex(lead)], v)
    shown, (height, width, warps) = flat(w, lead, 2).clone(), blocks(rows)
    launch[(cdiv(columns, width), cdiv(rows, height), prod(lead))](
        flat(v, lead, 2), flat(reference, lead, 2), shown, flat(touched.float(), lead, 2),
        numbers([(one,) for one in std], prod(lead), v), keys, rows, columns, R=height, C=width, num_warps=warps,
    )  # fmt: skip
    return shown.view(v.shape)


def coincidences(plan: PulsePlan, stream: Stream) -> Tensor:
    """Of each sample of a plan one side of which is a single line: [..., b, lines of the other side]."""
    from crossweep.engine.cuda.kernels.pulse import count_single

    lead = plan.drawn.lead
    words, _ = words_of(plan, stream, lead)
    single, wide = (words.columns, words.rows) if plan.x.shape[-1] == 1 else (words.rows, words.columns)
    many, b, n = prod(lead), words.samples, wide.shape[-1]
    out = torch.empty(many, b, n, device=plan.x.device)
    lines = min(power(n), 256)
    if out.numel():
        count_single[(b, cdiv(n, lines), many)](
            single, wide, out, b, single.shape[-1], n, PIECES=words.pieces, SIGNED=words.signed, LINES=lines
        )
    return out.view(*lead, b, n)
