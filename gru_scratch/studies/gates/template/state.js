/* What is shown: one object, and a list of who draws when it changes. It is kept in the address, to be come back to. */

const state = { layer: 0, quantity: 0, unit: 0, at: 0, sort: "number", mode: "unit" };
const MODES = ["unit", "range", "influence"]; // of colours: on the gate's scale, on the unit's own range, of influence
const drawers = [];

function quantityNow() {
  return data.layers[state.layer][state.quantity];
}

/* Change what is shown, within what there is; `drawers` are told what was there before: {} at the start. */
function show(changes, before = { ...state }) {
  Object.assign(state, changes);
  const inside = (value, count) => Math.max(0, Math.min(count - 1, Math.round(value) || 0));
  state.layer = inside(state.layer, data.layers.length);
  state.quantity = inside(state.quantity, data.layers[state.layer].length);
  state.unit = inside(state.unit, quantityNow().units);
  state.at = inside(state.at, length);
  if (!sorts().some((sort) => sort.key === state.sort)) state.sort = "number";
  if (!MODES.includes(state.mode)) state.mode = "unit";
  for (const draw of drawers) draw(before);
  const address = "#" + new URLSearchParams(state);
  try { history.replaceState(null, "", address); } catch { /* a page in a sandbox has no history */ }
}

/* The values that the colours of a unit go between. */
function endsOf(quantity, unit) {
  return state.mode === "range" ? rangeOf(quantity, unit) : scaleOf(quantity, unit);
}

/* Where a value lies between two ends, as a whole number from 0 to STEPS. */
function placeIn([low, high], value) {
  return high > low ? Math.round((value - low) / (high - low) * STEPS) : 0;
}

/* The colours of a scale. A unit's own range need not have 0 in its middle: one hue, from its lowest value up. */
function coloursOf(quantity) {
  return palette(state.mode === "range" ? "amount" : quantity.scale);
}

/* The colour of each code of a unit. */
function coloursOfCodes(quantity, unit) {
  const colours = coloursOf(quantity), ends = endsOf(quantity, unit);
  return Array.from({ length: STEPS + 1 }, (_, code) => colours[placeIn(ends, valueOfCode(quantity, unit, code))]);
}

function drawAll() {
  for (const draw of drawers) draw({});
}

function changed(before, ...names) {
  return names.some((name) => before[name] !== state[name]);
}

/* The orders that rows can stand in. */
function sorts() {
  return [
    { key: "number", title: "unit number" },
    ...varying.map((feature, k) => ({ key: feature.name, title: feature.name, feature: k, words: feature.words })),
    { key: "mean", title: "mean value" },
  ];
}

function meanOf(quantity, unit) {
  let sum = 0;
  for (let k = unit * length; k < (unit + 1) * length; k++) sum += quantity.codes[k];
  return valueOfCode(quantity, unit, sum / length);
}

/* The units in the chosen order, and the number that each is sorted by (none for the unit's own). */
function orderNow() {
  const quantity = quantityNow();
  const sort = sorts().find((each) => each.key === state.sort);
  const rows = Array.from({ length: quantity.units }, (_, unit) => ({
    unit,
    by: sort.feature !== undefined ? followOf(quantity, sort.feature, unit) : sort.key === "mean" ? meanOf(quantity, unit) : null,
  }));
  return sort.key === "number" ? rows : rows.sort((a, b) => b.by - a.by || a.unit - b.unit);
}

/* Where to begin: the unit that follows something most closely, of the gates that go from 0 to 1; where a cell has no
   such gate, of the states. Where it hardly moves, as in a model that has hardly learnt, on its own range. What the
   address names is as it says. */
function begin() {
  const first = data.layers[0], gates = first.filter((quantity) => !quantity.state && quantity.scale === "part");
  const start = { quantity: first.findIndex((quantity) => quantity.state), at: Math.min(length - 1, 60) };
  let best = 0;
  for (const quantity of gates.length ? gates : first.filter((each) => each.state)) {
    varying.forEach((feature, k) => {
      for (let unit = 0; unit < quantity.units; unit++) {
        const size = Math.abs(followOf(quantity, k, unit));
        if (size > best) [best, start.quantity, start.unit, start.sort] = [size, first.indexOf(quantity), unit, feature.name];
      }
    });
  }
  const [lowest, highest] = rangeOf(first[start.quantity], start.unit || 0);
  const [low, high] = scaleOf(first[start.quantity], start.unit || 0);
  if (highest - lowest < (high - low) / 4) start.mode = "range";
  const address = Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
  for (const name of Object.keys(state)) {
    if (name in address) start[name] = name === "sort" || name === "mode" ? address[name] : Number(address[name]);
  }
  return start;
}
