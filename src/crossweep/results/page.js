"use strict";
// links to trial folders: only where this page lies beside its figures, not where it was mailed
if (document.body.dataset.home) {
  const probe = new Image();
  probe.onload = () => document.querySelectorAll("a[data-to]").forEach(a => a.setAttribute("href", a.dataset.to));
  probe.src = document.body.dataset.home;
}
// tables: a click on a heading sorts, a second click turns it round
for (const table of document.querySelectorAll("table.sorts")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => head.querySelector("button").addEventListener("click", () => {
    const up = head.getAttribute("aria-sort") !== "ascending";
    heads.forEach(h => h.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    const key = row => { const c = row.cells[column]; const t = c.dataset.v ?? c.textContent; const n = Number(t); return t === "" || Number.isNaN(n) ? t : n; };
    const order = (a, b) => a === "" ? 1 : b === "" ? -1 : typeof a === typeof b ? (a < b ? -1 : a > b ? 1 : 0) * (up ? 1 : -1) : typeof a === "number" ? -1 : 1;
    const body = table.tBodies[0];
    body.append(...[...body.rows].sort((r, s) => order(key(r), key(s))));
  }));
}
// figures: the title of a mark at once, beside the pointer; without scripts the browser shows it after a moment
const tip = document.getElementById("tip");
const shown = new WeakMap();
document.addEventListener("pointerover", event => {
  const mark = event.target.closest?.(".mark");
  if (!mark) { tip.style.display = "none"; return; }
  const title = mark.querySelector("title");
  if (title) { shown.set(mark, title.textContent); title.remove(); }
  tip.textContent = shown.get(mark) ?? "";
  tip.style.display = "block";
});
document.addEventListener("pointermove", event => {
  if (tip.style.display !== "block") return;
  tip.style.left = Math.max(4, Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8)) + "px";
  tip.style.top = Math.max(4, Math.min(event.clientY + 16, innerHeight - tip.offsetHeight - 8)) + "px";
});
