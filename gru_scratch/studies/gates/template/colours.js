/* Colours of values: one hue from the paper up, or blue and orange to both sides of it. Told apart by lightness alone
   within a hue, and blue from orange by every common kind of colour vision. */

const STOPS = {
  light: {
    amount: ["#fbfaf6", "#cfe1ef", "#8fbfdd", "#3f8fc4", "#14599a", "#0a2f5c"],
    signed: ["#0a3a6b", "#3f8fc4", "#b9d7ea", "#fbfaf6", "#f6c99c", "#d9782a", "#7a3406"],
    influence: ["#fbfaf6", "#ead4ec", "#cf9dd6", "#a65bb5", "#742a86", "#43104f"],
  },
  dark: {
    amount: ["#15171c", "#17344f", "#1d5f8f", "#3b93c9", "#8cc6ea", "#e2f2fc"],
    signed: ["#cfe8fb", "#5fb0e6", "#1f4f78", "#15171c", "#6e3d14", "#e08a3c", "#ffe3c2"],
    influence: ["#15171c", "#3a1d45", "#6d3380", "#a95cbf", "#d8a0e6", "#f8e4fc"],
  },
};

function rgb(colour) {
  return [1, 3, 5].map((k) => parseInt(colour.slice(k, k + 2), 16));
}

function luminance(colour) {
  const [r, g, b] = colour.map((part) => {
    const x = part / 255;
    return x <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

/* For each of `count` codes the colour [r, g, b], as CSS, and the ink that is read best on it. */
function ramp(stops, count) {
  const colours = stops.map(rgb);
  return Array.from({ length: count }, (_, code) => {
    const place = code / (count - 1) * (colours.length - 1);
    const k = Math.min(Math.floor(place), colours.length - 2);
    const colour = [0, 1, 2].map((c) => Math.round(colours[k][c] + (place - k) * (colours[k + 1][c] - colours[k][c])));
    // On white's side of this luminance black has the higher contrast, at least 4.5 to 1.
    return { colour, css: `rgb(${colour.join(" ")})`, ink: luminance(colour) > 0.179 ? "#000000" : "#ffffff" };
  });
}

const palettes = Object.fromEntries(
  Object.entries(STOPS).map(([theme, kinds]) => [theme, {
    amount: ramp(kinds.amount, STEPS + 1),
    part: ramp(kinds.amount, STEPS + 1),
    signed: ramp(kinds.signed, STEPS + 1),
    influence: ramp(kinds.influence, 256),
  }]),
);

const darkSystem = matchMedia("(prefers-color-scheme: dark)");

function theme() {
  return document.documentElement.dataset.theme || (darkSystem.matches ? "dark" : "light");
}

function palette(kind) {
  return palettes[theme()][kind];
}
