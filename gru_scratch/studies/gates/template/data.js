"use strict";
/* The data, unpacked: bytes become typed arrays, and values come out of their scales. */

const data = JSON.parse(document.getElementById("data").textContent);
const STEPS = 254; // from a unit's lowest value in the text to its highest
const SHARES = 65535; // of a probability, and of a correlation from -1 to 1

function bytes(packed) {
  const text = atob(packed);
  const found = new Uint8Array(text.length);
  for (let k = 0; k < text.length; k++) found[k] = text.charCodeAt(k);
  return found;
}

/* Little-endian numbers of `size` bytes, whatever the order of the machine's own. */
function numbers(packed, Kind) {
  const raw = bytes(packed);
  if (Kind === Uint8Array) return raw;
  const view = new DataView(raw.buffer), size = Kind.BYTES_PER_ELEMENT;
  const read = { Uint16Array: "getUint16", Uint32Array: "getUint32", Float32Array: "getFloat32" }[Kind.name];
  return Kind.from({ length: raw.length / size }, (_, k) => view[read](k * size, true));
}

const tokens = numbers(data.tokens, Uint32Array);
const targets = numbers(data.targets, Uint32Array);
const length = tokens.length;
const varying = data.features.filter((feature) => feature.varies);
const expected = {
  tokens: numbers(data.predictions.tokens, Uint32Array),
  parts: numbers(data.predictions.probabilities, Uint16Array),
  ofTarget: numbers(data.predictions.of_target, Uint16Array),
  each: data.predictions.each,
};
const influence = {
  span: data.influence.span,
  largest: numbers(data.influence.largest, Float32Array),
  shares: numbers(data.influence.shares, Uint8Array),
};
for (const layer of data.layers) {
  for (const quantity of layer) {
    quantity.codes = numbers(quantity.codes, Uint8Array);
    quantity.least = numbers(quantity.least, Float32Array);
    quantity.most = numbers(quantity.most, Float32Array);
    quantity.follows = numbers(quantity.follows, Uint16Array);
  }
}

/* The ends of a unit's scale of colours. */
function scaleOf(quantity, unit) {
  const at = quantity.low.length === 1 ? 0 : unit;
  return [quantity.low[at], quantity.high[at]];
}

function codeOf(quantity, unit, at) {
  return quantity.codes[unit * length + at];
}

/* The lowest and the highest value of a unit in this text. */
function rangeOf(quantity, unit) {
  return [quantity.least[unit], quantity.most[unit]];
}

function valueOfCode(quantity, unit, code) {
  const [low, high] = rangeOf(quantity, unit);
  return low + code * (high - low) / STEPS;
}

/* Whether all units keep within an eighth of the scale that they share, as in a model that has hardly learnt. */
function hardlyMoves(quantity) {
  const [low, high] = scaleOf(quantity, 0);
  return quantity.low.length === 1 && quantity.least.every((least, unit) => quantity.most[unit] - least < (high - low) / 8);
}

function valueOf(quantity, unit, at) {
  return valueOfCode(quantity, unit, codeOf(quantity, unit, at));
}

/* Correlation of a unit with the feature of that number among those that vary. */
function followOf(quantity, feature, unit) {
  return 2 * quantity.follows[feature * quantity.units + unit] / SHARES - 1;
}

/* The share of the largest, 0 to 255, that the character `back` places before `at` has in the guess made at `at`. */
function shareOf(at, back) {
  return back < 0 || back >= influence.span ? 0 : influence.shares[at * influence.span + back];
}

/* The `each` likeliest characters after `at`, with the one that comes: {token, part, came}. */
function expectedAt(at) {
  const found = [];
  for (let k = at * expected.each; k < (at + 1) * expected.each; k++) {
    found.push({ token: expected.tokens[k], part: expected.parts[k] / SHARES });
  }
  if (at < length - 1 && !found.some((each) => each.token === targets[at])) {
    found.push({ token: targets[at], part: expected.ofTarget[at] / SHARES });
  }
  for (const each of found) each.came = at < length - 1 && each.token === targets[at];
  return found;
}

const SIGNS = { " ": "␣", "\n": "↵", "\r": "␍", "\t": "⇥" };
const SPOKEN = { " ": "space", "\n": "new line", "\r": "carriage return", "\t": "tab" };

function characterAt(at) {
  return data.vocabulary[tokens[at]];
}

/* A character where it stands alone; control characters by their pictures. */
function sign(character) {
  const code = character.length === 1 ? character.charCodeAt(0) : 32;
  return SIGNS[character] || (code < 32 ? String.fromCharCode(0x2400 + code) : character);
}

/* What stands between two tokens, and is none itself. */
const between = data.noun === "word" ? " " : "";

function spoken(character) {
  return SPOKEN[character] || character;
}

/* A unit's value, with as many decimals as tell its values in this text apart. */
function shownValue(quantity, unit, value) {
  const [low, high] = rangeOf(quantity, unit);
  return number(value, Math.max(2, 1 - Math.floor(Math.log10(high - low || 1))));
}

/* With a true minus sign. */
function number(value, digits = 2) {
  const text = Math.abs(value).toFixed(digits);
  return (value < 0 && Number(text) !== 0 ? "−" : "") + text;
}

function signed(value) {
  return (value > 0 ? "+" : "") + number(value);
}

function percent(part) {
  return part >= 0.0995 ? `${(100 * part).toFixed(0)} %` : part >= 0.0005 ? `${(100 * part).toFixed(1)} %` : "< 0.1 %";
}
