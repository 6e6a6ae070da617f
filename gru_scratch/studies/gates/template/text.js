/* The text, each character in the colour of its value, and the choice of a character. */

const textBox = document.getElementById("text");
const spans = [];
const tip = document.getElementById("tip");

function writeText() {
  const part = document.createDocumentFragment();
  for (let at = 0; at < length; at++) {
    const span = document.createElement("span");
    const character = characterAt(at);
    span.id = `c${at}`;
    span.setAttribute("role", "option");
    span.textContent = character === "\n" ? "↵\n" : character === " " ? " " : sign(character);
    if (character !== " " && sign(character) !== character) span.className = "sign";
    part.append(span, between);
    spans.push(span);
  }
  textBox.append(part);
}

function paintText() {
  const byUnit = state.mode !== "influence";
  const quantity = quantityNow();
  const colours = byUnit ? coloursOfCodes(quantity, state.unit) : palette("influence");
  for (let at = 0; at < length; at++) {
    const { css, ink } = colours[byUnit ? codeOf(quantity, state.unit, at) : shareOf(state.at, state.at - at)];
    spans[at].style.backgroundColor = css;
    spans[at].style.color = ink;
  }
}

function markCharacter(before) {
  if ("at" in before && before.at !== state.at) spans[before.at].removeAttribute("aria-selected");
  const span = spans[state.at];
  span.setAttribute("aria-selected", "true");
  span.setAttribute("aria-label", `${spoken(characterAt(state.at))}, ${data.noun} ${state.at + 1} of ${length}`);
  textBox.setAttribute("aria-activedescendant", span.id);
}

/* Only the box scrolls, never the page. */
function bringIntoView() {
  const box = textBox.getBoundingClientRect(), span = spans[state.at].getBoundingClientRect();
  if (span.top < box.top + 8) textBox.scrollTop -= box.top + 40 - span.top;
  if (span.bottom > box.bottom - 8) textBox.scrollTop += span.bottom + 40 - box.bottom;
}

/* The character on the line above (-1) or below (1) that stands nearest to the chosen one. */
function onNextLine(direction) {
  const here = spans[state.at];
  let best = state.at, top = null;
  for (let at = state.at + direction; at >= 0 && at < length; at += direction) {
    const span = spans[at];
    if (Math.abs(span.offsetTop - here.offsetTop) < 4) continue;
    if (top !== null && Math.abs(span.offsetTop - top) >= 4) break;
    if (top === null || Math.abs(span.offsetLeft - here.offsetLeft) < Math.abs(spans[best].offsetLeft - here.offsetLeft)) best = at;
    top = span.offsetTop;
  }
  return best;
}

const TEXT_KEYS = {
  ArrowLeft: () => state.at - 1,
  ArrowRight: () => state.at + 1,
  ArrowUp: () => onNextLine(-1),
  ArrowDown: () => onNextLine(1),
  PageUp: () => state.at - 100,
  PageDown: () => state.at + 100,
  Home: () => 0,
  End: () => length - 1,
};

function characterOf(target) {
  return target instanceof Element && target.parentElement === textBox ? Number(target.id.slice(1)) : -1;
}

function tellHere(at, unit, event) {
  const quantity = quantityNow();
  const from = Math.max(0, at - (between ? 3 : 14));
  const around = Array.from({ length: at - from }, (_, k) => sign(characterAt(from + k)) + between).join("");
  tip.textContent = `…${around}[${sign(characterAt(at))}]\n${quantity.name} of unit ${unit}: ${shownValue(quantity, unit, valueOf(quantity, unit, at))}`;
  tip.hidden = false;
  const left = Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8);
  const above = event.clientY - tip.offsetHeight - 12;
  tip.style.left = `${Math.max(4, left)}px`;
  tip.style.top = `${above > 4 ? above : event.clientY + 18}px`;
}

function watchText() {
  textBox.addEventListener("click", (event) => {
    const at = characterOf(event.target);
    if (at >= 0) show({ at });
  });
  textBox.addEventListener("keydown", (event) => {
    const move = TEXT_KEYS[event.key];
    if (!move || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    show({ at: move() });
    bringIntoView();
  });
  textBox.addEventListener("mousemove", (event) => {
    const at = characterOf(event.target);
    if (at >= 0) tellHere(at, state.unit, event);
    else tip.hidden = true;
  });
  textBox.addEventListener("mouseleave", () => { tip.hidden = true; });
  drawers.push((before) => {
    if (changed(before, "layer", "quantity", "unit", "mode") || (state.mode === "influence" && changed(before, "at"))) paintText();
    if (changed(before, "at")) markCharacter(before);
  });
}
