"use strict";
// What the pictures of the page hold: their colours turned back into numbers, voxel by voxel.
// Level 0 of a palette is outside the mask, 1 to 254 span the range, 255 is a voxel without an estimate.
const volumes = (() => {
  const HIGHEST = 254, FAILED = 255, SAME_COLOUR = 300;

  function pack(red, green, blue) {
    return (255 << 24 | blue << 16 | green << 8 | red) >>> 0;
  }

  function parts(colour) {
    return [colour & 255, colour >> 8 & 255, colour >> 16 & 255];
  }

  const palettes = {};
  for (const [name, hex] of Object.entries(JSON.parse(document.getElementById("palettes").textContent))) {
    const bytes = hex.match(/../g).map((pair) => parseInt(pair, 16));
    palettes[name] = Uint32Array.from({length: bytes.length / 3}, (_, level) => pack(...bytes.slice(3 * level, 3 * level + 3)));
  }

  function apart(one, other) {
    const [a, b] = [parts(one), parts(other)];
    return (a[0] - b[0]) ** 2 + (a[1] - b[1]) ** 2 + (a[2] - b[2]) ** 2;
  }

  // Level by colour; a browser that changes colours a little still finds the nearest.
  function reader(palette) {
    const known = new Map();
    for (let level = palette.length - 1; level >= 0; level -= 1) known.set(palette[level], level);
    return (colour) => {
      if (!known.has(colour)) {
        let best = 0;
        for (let level = 1; level < palette.length; level += 1) {
          if (apart(palette[level], colour) < apart(palette[best], colour)) best = level;
        }
        known.set(colour, best);
      }
      return known.get(colour);
    };
  }

  // Pixels of all slices, (slice, row, column), without the lines between them.
  function cut(image, layer) {
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
    const pen = canvas.getContext("2d", {willReadFrequently: true});
    pen.drawImage(image, 0, 0);
    const sheet = new Uint32Array(pen.getImageData(0, 0, canvas.width, canvas.height).data.buffer);
    const [high, wide] = layer.tile;
    const found = new Uint32Array(layer.count * (high - 1) * (wide - 1));
    for (let slice = 0, at = 0; slice < layer.count; slice += 1) {
      const left = slice % layer.columns * wide, top = Math.floor(slice / layer.columns) * high;
      for (let row = 0; row < high - 1; row += 1, at += wide - 1) {
        const start = (top + row) * canvas.width + left;
        found.set(sheet.subarray(start, start + wide - 1), at);
      }
    }
    return found;
  }

  // Reads the picture of a layer when it is first wanted.
  async function load(layer) {
    if (!layer || layer.pixels) return;
    await Promise.all([layer.image, layer.veil].map((image) => image?.decode()));
    layer.pixels = cut(layer.image, layer);
    if (layer.cmap) layer.levels = Uint8Array.from(layer.pixels, reader(palettes[layer.cmap]));
    if (layer.veil) layer.veiled = Uint8Array.from(cut(layer.veil, layer), (colour) => colour >>> 24 ? 1 : 0);
  }

  function valueOf(layer, level) {
    return layer.low + (level - 1) / (HIGHEST - 1) * (layer.high - layer.low);
  }

  const meanings = new Map();
  function meaningOf(layer, colour) {
    if (!meanings.has(colour)) {
      const found = Object.entries(layer.meanings).find(([text]) =>
        apart(pack(...[1, 3, 5].map((start) => parseInt(text.slice(start, start + 2), 16))), colour) < SAME_COLOUR);
      meanings.set(colour, found ? found[1] : "");
    }
    return meanings.get(colour);
  }

  function short(value) {
    return String(Number(value.toPrecision(3)));
  }

  function withUnit(text, layer) {
    return `${text} ${layer.unit.startsWith("10") ? "× " : ""}${layer.unit}`.trim();
  }

  function describe(layer, at) {
    if (layer.kind === "direction") return "";
    const level = layer.levels[at];
    if (level === 0) return "outside the mask";
    if (layer.kind === "status") return meaningOf(layer, layer.pixels[at]) || "estimated";
    if (level === FAILED) return "no estimate";
    const beyond = level === 1 ? "at most " : level === HIGHEST ? "at least " : "";
    return withUnit(`${beyond}${short(valueOf(layer, level))}`, layer) + (layer.veiled?.[at] ? ", not determined by the data" : "");
  }

  // Colours of all levels where other values than those of the picture are at the ends of the scale.
  function windowed(layer, low, high) {
    const palette = palettes[layer.cmap];
    return palette.map((colour, level) => {
      if (level === 0 || level === FAILED) return colour;
      const place = (valueOf(layer, level) - low) / (high - low) || 0;
      return palette[1 + Math.round(Math.min(Math.max(place, 0), 1) * (HIGHEST - 1))];
    });
  }

  return {load, describe, valueOf, withUnit, meaningOf, windowed, short, parts, pack, HIGHEST, FAILED};
})();
