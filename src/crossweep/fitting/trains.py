"""Pulse trains of single devices: how many pulses lie between readings, and where a state was set anew."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from crossweep.errors import ConfigError
from crossweep.fitting.layouts import Rows
from crossweep.fitting.polarity import inferred, scatter

Array = NDArray[np.float64]
FEWEST = 20  # pulses of a polarity that a fit needs
MOST = 10_000_000  # pulses of one device: a fit goes pulse by pulse
_JUMP = 8.0  # scatters of a reading that no pulse explains


@dataclass(frozen=True)
class Trains:
    """The readings of one device, in order.

    Args:
        device: its name.
        pulses: signed number of pulses since the reading before, up positive [t]; not used where ``fresh``.
        conductance: readings [t] [S]; NaN where one is missing.
        fresh: the state was set anew before this reading (the first reading always) [t].
        remarks: what was decided on the way.
    """

    device: str
    pulses: NDArray[np.int64]
    conductance: Array
    fresh: NDArray[np.bool_]
    remarks: tuple[str, ...] = ()

    @property
    def one_way(self) -> bool:
        """Whether no down pulses were given."""
        return not (self.pulses[~self.fresh] < 0).any()


@dataclass(frozen=True)
class _Runs:
    """Rows of one polarity, counted in one go, belong together.

    Args:
        first: whether a row opens a run [t].
        turned: whether it opens it because the polarity changed [t].
        step: difference of the numbers to the row before, in the direction of counting [t].
        down: whether the numbers of its run fall [t].
    """

    first: NDArray[np.bool_]
    turned: NDArray[np.bool_]
    step: Array
    down: NDArray[np.bool_]


def trains_of(name: str, rows: Rows, where: str, zero: str | None = None) -> Trains:
    """The pulses of one device.

    Args:
        name: of the device.
        rows: its readings in order.
        where: the file, for messages.
        zero: whether a row numbered 0 was read ``before`` or ``after`` a train's first pulse; decided by its
            reading if None.

    Raises:
        ConfigError: the numbering makes no sense, or too little was measured.
    """
    here = f"{where}: device {name!r}"
    rows, remarks = _with_polarity(rows, here)
    sign = _carried(rows.sign)
    _require_whole(rows.number, here)
    runs = _runs(rows, sign, here)
    fresh = rows.start | (runs.first & ~runs.turned)
    fresh[0] = True
    count, said = _counts(rows, sign, runs, fresh, zero, here)
    pulses = np.where(rows.sign == 0, np.where(np.isnan(rows.number), 0, count), count) * sign
    fresh |= _jumps(rows, pulses, fresh)
    pulses[fresh] = 0
    if not np.abs(pulses).sum() <= MOST:
        raise ConfigError(f"{here} must have at most {MOST:,} pulses, got {np.abs(pulses).sum():,.0f}")
    found = Trains(name, np.rint(pulses).astype(np.int64), rows.conductance, fresh, (*remarks, *said))
    _require_enough(found, here)
    return found


def _with_polarity(rows: Rows, here: str) -> tuple[Rows, tuple[str, ...]]:
    if not np.isnan(rows.sign).any():
        return rows, ()
    sign, remark = inferred(rows.number, rows.start, rows.conductance, here)
    return Rows(**{**vars(rows), "sign": sign}), (remark,)


def _carried(sign: Array) -> Array:
    """The polarity of the train that a row belongs to; rows without a pulse belong to the train before."""
    place = np.maximum.accumulate(np.where(sign != 0, np.arange(sign.size), -1))
    first = sign[sign != 0][0] if (sign != 0).any() else 0.0
    return np.where(place >= 0, sign[np.maximum(place, 0)], first)


def _require_whole(number: Array, here: str) -> None:
    known = number[np.isfinite(number)]
    if not ((known == np.rint(known)).all() and (known >= 0).all()):
        odd = known[(known != np.rint(known)) | (known < 0)][0]
        raise ConfigError(f"{here}: pulse numbers must be whole, got {odd:g}; give --columns pulse=NAME")


def _runs(rows: Rows, sign: Array, here: str) -> _Runs:
    number, n = rows.number, sign.size
    turned = np.diff(sign, prepend=sign[0]) != 0
    other_cycle = np.r_[False, rows.cycle[1:] != rows.cycle[:-1]]
    first = turned | rows.start | (other_cycle & (rows.sign != 0))
    first[0] = True
    step, down = np.diff(number, prepend=number[0]), np.zeros(n, bool)
    edges = [*np.flatnonzero(first), n]
    for a, b in pairwise(edges):
        inside = step[a + 1 : b]
        moves = inside[np.isfinite(inside) & (inside != 0)]
        down[a:b] = moves.size > 0 and np.median(moves) < 0
        step[a:b] = np.where(down[a:b], -step[a:b], step[a:b])
        first[a + 1 : b] |= step[a + 1 : b] < 0  # counted anew without a turn
        still = np.mean((inside == 0) & (rows.sign[a + 1 : b] != 0)) if b - a > 4 else 0.0
        if still > 0.5:
            raise ConfigError(
                f"{here}: the column of pulse numbers stands still over {b - a} rows, so it counts no pulses; "
                "give --columns pulse=NAME"
            )
    return _Runs(first, turned, step, down)


def _counts(
    rows: Rows, sign: Array, runs: _Runs, fresh: NDArray[np.bool_], zero: str | None, here: str
) -> tuple[Array, tuple[str, ...]]:
    """Pulses before every reading [t], without their direction."""
    number = rows.number
    if np.isnan(number).all():
        return np.where(rows.sign != 0, 1.0, 0.0), ()
    opening = runs.first & runs.turned & ~fresh
    usual = float(np.median(runs.step[~runs.first & (runs.step > 0)])) if (~runs.first).any() else 1.0
    goes_on = opening & (np.diff(number, prepend=number[0]) > 0) & ~runs.down
    at_zero = opening & ~goes_on & (number == 0) & ~runs.down
    count = np.where(runs.first, np.where(runs.down, usual, number), runs.step)
    count = np.where(goes_on, np.diff(number, prepend=0.0), count)
    if not at_zero.any():
        return count, ()
    before = zero == "before" if zero else _read_before(rows.conductance, sign, at_zero, here)
    count[at_zero] = 0.0 if before else 1.0
    return count, (f"rows numbered 0 were read {'before' if before else 'after'} a train's first pulse",)


def _read_before(g: Array, sign: Array, at_zero: NDArray[np.bool_], here: str) -> bool:
    """Whether the readings numbered 0 repeat the last ones, or have already moved by a step."""
    places = np.flatnonzero(at_zero)
    places = places[(places > 0) & (places < g.size - 1)]
    moved = sign[places] * (g[places] - g[places - 1])
    following = sign[places] * (g[places + 1] - g[places])
    use = np.isfinite(moved) & np.isfinite(following)
    step = float(np.median(following[use])) if use.any() else 0.0
    share = float(np.median(moved[use])) / step if step > 0 else np.nan
    doubt = 1.5 * scatter(g, at_zero) / (step * np.sqrt(use.sum())) if step > 0 else np.inf
    if not doubt < 0.25 or (share < 0 and abs(share) > 4 * doubt):
        raise ConfigError(
            f"{here}: the trains are counted from 0, and the readings do not tell whether that one was before or "
            "after a train's first pulse; give --zero before or --zero after"
        )
    return share < 0.5


def _jumps(rows: Rows, pulses: Array, fresh: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Readings without a pulse that differ from the one before by more than their scatter."""
    change = np.abs(np.diff(rows.conductance, prepend=rows.conductance[0]))
    still = (pulses == 0) & ~fresh
    return np.asarray(still & (change > _JUMP * scatter(rows.conductance, fresh | still)))


def _require_enough(trains: Trains, here: str) -> None:
    known = np.isfinite(trains.conductance)
    for way, word in ((1, "up"), (-1, "down")):
        given = int(np.abs(trains.pulses[(trains.pulses * way > 0) & known]).sum())
        if 0 < given < FEWEST or (given == 0 and way > 0):
            rule = f"needs at least {FEWEST} {word} pulses with a conductance"
            raise ConfigError(f"{here} {rule} to determine a model, got {given}")
    g = trains.conductance
    if not np.nanmax(g) - np.nanmin(g) > 1e-9 * np.nanmax(np.abs(g)):
        raise ConfigError(f"{here} never changes its conductance, so no step can be determined")
