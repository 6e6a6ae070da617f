/* What stands around the text: the gate in words, the chosen character, and the units that follow something. */

const $ = (id) => document.getElementById(id);

function make(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

function drawExplanation() {
  const quantity = quantityNow();
  $("gate-title").replaceChildren(make("code", { textContent: quantity.name }), ` ${quantity.title}`);
  const still = `In this text no unit of ${quantity.name} moves by much, as in a model that has hardly learnt: ` +
    "“its own range” shows the little that each does.";
  $("gate-words").textContent = hardlyMoves(quantity) ? `${quantity.words} ${still}` : quantity.words;
  $("gate-equation").textContent = quantity.equation;
  const [low, high] = rangeOf(quantity, state.unit);
  const [from, to] = [low, high].map((value) => shownValue(quantity, state.unit, value));
  $("precision").textContent =
    `${quantity.name} of unit ${state.unit} goes from ${from} to ${to} in this text, so one step is ` +
    `${((high - low) / STEPS).toPrecision(2)}, and its values are within half a step.`;
}

function drawLegend() {
  const byUnit = state.mode !== "influence", quantity = quantityNow();
  const ends = byUnit ? endsOf(quantity, state.unit) : [0, 1];
  const bar = make("canvas", { width: 144, height: 1 });
  bar.setAttribute("aria-hidden", "true");
  const pen = bar.getContext("2d"), colours = byUnit ? coloursOf(quantity) : palette("influence");
  for (let x = 0; x < 144; x++) {
    pen.fillStyle = colours[Math.round(x / 143 * (colours.length - 1))].css;
    pen.fillRect(x, 0, 1, 1);
  }
  const [low, high] = ends.map((end) => (Number.isInteger(end) ? number(end, 0) : shownValue(quantity, state.unit, end)));
  const name = byUnit ? `${quantity.name} of unit ${state.unit}` : "influence on the guess, share of the largest";
  $("legend").replaceChildren(make("b", { textContent: name }), low, bar, high);
}

function drawMoment() {
  const { at } = state, quantity = quantityNow();
  $("moment-title").textContent = `After ${quoted(characterAt(at))}, ${data.noun} ${at + 1} of ${length}`;
  $("moment-value").replaceChildren(
    `${quantity.name} of unit ${state.unit}: `, make("b", { id: "value", textContent: shownValue(quantity, state.unit, valueOf(quantity, state.unit, at)) }));
  $("expected").tBodies[0].replaceChildren(...expectedAt(at).map(({ token, part, came }) => {
    const head = make("th", { scope: "row", textContent: sign(data.vocabulary[token]) });
    if (SPOKEN[data.vocabulary[token]]) head.setAttribute("aria-label", SPOKEN[data.vocabulary[token]]);
    const bar = make("div", { className: "bar" });
    bar.style.width = `${100 * part}%`;
    const row = make("tr", {}, head, make("td", {}, bar), make("td", { className: "part", textContent: percent(part) }),
      make("td", { className: "came-mark", textContent: came ? "◂ comes" : "" }));
    if (came) row.className = "came";
    return row;
  }));
  drawMoved();
}

function quoted(character) {
  return character === " " ? "a space" : SPOKEN[character] ? `a ${SPOKEN[character]}` : `‘${character}’`;
}

function drawMoved() {
  const { at } = state, target = data.vocabulary[targets[at]];
  $("moved-title").textContent = `What moved its guess of ${quoted(target)}`;
  $("moved-note").textContent = `The stronger the colour, the more a change there would change the chance of ${quoted(target)}` +
    (at < length - 1 ? ", which comes next." : ".");
  const colours = palette("influence"), from = Math.max(0, at - influence.span + 1);
  const places = Array.from({ length: at - from + 1 }, (_, k) => from + k);
  $("moved").replaceChildren(...places.flatMap((place) => {
    const { css, ink } = colours[shareOf(at, at - place)];
    const span = make("span", { textContent: characterAt(place) === " " ? " " : sign(characterAt(place)), className: place === at ? "at" : "" });
    span.style.backgroundColor = css;
    span.style.color = ink;
    return [span, between];
  }));
  const strongest = places.sort((a, b) => shareOf(at, at - b) - shareOf(at, at - a)).slice(0, 4);
  const tell = (place) => `${quoted(characterAt(place))} ${place === at ? "just read" : `${at - place} before`} (${number(shareOf(at, at - place) / 255)})`;
  $("moved-words").textContent = `Most: ${strongest.map(tell).join(", ")}. 1 is a gradient of length ${influence.largest[at].toPrecision(3)}.`;
}

/* The chosen order in words, and for every feature the units that follow it most. */
function drawFollows() {
  const quantity = quantityNow(), sort = sorts().find((each) => each.key === state.sort);
  $("sort").value = state.sort;
  $("sorted-words").textContent = sort.words ? `Sorted by correlation with “${sort.title}” (${sort.words}), from +1 down to −1.` : "";
  $("follows").hidden = $("sorted-by").hidden = data.features.length === 0;
  $("follows-title").textContent = `Which units of ${quantity.name} follow what`;
  $("follow-lists").replaceChildren(...data.features.map((feature) => {
    const part = make("div", {}, make("h3", { textContent: feature.name }), make("p", { className: "note", textContent: feature.words }));
    const k = varying.indexOf(feature);
    if (k < 0) part.append(make("p", { className: "note", textContent: "This text has none, or nothing else." }));
    else part.append(make("ul", {}, ...strongestUnits(quantity, k).map(([unit, by]) => make("li", {}, followButton(feature, unit, by)))));
    return part;
  }));
}

function strongestUnits(quantity, feature) {
  return Array.from({ length: quantity.units }, (_, unit) => [unit, followOf(quantity, feature, unit)])
    .sort((a, b) => Math.abs(b[1]) - Math.abs(a[1])).slice(0, 5);
}

function followButton(feature, unit, by) {
  const bar = make("i");
  bar.style.left = `${50 + Math.min(0, by) * 50}%`;
  bar.style.width = `${Math.abs(by) * 50}%`;
  const button = make("button", { type: "button" }, `unit ${unit}`, make("span", { className: "track" }, bar),
    make("span", { className: "number", textContent: signed(by) }));
  button.setAttribute("aria-pressed", String(unit === state.unit));
  button.setAttribute("aria-label", `unit ${unit}, correlation with ${feature.name} ${signed(by)}`);
  button.dataset.unit = unit;
  button.addEventListener("click", () => show({ unit, sort: feature.name, mode: state.mode === "range" ? "range" : "unit" }));
  return button;
}

function pressUnit() {
  for (const button of $("follow-lists").querySelectorAll("button")) {
    button.setAttribute("aria-pressed", String(Number(button.dataset.unit) === state.unit));
  }
}

/* For those who hear the page: what a choice has led to. */
function speak() {
  const quantity = quantityNow(), [best] = expectedAt(state.at);
  $("live").textContent =
    `${spoken(characterAt(state.at))}, ${data.noun} ${state.at + 1}. ${quantity.title} ${quantity.name}, unit ${state.unit}: ` +
    `${shownValue(quantity, state.unit, valueOf(quantity, state.unit, state.at))}. ` +
    `Expected next: ${spoken(data.vocabulary[best.token])}, ${percent(best.part)}.`;
}

function watchPanels() {
  drawers.push((before) => {
    if (changed(before, "layer", "quantity", "unit")) drawExplanation();
    if (changed(before, "layer", "quantity", "unit", "mode")) drawLegend();
    if (changed(before, "layer", "quantity", "sort")) drawFollows();
    if (changed(before, "unit")) pressUnit();
    drawMoment();
    if ("at" in before) speak();
  });
}
