// Colours of points: classes by a palette that colour-blind readers can tell apart, numbers by a ramp.

const isDark = () => getComputedStyle(document.documentElement).getPropertyValue("--paper").trim() === "#15171a";

const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

const bytesOf = (hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));

const mixed = (a, b, t) => a.map((x, i) => Math.round(x + t * (b[i] - x)));

const rgb = (c) => `rgb(${c.join(",")})`;

/** The colour of category k: the palette, then the palette mixed with the ink. */
function categoryColour(k) {
  const own = bytesOf(PALETTE[k % PALETTE.length]);
  return rgb(Math.floor(k / PALETTE.length) % 2 ? mixed(own, bytesOf(css("--ink")), 0.5) : own);
}

// Viridis (Smith & van der Walt 2015) at equal steps, without the end that the paper would swallow.
const RAMP = ["#440154", "#482878", "#3e4a89", "#31688e", "#26828e", "#1f9e89", "#35b779", "#6ece58", "#b5de2b", "#fde725"];

function rampColours(steps) {
  const [from, to] = isDark() ? [1.6, 9] : [0, 8.2];
  return Array.from({ length: steps }, (_, s) => {
    const at = from + ((to - from) * s) / (steps - 1);
    const i = Math.min(Math.floor(at), RAMP.length - 2);
    return rgb(mixed(bytesOf(RAMP[i]), bytesOf(RAMP[i + 1]), at - i));
  });
}

const STEPS = 48;

/** What a column makes of the points: a bucket for each (-1: nothing known) and the colour of each bucket. */
function colouring(values, categories) {
  const buckets = new Int16Array(values.length).fill(-1);
  if (categories.length) {
    values.forEach((v, i) => (buckets[i] = v >= 0 ? v : -1));
    return { buckets, colours: categories.map((_, k) => categoryColour(k)), low: 0, high: 0 };
  }
  const known = Float64Array.from(values).filter(Number.isFinite).sort();
  const at = (share) => known[Math.round(share * (known.length - 1))] ?? 0;
  const [low, high] = [at(0.01), at(0.99)];
  values.forEach((v, i) => {
    if (Number.isFinite(v)) buckets[i] = clamp(Math.floor((STEPS * (v - low)) / (high - low || 1)), 0, STEPS - 1);
  });
  return { buckets, colours: rampColours(STEPS), low, high };
}

/** A number for people: about three digits, a true minus sign. */
function pretty(value, digits = 3) {
  if (!Number.isFinite(value)) return "missing";
  const size = Math.abs(value);
  let text;
  if (size >= 1e4 && size < 1e9) return fixedThousands(value);
  if (size !== 0 && (size >= 1e9 || size < 1e-3)) text = value.toExponential(digits - 1);
  else text = value.toFixed(clamp(digits - 1 - Math.floor(Math.log10(size || 1)), 0, 4));
  if (Number(text) === 0) text = "0";
  return text.replace("-", "−");
}

const fixedThousands = (value) => Math.round(value).toLocaleString("en").replace("-", "−");

const fixed = (value, digits) => value.toFixed(digits).replace(/^-(?=[0.]+$)/, "").replace("-", "−");

/** A number of things whose name is given in the plural. */
const counted = (n, names) => `${n.toLocaleString("en")} ${n === 1 ? names.replace(/s$/, "") : names}`;
