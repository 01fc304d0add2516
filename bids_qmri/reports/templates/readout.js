"use strict";
// What the viewer says in words: the value of a voxel with its error, and what the voxels around it are like.
const readout = (() => {
  const {valueOf, isExact, isKnown, isUntold, meaningOf, LOWEST, HIGHEST, FAILED} = volumes;

  function short(value) {
    return String(Number(value.toPrecision(3)));
  }

  function withUnit(text, layer) {
    return `${text} ${layer.unit.startsWith("10") ? "× " : ""}${layer.unit}`.trim();
  }

  function stepOf(layer) {
    return (layer.high - layer.low) / (HIGHEST - LOWEST);
  }

  // Colours tell a value to a step of the range: no more digits than that.
  function number(layer, at) {
    const value = valueOf(layer, at);
    if (isExact(layer, at)) return short(value);
    const digits = Math.ceil(-Math.log10(stepOf(layer)));
    const rounded = Math.round(value * 10 ** digits) / 10 ** digits;
    return digits > 0 ? rounded.toFixed(digits) : String(rounded);
  }

  // A second digit of an error is all that counts.
  function errorOf(sd, at) {
    if (!sd || !isKnown(sd, at) || isUntold(sd, at)) return "";
    return String(Number(Number(number(sd, at)).toPrecision(2)));
  }

  function describe(layer, at, sd) {
    if (layer.kind === "direction") return "";
    if (layer.levels[at] === 0) return "outside the mask";
    if (layer.kind === "status") return meaningOf(layer, layer.pixels[at]) || "estimated";
    if (layer.levels[at] === FAILED) return "no estimate";
    const doubt = layer.veiled?.[at] ? ", not determined by the data" : "";
    if (isUntold(layer, at)) {
      const beyond = layer.levels[at] === LOWEST ? "at most" : "at least";
      return withUnit(`${beyond} ${short(valueOf(layer, at))}`, layer) + doubt;
    }
    const error = errorOf(sd, at);
    return withUnit(`${number(layer, at)}${error && ` ± ${error}`}`, layer) + (error && " (sd)") + doubt;
  }

  function meanAndSpread(layer, places) {
    const values = places.map((at) => valueOf(layer, at));
    const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
    if (values.length < 2) return `mean ${withUnit(short(mean), layer)}`;
    const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
    const spread = Math.sqrt(squares / (values.length - 1));
    const step = stepOf(layer);
    const fine = spread >= step || places.every((at) => isExact(layer, at));
    return `mean ${withUnit(short(mean), layer)}, spread ${withUnit(`${fine ? "" : "below "}${short(fine ? spread : step)}`, layer)}`;
  }

  // Without the values of some there is no mean; the median is true as long as it is not one of them.
  function median(layer, places, untold) {
    if (2 * untold >= places.length) return "";
    const sorted = [...places].sort((one, other) => valueOf(layer, one) - valueOf(layer, other));
    const middle = [sorted[Math.floor((sorted.length - 1) / 2)], sorted[Math.floor(sorted.length / 2)]];
    if (middle.some((at) => isUntold(layer, at))) return "";
    return `median ${withUnit(short((valueOf(layer, middle[0]) + valueOf(layer, middle[1])) / 2), layer)}, `;
  }

  // Mean over the voxels of a square that are determined, as regions have it, and how much they differ.
  function square(layer, places, side) {
    const found = layer.kind === "map" ? places.filter((at) => isKnown(layer, at)) : [];
    if (!found.length) return "";
    const known = found.filter((at) => !layer.veiled?.[at]);
    const start = `square ${side} × ${side}: `;
    if (!known.length) return `${start}none of ${found.length} voxels determined`;
    const untold = known.filter((at) => isUntold(layer, at)).length;
    if (untold) {
      const range = withUnit(`${short(layer.low)} to ${short(layer.high)}`, layer);
      return `${start}${median(layer, known, untold)}${untold} of ${known.length} voxels beyond ${range}`;
    }
    const of = known.length < found.length ? `${known.length} determined of ${found.length}` : `${known.length}`;
    return `${start}${meanAndSpread(layer, known)} (over ${of} voxel${found.length > 1 ? "s" : ""})`;
  }

  return {describe, square, short};
})();
