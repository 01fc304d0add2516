"use strict";
// Slice viewer: shows one tile of a picture of the page enlarged, and turns its colours back into values.
// Level 0 of a palette is outside the mask, 1 to 254 span the range, 255 is a voxel without an estimate.
(() => {
  const HIGHEST = 254, FAILED = 255, PIXELS = 640, SAME_COLOUR = 300, DARKEST = 0.85, VEILED = 0.8;
  const palettes = {};
  for (const [name, hex] of Object.entries(JSON.parse(document.getElementById("palettes").textContent))) {
    palettes[name] = hex.match(/../g).map((pair) => parseInt(pair, 16));
  }

  function levelOf(palette, [red, green, blue]) {
    let best = 0, least = Infinity;
    for (let level = 0; level * 3 < palette.length; level += 1) {
      const distance = (palette[3 * level] - red) ** 2 + (palette[3 * level + 1] - green) ** 2 +
        (palette[3 * level + 2] - blue) ** 2;
      if (distance < least) [best, least] = [level, distance];
    }
    return best;
  }

  function meaningOf(meanings, [red, green, blue]) {
    for (const [colour, meaning] of Object.entries(meanings)) {
      const parts = [1, 3, 5].map((start) => parseInt(colour.slice(start, start + 2), 16));
      const distance = (parts[0] - red) ** 2 + (parts[1] - green) ** 2 + (parts[2] - blue) ** 2;
      if (distance < SAME_COLOUR) return meaning;
    }
    return "";
  }

  function describe(layer, colour) {
    if (layer.kind === "status") {
      const outside = levelOf(palettes[layer.cmap], colour) === 0;
      return outside ? "outside the mask" : meaningOf(layer.meanings, colour) || "estimated";
    }
    if (layer.kind === "direction") return "";
    const level = levelOf(palettes[layer.cmap], colour);
    if (level === 0) return "outside the mask";
    if (level === FAILED) return "no estimate";
    const value = layer.low + (level - 1) / (HIGHEST - 1) * (layer.high - layer.low);
    const beyond = level === 1 ? "at most " : level === HIGHEST ? "at least " : "";
    return `${beyond}${Number(value.toPrecision(3))} ${layer.unit}`.trim();
  }

  function start(section) {
    const viewer = section.querySelector(".viewer");
    const figures = [...section.querySelectorAll("figure[data-viewer]")];
    if (!viewer || !figures.length) return;
    const [choice, slider] = [viewer.querySelector("select"), viewer.querySelector("input[type=range]")];
    const [marks, fades] = viewer.querySelectorAll("input[type=checkbox]");
    const canvas = viewer.querySelector("canvas");
    const [readout, scale] = [viewer.querySelector(".readout"), viewer.querySelector(".viewer-scale")];
    const layers = figures.map((figure) => ({
      ...JSON.parse(figure.dataset.viewer),
      figure, fit: figure.dataset.fit, name: figure.dataset.name,
      image: figure.querySelector("img"), veil: figure.querySelector("img.veil"),
    }));
    const tile = document.createElement("canvas");
    const state = {layer: layers[0], slice: 0, x: 0, y: 0};

    const groups = {};
    layers.forEach((layer, index) => {
      groups[layer.fit] ??= choice.appendChild(Object.assign(document.createElement("optgroup"), {label: layer.fit}));
      groups[layer.fit].append(new Option(layer.name, index));
    });

    function pixels(layer, slice, image = layer.image) {
      const [high, wide] = layer.tile;
      [tile.width, tile.height] = [wide - 1, high - 1];
      const pen = tile.getContext("2d", {willReadFrequently: true});
      pen.drawImage(image, -(slice % layer.columns) * wide, -Math.floor(slice / layer.columns) * high);
      return pen.getImageData(0, 0, wide - 1, high - 1);
    }

    function addMarks(shown, layer) {
      const status = layers.find((other) => other.kind === "status" && other.fit === layer.fit);
      if (!marks.checked || !status || status === layer) return;
      const found = pixels(status, state.slice).data;
      for (let at = 0; at < found.length; at += 4) {
        if (meaningOf(status.meanings, found.subarray(at, at + 3))) shown.data.set(found.subarray(at, at + 4), at);
      }
    }

    // Darkens a voxel the more, the larger its standard deviation is beside the range of that.
    function addFading(shown, layer) {
      const sd = layers.find((other) => other.name === `sd of ${layer.name}` && other.fit === layer.fit);
      if (!fades.checked || !sd) return;
      const found = pixels(sd, state.slice).data;
      for (let at = 0; at < found.length; at += 4) {
        const level = levelOf(palettes[sd.cmap], found.subarray(at, at + 3));
        const kept = 1 - DARKEST * Math.min(Math.max(level - 1, 0) / (HIGHEST - 1), 1);
        for (let channel = at; channel < at + 3; channel += 1) shown.data[channel] *= kept;
      }
    }

    // Greys what the data do not determine, as in the figure; returns where that is.
    function addVeil(shown, layer) {
      const veil = layer.veil ? pixels(layer, state.slice, layer.veil).data : [];
      for (let at = 0; at < veil.length; at += 4) {
        for (let channel = at; veil[at + 3] && channel < at + 3; channel += 1) {
          shown.data[channel] += VEILED * (veil[channel] - shown.data[channel]);
        }
      }
      return veil;
    }

    async function draw() {
      const layer = state.layer;
      viewer.setAttribute("aria-busy", "true");
      await Promise.all([layer.image, layer.veil].map((image) => image?.decode()));
      if (layer !== state.layer) return;
      const original = pixels(layer, state.slice);
      const shown = new ImageData(new Uint8ClampedArray(original.data), original.width, original.height);
      addFading(shown, layer);
      const veil = addVeil(shown, layer);
      addMarks(shown, layer);
      tile.getContext("2d").putImageData(shown, 0, 0);
      const [wide, high] = [tile.width, tile.height * layer.aspect];
      const zoom = Math.max(1, Math.floor(PIXELS / Math.max(wide, high)));
      [canvas.width, canvas.height] = [wide * zoom, Math.round(high * zoom)];
      const pen = canvas.getContext("2d");
      pen.imageSmoothingEnabled = false;
      pen.drawImage(tile, 0, 0, canvas.width, canvas.height);
      pen.strokeStyle = "rgba(255, 255, 255, 0.55)";
      pen.strokeRect(state.x * zoom - 1, state.y * zoom * layer.aspect - 1, zoom + 2, zoom * layer.aspect + 2);
      const place = 4 * (state.y * original.width + state.x);
      say(layer, original.data.subarray(place, place + 3), veil[place + 3] > 0);
      viewer.setAttribute("aria-busy", "false");
    }

    function say(layer, colour, veiled) {
      const [first, across, down, after] = layer.steps;
      const voxel = first.map((start, axis) => start + across[axis] * state.x + down[axis] * state.y + after[axis] * state.slice);
      const value = describe(layer, colour) + (veiled ? ", not determined by the data" : "");
      const where = `voxel ${voxel.join(", ")}\nslice ${state.slice + 1} of ${layer.count}`;
      readout.textContent = `${layer.name}${value ? `: ${value}` : ""}\n${where}`;
      canvas.setAttribute("aria-label", `${layer.fit} ${readout.textContent.replaceAll("\n", ", ")}`);
    }

    function show(layer, slice, x, y) {
      const changed = state.layer !== layer || !scale.hasChildNodes();
      state.layer = layer;
      state.slice = Math.min(Math.max(slice, 0), layer.count - 1);
      state.x = Math.min(Math.max(x, 0), layer.tile[1] - 2);
      state.y = Math.min(Math.max(y, 0), layer.tile[0] - 2);
      slider.max = layer.count - 1;
      slider.value = state.slice;
      slider.setAttribute("aria-valuetext", `slice ${state.slice + 1} of ${layer.count}`);
      choice.value = layers.indexOf(layer);
      if (changed) {
        scale.replaceChildren(...[...layer.figure.querySelectorAll(".scale, .key")].map((part) => part.cloneNode(true)));
        layer.sides.forEach((letter, side) => { viewer.querySelectorAll(".side")[side].textContent = letter; });
      }
      return draw();
    }

    function pick(event) {
      const box = canvas.getBoundingClientRect();
      const {tile: [high, wide]} = state.layer;
      show(state.layer, state.slice, Math.floor((event.clientX - box.left) / box.width * (wide - 1)),
        Math.floor((event.clientY - box.top) / box.height * (high - 1)));
    }

    const moves = {ArrowLeft: [-1, 0, 0], ArrowRight: [1, 0, 0], ArrowUp: [0, -1, 0], ArrowDown: [0, 1, 0],
      PageUp: [0, 0, 1], PageDown: [0, 0, -1]};
    canvas.addEventListener("keydown", (event) => {
      const move = moves[event.key];
      if (!move) return;
      event.preventDefault();
      show(state.layer, state.slice + move[2], state.x + move[0], state.y + move[1]);
    });
    canvas.addEventListener("pointermove", pick);
    canvas.addEventListener("pointerdown", pick);
    slider.addEventListener("input", () => show(state.layer, Number(slider.value), state.x, state.y));
    choice.addEventListener("change", () => show(layers[choice.value], state.slice, state.x, state.y));
    [marks, fades].forEach((box) => box.addEventListener("change", draw));

    for (const layer of layers) {
      const button = layer.figure.querySelector("button");
      button.hidden = false;
      const open = (slice, x, y) => {
        show(layer, slice, x, y);
        viewer.scrollIntoView({block: "start"});
        canvas.focus({preventScroll: true});
      };
      button.addEventListener("click", () => open(state.slice, state.x, state.y));
      layer.image.addEventListener("click", (event) => {
        const [high, wide] = layer.tile;
        const box = layer.image.getBoundingClientRect();
        const x = Math.floor((event.clientX - box.left) / box.width * layer.image.naturalWidth);
        const y = Math.floor((event.clientY - box.top) / box.height * layer.image.naturalHeight);
        open(Math.floor(y / high) * layer.columns + Math.floor(x / wide), x % wide, y % high);
      });
    }
    viewer.hidden = false;
    const [high, wide] = layers[0].tile;
    show(layers[0], Math.floor(layers[0].count / 2), Math.floor(wide / 2), Math.floor(high / 2));
  }

  document.querySelectorAll("section[data-acquisition]").forEach(start);
})();
