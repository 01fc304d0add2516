"use strict";
// The shown table as a file: what passes the filter, in its order, by the names and in the units of the whole table.

const SIGNIFICANT = 7;

// As the page holds it: in the unit of the whole table, in single precision.
function rawOf(metric) {
  return once(`raw ${metric.name}`, () => unpack(metric.values, Float32Array));
}

function digits(value) {
  return Number.isFinite(value) ? String(Number(value.toPrecision(SIGNIFICANT))) : "n/a";
}

function tableText() {
  const { rows, columns } = browser;
  const lines = [columns.map((column) => column.name), ...rows.map((row) => columns.map((column) => column.plain(row)))];
  return lines.map((cells) => `${cells.join("\t")}\n`).join("");
}

function download(text, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "text/tab-separated-values" }));
  link.download = name;
  link.click();
  // Not at once: the browser may not have begun to read.
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

const button = document.getElementById("download");
button.addEventListener("click", () => download(tableText(), button.dataset.name));
