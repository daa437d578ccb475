"""The answer in words: the same sentences for the page, the terminal and the log."""

from __future__ import annotations

from collections import Counter
from itertools import combinations

import numpy as np
import pandas as pd

from crossweep.results.analysis import Analysis, Fit, Group
from crossweep.results.stats import FEW
from crossweep.results.tolerance import Tolerance

MOST_LINES = 10


def summary(analysis: Analysis) -> list[str]:
    """What was run, what it says, and how far to trust it."""
    lines = [what_was_run(analysis)]
    lines += best_group(analysis)
    for group in analysis.groups:
        lines += group_lines(analysis, group)
    lines += cautions(analysis)
    return lines


def terminal(analysis: Analysis) -> str:
    """The answer in ten lines: the most important kept, the rest counted."""
    lines = summary(analysis)
    if len(lines) > MOST_LINES:
        cut = len(lines) - MOST_LINES + 1
        lines = [*lines[: MOST_LINES - 1], f"... and {cut} more statements in the report"]
    return "\n".join(lines)


def what_was_run(analysis: Analysis) -> str:
    """Trials, seeds and states on one line."""
    rows = analysis.table.rows
    names = ", ".join(dict.fromkeys(s.name for s in analysis.table.studies))
    trials = rows.groupby(["study", "trial"], dropna=False)["state"].first()
    states = Counter(map(str, trials))
    told = ", ".join(f"{count} {state}" for state, count in states.most_common())
    seeds = int(rows["seed"].nunique())
    skipped = len(analysis.table.skipped)
    tail = f"; {skipped} folder{'s' * (skipped != 1)} skipped" if skipped else ""
    return f"{names}: {len(trials)} trials ({told}), {seeds} seed{'s' * (seeds != 1)}{tail}."


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
        what = analysis.metric.replace("_", " ")
        lines = [f"{group.name}: {what} {group.loss.text()} (budget {analysis.limit})."]
    return lines


def tolerance_sentence(analysis: Analysis, t: Tolerance) -> str:
    """One tolerance with specification."""
    name, budget = t.axis.short, analysis.limit
    if t.status == "above":
        return f"{name}: the loss exceeds {budget} from the start ({t.starts_above:.0%} sure)."
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
        said = f" All {len(y)} points are within the budget, though."
    elif len(y) and (y > analysis.budget).all():
        said = f" All {len(y)} points exceed the budget, though."
    return f"no answer for {names}: {fit.reason}.{said}"


def importance_sentence(fit: Fit) -> str:
    """Which axis costs most."""
    shares = fit.importance
    if shares is None:
        return ""
    first = shares.order[0]
    text = f"{shares.axes[first].short} costs most: {shares.total[first].text} of the loss's variance"
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
        if len(found) > 1:
            ranked = sorted(found, key=lambda item: (-np.median(item[1].samples), item[1].crosses))
            lines.append(_ranked(ranked))
    for c in analysis.comparisons:
        d = c.difference
        if d.n >= FEW and (d.low > 0 or d.high < 0):
            better, worse = (c.first, c.second) if d.mean < 0 else (c.second, c.first)
            low, high = sorted((abs(d.low), abs(d.high)))
            lines.append(
                f"On the same devices and conditions {better} loses {abs(d.mean):.2f}{analysis.unit} less "
                f"than {worse} (95 % interval {low:.2f} to {high:.2f}, {d.n} {c.units})."
            )
    return lines


def _ranked(ranked: list[tuple[str, Tolerance]]) -> str:
    axis = ranked[0][1].axis
    order = " > ".join(f"{name} ({t.bound(t.value)})" for name, t in ranked)
    sure = min(probability_laxer(a[1], b[1]) for a, b in combinations(ranked[:2], 2))
    return f"{axis.short}: {order}; the first tolerates more than the second with probability {sure:.0%}."


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
    seeds = int(rows["seed"].nunique())
    if seeds < FEW:
        found.append(
            f"Few seeds ({seeds}): the intervals hold for these devices; other devices may differ by more."
        )
    found += _fits(analysis)
    commits = rows["commit"].nunique() if "commit" in rows else 0
    if commits > 1:
        found.append(f"The runs come from {commits} different commits.")
    if "dirty" in rows and pd.Series(rows["dirty"]).fillna(False).astype(bool).any():
        found.append("Some runs come from a working tree with uncommitted changes.")
    if analysis.left_out:
        first = ", ".join(analysis.left_out[:5])
        found.append(f"{len(analysis.left_out)} further groups are not shown: {first} ...")
    return found
