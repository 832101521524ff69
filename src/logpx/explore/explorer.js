// The page: one z, and all that shows it or moves it.

const $ = (id) => document.getElementById(id);
const about = JSON.parse($("about").textContent);
const still = matchMedia("(prefers-reduced-motion: reduce)");

class Explorer {
  constructor(rows) {
    this.rows = rows;
    this.space = new Product(about.latent.spaces);
    const { values, shape } = rows.z;
    this.points = Array.from({ length: shape[0] }, (_, i) => Array.from(values.slice(i * shape[1], (i + 1) * shape[1])));
    this.dims = about.latent.dims;
    this.order = this.dims.map((_, i) => i).sort((a, b) => this.dims[b].active - this.dims[a].active || this.dims[b].used - this.dims[a].used);
    this.show = showOf(about.shown, rows);
    this.show.mount($("picture"));
    this.decodes = 0;
    this.known = new Map(); // values of columns, once they were asked for
    this.labels = about.colours.find((column) => column.name === "label" && column.categories.length);
    this.map = new LatentMap($("map"), this.space, this.dims, this.points, {
      move: (z) => this.go(z),
      jump: (row) => this.visit(row),
      hover: (row, at) => this.hover(row, at),
      aspect: about.shown.kind === "image" ? about.shown.shape[1] / about.shown.shape[2] : 1,
      tiles: (zs, done) => this.decoder?.later("tiles", zs, (xs) => done(xs.map((x) => this.show.tile(x)))),
    });
    this.sliders = new Sliders($("directions"), this.space, about.latent, this.order, this.show, {
      slide: (i, value) => this.slide(i, value),
      jump: (z) => this.go(z),
      strips: () => this.strips(),
      z: () => this.z,
    });
    this.between = new Between($("between"), this.space, this.show, { jump: (z) => this.go(z) });
    this.nearest = new Nearest($("near"), this.space, this.points, this.show, (row) => this.label(row), (row) => this.visit(row));
  }

  // --- z ---

  /** Moves to z, and decodes it with the next picture that the screen draws. */
  go(z) {
    this.z = this.space.onto(Array.from(z));
    if (this.asked) return;
    this.asked = requestAnimationFrame(() => {
      this.asked = 0;
      this.sliders.set(this.space.chart(this.z));
      this.near = this.nearest.of(this.z);
      this.map.marks.z = this.z;
      this.map.marks.near = this.near;
      this.map.draw();
      this.decoder?.first(this.z, (x, of) => this.decoded(x, of));
      this.later();
    });
  }

  /** Goes to the code of a row, given what it was given. */
  visit(row) {
    this.given?.of(row);
    this.give();
    this.go(this.points[row]);
    this.map.askForTiles();
  }

  /** Tells the decoder, where there is one, what it is given. */
  give() {
    if (this.given && this.decoder) this.decoder.context = this.given.numbers();
  }

  /** Goes to where the address says, or says false where it names no place of this page. */
  arrive() {
    const said = new URLSearchParams(location.hash.slice(1).replaceAll("+", "%2B"));
    const [z, given] = ["z", "given"].map((name) => said.get(name)?.split(",").map(Number));
    if (z?.length !== about.latent.dim || !z.every(Number.isFinite)) return false;
    if (given && this.given?.takes(given)) this.given.set(given);
    this.z = this.space.onto(z);
    return true;
  }

  /** The address that comes back to this place. */
  get address() {
    const given = this.given ? `&given=${this.given.values().join(",")}` : "";
    return `#z=${this.z.map((v) => Number(v.toFixed(4))).join(",")}${given}`;
  }

  /** Decodes all that is seen anew, given something else. */
  regiven() {
    this.give();
    this.setEnd("a", this.map.marks.a);
    this.go(this.z);
    this.map.askForTiles();
  }

  slide(i, value) {
    const u = this.space.chart(this.z);
    u[i] = value;
    this.go(this.space.fromChart(u));
  }

  decoded(x, z) {
    this.show.update(x);
    this.nearest.update(this.near);
    this.decodes += 1;
    const place = $("picture");
    place.decoded = { z, x: Array.from(x) };
    place.dataset.z = z.map((v) => v.toFixed(4)).join(",");
    $("where").textContent = `z = (${z.slice(0, 6).map((v) => fixed(v, 2)).join(", ")}${z.length > 6 ? ", …" : ""})`;
  }

  /** What follows when z rests. */
  later() {
    clearTimeout(this.resting);
    this.resting = setTimeout(() => {
      this.strips();
      if (this.map.behind && this.dims.length > 2) this.map.askForTiles();
      history.replaceState(null, "", this.address);
      this.say();
    }, 140);
  }

  strips() {
    if (!this.decoder) return;
    const wanted = this.sliders.wanted();
    const zs = wanted.flatMap(({ zs }) => zs);
    if (!zs.length) return;
    this.decoder.later("strips", zs, (xs) =>
      wanted.forEach(({ strip }, k) => strip.show(xs.slice(k * CELLS, (k + 1) * CELLS).map((x) => this.show.tile(x)))),
    );
  }

  /** What a reader who does not see the picture hears. */
  say() {
    const x = $("picture").decoded?.x;
    if (!x) return;
    const { row } = this.near[0];
    const label = this.label(row);
    const words = `Decoded: ${this.show.words(x)}; nearest is row ${row}${label ? `, ${label}` : ""}.`;
    $("said").textContent = words;
    this.show.label(words);
  }

  label(row) {
    return this.labels?.categories[this.values(this.labels)[row]] ?? "";
  }

  /** The values of a column that points may be coloured by. */
  values(column) {
    if (column.array) return this.rows[column.array].values;
    if (!this.known.has(column)) {
      const P = about.shown.columns.length;
      this.known.set(column, Float32Array.from(this.points, (_, row) => this.rows.x.values[row * P + column.column]));
    }
    return this.known.get(column);
  }

  // --- A and B ---

  setEnd(name, z) {
    this.map.marks[name] = z;
    const { a, b } = this.map.marks;
    this.map.draw();
    if (!a || !b) return;
    this.between.set(a, b);
    this.decoder?.later("between", this.between.stops(), (xs) => this.between.decoded(xs));
  }

  /** From A to B and back, once; whoever prefers less motion sees the stops one after another. */
  play() {
    if (this.playing) return this.stop();
    const { a, b } = this.map.marks;
    const begun = performance.now();
    const lasts = still.matches ? 11000 : 5200;
    $("play").textContent = "Stop";
    const step = (now) => {
      const t = (now - begun) / lasts;
      if (t >= 1) return this.stop(a);
      let s = 1 - Math.abs(2 * t - 1);
      s = still.matches ? Math.round(s * (STOPS - 1)) / (STOPS - 1) : s * s * (3 - 2 * s);
      this.go(this.space.geodesic(a, b, s));
      this.between.strip?.mark(Math.round(s * (STOPS - 1)));
      this.playing = requestAnimationFrame(step);
    };
    this.playing = requestAnimationFrame(step);
  }

  stop(z) {
    cancelAnimationFrame(this.playing);
    this.playing = 0;
    $("play").textContent = "Play";
    this.between.strip?.mark(-1);
    if (z) this.go(z);
  }

  // --- the map's look ---

  recolour() {
    const column = about.colours[Number($("colour").value)];
    if (!column) return this.map.colour({ buckets: new Int16Array(this.points.length), colours: [css("--accent")] });
    const made = colouring(this.values(column), column.categories);
    this.map.colour(made);
    const legend = $("legend");
    if (column.categories.length) {
      const used = column.categories.map((name, k) => [name, k]).filter(([, k]) => made.buckets.includes(k));
      legend.replaceChildren(...used.slice(0, 24).map(([name, k]) => this.key(name, made.colours[k])));
      if (used.length > 24) legend.append(element("span", {}, `and ${used.length - 24} more`));
    } else {
      const ramp = element("span", { class: "ramp", ariaHidden: "true" });
      ramp.style.background = `linear-gradient(90deg, ${made.colours.join(",")})`;
      legend.replaceChildren(element("span", {}, pretty(made.low)), ramp, element("span", {}, `${pretty(made.high)} ${column.unit}`));
    }
    if (made.buckets.includes(-1)) legend.append(this.key("missing", css("--faint")));
  }

  key(name, colour) {
    const dot = element("i", { ariaHidden: "true" });
    dot.style.background = colour;
    return element("span", { class: "key" }, dot, name);
  }

  /** The map that the select boxes ask for. */
  relook() {
    const chosen = this.views[Number($("view").value)];
    $("axes").hidden = !chosen.chosen;
    const view = chosen.make(Number($("across").value), Number($("up").value));
    this.map.standard = about.latent.standard && view.kind === "plane";
    this.map.marks.z = this.z;
    this.map.look(view);
    const { rows } = about;
    const first = rows.n < rows.of ? `the first ${rows.n.toLocaleString("en")} of ` : "";
    const dashed = this.map.standard && view.j !== null ? " Dashed: one, two and three standard deviations of the prior." : "";
    $("map-note").textContent = `Points: ${rows.centres} of ${first}${counted(rows.of, rows.name)}. ${chosen.note}${dashed}`;
  }

  hover(row, at) {
    const tip = $("tip");
    tip.hidden = row < 0;
    if (row < 0) return;
    const label = this.label(row);
    const parts = this.show.rowTile ? [this.show.rowTile(row)] : [];
    const words = element("span", {}, element("b", {}, `row ${row}`), ...(label ? [" · ", apart(label)] : []));
    if (!this.show.rowTile) {
      const values = this.show.row(row);
      const lines = this.show.columns.slice(0, 5).map((c, i) => element("small", {}, apart(c.name), " ", apart(this.show.text(c, values[i]))));
      words.append(...lines);
    }
    tip.replaceChildren(...parts, words);
    tip.style.left = `${clamp(at[0], 60, this.map.width - 60)}px`;
    tip.style.top = `${at[1]}px`;
    tip.classList.toggle("below", at[1] < 110);
  }

  /** Moves z in the map by a share of what is seen. */
  nudge(dx, dy, big) {
    const step = (Math.min(this.map.width, this.map.height) / 60) * (big ? 5 : 1);
    const [px, py] = this.map.screen(this.map.view.place(this.z));
    this.go(this.map.under(px + step * dx, py - step * dy));
  }
}
