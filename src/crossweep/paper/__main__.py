"""``python -m crossweep.paper``: save the studies that have run; write figures and the tables of the pages."""

import argparse
import io
from collections.abc import Sequence
from pathlib import Path

from crossweep.errors import StudyError, reported
from crossweep.paper.page import STUDIES, figures, filled, saved
from crossweep.paper.saved import save
from crossweep.records import write_bytes
from crossweep.results.plots.style import Figure, drawing

DPI = 150
PAGES = (Path("RESULTS.md"), Path("ALGORITHMS.md"), Path("NOTES.md"))


def main() -> None:
    """Command line."""
    words = argparse.ArgumentParser(prog="python -m crossweep.paper", description=__doc__)
    words.add_argument("--runs", type=Path, default=Path("multirun"), help="folder of the studies")
    words.add_argument(
        "--saved", type=Path, default=Path("tests/fixtures/paper"), help="where their small files are kept"
    )
    words.add_argument("--figures", type=Path, default=Path(".github"), help="where pictures go")
    words.add_argument(
        "--pages", type=Path, nargs="+", default=PAGES, help="the pages whose parts are written"
    )
    given = words.parse_args()
    with reported("crossweep.paper", StudyError):
        report(given.runs, given.saved, given.figures, given.pages)


def report(runs: Path, kept: Path, pictures: Path, pages: Sequence[Path]) -> None:
    """Everything at once; studies that have not run keep what was saved before."""
    for name in STUDIES:
        if (runs / name).is_dir():
            print(f"{name}: {', '.join(path.name for path in save(runs / name, kept / name))}")
    found = saved(kept)
    with drawing():
        for figure in figures(found):
            print(write_bytes(pictures / f"{figure.name}.png", _png(figure)))
    for page in pages:
        text = page.read_text(encoding="utf-8")
        print(write_bytes(page, filled(text, found).encode()))


def _png(figure: Figure) -> bytes:
    with io.BytesIO() as buffer:
        figure.canvas.savefig(buffer, format="png", dpi=DPI, facecolor="white", metadata={"Software": None})
        return buffer.getvalue()


if __name__ == "__main__":
    main()
