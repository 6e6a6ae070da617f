/* The map of all units: only what is in sight is drawn, so that a long text costs no more than a short one. */

const map = document.getElementById("map");
const canvas = document.getElementById("cells");
const room = document.getElementById("room");
const pen = canvas.getContext("2d");
const LEFT = 84, TOP = 24; // for the units' names and the characters
const view = { wide: 10, high: 2, hover: null };
let rows = []; // {unit, by}, from the top
let placeOf = []; // of a unit, its row

function sizeOfMap() {
  return { width: map.clientWidth, height: map.clientHeight };
}

/* All units in the height; characters wide enough to be read, or all of them where there is room. */
function firstView() {
  const { width, height } = sizeOfMap();
  view.high = Math.max(1.5, Math.min(22, (height - TOP) / quantityNow().units));
  view.wide = Math.max(10, Math.min(22, (width - LEFT) / length));
}

function wholeText() {
  const { width, height } = sizeOfMap();
  view.high = Math.min(22, (height - TOP) / quantityNow().units);
  view.wide = Math.min(22, (width - LEFT) / length);
  drawMap();
}

/* Zoom about a point of the map's box: what lies there stays there. */
function zoom(factor, x, y) {
  const column = (map.scrollLeft + x - LEFT) / view.wide, row = (map.scrollTop + y - TOP) / view.high;
  const { width, height } = sizeOfMap();
  view.wide = Math.max(Math.min(1, (width - LEFT) / length), Math.min(40, view.wide * factor));
  view.high = Math.max(Math.min(1, (height - TOP) / quantityNow().units), Math.min(28, view.high * factor));
  resizeRoom();
  map.scrollLeft = column * view.wide + LEFT - x;
  map.scrollTop = row * view.high + TOP - y;
  drawMap();
}

function zoomAtChoice(factor) {
  const { width, height } = sizeOfMap();
  const inside = (value, low, high) => (value > low && value < high ? value : (low + high) / 2);
  const x = LEFT + (state.at + 0.5) * view.wide - map.scrollLeft, y = TOP + (placeOf[state.unit] + 0.5) * view.high - map.scrollTop;
  zoom(factor, inside(x, LEFT, width), inside(y, TOP, height));
}

function resizeRoom() {
  room.style.width = `${LEFT + length * view.wide}px`;
  room.style.height = `${TOP + rows.length * view.high}px`;
}

function sortRows() {
  rows = orderNow();
  placeOf = [];
  rows.forEach(({ unit }, place) => { placeOf[unit] = place; });
}

function drawMap() {
  resizeRoom();
  const { width, height } = sizeOfMap(), sharp = devicePixelRatio || 1;
  canvas.style.width = `${width}px`;
  canvas.style.height = `${height}px`;
  canvas.width = Math.round(width * sharp);
  canvas.height = Math.round(height * sharp);
  pen.setTransform(sharp, 0, 0, sharp, 0, 0);
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(name).trim();
  // A canvas knows no light-dark(): the page's own elements tell what it came to.
  const ink = getComputedStyle(document.body).color, paper = getComputedStyle(document.getElementById("all")).backgroundColor;
  const mark = getComputedStyle(document.getElementById("mark-colour")).color;
  pen.fillStyle = paper;
  pen.fillRect(0, 0, width, height);
  const from = Math.max(0, Math.floor(map.scrollLeft / view.wide)), to = Math.min(length, Math.ceil((map.scrollLeft + width) / view.wide));
  const above = Math.max(0, Math.floor(map.scrollTop / view.high)), below = Math.min(rows.length, Math.ceil((map.scrollTop + height) / view.high));
  drawCells(from, to, above, below);
  pen.fillStyle = paper;
  pen.fillRect(0, 0, width, TOP);
  pen.fillRect(0, 0, LEFT, height);
  drawCharacters(from, to, ink, mark, colour("--mono"));
  drawUnits(above, below, ink, mark, colour("--mono"));
  drawChoice(mark, width, height);
}

function xOf(at) {
  return LEFT + at * view.wide - map.scrollLeft;
}

function yOf(place) {
  return TOP + place * view.high - map.scrollTop;
}

function drawCells(from, to, above, below) {
  if (to <= from || below <= above) return;
  const quantity = quantityNow();
  const image = new ImageData(to - from, below - above);
  let k = 0;
  for (let place = above; place < below; place++) {
    const start = rows[place].unit * length, colours = coloursOfCodes(quantity, rows[place].unit);
    for (let at = from; at < to; at++) {
      const { colour } = colours[quantity.codes[start + at]];
      image.data[k++] = colour[0];
      image.data[k++] = colour[1];
      image.data[k++] = colour[2];
      image.data[k++] = 255;
    }
  }
  const small = document.createElement("canvas");
  small.width = to - from;
  small.height = below - above;
  small.getContext("2d").putImageData(image, 0, 0);
  pen.imageSmoothingEnabled = view.wide < 1 || view.high < 1;
  pen.drawImage(small, xOf(from), yOf(above), (to - from) * view.wide, (below - above) * view.high);
}

function drawCharacters(from, to, ink, mark, font) {
  pen.textAlign = "center";
  pen.textBaseline = "middle";
  const each = view.wide >= 8 && !between;
  pen.font = `${each ? Math.min(15, view.wide * 1.4) : 11}px ${font}`;
  const step = each ? 1 : [10, 20, 50, 100, 200, 500, 1000, 2000, 5000].find((n) => n * view.wide > 50) || 10000;
  for (let at = each ? from : Math.ceil(from / step) * step; at < to; at += step) {
    const x = xOf(at) + view.wide / 2;
    if (x < LEFT) continue;
    pen.fillStyle = at === state.at ? mark : ink;
    if (each) pen.fillText(characterAt(at) === " " ? "·" : sign(characterAt(at)), x, TOP / 2);
    else pen.fillText(String(at + 1), Math.max(x, LEFT + 8), TOP / 2);
  }
}

/* Names of all rows where there is room, else that of the chosen one alone. */
function drawUnits(above, below, ink, mark, font) {
  pen.textAlign = "right";
  pen.font = `12px ${font}`;
  const all = view.high >= 12;
  for (let place = above; place < below; place++) {
    const { unit, by } = rows[place];
    const y = yOf(place) + view.high / 2;
    if ((!all && unit !== state.unit) || y < TOP) continue;
    pen.fillStyle = unit === state.unit ? mark : ink;
    pen.fillText(by === null ? `unit ${unit}` : `${unit} ${state.sort === "mean" ? number(by) : signed(by)}`, LEFT - 8, y);
  }
}

function drawChoice(mark, width, height) {
  pen.strokeStyle = mark;
  pen.lineWidth = 1.5;
  const x = xOf(state.at), y = yOf(placeOf[state.unit]);
  pen.save();
  pen.beginPath();
  pen.rect(LEFT - 1, TOP - 1, width, height);
  pen.clip();
  pen.strokeRect(x, TOP - 4, Math.max(2, view.wide), height);
  pen.strokeRect(LEFT - 4, y - 0.5, width, Math.max(2, view.high) + 1);
  pen.restore();
}

/* The unit and character at a place of the screen; null beside the cells. */
function cellAt(event) {
  const box = map.getBoundingClientRect();
  const x = event.clientX - box.left - map.clientLeft, y = event.clientY - box.top - map.clientTop;
  if (x < LEFT || y < TOP || x >= map.clientWidth + 1 || y >= map.clientHeight + 1) return null;
  const at = Math.floor((map.scrollLeft + x - LEFT) / view.wide), place = Math.floor((map.scrollTop + y - TOP) / view.high);
  return at < length && place < rows.length ? { at, unit: rows[place].unit } : null;
}

/* Scroll, within the map, to what is chosen. */
function followChoice() {
  const { width, height } = sizeOfMap();
  const x = xOf(state.at), y = yOf(placeOf[state.unit]);
  if (x < LEFT || x + view.wide > width) map.scrollLeft = state.at * view.wide - (width - LEFT) / 2;
  if (y < TOP || y + view.high > height) map.scrollTop = placeOf[state.unit] * view.high - (height - TOP) / 2;
}

const inRows = (by) => ({ unit: rows[Math.max(0, Math.min(rows.length - 1, placeOf[state.unit] + by))].unit });
const MAP_KEYS = {
  ArrowLeft: () => show({ at: state.at - 1 }),
  ArrowRight: () => show({ at: state.at + 1 }),
  ArrowUp: () => show(inRows(-1)),
  ArrowDown: () => show(inRows(1)),
  PageUp: () => show(inRows(-10)),
  PageDown: () => show(inRows(10)),
  Home: () => show({ at: 0 }),
  End: () => show({ at: length - 1 }),
  "+": () => zoomAtChoice(1.4),
  "=": () => zoomAtChoice(1.4),
  "-": () => zoomAtChoice(1 / 1.4),
};

function watchMap() {
  map.addEventListener("click", (event) => {
    const cell = cellAt(event);
    if (cell) show(cell);
  });
  map.addEventListener("mousemove", (event) => {
    const cell = cellAt(event);
    if (cell) tellHere(cell.at, cell.unit, event);
    else tip.hidden = true;
  });
  map.addEventListener("mouseleave", () => { tip.hidden = true; });
  map.addEventListener("keydown", (event) => {
    const move = MAP_KEYS[event.key];
    if (!move || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    move();
  });
  map.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    const box = map.getBoundingClientRect();
    zoom(Math.exp(-event.deltaY / 300), event.clientX - box.left, event.clientY - box.top);
  }, { passive: false });
  map.addEventListener("scroll", () => requestAnimationFrame(drawMap));
  document.getElementById("in").addEventListener("click", () => zoomAtChoice(1.4));
  document.getElementById("out").addEventListener("click", () => zoomAtChoice(1 / 1.4));
  document.getElementById("fit").addEventListener("click", wholeText);
  new ResizeObserver(() => requestAnimationFrame(drawMap)).observe(map);
  drawers.push((before) => {
    if (changed(before, "layer", "quantity", "sort")) sortRows();
    if (changed(before, "layer")) firstView();
    resizeRoom();
    followChoice();
    drawMap();
  });
}
