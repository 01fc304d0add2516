"use strict";
// Distributions on canvas: one panel per metric, one lane per group, a link that follows the pointer or the arrow keys.

const LANE = 48;
const TOP = 30;
const MARGIN = 14;
const NEAR = 12;
const SPREAD = 13;
const BINS = 60;
const FEWEST_FOR_BOX = 5;
const FEWEST_FOR_SHAPE = 30;

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

// A point keeps its height within a lane when others come or go.
function jitter(text) {
  let hash = 2166136261;
  for (let place = 0; place < text.length; place += 1) hash = Math.imul(hash ^ text.charCodeAt(place), 16777619);
  return ((hash >>> 8) % 1000) / 500 - 1;
}

const heights = once("heights", () => {
  const { levels, codes } = textOf(study.labels.participant_id);
  const byLevel = levels.map(jitter);
  return Float32Array.from(codes, (code) => byLevel[code]);
});

// The ends of an axis: of all fits, but no further than 6 interquartile ranges from the quartiles.
function limitsOf(metric, rows) {
  const values = valuesOf(metric);
  const sorted = Float32Array.from(rows, (row) => values[row]).filter((value) => !Number.isNaN(value)).sort();
  if (!sorted.length) return [0, 1];
  const reach = 6 * (quantile(sorted, 0.75) - quantile(sorted, 0.25));
  let [low, high] = [sorted[0], sorted[sorted.length - 1]];
  if (reach > 0) {
    low = Math.max(low, quantile(sorted, 0.25) - reach);
    high = Math.min(high, quantile(sorted, 0.75) + reach);
  }
  // A few fits that hardly differ must not look as if they did.
  const margin = Math.max(0.05 * (high - low), 0.05 * Math.abs(high + low) / 2 - (high - low) / 2) || 1;
  return [low - margin, high + margin];
}

function ticksOf([low, high]) {
  const rough = (high - low) / 4;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((one) => one >= rough);
  const ticks = [];
  for (let place = Math.ceil(low / step); place * step <= high; place += 1) ticks.push(place * step);
  return ticks;
}

class Panel {
  constructor(metric, lanes, limits) {
    Object.assign(this, { metric, lanes, limits, points: [], inLane: new Map(), besides: new Map() });
    this.root = document.createElement("figure");
    const caption = document.createElement("figcaption");
    caption.textContent = headingOf(metric);
    caption.title = metric.text;
    const common = document.createElement("span");
    common.className = "unit";
    common.textContent = this.common();
    caption.append(" ", common);
    this.body = document.createElement("div");
    this.body.className = "panel";
    this.canvas = document.createElement("canvas");
    this.canvas.setAttribute("role", "img");
    this.canvas.setAttribute("aria-label", this.summary());
    this.cursor = document.createElement("a");
    this.cursor.className = "cursor";
    this.tip = document.createElement("div");
    this.tip.className = "tip";
    this.body.append(this.canvas, this.cursor, this.tip);
    this.root.append(caption, this.body);
    this.hide();
    this.body.addEventListener("pointermove", (event) => this.follow(event));
    this.body.addEventListener("pointerdown", (event) => this.follow(event));
    this.body.addEventListener("pointerleave", () => this.hide());
    this.cursor.addEventListener("focus", () => this.focused());
    this.cursor.addEventListener("blur", () => this.hide());
    this.cursor.addEventListener("keydown", (event) => this.step(event));
  }

  summary() {
    const texts = this.lanes.map((lane) => {
      const sorted = this.sorted(lane);
      const beside = this.beside(lane);
      return `${lane.label}: ${sorted.length} fits, median ${sorted.length ? short(quantile(sorted, 0.5)) : "n/a"}${beside && `, ${beside}`}`;
    });
    return `Distribution of ${headingOf(this.metric)}. ${texts.join("; ")}.`;
  }

  sorted(lane) {
    const values = valuesOf(this.metric);
    const known = () => Float32Array.from(lane.rows, (row) => values[row]).filter((value) => !Number.isNaN(value));
    if (!this.inLane.has(lane)) this.inLane.set(lane, known().sort());
    return this.inLane.get(lane);
  }

  known(rows) {
    const values = valuesOf(this.metric);
    return rows.filter((row) => !Number.isNaN(values[row]));
  }

  // In how many voxels the data determine the map of a lane.
  beside(lane) {
    const share = () => middleOf(this.metric.determined, this.known(lane.rows));
    if (!this.besides.has(lane)) this.besides.set(lane, share());
    const found = this.besides.get(lane);
    return Number.isNaN(found) ? "" : `${percent(found)} determined`;
  }

  // In how many voxels all estimators have an answer, where the numbers are of these.
  common() {
    const voxels = middleOf(this.metric.common, this.lanes.flatMap((lane) => Array.from(this.known(lane.rows))));
    return Number.isNaN(voxels) ? "" : `${Math.round(voxels).toLocaleString("en")} voxels in common`;
  }

  place(value) {
    const share = (value - this.limits[0]) / (this.limits[1] - this.limits[0]);
    return MARGIN + (this.width - 2 * MARGIN) * Math.min(Math.max(share, 0), 1);
  }

  draw() {
    this.width = this.body.clientWidth;
    if (!this.width) return;
    const height = TOP + LANE * this.lanes.length + 10;
    const ratio = window.devicePixelRatio || 1;
    this.canvas.width = this.width * ratio;
    this.canvas.height = height * ratio;
    this.canvas.style.height = `${height}px`;
    const pen = this.canvas.getContext("2d");
    pen.scale(ratio, ratio);
    pen.font = "11px system-ui, sans-serif";
    this.points = [];
    this.axis(pen, height - 24);
    this.lanes.forEach((lane, place) => this.lane(pen, lane, TOP + LANE * place));
    this.byValue = null;
  }

  axis(pen, y) {
    pen.fillStyle = colour("--quiet");
    pen.strokeStyle = colour("--line");
    pen.textAlign = "center";
    pen.beginPath();
    pen.moveTo(MARGIN - 6, y + 0.5);
    pen.lineTo(this.width - MARGIN + 6, y + 0.5);
    for (const tick of ticksOf(this.limits)) {
      const x = Math.round(this.place(tick)) + 0.5;
      pen.moveTo(x, y + 0.5);
      pen.lineTo(x, y + 4.5);
      pen.fillText(short(Number(tick.toPrecision(12))), x, y + 17);
    }
    pen.stroke();
  }

  lane(pen, lane, y) {
    const { rows } = lane;
    const sorted = this.sorted(lane);
    const [p05, p25, p50, p75, p95] = [0.05, 0.25, 0.5, 0.75, 0.95].map((share) => this.place(quantile(sorted, share)));
    this.title(pen, lane, sorted, y - 15);
    if (!sorted.length) return;
    this.dots(pen, rows, y, sorted.length);
    if (sorted.length < FEWEST_FOR_BOX) return;
    pen.strokeStyle = colour("--text");
    pen.lineWidth = 1.2;
    pen.strokeRect(p25, y - 9, Math.max(p75 - p25, 1), 18);
    pen.beginPath();
    for (const [from, to] of [[p05, p25], [p75, p95]]) {
      pen.moveTo(from, y);
      pen.lineTo(to, y);
    }
    pen.stroke();
    pen.fillStyle = colour("--text");
    pen.fillRect(p50 - 1, y - 11, 2, 22);
  }

  title(pen, lane, sorted, y) {
    const beyond = sorted.filter((value) => value < this.limits[0] || value > this.limits[1]).length;
    const room = this.width - 2 * MARGIN + 12;
    pen.fillStyle = colour("--quiet");
    pen.textAlign = "right";
    const note = beyond ? `${beyond} beyond the axis` : "";
    pen.fillText(note, this.width - MARGIN + 6, y);
    pen.textAlign = "left";
    const left = Math.max(room - pen.measureText(note).width - 12, 40);
    const name = `${lane.label} (${sorted.length})`;
    const beside = this.beside(lane);
    pen.fillText(name, MARGIN - 6, y, left);
    if (!beside) return;
    // The share of voxels qualifies the numbers below it, so it does not hide among them.
    const start = pen.measureText(`${name}  `).width;
    pen.fillStyle = colour("--text");
    pen.fillText(beside, MARGIN - 6 + start, y, Math.max(left - start, 40));
  }

  // How far points may stray from the middle of a lane: as far as there are many of their value.
  widths(rows) {
    const values = valuesOf(this.metric);
    const bins = new Float32Array(BINS + 1);
    const bin = (row) => Math.round((BINS * (this.place(values[row]) - MARGIN)) / (this.width - 2 * MARGIN));
    for (const row of rows) if (!Number.isNaN(values[row])) bins[bin(row)] += 1;
    const smooth = bins.map((_, place) => (bins[place - 1] || 0) + 2 * bins[place] + (bins[place + 1] || 0));
    const most = Math.max(...smooth.subarray(1, BINS), 1);
    return (row) => SPREAD * Math.min(Math.max(smooth[bin(row)] / most, 0.2), 1);
  }

  dots(pen, rows, y, count) {
    const values = valuesOf(this.metric);
    const flagged = outliersOf(this.metric);
    const [radius, alpha] = count <= 200 ? [3.5, 0.7] : count <= 2000 ? [2.2, 0.4] : [1.2, Math.max(600 / count, 0.03)];
    const spread = count < FEWEST_FOR_SHAPE ? () => 9 : this.widths(rows);
    const ringed = [];
    pen.fillStyle = colour("--accent");
    pen.globalAlpha = alpha;
    for (const row of rows) {
      if (Number.isNaN(values[row])) continue;
      const point = { row, lane: y, x: this.place(values[row]), y: y + spread(row) * heights[row] };
      this.points.push(point);
      if (flagged.has(row)) ringed.push(point);
      else if (radius < 2) pen.fillRect(point.x - radius, point.y - radius, 2 * radius, 2 * radius);
      else {
        pen.beginPath();
        pen.arc(point.x, point.y, radius, 0, 7);
        pen.fill();
      }
    }
    pen.globalAlpha = 1;
    pen.strokeStyle = colour("--fail");
    pen.lineWidth = 1.6;
    for (const point of ringed) {
      pen.beginPath();
      pen.arc(point.x, point.y, Math.max(radius, 2.4), 0, 7);
      pen.stroke();
    }
  }

  follow(event) {
    const box = this.body.getBoundingClientRect();
    const [x, y] = [event.clientX - box.left, event.clientY - box.top];
    let nearest = null;
    let least = NEAR * NEAR;
    for (const point of this.points) {
      const away = (point.x - x) ** 2 + (point.y - y) ** 2;
      if (away <= least) [nearest, least] = [point, away];
    }
    if (nearest) this.show(nearest);
    else if (document.activeElement !== this.cursor) this.hide();
  }

  show(point) {
    const { row, x, y } = point;
    this.shown = point;
    const text = `${nameOf(row)} ${labelOf("estimator", row)}: ${short(valuesOf(this.metric)[row])} ${this.metric.unit}`.trim();
    this.cursor.href = pageOf(row);
    this.cursor.setAttribute("aria-label", text);
    this.cursor.style.cssText = `left: ${x}px; top: ${y}px`;
    this.tip.textContent = text;
    this.tip.style.cssText = x > this.width / 2
      ? `right: ${this.width - x + 12}px; top: ${y + 12}px`
      : `left: ${x + 12}px; top: ${y + 12}px`;
  }

  hide() {
    this.shown = null;
    this.cursor.style.cssText = "left: 0; top: 0; opacity: 0; pointer-events: none";
    this.tip.style.cssText = "display: none";
    // Without an address it could not be reached with the keyboard.
    if (!this.cursor.hasAttribute("href")) this.cursor.href = "#plots";
    this.cursor.setAttribute("aria-label", `Points of ${headingOf(this.metric)}: step through them with the arrow keys`);
  }

  inOrder() {
    const values = valuesOf(this.metric);
    this.byValue ||= [...this.points].sort((a, b) => a.lane - b.lane || values[a.row] - values[b.row]);
    return this.byValue;
  }

  focused() {
    const points = this.inOrder();
    if (!this.shown && points.length) this.show(points[points.filter((one) => one.lane === TOP).length >> 1] || points[0]);
  }

  step(event) {
    const points = this.inOrder();
    const place = points.indexOf(this.shown);
    const lanes = [...new Set(points.map((one) => one.lane))];
    const lane = lanes.indexOf(this.shown ? this.shown.lane : TOP);
    const middle = (y) => points.filter((one) => one.lane === y)[points.filter((one) => one.lane === y).length >> 1];
    const target = {
      ArrowRight: points[Math.min(place + 1, points.length - 1)],
      ArrowLeft: points[Math.max(place - 1, 0)],
      ArrowDown: middle(lanes[Math.min(lane + 1, lanes.length - 1)]),
      ArrowUp: middle(lanes[Math.max(lane - 1, 0)]),
      Home: points.find((one) => one.lane === lanes[lane]),
      End: points.findLast((one) => one.lane === lanes[lane]),
    }[event.key];
    if (!target) return;
    event.preventDefault();
    this.show(target);
  }
}

const panels = { all: [], root: document.getElementById("panels") };

// Panels are drawn when they come into view: a set may have many.
const watcher = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    const panel = panels.all.find((one) => one.root === entry.target);
    if (panel) panel.visible = entry.isIntersecting;
    if (panel && panel.visible && panel.stale) drawPanel(panel);
  }
}, { rootMargin: "300px" });

function drawPanel(panel) {
  panel.draw();
  panel.stale = false;
}

function showPanels(metrics, lanes, every) {
  watcher.disconnect();
  panels.all = metrics.map((metric) => new Panel(metric, lanes, once(`limits ${metric.name} ${every.key}`, () => limitsOf(metric, every.rows))));
  panels.root.replaceChildren(...panels.all.map((panel) => panel.root));
  for (const panel of panels.all) {
    panel.body.style.minHeight = `${TOP + LANE * lanes.length + 10}px`;
    panel.stale = true;
    watcher.observe(panel.root);
  }
}

function redrawPanels() {
  for (const panel of panels.all) {
    panel.stale = true;
    if (panel.visible) drawPanel(panel);
  }
}

window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redrawPanels);
new ResizeObserver(redrawPanels).observe(panels.root);
