// Fills the page in, wires what people touch, and opens the decoder.

const rows = await unpackRows(about.arrays);
const explorer = new Explorer(rows);
const { map, space } = explorer;

// --- words ---

$("reference").textContent = about.reference;
$("data").textContent = `${about.data} · ${about.parameters.toLocaleString("en")} parameters`;
$("made").textContent = `Written by logpx ${about.version}: logpx explore ${about.run}`;
$("save").textContent = about.shown.kind === "image" ? "Save picture" : "Save row";
if (about.evidence) {
  const { value, error, name, kind } = about.evidence;
  const digits = error > 0 ? clamp(1 - Math.floor(Math.log10(error)), 0, 4) : 3;
  const [big, small] = $("evidence").children;
  big.append(fixed(value, digits));
  if (error > 0) big.append(" ", element("span", {}, `± ${fixed(error, digits)}`));
  const kinds = { exact: "exact", "lower bound": "lower bound on log p(x)", score: "a score, not a log-likelihood" };
  small.textContent = `nats, ${name === "log p(x)" || name === "score" ? "" : `${name}, `}${kinds[kind] ?? kind}, over ${counted(about.rows.n, about.rows.name)}`;
} else $("evidence").replaceChildren(element("p", { class: "soft" }, "No log p(x): nothing in this model bounds it."));
usePanel($("use"), $("use-words"), about.latent, explorer.order, (i, on) => explorer.sliders.light(i, on));
const curved = !space.flat;
const strips = explorer.show.hasTiles ? ` Below each, what it does to the picture, the others staying where they are${curved ? ": the geodesic through z, which is in the middle" : ""}.` : "";
$("directions-note").textContent =
  `Sorted by ${about.latent.by === "KL" ? "KL" : "how far the rows spread"}; a double click goes to the middle.` +
  (curved ? " A slider is a direction at the origin: u is how far, along geodesics from there." : "") + strips;

// --- the map ---

const choices = (select, names) => select.append(...names.map((name, k) => element("option", { value: String(k) }, name)));
choices($("colour"), about.colours.map((c) => c.name));
$("colour-field").hidden = about.colours.length === 0;
explorer.views = offered(space, explorer.dims, explorer.points);
choices($("view"), explorer.views.map((v) => v.name));
$("view-field").hidden = explorer.views.length < 2;
for (const id of ["across", "up"]) choices($(id), explorer.dims.map((d) => d.name));
const sortedPair = explorer.dims.length > 2 ? explorer.order.slice(0, 2) : [0, 1];
[$("across").value, $("up").value] = sortedPair.map(String);
$("behind-field").hidden = about.shown.kind !== "image" || explorer.dims.length < 2;

// --- where to begin ---

const firstRow = Math.min(2, explorer.points.length - 1);
if (about.context.length) explorer.given = new Given($("context"), about.context, rows.context, () => explorer.regiven());
explorer.given?.of(firstRow);
if (!explorer.arrive()) explorer.z = explorer.points[firstRow];
explorer.near = [];
map.resized();
explorer.relook();
explorer.recolour();
const labels = explorer.points.map((_, row) => explorer.label(row));
const other = labels.findIndex((label) => label !== labels[0]);
explorer.setEnd("a", explorer.points[0]);
explorer.setEnd("b", explorer.points[other > 0 ? other : explorer.points.length - 1]);
map.face(explorer.z);
explorer.go(explorer.z);

// --- what people touch ---

$("colour").addEventListener("change", () => explorer.recolour());
$("view").addEventListener("change", () => explorer.relook());
for (const [id, otherId] of [["across", "up"], ["up", "across"]])
  $(id).addEventListener("change", () => {
    if ($(id).value === $(otherId).value) $(otherId).value = String((Number($(id).value) + 1) % explorer.dims.length);
    explorer.relook();
  });
$("behind").addEventListener("change", (event) => map.showBehind(event.target.checked));
for (const button of document.querySelectorAll("[data-tool]"))
  button.addEventListener("click", () => {
    map.tool = button.dataset.tool;
    map.canvas.dataset.tool = map.tool;
    for (const b of document.querySelectorAll("[data-tool]")) b.setAttribute("aria-pressed", String(b === button));
  });
$("closer").addEventListener("click", () => map.zoom(1.4));
$("farther").addEventListener("click", () => map.zoom(1 / 1.4));
$("fit").addEventListener("click", () => map.fit());

function chooseTheme() {
  document.documentElement.dataset.theme = isDark() ? "light" : "dark";
  repaint();
}

function repaint() {
  explorer.recolour();
  map.redraw();
  explorer.strips();
  if (explorer.between.a) explorer.setEnd("a", explorer.between.a);
  if (explorer.show.x) explorer.show.update(explorer.show.x);
}

$("theme").addEventListener("click", chooseTheme);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", repaint);
const help = () => $("keys").showModal();
$("help").addEventListener("click", help);

$("set-a").addEventListener("click", () => explorer.setEnd("a", explorer.z));
$("set-b").addEventListener("click", () => explorer.setEnd("b", explorer.z));
$("swap").addEventListener("click", () => {
  const { a, b } = map.marks;
  explorer.setEnd("a", b);
  explorer.setEnd("b", a);
});
$("play").addEventListener("click", () => explorer.play());
const origin = () => explorer.go(space.spaces.flatMap((s) => s.origin()));
$("origin").addEventListener("click", origin);

/** Says on a button, for a moment, that it has done its work. */
function done(button, words) {
  const before = button.dataset.name ?? (button.dataset.name = button.textContent);
  button.textContent = words;
  setTimeout(() => (button.textContent = before), 1400);
}

async function copy() {
  const text = `[${explorer.z.map((v) => Number(v.toFixed(6))).join(", ")}]`;
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const field = element("textarea", { value: text, class: "heard" });
    document.body.append(field);
    field.select();
    document.execCommand("copy");
    field.remove();
  }
  done($("copy"), "Copied");
}

async function save() {
  const [content, ending] = await explorer.show.file();
  const address = URL.createObjectURL(content);
  const name = explorer.z.slice(0, 4).map((v) => v.toFixed(2)).join("_");
  element("a", { href: address, download: `${about.run || "decoded"}_${name}.${ending}` }).click();
  setTimeout(() => URL.revokeObjectURL(address), 1000);
}

$("copy").addEventListener("click", copy);
$("save").addEventListener("click", save);

const keys = {
  ArrowLeft: (e) => explorer.nudge(-1, 0, e.shiftKey),
  ArrowRight: (e) => explorer.nudge(1, 0, e.shiftKey),
  ArrowUp: (e) => explorer.nudge(0, 1, e.shiftKey),
  ArrowDown: (e) => explorer.nudge(0, -1, e.shiftKey),
  "+": () => map.zoom(1.25),
  "=": () => map.zoom(1.25),
  "-": () => map.zoom(0.8),
  0: () => map.fit(),
  a: () => explorer.setEnd("a", explorer.z),
  b: () => explorer.setEnd("b", explorer.z),
  p: () => explorer.play(),
  n: () => explorer.visit(explorer.near[0].row),
  o: origin,
  g: () => $("behind-field").hidden || $("behind").click(),
  c: copy,
  s: save,
  t: chooseTheme,
  "?": help,
};
addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || $("keys").open) return;
  const busy = event.target.closest("select, input:not([type=checkbox]), textarea");
  const isArrow = event.key.startsWith("Arrow");
  if (busy && (isArrow || busy.tagName === "SELECT")) return;
  if (isArrow && event.target !== map.canvas) return; // elsewhere they scroll the page
  if (!keys[event.key]) return;
  event.preventDefault();
  keys[event.key](event);
});
addEventListener("hashchange", () => {
  if (explorer.arrive()) explorer.regiven();
});

// --- the decoder ---

globalThis.explorer = explorer; // for whoever opens the console, and for tests
try {
  explorer.decoder = await Decoder.open(about.latent.dim);
  explorer.regiven();
  $("loading").hidden = true;
  $("main").setAttribute("aria-busy", "false");
  $("main").dataset.ready = "";
} catch (error) {
  $("loading").hidden = true;
  $("trouble").textContent = `The decoder could not be started in this browser (${error.message}). The map still works.`;
  $("trouble").hidden = false;
}
