"""What a stranger asks first: which device, rule, network and data, which errors, how many seeds, which command."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from html import escape

import pandas as pd

from crossweep.axis import number_text
from crossweep.configured import configured, device_name, flattened
from crossweep.results.table import Study, Table

SHOWN = 6  # names before the rest is counted
OPTIMIZERS = {"adamw": "AdamW", "sgd": "SGD", "momentum": "SGD with momentum"}

# a word and what it means; only those that the page uses are explained
GLOSSARY = {
    "error increase": "test error of the analog run minus that of its digital reference, in percentage points; "
    "both start from the same pretrained weights and see the same batches",
    "points": "percentage points: from 2 % to 5 % are 3 points",
    "digital reference": "the best of several ordinary digital trainings, chosen by validation loss, never by the test "
    "images",
    "budget": "the largest error increase that you accept",
    "likely range": "holds the true value with a probability of 95 %, if the devices and runs are like these",
    "seed": "one draw of devices, batches and noise; a point with several seeds was trained several times",
    "symmetry point": "SP: the state at which steps up and down are equally large",
    "SP": "symmetry point: the state at which steps up and down are equally large",
    "w_max": "upper end of a device's weight range, the unit of weights and states; w is the weight",
    "dw_min": "mean change of the weight by one pulse in the middle of the range",
    "diverged": "the training loss became infinite; counts as guessing",
    "pruned": "stopped early because it was clearly worse than others",
}


def facts(table: Table) -> dict[str, str]:
    """Title and text of each fact that is known."""
    rows, records = table.rows, [s.first_record for s in table.studies if s.first_record]
    versions = {k: v for r in records for k, v in (r.get("versions") or {}).items()}
    named = [f"{name} {versions[name]}" for name in ("crossweep", "torch") if name in versions]
    commits = [str(c)[:8] for c in _values(rows, "commit")]
    found = {
        "device": "; ".join(dict.fromkeys(filter(None, map(device, table.studies))))
        or _choice(rows, "device"),
        "training rule": _joined(a for a in _values(rows, "algorithm") if a != "digital") or "digital",
        "model": _choice(rows, "model"),
        "data": _choice(rows, "task") or _choice(rows, "data"),
        "test error": _errors(rows),
        "runs": _runs(rows),
        "versions": ", ".join(named + [f"commit {_joined(commits)}"] * bool(commits)),
        "command": "; ".join(filter(None, map(_command, table.studies))),
    }
    return {name: text for name, text in found.items() if text}


def facts_element(table: Table) -> str:
    """The facts as a list of definitions."""
    rows = "".join(
        f"<div><dt>{name}</dt><dd>{f'<code>{escape(text)}</code>' if name == 'command' else escape(text)}</dd></div>"
        for name, text in facts(table).items()
    )
    return f'<dl class="facts">{rows}</dl>'


def glossary(said: str) -> str:
    """The words of `GLOSSARY` that a page's text uses, folded."""
    said = re.sub(r"<pre>.*?</pre>|<[^>]*>", " ", said, flags=re.DOTALL)
    used = {w: m for w, m in GLOSSARY.items() if re.search(rf"\b{re.escape(w)}\b", said, re.IGNORECASE)}
    used.pop("SP" if "symmetry point" in used else "", None)
    items = "".join(f"<div><dt>{escape(w)}</dt><dd>{escape(m)}</dd></div>" for w, m in used.items())
    return (
        f'<details class="glossary"><summary>Words</summary><dl class="facts">{items}</dl></details>'
        if items
        else ""
    )


def device(study: Study) -> str:
    """The device of a study; of a measured one also what its weights are."""
    record = study.first_record
    if not record:
        return ""
    flat = flattened(record.get("config") or {})
    zero, per_w = (configured(flat, [f"device.siemens_{what}"]) for what in ("zero", "per_w"))
    if zero is None or per_w is None:
        return device_name(record)
    return (
        f"{device_name(record)} (w = 0 is {number_text(1e6 * zero, 4)} µS, "
        f"w = 1 is {number_text(1e6 * (zero + per_w), 4)} µS)"
    )


def optimizer(name: str) -> str:
    """A digital reference as people call it."""
    return OPTIMIZERS.get(name, name)


def _errors(rows: pd.DataFrame) -> str:
    """Absolute errors of the analog runs and of their references."""
    analog, digital = (_numbers(rows, f"metric.{name}") for name in ("test_error", "baseline_error"))
    if analog.empty:
        return ""
    text = f"{_span(analog)} analog"
    if digital.empty:
        return text
    names = Counter(rows["reference"].dropna()) if "reference" in rows else Counter()
    which = ", ".join(optimizer(str(name)) for name, _ in names.most_common())
    return f"{text}, {_span(digital)} digital reference" + (f" ({which})" if which else "")


def _span(values: pd.Series) -> str:
    low, high = float(values.min()), float(values.max())
    return f"{high:.1f} %" if f"{low:.1f}" == f"{high:.1f}" else f"{low:.1f} to {high:.1f} %"


def _runs(rows: pd.DataFrame) -> str:
    seeds = [c for c in rows.columns if str(c).startswith("seed.") and rows[c].nunique() > 1]
    several = f", {rows[seeds].drop_duplicates().shape[0]} seeds" if seeds else ", one seed"
    return f"{len(rows)}{several if len(rows) > 1 else ''}"


def _command(study: Study) -> str:
    said = study.described.get("command")
    if isinstance(said, str):
        return said
    words = study.first_record.get("overrides") if study.first_record else None
    told = " ".join(map(str, words)) if isinstance(words, list) else ""
    return f"crossweep-train {told}" if told else ""


def _choice(rows: pd.DataFrame, group: str) -> str:
    return _joined(_values(rows, f"choice.{group}"))


def _values(rows: pd.DataFrame, column: str) -> list[str]:
    return [str(v) for v in rows[column].dropna().unique() if str(v)] if column in rows else []


def _numbers(rows: pd.DataFrame, column: str) -> pd.Series:
    return pd.to_numeric(rows[column], errors="coerce").dropna() if column in rows else pd.Series(dtype=float)


def _joined(names: Iterable[str]) -> str:
    found = list(names)
    return ", ".join(found[:SHOWN]) + (f" and {len(found) - SHOWN} more" if len(found) > SHOWN else "")
