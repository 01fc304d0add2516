"use strict";
// The numbers of the page: columns are unpacked when they are first asked for.

const study = JSON.parse(document.getElementById("data").textContent);

function unpack(text, Type) {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  return new Type(bytes.buffer);
}

const unpacked = new Map();
function once(key, make) {
  if (!unpacked.has(key)) unpacked.set(key, make());
  return unpacked.get(key);
}

// Values of a metric by fit, in the unit of its heading; NaN where missing.
function valuesOf(metric) {
  return once(metric, () => {
    const values = unpack(metric.values, Float32Array);
    for (let row = 0; row < values.length; row += 1) {
      values[row] = Number.isFinite(values[row]) ? values[row] * metric.scale : NaN;
    }
    return values;
  });
}

function metricOf(name) {
  return study.metrics.find((one) => one.name === name);
}

// Medians over common voxels are marked where those over the estimator's own voxels are outliers.
function outliersOf(metric) {
  const judge = metric.judged && metricOf(metric.judged);
  if (judge) return outliersOf(judge);
  return once("outliers " + metric.name, () => new Set(metric.outliers ? unpack(metric.outliers, Uint32Array) : []));
}

// The median of a metric by name over some fits, NaN without one.
function middleOf(name, rows) {
  const metric = name && metricOf(name);
  if (!metric) return NaN;
  const values = valuesOf(metric);
  return quantile(Float32Array.from(rows, (row) => values[row]).filter((value) => !Number.isNaN(value)).sort(), 0.5);
}

function percent(share) {
  return Math.abs(share) < 0.0995 ? `${Number((100 * share).toPrecision(2))} %` : `${(100 * share).toFixed(0)} %`;
}

// A column of text: `levels`, and `codes` that say for every fit which one it has.
function textOf(column) {
  const { levels } = column;
  const Type = levels.length <= 256 ? Uint8Array : levels.length <= 65536 ? Uint16Array : Uint32Array;
  return once(column, () => ({ levels, codes: unpack(column.codes, Type) }));
}

function labelOf(name, row) {
  const column = textOf(study.labels[name]);
  return column.levels[column.codes[row]];
}

function pageOf(row) {
  const column = textOf(study.pages);
  return column.levels[column.codes[row]];
}

const ENTITIES = Object.keys(study.labels).filter((name) => !["participant_id", "estimator", "region"].includes(name));

function nameOf(row) {
  const parts = ENTITIES.map((key) => [key, labelOf(key, row)]).filter(([, text]) => text !== "n/a");
  return [labelOf("participant_id", row), ...parts.map(([key, text]) => `${key}-${text}`)].join("_");
}

function headingOf(metric) {
  return metric.unit ? `${metric.title} (${metric.unit})` : metric.title;
}

function short(value) {
  if (Number.isNaN(value)) return "n/a";
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-4 || size >= 1e6)) return value.toExponential(3).replace(/\.?0+e/, "e");
  return String(Number(value.toPrecision(4)));
}

// One for all comparisons: to make it takes longer than to compare.
const collator = new Intl.Collator("en", { numeric: true });

function quantile(sorted, share) {
  if (!sorted.length) return NaN;
  const place = share * (sorted.length - 1);
  const low = Math.floor(place);
  const next = Math.min(low + 1, sorted.length - 1);
  return sorted[low] + (sorted[next] - sorted[low]) * (place - low);
}

// Every fit's group by a column of participants.tsv with numbers: four of equal size.
function quarters(column) {
  const values = unpack(column.values, Float32Array);
  const sorted = values.filter((value) => !Number.isNaN(value)).sort();
  const cuts = [0, 0.25, 0.5, 0.75, 1].map((share) => quantile(sorted, share));
  const levels = [0, 1, 2, 3].map((place) => `${short(cuts[place])} to ${short(cuts[place + 1])}`).concat("n/a");
  const codes = Uint32Array.from(values, (value) =>
    Number.isNaN(value) ? 4 : Math.min(cuts.slice(1, 4).filter((cut) => value > cut).length, 3));
  return { levels, codes };
}

// By what fits can be split: name for people, and the text of every fit.
const MOST_LANES = 24;
function splits() {
  const own = Object.entries(study.labels)
    .filter(([name, column]) => !["participant_id", "estimator", "region"].includes(name) && column.levels.length <= MOST_LANES)
    .map(([name, column]) => ({ name: { ses: "session" }[name] || name, text: () => textOf(column) }));
  const people = study.people.map((column) => ({
    name: column.name,
    text: () => once(column, () => (column.levels ? textOf({ ...column }) : quarters(column))),
  }));
  return [...own, ...people];
}

// Fits that contain all words and meet all conditions of a filter, and what of it is not understood.
function parseFilter(text) {
  const conditions = [];
  const unknown = [];
  const rest = text.replace(/([A-Za-z]\w*)\s*(<=|>=|<|>|=)\s*([-+]?[\d.]+(?:e[-+]?\d+)?)/gi, (_, name, sign, number) => {
    const metric = study.metrics.find((one) => one.name === name.toLowerCase());
    if (metric) conditions.push({ values: valuesOf(metric), sign, number: Number(number) * metric.scale });
    else unknown.push(name);
    return " ";
  });
  const words = rest.toLowerCase().split(/\s+/).filter(Boolean);
  const texts = [...Object.values(study.labels), ...study.people.filter((column) => column.levels)].map(textOf);
  const found = words.map((word) => texts.map((column) => column.levels.map((level) => level.toLowerCase().includes(word))));
  const passes = (row) =>
    conditions.every(({ values, sign, number }) => meets(values[row], sign, number)) &&
    found.every((columns) => columns.some((hits, place) => hits[texts[place].codes[row]]));
  return { passes, unknown };
}

function meets(value, sign, number) {
  const close = Math.abs(value - number) <= 1e-6 * Math.abs(number);
  if (sign === "<") return value < number && !close;
  if (sign === ">") return value > number && !close;
  if (sign === "<=") return value <= number || close;
  if (sign === ">=") return value >= number || close;
  return close || value === number;
}

// Metrics in which each fit is an outlier.
const flagsByRow = new Map();
for (const metric of study.metrics) {
  for (const row of metric.outliers ? outliersOf(metric) : []) {
    if (!flagsByRow.has(row)) flagsByRow.set(row, []);
    flagsByRow.get(row).push(metric);
  }
}
