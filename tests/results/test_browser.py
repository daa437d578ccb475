"""The report in a real browser: no console messages, nothing wider than the window, themes, sorting."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from crossweep.results import build_report
from tests.results.studies import cliff, study

BROWSER = next((b for n in ("chromium", "chromium-browser", "google-chrome") if (b := shutil.which(n))), None)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BROWSER is None, reason="no Chromium here; `apt-get install chromium` brings it"),
]
# a PNG of one pixel
PIXEL = (
    "89504e470d0a1a0a0000000d494844520000000100000001080600000"
    "01f15c4890000000d49444154789c6360606060000000050001a5f645400000000049454e44ae426082"
)
# what the page says about itself once it is laid out; written into the title, which the dumped document shows
PROBE = """
<script>{
const wide = [...document.querySelectorAll("main *")].filter(e => !e.closest(".table, pre, svg")
  && e.getBoundingClientRect().right > innerWidth + 1).length;
// tables that are wider than the place they have, and the first one, the specification
const cut = [...document.querySelectorAll(".table")].filter(e => e.scrollWidth > e.clientWidth + 1);
const answer = cut.includes(document.querySelector(".table"));
const texts = [...document.querySelectorAll(":not(details) > .figures svg text")];
const size = Math.min(...texts.map(e => e.getBoundingClientRect().height));
const table = document.querySelectorAll("table.sorts")[document.querySelectorAll("table.sorts").length - 1];
const column = [...table.tHead.rows[0].cells].findIndex(c => c.textContent.startsWith("error increase"));
const values = () => [...table.tBodies[0].rows].map(r => Number(r.cells[column].dataset.v));
const sorted = (v, way) => v.every((x, i) => !i || way * (x - v[i - 1]) >= 0);
table.tHead.rows[0].cells[column].querySelector("button").click();
const up = sorted(values(), 1);
table.tHead.rows[0].cells[column].querySelector("button").click();
const down = sorted(values(), -1);
const mark = document.querySelector(".mark");
mark.dispatchEvent(new PointerEvent("pointerover", {bubbles: true}));
const tip = document.getElementById("tip");
document.title = JSON.stringify({scroll: document.documentElement.scrollWidth, inner: innerWidth, wide, size,
  cut: cut.length, answer, folded: [...document.querySelectorAll("details svg")].length,
  live: document.querySelectorAll("a[href]").length,
  up, down, tip: tip.style.display + " " + tip.textContent, figures: document.querySelectorAll("svg").length,
  paper: getComputedStyle(document.body).backgroundColor, ink: getComputedStyle(texts[0]).fill});
}</script>
"""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = study(tmp_path_factory.mktemp("multirun") / "s", cliff, n=32, algorithms=("cttv2", "ttv2"))
    report = build_report(root, figures=False).path
    probe = report.with_name("probe.html")
    probe.write_text(report.read_text("utf-8").replace("</body>", PROBE + "</body>"), "utf-8")
    return probe


def look(page: Path, width: int, scheme: str) -> tuple[dict[str, object], str]:
    import json

    # 0 and 1 are Blink's numbers for dark and light
    flags = [
        f"--blink-settings=preferredColorScheme={0 if scheme == 'dark' else 1}",
        f"--window-size={width},2000",
    ]
    flags += ["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--dump-dom"]
    done = subprocess.run(
        [str(BROWSER), *flags, page.as_uri()], capture_output=True, text=True, timeout=120, check=True
    )
    title = re.search(r"<title>(\{.*?\})</title>", done.stdout, re.S)
    assert title, "the probe did not run"
    return json.loads(title.group(1)), "\n".join(
        line for line in done.stderr.splitlines() if "CONSOLE" in line
    )


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [500, 1000, 1400])
def test_renders_quietly_and_fits(page: Path, width: int, scheme: str) -> None:
    """500 is the narrowest window that desktop Chromium opens; 400 is tested in a frame below."""
    said, console = look(page, width, scheme)
    assert console == ""
    assert said["figures"] == 11 and said["up"] and said["down"]
    assert said["scroll"] <= said["inner"] and said["wide"] == 0 and not said["answer"]
    assert width < 1000 or said["cut"] == 0
    assert said["folded"] == 2 and said["live"] == 0  # no figures/ beside this page, as where it was mailed
    assert float(str(said["size"])) >= 8.0  # pixels of line height of the smallest label
    assert str(said["tip"]).startswith("block trial")
    paper, ink = ([int(v) for v in re.findall(r"\d+", str(said[k]))[:3]] for k in ("paper", "ink"))
    assert (sum(paper) < 200 < 600 < sum(ink)) if scheme == "dark" else (sum(ink) < 200 < 600 < sum(paper))


def test_fits_a_phone(page: Path) -> None:
    """In a frame of 400 pixels, which the window itself cannot have."""
    frame = page.with_name("frame.html")
    frame.write_text(
        f'<iframe id="f" src="{page.name}" width="400" height="1500"></iframe><script>f.onload = () => '
        "{ document.title = f.contentDocument.title }</script>"
    )
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--allow-file-access-from-files", "--dump-dom"]
    done = subprocess.run(
        [str(BROWSER), *flags, "--virtual-time-budget=5000", frame.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    shape = r'<title>\{"scroll":(\d+),"inner":(\d+),"wide":(\d+),"size":([\d.]+),"cut":\d+,"answer":false'
    found = re.search(shape, done.stdout)
    assert found, done.stdout[:300]
    scroll, inner, wide = (int(v) for v in found.groups()[:3])
    assert inner == 400 and scroll <= 400 and wide == 0
    assert float(found.group(4)) >= 8.0


def test_links_work_where_the_figures_lie_beside_the_page(page: Path) -> None:
    beside = page.with_name("at_home.html")
    image = page.parent / "figures" / "probe.png"
    image.parent.mkdir(exist_ok=True)
    image.write_bytes(bytes.fromhex(PIXEL))
    beside.write_text(
        page.read_text("utf-8").replace('data-home=""', 'data-home="figures/probe.png"'), "utf-8"
    )
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--dump-dom", "--virtual-time-budget=5000"]
    done = subprocess.run(
        [str(BROWSER), *flags, beside.as_uri()], capture_output=True, text=True, timeout=120, check=True
    )
    assert re.search(r'<a data-to="trial_0/"[^>]* href="trial_0/"', done.stdout)
