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
    if (values.length < 2) return `mean ${withUnit(short(mean), layer)} (1 voxel`;
    const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
    const spread = Math.sqrt(squares / (values.length - 1));
    const step = stepOf(layer);
    const fine = spread >= step || places.every((at) => isExact(layer, at));
    const told = `mean ${short(mean)}, spread ${fine ? "" : "below "}${short(fine ? spread : step)}`;
    return `${withUnit(told, layer)} (sd over ${values.length} voxels`;
  }

  // Without the values of some there is no mean; the median is true as long as it is not one of them.
  function median(layer, places, untold) {
    if (2 * untold >= places.length) return "";
    const sorted = [...places].sort((one, other) => valueOf(layer, one) - valueOf(layer, other));
    const middle = [sorted[Math.floor((sorted.length - 1) / 2)], sorted[Math.floor(sorted.length / 2)]];
    if (middle.some((at) => isUntold(layer, at))) return "";
    return `median ${withUnit(short((valueOf(layer, middle[0]) + valueOf(layer, middle[1])) / 2), layer)}, `;
  }

  // Mean over the voxels of a square, and how much they differ from each other.
  function square(layer, places, side) {
    const known = layer.kind === "map" ? places.filter((at) => isKnown(layer, at)) : [];
    if (!known.length) return "";
    const untold = known.filter((at) => isUntold(layer, at)).length;
    const doubted = known.filter((at) => layer.veiled?.[at]).length;
    const doubt = doubted ? `; not determined: ${doubted}` : "";
    const start = `square ${side} × ${side}: `;
    if (untold) {
      const range = withUnit(`${short(layer.low)} to ${short(layer.high)}`, layer);
      return `${start}${median(layer, known, untold)}${untold} of ${known.length} voxels beyond ${range}${doubt}`;
    }
    return `${start}${meanAndSpread(layer, known)}${doubt})`;
  }

  return {describe, square, short};
})();
