"use strict";
// Viewer of an acquisition: three planes through one voxel, of one map or of two beside each other.
(() => {
  const {load, reach, meaningOf, windowed, parts, pack, HIGHEST} = volumes;
  const {describe, square, short} = readout;
  const DARKEST = 0.85, VEILED = 0.8, GREATEST_ZOOM = 8;
  // What lies across and down a plane, as axes of the body: right to left, front to back, head to foot.
  const PLANES = {axial: [0, 1], coronal: [0, 2], sagittal: [1, 2]};
  const ENDS = [["R", "L"], ["A", "P"], ["S", "I"]];

  // Where a voxel lies in a layer, as column, row and slice; and the way back.
  function placeOf(layer, voxel) {
    const [first, ...steps] = layer.steps;
    const sizes = [layer.tile[1] - 1, layer.tile[0] - 1, layer.count];
    return steps.map((step, index) => {
      const axis = step.findIndex((part) => part !== 0);
      const place = axis < 0 ? 0 : Math.round((voxel[axis] - first[axis]) / step[axis]);
      return Math.min(Math.max(place, 0), sizes[index] - 1);
    });
  }

  function voxelOf(layer, place) {
    const [first, ...steps] = layer.steps;
    return first.map((start, axis) => start + steps.reduce((sum, step, index) => sum + step[axis] * place[index], 0));
  }

  function indexOf(layer, [column, row, slice]) {
    return (slice * (layer.tile[0] - 1) + row) * (layer.tile[1] - 1) + column;
  }

  // A layer by axes of the body: size and length of its voxels, and places counted from R, A and S.
  function body(layer) {
    const sizes = [], lengths = [];
    layer.axes.forEach((axis, index) => {
      sizes[axis] = [layer.tile[1] - 1, layer.tile[0] - 1, layer.count][index];
      lengths[axis] = layer.lengths[index];
    });
    const turn = (place) => place.map((part, index) => (index === 2 ? layer.count - 1 - part : part));
    return {
      sizes, lengths,
      from: (place) => turn(place).reduce((found, part, index) => { found[layer.axes[index]] = part; return found; }, []),
      to: (point) => turn(layer.axes.map((axis) => point[axis])),
    };
  }

  function start(section) {
    const viewer = section.querySelector(".viewer");
    const figures = [...section.querySelectorAll("figure[data-viewer]")];
    if (!viewer || !figures.length) return;
    const named = Object.fromEntries([...viewer.querySelectorAll("[data-control]")].map((one) => [one.dataset.control, one]));
    const layers = figures.map((figure) => ({
      ...JSON.parse(figure.dataset.viewer),
      figure, fit: figure.dataset.fit, name: figure.dataset.name,
      image: figure.querySelector("img"), veil: figure.querySelector("img.veil"),
    }));
    const sets = [...viewer.querySelectorAll(".planes")].map((set) => ({set, planes: new Map()}));
    const state = {layer: layers[0], other: null, voxel: [], zoom: 1};
    const tile = document.createElement("canvas");

    function fill(select) {
      const groups = {};
      layers.forEach((layer, index) => {
        groups[layer.fit] ??= select.appendChild(Object.assign(document.createElement("optgroup"), {label: layer.fit}));
        groups[layer.fit].append(new Option(layer.name, index));
      });
    }

    // Maps of one name share what is at the ends of their scale, as those of two estimators.
    const windows = {};
    function windowOf(layer) {
      return windows[`${layer.name} ${layer.unit}`] ?? [layer.low, layer.high];
    }

    function companion(layer, wanted) {
      return layers.find((other) => other.fit === layer.fit && wanted(other) && other !== layer);
    }

    function statusOf(layer) {
      return layer.kind === "status" ? layer : companion(layer, (other) => other.kind === "status");
    }

    function sdOf(layer) {
      return companion(layer, (other) => other.name === `sd of ${layer.name}`);
    }

    function helpers(layer) {
      return {
        status: named.marks.checked ? statusOf(layer) : null,
        sd: named.fades.checked ? sdOf(layer) : null,
      };
    }

    // The colour of a voxel, as a function of its index.
    function painter(layer) {
      const {status, sd} = helpers(layer);
      const [low, high] = windowOf(layer);
      const shades = layer.kind === "map" ? windowed(layer, low, high) : null;
      return (at) => {
        let colour = shades ? shades(at) : layer.pixels[at];
        if (sd) {
          const kept = 1 - DARKEST * Math.min(Math.max(sd.levels[at] - 1, 0) / (HIGHEST - 1), 1);
          colour = pack(...parts(colour).map((part) => Math.round(part * kept)));
        }
        if (layer.veiled?.[at]) {
          colour = pack(...parts(colour).map((part, index) => Math.round(part + VEILED * ([86, 91, 99][index] - part))));
        }
        return status && meaningOf(status, status.pixels[at]) ? status.pixels[at] : colour;
      };
    }

    // All planes of a layer have one scale; those that are about square stand in a row, or the third would lie low.
    function arrange({sizes, lengths}) {
      const millimetres = sizes.map((size, axis) => size * lengths[axis]);
      const third = layers[0].axes[2];
      const row = Math.min(...sizes) > 1 && 2 * millimetres[third] > 1.5 * Math.max(...millimetres.filter((_, axis) => axis !== third));
      return {millimetres, row, scale: (state.other ? (row ? 150 : 200) : (row ? 250 : 330)) / Math.max(...millimetres)};
    }

    function drawPlane(canvas, layer, paint, [across, down]) {
      const {sizes, lengths, from, to} = body(layer);
      const point = from(placeOf(layer, state.voxel));
      const [wide, high] = [sizes[across], sizes[down]];
      const shown = new ImageData(wide, high);
      const colours = new Uint32Array(shown.data.buffer);
      // Neighbours lie equally far from each other everywhere, so that one step along each edge tells all places.
      const origin = point.map((place, axis) => (axis === across || axis === down ? 0 : place));
      const first = indexOf(layer, to(origin));
      const [right, below] = [across, down].map((axis) =>
        (sizes[axis] < 2 ? 0 : indexOf(layer, to(origin.map((place, other) => place + (other === axis)))) - first));
      for (let row = 0; row < high; row += 1) {
        for (let column = 0; column < wide; column += 1) {
          colours[row * wide + column] = paint(first + row * below + column * right);
        }
      }
      [tile.width, tile.height] = [wide, high];
      tile.getContext("2d").putImageData(shown, 0, 0);
      const {millimetres, scale} = arrange(body(layer));
      [canvas.width, canvas.height] = [Math.max(1, Math.round(millimetres[across] * scale)), Math.max(1, Math.round(millimetres[down] * scale))];
      const pen = canvas.getContext("2d");
      pen.imageSmoothingEnabled = false;
      const part = [wide, high].map((size) => size / state.zoom);
      const corner = [across, down].map((axis, index) =>
        Math.min(Math.max(point[axis] + 0.5 - part[index] / 2, 0), sizes[axis] - part[index]));
      pen.drawImage(tile, corner[0], corner[1], part[0], part[1], 0, 0, canvas.width, canvas.height);
      const [x, y] = [across, down].map((axis, index) =>
        (point[axis] + 0.5 - corner[index]) / part[index] * (index ? canvas.height : canvas.width));
      pen.strokeStyle = "rgba(255, 255, 255, 0.55)";
      const gap = 5;
      pen.beginPath();
      for (const [a, b, c, d] of [[0, y, x - gap, y], [x + gap, y, canvas.width, y], [x, 0, x, y - gap], [x, y + gap, x, canvas.height]]) {
        pen.moveTo(a, b);
        pen.lineTo(c, d);
      }
      pen.stroke();
      canvas.pick = (horizontal, vertical) => {
        const next = [...point];
        next[across] = Math.min(Math.max(Math.floor(corner[0] + horizontal * part[0]), 0), wide - 1);
        next[down] = Math.min(Math.max(Math.floor(corner[1] + vertical * part[1]), 0), high - 1);
        return voxelOf(layer, to(next));
      };
      canvas.move = (steps) => {
        const next = point.map((place, axis) => Math.min(Math.max(place + (steps[axis] ?? 0), 0), sizes[axis] - 1));
        return voxelOf(layer, to(next));
      };
    }

    // The voxels of a square of the slices as they were acquired.
    function around(layer, half) {
      const [column, row, slice] = placeOf(layer, state.voxel);
      const found = [];
      for (let y = Math.max(row - half, 0); y <= Math.min(row + half, layer.tile[0] - 2); y += 1) {
        for (let x = Math.max(column - half, 0); x <= Math.min(column + half, layer.tile[1] - 2); x += 1) {
          found.push(indexOf(layer, [x, y, slice]));
        }
      }
      return found;
    }

    function say() {
      const {layer, other, voxel} = state;
      const place = placeOf(layer, voxel);
      const half = Number(named.square.value);
      const lines = (one, name) => {
        const value = describe(one, indexOf(one, placeOf(one, voxel)), sdOf(one));
        return [`${name}${value && `: ${value}`}`, square(one, around(one, half), 2 * half + 1)].filter(Boolean);
      };
      named.readout.textContent = [
        ...lines(layer, layer.name), ...(other ? lines(other, `${other.fit} ${other.name}`) : []),
        `voxel ${voxelOf(layer, place).join(", ")}`, `slice ${place[2] + 1} of ${layer.count}`].join("\n");
      named.slice.value = place[2];
      named.slice.setAttribute("aria-valuetext", `slice ${place[2] + 1} of ${layer.count}`);
    }

    // What the colours of marked voxels stand for, of each fit that is shown.
    function explainMarks() {
      const marked = [state.layer, state.other].filter(Boolean).map(statusOf).filter(Boolean);
      named.statuses.hidden = !named.marks.checked;
      named.statuses.replaceChildren(...[...new Set(marked)].map((status) => {
        const key = status.figure.querySelector(".key").cloneNode(true);
        key.prepend(Object.assign(document.createElement("li"), {textContent: `${status.fit}:`}));
        return key;
      }));
    }

    // Numbers of the fit, not of the colours: over the voxels that have an estimate, where known a determined one.
    function listRegions() {
      const {layer} = state;
      const table = named.regions;
      table.hidden = !layer.regions?.length;
      if (table.hidden) return;
      table.caption.textContent = `${layer.fit}: ${layer.name}${layer.unit && ` (${layer.unit})`}, over ${layer.counted} voxels`;
      table.tBodies[0].replaceChildren(...layer.regions.map(([...cells]) => {
        const line = document.createElement("tr");
        line.classList.toggle("faint", cells.pop());
        line.append(...cells.map((text, column) => Object.assign(document.createElement(column ? "td" : "th"),
          {textContent: text, className: column ? "number" : "", ...(column ? {} : {scope: "row"})})));
        return line;
      }));
    }

    function drawSet({set, planes}, layer) {
      set.hidden = !layer;
      if (!layer) return;
      const paint = painter(layer);
      set.classList.toggle("in-row", arrange(body(layer)).row);
      set.querySelector(".title").textContent = `${layer.fit}: ${layer.name}`;
      for (const [name, canvas] of planes) {
        const stage = canvas.parentElement;
        const [across, down] = PLANES[name];
        const {sizes} = body(layer);
        stage.hidden = Math.min(sizes[across], sizes[down]) < 2;
        if (stage.hidden) continue;
        drawPlane(canvas, layer, paint, PLANES[name]);
        [...ENDS[across], ...ENDS[down]].forEach((letter, side) => { stage.querySelectorAll(".side")[side].textContent = letter; });
        canvas.setAttribute("aria-label", `${layer.fit} ${layer.name}, ${name}: ${named.readout.textContent.replaceAll("\n", ", ")}`);
      }
      const bar = set.querySelector(".bar");
      bar.replaceChildren(...[...layer.figure.querySelectorAll(".scale, .key")].map((part) => part.cloneNode(true)));
      const ticks = bar.querySelector(".ticks");
      if (ticks && layer.kind === "map") {
        const [low, high] = windowOf(layer);
        ticks.replaceChildren(...[0, 0.5, 1].map((share) => Object.assign(document.createElement("span"),
          {className: "tick", style: `left: ${100 * share}%`, textContent: short(low + share * (high - low))})));
      }
    }

    let waiting = 0;
    async function draw() {
      const turn = waiting += 1;
      viewer.setAttribute("aria-busy", "true");
      const wanted = [state.layer, state.other].filter(Boolean);
      await Promise.all(wanted.flatMap((layer) => [layer, sdOf(layer), ...Object.values(helpers(layer))]).map(load));
      if (turn !== waiting) return;
      say();
      explainMarks();
      listRegions();
      drawSet(sets[0], state.layer);
      drawSet(sets[1], state.other);
      viewer.setAttribute("aria-busy", "false");
    }

    function choose(layer, other = state.other) {
      Object.assign(state, {layer, other});
      named.map.value = layers.indexOf(layer);
      named.beside.value = layers.indexOf(other);
      named.slice.max = layer.count - 1;
      named.slice.disabled = layer.count < 2;
      const numbers = layer.kind === "map";
      const [low, high] = numbers ? windowOf(layer) : ["", ""];
      for (const [control, value] of [[named.low, low], [named.high, high]]) {
        control.value = value === "" ? "" : short(value);
        control.step = numbers ? Number(((layer.high - layer.low) / 20).toPrecision(1)) : 1;
        control.disabled = !numbers;
      }
      return draw();
    }

    function go(voxel) {
      state.voxel = voxel;
      return draw();
    }

    // Offers the planes in which the slices were acquired first.
    function build() {
      const third = layers[0].axes[2];
      const order = Object.keys(PLANES).sort((one, other) => PLANES[one].includes(third) - PLANES[other].includes(third));
      for (const {set, planes} of sets) {
        for (const name of order) {
          const stage = set.querySelector("template").content.firstElementChild.cloneNode(true);
          const canvas = stage.querySelector("canvas");
          canvas.dataset.plane = name;
          set.querySelector(".stages").append(stage);
          planes.set(name, canvas);
          listen(canvas, PLANES[name]);
        }
      }
    }

    function listen(canvas, [across, down]) {
      const through = 3 - across - down;
      const moves = {ArrowLeft: [across, -1], ArrowRight: [across, 1], ArrowUp: [down, -1], ArrowDown: [down, 1],
        PageUp: [through, -1], PageDown: [through, 1]};
      canvas.addEventListener("keydown", (event) => {
        const move = moves[event.key];
        if (!move) return;
        event.preventDefault();
        go(canvas.move({[move[0]]: move[1]}));
      });
      const pick = (event) => {
        const box = canvas.getBoundingClientRect();
        go(canvas.pick((event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height));
      };
      canvas.addEventListener("pointerdown", pick);
      canvas.addEventListener("pointermove", (event) => { if (event.buttons & 1) pick(event); });
    }

    function control() {
      named.slice.addEventListener("input", () => {
        const [column, row] = placeOf(state.layer, state.voxel);
        go(voxelOf(state.layer, [column, row, Number(named.slice.value)]));
      });
      named.map.addEventListener("change", () => choose(layers[named.map.value]));
      named.beside.addEventListener("change", () => choose(state.layer, layers[named.beside.value] ?? null));
      named.zoom.max = GREATEST_ZOOM;
      named.zoom.addEventListener("input", () => { state.zoom = Number(named.zoom.value); draw(); });
      for (const name of ["marks", "fades", "square"]) named[name].addEventListener("change", draw);
      for (const name of ["low", "high"]) {
        named[name].addEventListener("change", () => {
          const ends = [Number(named.low.value), Number(named.high.value)];
          if (ends[1] > ends[0]) windows[`${state.layer.name} ${state.layer.unit}`] = ends;
          choose(state.layer);
        });
      }
      named.usual.addEventListener("click", () => {
        delete windows[`${state.layer.name} ${state.layer.unit}`];
        choose(state.layer);
      });
      named.whole.addEventListener("click", async () => {
        const {layer} = state;
        await load(layer);
        const ends = layer.kind === "map" ? reach(layer) : [];
        if (ends[1] > ends[0]) windows[`${layer.name} ${layer.unit}`] = ends;
        choose(layer);
      });
    }

    function offer(layer) {
      const button = layer.figure.querySelector("button");
      button.hidden = false;
      const open = (voxel) => {
        state.voxel = voxel;
        choose(layer);
        viewer.scrollIntoView({block: "start"});
        sets[0].planes.values().next().value.focus({preventScroll: true});
      };
      button.addEventListener("click", () => open(state.voxel));
      layer.image.addEventListener("click", (event) => {
        const [high, wide] = layer.tile;
        const box = layer.image.getBoundingClientRect();
        const x = Math.floor((event.clientX - box.left) / box.width * layer.image.naturalWidth);
        const y = Math.floor((event.clientY - box.top) / box.height * layer.image.naturalHeight);
        const slice = Math.floor(y / high) * layer.columns + Math.floor(x / wide);
        open(voxelOf(layer, [Math.min(x % wide, wide - 2), Math.min(y % high, high - 2), Math.min(slice, layer.count - 1)]));
      });
    }

    [named.map, named.beside].forEach(fill);
    build();
    control();
    layers.forEach(offer);
    viewer.hidden = false;
    const [high, wide] = layers[0].tile;
    const middle = [wide, high, layers[0].count].map((size) => Math.floor(size / 2));
    state.voxel = voxelOf(layers[0], layers[0].start ?? middle);
    choose(layers[0]);
  }

  document.querySelectorAll("section[data-acquisition]").forEach(start);
})();
