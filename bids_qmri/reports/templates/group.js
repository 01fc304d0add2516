"use strict";
// What is chosen above the figures decides what figures and table show.

const control = Object.fromEntries(
  ["set", "split", "estimator", "region", "filter", "flagged", "shown"].map((id) => [id, document.getElementById(id)]),
);
const SPLITS = splits();

function options(select, texts) {
  select.replaceChildren(...texts.map((text, place) => {
    const option = document.createElement("option");
    option.value = String(place);
    option.textContent = text;
    return option;
  }));
  select.closest("label").hidden = texts.length < 2;
}

const SETS = [...new Set(study.metrics.map((metric) => metric.set))];
const ESTIMATORS = textOf(study.labels.estimator).levels;
const REGIONS = study.labels.region ? textOf(study.labels.region).levels : ["mask"];
options(control.set, SETS);
options(control.split, ["estimator", ...SPLITS.map((split) => split.name)]);
options(control.estimator, ["all", ...ESTIMATORS]);
options(control.region, REGIONS);
control.region.value = String(Math.max(REGIONS.indexOf("mask"), 0));

function ofRegion() {
  const region = Number(control.region.value);
  return once(`region ${region}`, () => {
    const all = Uint32Array.from({ length: study.count }, (_, row) => row);
    if (!study.labels.region) return all;
    const { codes } = textOf(study.labels.region);
    return all.filter((row) => codes[row] === region);
  });
}

// Groups of the chosen fits, in the order of their names; those beyond what a figure can hold are one group.
function lanesOf(rows) {
  const split = SPLITS[Number(control.split.value) - 1];
  const estimator = textOf(study.labels.estimator);
  const text = split ? split.text() : null;
  const several = new Set(Array.from(rows, (row) => estimator.codes[row])).size > 1;
  const lanes = new Map();
  for (const row of rows) {
    const own = estimator.levels[estimator.codes[row]];
    const label = text ? text.levels[text.codes[row]] + (several ? `, ${own}` : "") : own;
    if (!lanes.has(label)) lanes.set(label, []);
    lanes.get(label).push(row);
  }
  const labels = [...lanes.keys()].sort(collator.compare);
  const found = labels.slice(0, MOST_LANES).map((label) => ({ label, rows: lanes.get(label) }));
  const others = labels.slice(MOST_LANES).flatMap((label) => lanes.get(label));
  return others.length ? [...found, { label: "others", rows: others }] : found;
}

function update() {
  const every = ofRegion();
  const { passes, unknown } = parseFilter(control.filter.value);
  const estimator = Number(control.estimator.value) - 1;
  const { codes } = textOf(study.labels.estimator);
  const rows = every.filter((row) =>
    (estimator < 0 || codes[row] === estimator) && (!control.flagged.checked || flagsByRow.has(row)) && passes(row));
  const known = (metric) => every.some((row) => !Number.isNaN(valuesOf(metric)[row]));
  const metrics = study.metrics.filter((metric) => metric.set === SETS[Number(control.set.value)]).filter(known);
  const region = REGIONS[Number(control.region.value)];
  const where = region === "mask" ? "Whole masks." : `Region ${region}.`;
  document.getElementById("where").textContent = metrics.length ? where : `${where} These metrics are those of whole masks.`;
  showPanels(metrics, lanesOf(rows), { rows: every, key: control.region.value });
  showTable(metrics, rows, false);
  const missing = unknown.length ? `; no metric is called ${unknown.join(", ")}` : "";
  control.shown.textContent = `${rows.length.toLocaleString("en")} of ${every.length.toLocaleString("en")} fits${missing}`;
}

let waiting = 0;
control.filter.addEventListener("input", () => {
  clearTimeout(waiting);
  waiting = setTimeout(update, 150);
});
for (const name of ["set", "split", "estimator", "region", "flagged"]) control[name].addEventListener("change", update);
document.getElementById("controls").addEventListener("submit", (event) => event.preventDefault());

for (const id of ["controls", "panels", "browser"]) document.getElementById(id).hidden = false;
for (const id of ["figures", "list"]) document.getElementById(id).hidden = true;
update();
document.documentElement.dataset.ready = String(Math.round(performance.now()));
