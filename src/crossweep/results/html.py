"""Pieces of a page that needs nothing else: the document with style and script inside, tables that sort, figures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from html import escape
from importlib.resources import files
from typing import Any

import numpy as np
import pandas as pd

from crossweep.axis import number_text

Link = Callable[[str], str]


def document(title: str, body: Iterable[str], *, at_home: str = "") -> str:
    """The whole document.

    Args:
        title: of the window.
        body: its parts, empty ones are left out.
        at_home: address of an image beside the page. Links to the trials' folders work only where it is found: a page
            that was mailed has no folders.
    """
    style, script = (files(__package__).joinpath(name).read_text("utf-8") for name in ("page.css", "page.js"))
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<link rel="icon" href="data:,">\n'
        f"<title>{escape(title)}: crossweep report</title>\n<style>\n{style}</style>\n</head>\n"
        f'<body data-home="{escape(at_home)}">\n<main>\n'
        + "\n".join(part for part in body if part)
        + f'\n</main>\n<div id="tip"></div>\n<script>\n{script}</script>\n</body>\n</html>\n'
    )


def figure_element(svg: str, caption: str, title: str) -> str:
    """A `<figure>` with heading and caption."""
    return f"<figure><h3>{escape(title)}</h3>{svg}<figcaption>{escape(caption)}</figcaption></figure>"


def section(title: str, figures: Sequence[str], *, folded: bool = False) -> str:
    """Figures under a heading; folded ones wait for a click."""
    drawn = '<div class="figures">\n' + "\n".join(figures) + "\n</div>"
    if folded:
        return f"<details><summary>{escape(title)}</summary>\n{drawn}\n</details>"
    return f"<h2>{escape(title)}</h2>\n{drawn}"


def listed(lines: Iterable[str]) -> str:
    """Items of a list."""
    return "".join(f"<li>{escape(line)}</li>" for line in lines)


class Cell(str):
    """Text that is markup already, with the value it sorts by."""

    __slots__ = ("by",)
    by: object

    def __new__(cls, markup: str, by: object) -> Cell:
        made = super().__new__(cls, markup)
        made.by = by
        return made


def html_table(
    frame: pd.DataFrame, *, tall: bool = False, words_in: Sequence[str] = (), stacks: bool = False
) -> str:
    """A table that sorts; columns without a single value are left out.

    Args:
        frame: cells; a `Cell` brings its own markup.
        tall: scrolls inside a limited height.
        words_in: columns whose text may wrap.
        stacks: where the window is narrow each row becomes a block, a line for each cell.
    """
    frame = frame[[c for c in frame if not all(_empty(v) for v in frame[c])]]
    numeric = {str(c): pd.api.types.is_numeric_dtype(frame[c]) for c in frame.columns}
    heads = "".join(
        f'<th scope="col"{_class("number", numeric[str(c)])}><button>{escape(str(c))}</button></th>'
        for c in frame
    )
    rows = []
    for values in frame.itertuples(index=False, name=None):
        cells = (
            _cell(v, numeric[str(c)], c in words_in, str(c) if stacks else "")
            for c, v in zip(frame.columns, values)
        )
        rows.append(f"<tr>{''.join(cells)}</tr>")
    return (
        f'<div class="table{" tall" * tall}"><table class="sorts{" stacks" * stacks}">'
        f"<thead><tr>{heads}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def _empty(value: Any) -> bool:
    return value is None or value == "" or (isinstance(value, float | np.floating) and bool(np.isnan(value)))


def _cell(value: Any, numeric: bool, wraps: bool, label: str) -> str:
    kind = _class("number", numeric) or _class("words", wraps)
    kind += f' data-l="{escape(label)}"' if label else ""
    if isinstance(value, Cell):
        return f'<td{kind} data-v="{escape(str(value.by))}">{value}</td>'
    if _empty(value):
        return f"<td{kind}></td>"
    if isinstance(value, float | np.floating):
        return f'<td{kind} data-v="{value:.8g}">{number_text(float(value), 4)}</td>'
    return f"<td{kind}>{escape(str(value))}</td>"


def _class(name: str, holds: bool) -> str:
    return f' class="{name}"' if holds else ""
