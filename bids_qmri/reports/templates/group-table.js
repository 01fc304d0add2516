"use strict";
// The table of all fits: sorted by a click on a heading, a page at a time.

const PAGE = 50;
const browser = { column: 0, descending: false, page: 0, rows: [], columns: [] };

function cell(tag, text, kind) {
  const element = document.createElement(tag);
  element.textContent = text;
  if (kind) element.className = kind;
  return element;
}

function textColumn(title, name) {
  const { levels, codes } = textOf(study.labels[name]);
  const rank = once(`rank ${name}`, () => {
    const order = levels.map((_, place) => place).sort((a, b) => collator.compare(levels[a], levels[b]));
    const places = new Float64Array(levels.length);
    order.forEach((place, position) => { places[place] = position; });
    return places;
  });
  return { title, name, plain: (row) => levels[codes[row]], key: (row) => rank[codes[row]], fill: (row) => cell("td", levels[codes[row]]) };
}

function columnsOf(metrics, withRegion) {
  const participant = textColumn("Participant", "participant_id");
  participant.fill = (row) => {
    const head = cell("th", "");
    head.scope = "row";
    const link = cell("a", labelOf("participant_id", row));
    link.href = pageOf(row);
    head.append(link);
    return head;
  };
  const labels = [...ENTITIES, "estimator", ...(withRegion ? ["region"] : [])];
  const titles = { ses: "Session", estimator: "Estimator", region: "Region" };
  const flags = {
    title: "Outlier in",
    name: "outlier_in",
    plain: (row) => (flagsByRow.get(row) || []).map((metric) => metric.name).join(",") || "none",
    key: (row) => -(flagsByRow.get(row) || []).length,
    fill: (row) => cell("td", (flagsByRow.get(row) || []).map((metric) => metric.title).join(", "), "flag"),
  };
  const numbers = metrics.map((metric) => {
    const values = valuesOf(metric);
    return {
      title: headingOf(metric),
      text: metric.text,
      name: metric.name,
      plain: (row) => digits(rawOf(metric)[row]),
      number: true,
      key: (row) => values[row],
      fill: (row) => cell("td", short(values[row]), outliersOf(metric).has(row) ? "number flag" : "number"),
    };
  });
  return [participant, ...labels.map((name) => textColumn(titles[name] || name, name)), flags, ...numbers];
}

function showTable(metrics, rows, withRegion) {
  browser.columns = columnsOf(metrics, withRegion);
  browser.rows = rows;
  if (browser.column >= browser.columns.length) browser.column = 0;
  sortTable();
}

function sortTable() {
  const { key } = browser.columns[browser.column];
  const sign = browser.descending ? -1 : 1;
  // What is missing comes last in either direction.
  browser.rows = Array.from(browser.rows).sort((a, b) => {
    const [x, y] = [key(a), key(b)];
    if (Number.isNaN(x) || Number.isNaN(y)) return Number.isNaN(x) - Number.isNaN(y) || a - b;
    return sign * (x - y) || a - b;
  });
  browser.page = 0;
  fillTable();
}

function heading(column, place) {
  const head = cell("th", "", column.number ? "number" : "");
  head.scope = "col";
  if (place === browser.column) head.setAttribute("aria-sort", browser.descending ? "descending" : "ascending");
  const button = cell("button", column.title);
  button.type = "button";
  if (column.text) button.title = column.text;
  button.addEventListener("click", () => {
    browser.descending = place === browser.column && !browser.descending;
    browser.column = place;
    sortTable();
    document.querySelectorAll("#rows thead button")[place].focus();
  });
  head.append(button);
  return head;
}

function fillTable() {
  const { rows, columns, page } = browser;
  const pages = Math.max(Math.ceil(rows.length / PAGE), 1);
  const head = document.createElement("tr");
  head.append(...columns.map(heading));
  document.querySelector("#rows thead").replaceChildren(head);
  const lines = rows.slice(page * PAGE, (page + 1) * PAGE).map((row) => {
    const line = document.createElement("tr");
    line.append(...columns.map((column) => {
      const filled = column.fill(row);
      // On narrow screens and on paper a row is a block, and numbers have their names beside them.
      if (column.number || (filled.textContent && column.name === "outlier_in")) filled.dataset.label = column.title;
      return filled;
    }));
    return line;
  });
  document.querySelector("#rows tbody").replaceChildren(...lines);
  const numbers = [page * PAGE + 1, Math.min((page + 1) * PAGE, rows.length), rows.length].map((one) => one.toLocaleString("en"));
  document.getElementById("page").textContent = rows.length ? `${numbers[0]} to ${numbers[1]} of ${numbers[2]}` : "no fits";
  document.querySelector(".pager").hidden = pages === 1;
  document.getElementById("back").disabled = page === 0;
  document.getElementById("next").disabled = page >= pages - 1;
}

function turn(by) {
  browser.page += by;
  fillTable();
}

document.getElementById("back").addEventListener("click", () => turn(-1));
document.getElementById("next").addEventListener("click", () => turn(1));
