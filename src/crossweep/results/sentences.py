"""The answer in words: the same sentences for the page, the terminal and the log."""

from __future__ import annotations

import re
from collections import Counter
from itertools import pairwise

import numpy as np
import pandas as pd

from crossweep.results import endurance
from crossweep.results.analysis import METRIC, Analysis, Fit, Group
from crossweep.results.configurations import seed_labels
from crossweep.results.stats import FEW
from crossweep.results.surface import least_points
from crossweep.results.table import Table
from crossweep.results.tolerance import SURE, Tolerance

MOST_LINES = 10
MOST_KINDS = 5  # of warnings
MOST_SKIPPED = 10
SHOWN = 3  # keys and values of a mixture that are named
WORST_FIRST = ("failed", "diverged", "pruned", "complete")


def summary(analysis: Analysis) -> list[str]:
    """What was run, what it says, and how far to trust it."""
    lines = [what_was_run(analysis.table)]
    lines += [line for group in analysis.groups for line in as_configured(analysis, group)]
    lines += best_group(analysis)
    for group in analysis.groups:
        lines += group_lines(analysis, group)
    lines += endurance.sentences(analysis)
    lines += cautions(analysis)
    return lines


def terminal(analysis: Analysis) -> str:
    """The answer in ten lines."""
    return shortened(summary(analysis))


def shortened(lines: list[str]) -> str:
    """The most important ten lines, the rest counted."""
    if len(lines) > MOST_LINES:
        cut = len(lines) - MOST_LINES + 1
        lines = [*lines[: MOST_LINES - 1], f"... and {cut} more statements in the report"]
    return "\n".join(lines)


def what_was_run(table: Table) -> str:
    """Trials, seeds and states on one line."""
    rows = table.rows
    names = ", ".join(dict.fromkeys(s.name for s in table.studies))
    trials = rows.groupby(["study", "trial"], dropna=False)["state"].agg(_of_trial)
    states = Counter(map(str, trials))
    told = ", ".join(f"{count} {state}" for state, count in states.most_common())
    seeds = _seeds(table)
    skipped = len(table.skipped)
    tail = f"; {skipped} folder{'s' * (skipped != 1)} skipped" if skipped else ""
    return f"{names}: {len(trials)} trials ({told}), {seeds} seed{'s' * (seeds != 1)}{tail}."


def _of_trial(states: pd.Series) -> str:
    """The state of a trial of several runs: the worst of theirs."""
    return min(map(str, states), key=lambda s: WORST_FIRST.index(s) if s in WORST_FIRST else len(WORST_FIRST))


def _seeds(table: Table) -> int:
    rows = table.rows
    return int(seed_labels(rows[rows["seed"].notna()]).nunique())


def as_configured(analysis: Analysis, group: Group) -> list[str]:
    """What the device as configured loses, and what that means for a specification."""
    lead = f"{group.name}: " if len(analysis.groups) > 1 else ""
    if group.configured is not None:
        if any(f.withheld for f in group.fits):
            return [f"{lead}{withheld(analysis, group)}."]
        return [
            f"{lead}The device as configured: {analysis.what} {group.configured.text(analysis.unit)} "
            f"(budget {analysis.limit})."
        ]
    if group.alone:
        return [
            f"{lead}The device as configured was not run: each specification assumes that it is within "
            f"{analysis.limit}; study.anchors=[nominal] runs it first."
        ]
    return []


def withheld(analysis: Analysis, group: Group) -> str:
    """Why nothing is specified although it was measured."""
    assert group.configured is not None, "only what was measured can miss the budget"
    if analysis.metric != METRIC:
        lost = (
            f"misses the budget of {analysis.limit}: {analysis.what} {group.configured.text(analysis.unit)}"
        )
        return f"The device as configured {lost}; nothing is specified per axis"
    return (
        f"The device as configured already has an error increase of {group.configured.text(analysis.unit)}, more than "
        f"the budget of {analysis.limit}; training longer or a larger budget comes before any specification"
    )


def group_lines(analysis: Analysis, group: Group) -> list[str]:
    """The tolerances, importances and refusals of one group."""
    lead = f"{group.name}: " if len(analysis.groups) > 1 else ""
    lines = []
    for fit in group.fits:
        if fit.reason:
            lines.append(lead + refusal(analysis, fit))
            continue
        lines += [lead + tolerance_sentence(analysis, t) for t in fit.tolerances]
        if fit.importance:
            lines.append(lead + importance_sentence(fit))
    if not group.fits or all(not f.points.axes for f in group.fits):
        lines = [f"{group.name}: {analysis.what} {group.loss.text()} (budget {analysis.limit})."]
    return lines


def tolerance_sentence(analysis: Analysis, t: Tolerance) -> str:
    """One tolerance with specification."""
    name, budget = t.axis.short, analysis.limit
    if t.status == "undetermined":
        return f"{name}: {t.text}; more seeds or trials would help."
    if t.status == "above":
        return f"{name}: above {budget} from the start ({t.starts_above:.0%} sure)."
    if t.status == "beyond":
        over = f"{name}: within {budget} up to the end of the range, {t.axis.text(t.end)}"
        chance = f" ({t.crosses:.0%} chance that it is exceeded before)" if t.crosses >= 0.005 else ""
        return f"{over}{chance}; {t.specify}."
    return f"{name}: within {budget} {'up' if t.upward else 'down'} to {t.text}; {t.specify}."


def refusal(analysis: Analysis, fit: Fit) -> str:
    """Why there is no surface, and what can be said all the same."""
    names = " and ".join(a.short for a in fit.points.axes) or "no axis"
    y = fit.points.y
    said = ""
    if len(y) and (y <= analysis.budget).all():
        said = f" All {len(y)} points are within the budget, though (largest {y.max():.2f}{analysis.unit})."
    elif len(y) and (y > analysis.budget).all():
        said = f" All {len(y)} points exceed the budget, though (smallest {y.min():.2f}{analysis.unit})."
    return f"no answer for {names}: {fit.reason}.{said} {remedy(fit)}".rstrip()


def remedy(fit: Fit) -> str:
    """What would help where there is no surface."""
    points = fit.points
    missing = least_points(len(points.axes)) - points.n
    if not points.axes:
        return ""
    if fit.surface is not None:
        return "More seeds (study.seeds) or more trials (study.n_trials) would help."
    if missing <= 0:
        names = " and ".join(f"axis.{a.name}" for a in points.axes)
        return f"Other values would help: low, high and points of {names}."
    return f"{missing} more trials would help: study.n_trials={points.n + missing}."


def importance_sentence(fit: Fit) -> str:
    """Which axis costs most."""
    shares = fit.importance
    if shares is None:
        return ""
    first = shares.order[0]
    text = f"{shares.axes[first].short} costs most: {shares.total[first].text} of the variation"
    if shares.pairs:
        (i, j), share = max(shares.pairs.items(), key=lambda item: item[1].value)
        text += f"; together {shares.axes[i].short} and {shares.axes[j].short} add {share.text}"
    return text + "."


def best_group(analysis: Analysis) -> list[str]:
    """Which group tolerates more, and which loses less on equal terms."""
    lines = []
    by_axis: dict[tuple[str, bool], list[tuple[str, Tolerance]]] = {}
    for group, t in analysis.tolerances:
        by_axis.setdefault((t.axis.name, t.upward), []).append((group.name, t))
    for found in by_axis.values():
        told = [item for item in found if item[1].determined]
        # where all are above the budget from the start, or all beyond the range, there is nothing to rank
        if len(told) > 1 and {t.status for _, t in told} not in ({"above"}, {"beyond"}):
            ranked = sorted(told, key=lambda item: (-np.median(item[1].samples), item[1].crosses))
            lines += _ranked(ranked)
    for c in analysis.comparisons:
        d = c.difference
        if d.n >= FEW and (d.low > 0 or d.high < 0):
            better, worse = (c.first, c.second) if d.mean < 0 else (c.second, c.first)
            low, high = sorted((abs(d.low), abs(d.high)))
            lines.append(
                f"On the same devices and conditions the {analysis.what} of {better} is {abs(d.mean):.2f}"
                f"{analysis.unit} smaller than that of {worse} (likely range {low:.2f} to {high:.2f}, {d.n} {c.units})."
            )
    return lines


def _ranked(ranked: list[tuple[str, Tolerance]]) -> list[str]:
    """The order of the groups, as far as it is decided; none where nothing is."""
    order, decided = f"{ranked[0][0]} ({ranked[0][1].bound(ranked[0][1].value)})", False
    for (_, laxer), (name, t) in pairwise(ranked):
        sure = probability_laxer(laxer, t) >= SURE
        decided |= sure
        order += f"{' tolerates more than ' if sure else ', '}{name} ({t.bound(t.value)})"
    axis = ranked[0][1].axis.short
    return [f"{axis}: {order} (with a probability of at least {SURE:.0%} each)."] if decided else []


def probability_laxer(one: Tolerance, other: Tolerance) -> float:
    """Probability that `one` tolerates more than `other`; ties (both beyond the range) count half."""
    a, b = np.sort(one.samples), np.sort(other.samples)
    less = np.searchsorted(b, a, side="left").sum()
    not_more = np.searchsorted(b, a, side="right").sum()
    return float((less + not_more) / 2 / (len(a) * len(b)))


def _fits(analysis: Analysis) -> list[str]:
    """The quality of each surface, or of all together where they are many."""
    found = [(g, f, f.surface.quality) for g in analysis.groups for f in g.fits if f.surface]
    if len(found) <= 3:
        lines = []
        for group, fit, quality in found:
            name = fit_name(analysis, group, fit)
            part = f" (of {fit.points.n}; a random part and those nearest the budget)"
            thinned = part if fit.points.n > quality.n else ""
            lines.append(f"Fit{f' of {name}' if name else ''}: {quality.text}{thinned}.")
        return lines
    fits = [quality for _, _, quality in found]
    q2, coverage, side = ([getattr(q, name) for q in fits] for name in ("q2", "coverage", "side"))
    return [
        f"{len(fits)} fits, left-out points: Q² from {min(q2):.2f} to {max(q2):.2f}; {min(coverage):.0%} to "
        f"{max(coverage):.0%} inside their 95 % interval; {min(side):.0%} to {max(side):.0%} on the right "
        "side of the budget."
    ]


def fit_name(analysis: Analysis, group: Group, fit: Fit) -> str:
    """What tells a fit from the others: the group, the axis, both or nothing."""
    parts = [group.name] if len(analysis.groups) > 1 else []
    if len(group.fits) > 1:
        parts.append(" and ".join(a.short for a in fit.points.axes))
    return ", ".join(parts)


def cautions(analysis: Analysis) -> list[str]:
    """What a reader must know before believing it."""
    found = []
    rows = analysis.table.rows
    seeds = _seeds(analysis.table)
    found += _mixtures(analysis)
    found += _unplaced(analysis)
    if seeds < FEW:
        found.append(
            f"Few seeds ({seeds}): the intervals hold for these devices; other devices may differ by more."
        )
    found += _fits(analysis)
    found += _references(rows)
    found += _told(rows)
    commits = rows["commit"].nunique() if "commit" in rows else 0
    if commits > 1:
        found.append(f"The runs come from {commits} different commits.")
    if "dirty" in rows and pd.Series(rows["dirty"]).fillna(False).astype(bool).any():
        found.append("Some runs come from a working tree with uncommitted changes.")
    if analysis.left_out:
        first = ", ".join(analysis.left_out[:5])
        found.append(f"{len(analysis.left_out)} further groups are not shown: {first} ...")
    return found


def _mixtures(analysis: Analysis) -> list[str]:
    """In what configurations differ that no axis drives."""
    if not analysis.mixed:
        return []
    keys = [f"{key} ({', '.join(map(str, v[:SHOWN]))})" for key, v in list(analysis.mixed.items())[:SHOWN]]
    more = len(analysis.mixed) - SHOWN
    named = ", ".join(keys) + (f" and {more} more keys" if more > 0 else "")
    return [f"The runs mix configurations; each is answered on its own, none are pooled: {named}."]


def _unplaced(analysis: Analysis) -> list[str]:
    """Runs that stand on no place of a curve."""
    found: dict[str, int] = {}
    for fit in (f for g in analysis.groups for f in g.fits if f.points.unplaced):
        name = " and ".join(a.short for a in fit.points.axes)
        found[name] = found.get(name, 0) + fit.points.unplaced
    return [
        f"{n} run{'s' * (n != 1)} left out along {name}: their configuration holds no single value on that axis."
        for name, n in found.items()
        if name
    ]


def _references(rows: pd.DataFrame) -> list[str]:
    """Which digital optimiser the loss is measured against."""
    names = Counter(rows["reference"].dropna()) if "reference" in rows else Counter()
    if not names:
        return []
    if len(names) == 1:
        return [f"The digital reference is training with {next(iter(names))}."]
    counted = ", ".join(f"{name} ({count} runs)" for name, count in names.most_common())
    return [f"The digital reference is the best digital training of each run: {counted}."]


def _told(rows: pd.DataFrame) -> list[str]:
    """What the runs themselves warn of, equal sentences counted; numbers within them may differ."""
    if "warnings" not in rows:
        return []
    kinds: dict[str, list[str]] = {}
    for text in rows["warnings"].dropna():
        for sentence in dict.fromkeys(str(text).splitlines()):
            kinds.setdefault(re.sub(r"[-+]?\d+(\.\d+)?", "#", sentence), []).append(sentence)
    often = sorted(kinds.values(), key=len, reverse=True)
    more = (
        [f"{len(often) - MOST_KINDS} further kinds of warnings; see the records."]
        if len(often) > MOST_KINDS
        else []
    )
    return [f"{same[0].rstrip('.')} ({len(same)} of {len(rows)} runs)." for same in often[:MOST_KINDS]] + more


def skipped(table: Table) -> list[str]:
    """A line for every folder or file that could not be used, the first ones in full."""
    left = table.skipped
    lines = [f"skipped {s.folder}: {s.reason}" for s in left[:MOST_SKIPPED]]
    return lines + ([f"and {len(left) - MOST_SKIPPED} more"] if len(left) > MOST_SKIPPED else [])
