"use strict";
// What the pictures of the page hold: their colours turned back into numbers, voxel by voxel.
// Level 0 of a palette is outside the mask, 1 to 254 span the range, 255 is a voxel without an estimate.
// Voxels at levels 1 and 254 may lie beyond the range: their values are carried beside the picture.
const volumes = (() => {
  const LOWEST = 1, HIGHEST = 254, FAILED = 255, SAME_COLOUR = 300;

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

  async function inflate(text) {
    const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    return new Uint8Array(await new Response(stream).arrayBuffer());
  }

  // Values of the voxels at the ends of the range, NaN elsewhere: a bit for every voxel, then the third, the
  // second and the first bytes of single-precision numbers without their last.
  function unpack(bytes, size) {
    const found = new Float32Array(size).fill(NaN);
    const flags = Math.ceil(size / 8), many = (bytes.length - flags) / 3;
    const one = new DataView(new ArrayBuffer(4));
    for (let at = 0, next = flags; at < size; at += 1) {
      if (!(bytes[at >> 3] & 128 >> (at & 7))) continue;
      [bytes[next + 2 * many], bytes[next + many], bytes[next]].forEach((byte, place) => one.setUint8(place, byte));
      found[at] = one.getFloat32(0);
      next += 1;
    }
    return found;
  }

  // Reads the picture of a layer when it is first wanted. An old browser cannot inflate: ends stay untold.
  async function load(layer) {
    if (!layer || layer.pixels) return;
    const [bytes] = await Promise.all([
      layer.beyond && globalThis.DecompressionStream ? inflate(layer.beyond) : null,
      ...[layer.image, layer.veil].map((image) => image?.decode())]);
    const pixels = cut(layer.image, layer);
    if (bytes) layer.exact = unpack(bytes, pixels.length);
    if (layer.cmap) layer.levels = Uint8Array.from(pixels, reader(palettes[layer.cmap]));
    if (layer.veil) layer.veiled = Uint8Array.from(cut(layer.veil, layer), (colour) => colour >>> 24 ? 1 : 0);
    layer.pixels = pixels;
  }

  function levelValue(layer, level) {
    return layer.low + (level - LOWEST) / (HIGHEST - LOWEST) * (layer.high - layer.low);
  }

  function isExact(layer, at) {
    return Number.isFinite(layer.exact?.[at]);
  }

  function isKnown(layer, at) {
    return layer.levels[at] !== 0 && layer.levels[at] !== FAILED;
  }

  // Whether a value may lie anywhere beyond the end of the range that it is drawn at.
  function isUntold(layer, at) {
    return !isExact(layer, at) && (layer.levels[at] === LOWEST || layer.levels[at] === HIGHEST);
  }

  function valueOf(layer, at) {
    return isExact(layer, at) ? layer.exact[at] : levelValue(layer, layer.levels[at]);
  }

  // The least and the greatest value of a layer.
  function reach(layer) {
    let [least, most] = [Infinity, -Infinity];
    for (let at = 0; at < layer.levels.length; at += 1) {
      if (!isKnown(layer, at)) continue;
      const value = valueOf(layer, at);
      if (value < least) least = value;
      if (value > most) most = value;
    }
    return [least, most];
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

  // The colour of a voxel where other values than those of the picture may be at the ends of the scale.
  function windowed(layer, low, high) {
    const palette = palettes[layer.cmap];
    const shade = (value) => {
      const place = (value - low) / (high - low) || 0;
      return palette[LOWEST + Math.round(Math.min(Math.max(place, 0), 1) * (HIGHEST - LOWEST))];
    };
    const shades = palette.map((colour, level) =>
      (level === 0 || level === FAILED ? colour : shade(levelValue(layer, level))));
    return (at) => (isExact(layer, at) ? shade(layer.exact[at]) : shades[layer.levels[at]]);
  }

  return {load, valueOf, isExact, isKnown, isUntold, reach, meaningOf, windowed, parts, pack, LOWEST, HIGHEST, FAILED};
})();
