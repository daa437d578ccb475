"""A figure as inline SVG: themed, with unique ids, hover texts and links on its marks."""

from __future__ import annotations

import io
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable, Sequence

from crossweep.results.plots.style import INK, LINES, MUTED, PAPER, Figure, Tip

SVG, XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
PIXELS = 1.65  # on the page for each point of a figure: type of 8 points is 13 pixels high
THEME = {INK: "var(--ink)", MUTED: "var(--muted)", PAPER: "var(--paper)"}
THEME |= {colour: f"var(--c{i})" for i, colour in enumerate(LINES)}


def inline(figure: Figure, link: Callable[[str], str]) -> str:
    """The figure as an `<svg>` element that follows the page's theme.

    Args:
        figure: drawn within `style.drawing()`, which must still be open.
        link: a trial's folder to what the page links to; an empty answer makes no link.
    """
    buffer = io.BytesIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    figure.canvas.savefig(buffer, format="svg", metadata=nothing)
    ET.register_namespace("", SVG)
    ET.register_namespace("xlink", XLINK)
    root = ET.fromstring(buffer.getvalue())
    for name, tips in figure.tips.items():
        _annotate(root, name, tips, link)
    for stale in root.findall(f"{{{SVG}}}metadata"):
        root.remove(stale)
    root.attrib.pop("height", None)
    # one size of type on the whole page: every figure is drawn at the same scale, whatever its width
    root.set("width", f"{PIXELS * figure.canvas.get_figwidth() * 72:.0f}")
    root.set("role", "img")
    root.set("aria-label", figure.title)
    return _themed(_unique(ET.tostring(root, encoding="unicode"), figure.name))


def _annotate(root: ET.Element, gid: str, tips: Sequence[Tip], link: Callable[[str], str]) -> None:
    """Give the n marks of a collection their n tips; where the counts differ, none (never a wrong one)."""
    group = next((e for e in root.iter(f"{{{SVG}}}g") if e.get("id") == gid), None)
    if group is None:
        return
    parents = {child: parent for parent in group.iter() for child in parent}
    marks = [e for e in group.iter(f"{{{SVG}}}use") if parents[e].tag != f"{{{SVG}}}defs"]
    if len(marks) != len(tips):
        return
    for mark, tip in zip(marks, tips):
        title = ET.SubElement(mark, f"{{{SVG}}}title")
        title.text = tip.text
        mark.set("class", "mark")
        target = link(tip.folder) if tip.folder else ""
        if target:
            parent = parents[mark]
            at = list(parent).index(mark)
            parent.remove(mark)
            anchor = ET.Element(f"{{{SVG}}}a", {"data-to": target})
            anchor.append(mark)
            parent.insert(at, anchor)


def _unique(text: str, prefix: str) -> str:
    """Several figures share a page: every id gets its figure's name in front."""
    names = set(re.findall(r'\bid="([^"]+)"', text))

    def renamed(match: re.Match[str]) -> str:
        name = match.group(2)
        return f"{match.group(1)}{prefix}-{name}{match.group(3)}" if name in names else match.group(0)

    text = re.sub(r'(\bid=")([^"]+)(")', renamed, text)
    text = re.sub(r"(url\(#)([^)]+)(\))", renamed, text)
    return re.sub(r'(href="#)([^"]+)(")', renamed, text)


def _themed(text: str) -> str:
    for colour, variable in THEME.items():
        text = text.replace(colour, variable)
    return text
