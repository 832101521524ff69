// The parts of the page beside the map: sliders with their strips, from A to B, the nearest rows.

const CELLS = 9; // decoded pictures of a slider's strip
const STOPS = 11; // of the way from A to B
const LISTED = 8; // directions that are listed before the rest is folded away

/** Small pictures side by side on one canvas; a click on one calls `chosen(k)`. */
class Strip {
  constructor(n, chosen) {
    Object.assign(this, { n, pictures: [], marked: -1 });
    this.canvas = element("canvas", { class: "strip", role: "img" });
    this.canvas.addEventListener("click", (event) => {
      const box = this.canvas.getBoundingClientRect();
      chosen(clamp(Math.floor(((event.clientX - box.left) / box.width) * n), 0, n - 1));
    });
    new ResizeObserver(() => this.draw()).observe(this.canvas);
  }

  show(pictures) {
    this.pictures = pictures;
    const [{ width, height }] = pictures;
    this.canvas.style.aspectRatio = `${this.n * width} / ${height}`;
    this.draw();
  }

  mark(k) {
    this.marked = k;
    this.draw();
  }

  draw() {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    if (!width || !this.pictures.length) return;
    const ctx = sharp(this.canvas, width, height);
    ctx.imageSmoothingEnabled = false;
    const cell = width / this.n;
    this.pictures.forEach((picture, k) => ctx.drawImage(picture, k * cell + 1, 0, cell - 2, height));
    if (this.marked < 0) return;
    ctx.strokeStyle = css("--accent");
    ctx.lineWidth = 3;
    ctx.strokeRect(this.marked * cell + 2.5, 1.5, cell - 5, height - 3);
  }
}

/** A slider for each direction, sorted by use, each over a strip of what it does to the picture. */
class Sliders {
  constructor(place, space, latent, order, show, asked) {
    Object.assign(this, { space, latent, order, show, asked, flat: space.flat });
    this.lines = order.map((i) => this.line(i));
    const byDirection = new Map(order.map((i, at) => [i, this.lines[at]]));
    const live = order.filter((i) => latent.dims[i].active !== false);
    const fold = (name, which) => {
      if (!which.length) return;
      const details = element("details", {}, element("summary", {}, `${name} (${which.length})`));
      details.append(...which.map((i) => byDirection.get(i).node));
      details.addEventListener("toggle", () => this.asked.strips());
      place.append(details);
    };
    place.append(...live.slice(0, LISTED).map((i) => byDirection.get(i).node));
    fold("More", live.slice(LISTED));
    fold("Collapsed", order.filter((i) => latent.dims[i].active === false));
  }

  line(i) {
    const d = this.latent.dims[i];
    const value = element("output", { class: "value" });
    const input = element("input", {
      type: "range",
      min: String(d.low),
      max: String(d.high),
      step: "any",
      "aria-label": `${d.name}, ${useOf(this.latent, d)}`,
    });
    input.dataset.direction = String(i);
    input.addEventListener("input", () => this.asked.slide(i, Number(input.value)));
    input.addEventListener("keydown", (event) => this.key(event, i, input, d));
    input.addEventListener("dblclick", () => this.asked.slide(i, clamp(0, d.low, d.high)));
    const use = element("span", { class: "use" }, element("i"), element("span", {}, useOf(this.latent, d)));
    const most = Math.max(...this.latent.dims.map((other) => other.used), 1e-9);
    use.firstChild.style.width = `${Math.max(2, (100 * d.used) / most)}%`;
    const head = element("div", { class: "head" }, element("b", {}, d.name), value, use);
    const body = element("div", { class: "body" }, input);
    const strip = this.show.hasTiles ? new Strip(CELLS, (k) => this.asked.jump(this.stops(i)[k])) : null;
    if (strip) body.append(strip.canvas);
    const node = element("div", { class: d.active === false ? "direction off" : "direction" }, head, body);
    return { i, node, input, value, strip };
  }

  /** Arrow keys move a hundredth of the range: of a step "any" browsers make too much. */
  key(event, i, input, d) {
    const way = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1 }[event.key];
    if (!way) return;
    event.preventDefault();
    const step = ((d.high - d.low) / 100) * (event.shiftKey ? 10 : 1);
    this.asked.slide(i, clamp(Number(input.value) + way * step, d.low, d.high));
  }

  /** The latents of a strip: along the slider where flat, else along the geodesic through z. */
  stops(i) {
    const d = this.latent.dims[i];
    const z = this.asked.z();
    return Array.from({ length: CELLS }, (_, k) => {
      if (!this.flat) return this.space.walk(z, i, this.reach(i) * (k - (CELLS - 1) / 2));
      const made = Array.from(z);
      made[i] = d.low + ((d.high - d.low) * k) / (CELLS - 1);
      return made;
    });
  }

  /** The length of a step on a curved space: two standard deviations on either side, and no more than once around. */
  reach(i) {
    const { space } = this.space.directions[i];
    const far = 2 * this.latent.dims[i].spread;
    return space.kappa > 0 ? Math.min(far / 4, (2 * Math.PI * space.radius) / CELLS) : far / 4;
  }

  /** Marks the slider of direction i, or no longer. */
  light(i, on) {
    this.lines.find((line) => line.i === i).node.classList.toggle("lit", on);
  }

  /** z as sliders show it. */
  set(u) {
    for (const { i, input, value } of this.lines) {
      input.value = String(u[i]);
      value.textContent = fixed(u[i], 2);
      input.setAttribute("aria-valuetext", u[i].toFixed(2));
    }
  }

  /** Strips that can be seen, with the latents that they show. */
  wanted() {
    if (!this.show.hasTiles) return [];
    return this.lines.filter(({ node }) => node.offsetParent !== null).map(({ i, strip }) => ({ strip, zs: this.stops(i) }));
  }
}

/** The way from A to B: a strip of decodes, or of a table its columns stop by stop. */
class Between {
  constructor(place, space, show, asked) {
    Object.assign(this, { space, show, asked, a: null, b: null });
    this.strip = show.hasTiles ? new Strip(STOPS, (k) => asked.jump(this.at(k / (STOPS - 1)))) : null;
    this.table = show.hasTiles ? null : element("table");
    const scroll = element("div", { class: "scroll" });
    scroll.append(this.strip ? this.strip.canvas : this.table);
    this.words = element("p", { class: "note" });
    place.append(scroll, this.words);
  }

  at(t) {
    return this.space.geodesic(this.a, this.b, t);
  }

  stops() {
    return Array.from({ length: STOPS }, (_, k) => this.at(k / (STOPS - 1)));
  }

  set(a, b) {
    [this.a, this.b] = [a, b];
    const length = pretty(this.space.distance(a, b));
    this.words.textContent = `${STOPS} equal steps along the ${this.space.flat ? "straight line" : "geodesic"} from A to B, ${length} long.`;
    if (this.strip) this.strip.canvas.setAttribute("aria-label", `${STOPS} decoded pictures from A to B`);
  }

  decoded(xs) {
    if (this.strip) return this.strip.show(xs.map((x) => this.show.tile(x)));
    const columns = this.show.columns.slice(0, 24);
    const head = element("tr", {}, element("th", {}, ""));
    xs.forEach((_, k) => head.append(element("th", { scope: "col" }, k === 0 ? "A" : k === STOPS - 1 ? "B" : fixed(k / (STOPS - 1), 1))));
    const lines = columns.map((column) => {
      const line = element("tr", {}, element("th", { scope: "row", title: column.name }, column.name));
      line.append(...xs.map((x) => element("td", {}, this.show.decodedText(column, x))));
      return line;
    });
    this.table.replaceChildren(element("thead", {}, head), element("tbody", {}, ...lines));
  }
}

/** The rows nearest to z by the distance of the space, as buttons that go there. */
class Nearest {
  constructor(place, space, points, show, label, jump) {
    Object.assign(this, { place, space, points, show, label, jump, shown: "" });
  }

  of(z, n = 8) {
    const found = [];
    this.points.forEach((point, row) => {
      const far = this.space.distance(z, point);
      if (found.length === n && far >= found[n - 1].far) return;
      found.splice(found.findIndex((other) => other.far > far) >>> 0, 0, { row, far });
      if (found.length > n) found.pop();
    });
    return found;
  }

  update(found) {
    const rows = found.map(({ row }) => row).join();
    if (rows === this.shown) return;
    this.shown = rows;
    this.place.replaceChildren(...found.map(({ row, far }) => element("li", {}, this.button(row, far))));
  }

  button(row, far) {
    const label = this.label(row);
    const words = `row ${row}${label ? `, ${label}` : ""}, at distance ${pretty(far)}`;
    const button = element("button", { type: "button", title: words, "aria-label": `Go to ${words}` });
    button.dataset.row = String(row);
    if (this.show.rowTile) {
      button.append(element("span", { class: "thumb" }, this.show.rowTile(row)), element("small", {}, label || `${row}`));
    } else {
      const few = this.show.columns.slice(0, 4);
      const values = this.show.row(row);
      const texts = few.map((c) => this.show.text(c, values[this.show.columns.indexOf(c)]));
      button.append(element("b", {}, label || `row ${row}`), element("span", {}, ...texts.flatMap((text, k) => (k ? [" · ", apart(text)] : [apart(text)]))), element("small", {}, pretty(far)));
    }
    button.addEventListener("click", () => this.jump(row));
    return button;
  }
}

/** What a conditional model is given beside z: a select box for each category, a field for each number. */
class Given {
  constructor(place, columns, rows, changed) {
    Object.assign(this, { columns, rows, changed });
    this.fields = columns.map((column) => this.field(column));
    place.append(...columns.map((column, i) => element("label", {}, "given ", apart(column.name), " ", this.fields[i])));
  }

  field({ categories }) {
    const names = categories.map((name, k) => element("option", { value: String(k) }, name));
    const field = categories.length ? element("select", {}, ...names) : element("input", { type: "number", step: "any" });
    field.addEventListener("change", this.changed);
    return field;
  }

  /** The numbers that the decoder takes: categories one-hot, others standardised. */
  numbers() {
    return this.columns.flatMap(({ categories, mean, scale }, i) => {
      const value = Number(this.fields[i].value);
      return categories.length ? categories.map((_, k) => Number(k === value)) : [(value - mean) / scale];
    });
  }

  /** What the fields hold: of a category its number. */
  values() {
    return this.fields.map((field) => Number(field.value));
  }

  set(values) {
    this.fields.forEach((field, i) => (field.value = String(values[i])));
  }

  /** Whether the fields can hold these. */
  takes(values) {
    const fits = ({ categories }, i) => !categories.length || categories[values[i]] !== undefined;
    return values.length === this.columns.length && values.every(Number.isFinite) && this.columns.every(fits);
  }

  /** Sets the fields to what a row was given. */
  of(row) {
    const C = this.rows.shape[1];
    let at = row * C;
    const own = this.columns.map(({ categories, mean, scale }) => {
      const numbers = this.rows.values.slice(at, (at += categories.length || 1));
      return categories.length ? numbers.indexOf(Math.max(...numbers)) : Number((mean + scale * numbers[0]).toPrecision(6));
    });
    this.set(own);
  }
}
