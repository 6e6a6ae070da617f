/* The controls, the theme, and the start. */

function radios(box, name, labels, choose) {
  box.append(...labels.map((label, value) => {
    const input = make("input", { type: "radio", name, value: String(value) });
    input.addEventListener("change", () => choose(value));
    return make("label", {}, input, make("span", {}, ...label));
  }));
}

function writeQuantities() {
  const box = $("quantities");
  for (const label of box.querySelectorAll("label")) label.remove();
  const labels = data.layers[state.layer].map((quantity) => [make("code", { textContent: quantity.name }), quantity.title]);
  radios(box, "quantity", labels, (quantity) => show({ quantity }));
}

function drawControls(before) {
  if (changed(before, "layer")) writeQuantities();
  for (const name of ["layer", "quantity", "mode"]) {
    for (const input of document.querySelectorAll(`input[name="${name}"]`)) input.checked = input.value === String(state[name]);
  }
  const { units } = quantityNow();
  $("unit").max = units - 1;
  $("unit").value = state.unit;
  $("of-units").textContent = `of 0 to ${units - 1}`;
  $("previous").disabled = state.unit === 0;
  $("next").disabled = state.unit === units - 1;
}

function watchControls() {
  radios($("layers"), "layer", data.layers.map((_, k) => [String(k + 1)]), (layer) => show({ layer }));
  $("layers").hidden = data.layers.length < 2;
  for (const input of document.querySelectorAll('input[name="mode"]')) input.addEventListener("change", () => show({ mode: input.value }));
  $("unit").addEventListener("change", () => show({ unit: Number($("unit").value) }));
  $("previous").addEventListener("click", () => show({ unit: state.unit - 1 }));
  $("next").addEventListener("click", () => show({ unit: state.unit + 1 }));
  $("sort").append(...sorts().map(({ key, title }) => make("option", { value: key, textContent: title })));
  $("sort").addEventListener("change", () => show({ sort: $("sort").value }));
  document.addEventListener("keydown", (event) => {
    const typing = event.target instanceof HTMLInputElement && event.target.type === "number";
    if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "[") show({ unit: state.unit - 1 });
    if (event.key === "]") show({ unit: state.unit + 1 });
  });
  drawers.push(drawControls);
}

function writeTheme() {
  $("theme").textContent = theme() === "dark" ? "☀ Light" : "☾ Dark";
  $("theme").setAttribute("aria-label", theme() === "dark" ? "use light colours" : "use dark colours");
}

function watchTheme() {
  const redraw = () => { writeTheme(); drawAll(); };
  $("theme").addEventListener("click", () => {
    document.documentElement.dataset.theme = theme() === "dark" ? "light" : "dark";
    redraw();
  });
  darkSystem.addEventListener("change", redraw);
  writeTheme();
}

$("about").textContent = `${data.title} · reading ${length.toLocaleString("en")} ${data.noun}${length === 1 ? "" : "s"} of ${data.source}`;
for (const noun of document.querySelectorAll(".noun")) noun.textContent = data.noun;
writeText();
watchControls();
watchText();
watchMap();
watchPanels();
watchTheme();
show(begin(), {});
bringIntoView();
