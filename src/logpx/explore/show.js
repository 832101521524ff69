// What is decoded, as people look at it: a picture, the columns of a table, a line, a point in a plane.

/** An element with attributes (or properties, for what is no string) and children. */
function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (typeof value === "string") made.setAttribute(key, value);
    else made[key] = value;
  }
  made.append(...children);
  return made;
}

/** Words whose direction of writing is their own, and not that of what stands beside them. */
const apart = (words) => element("bdi", {}, words);

/** A canvas as sharp as the screen; returns its context in CSS pixels. */
function sharp(canvas, width, height) {
  const ratio = window.devicePixelRatio || 1;
  const [w, h] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== w || canvas.height !== h) Object.assign(canvas, { width: w, height: h });
  const ctx = canvas.getContext("2d");
  ctx.setTransform(ratio, 0, 0, ratio, 0, 0);
  ctx.clearRect(0, 0, width, height);
  return ctx;
}

/** Pixels (C, H, W) by `value(index)` in [0, 255] onto a canvas of W x H. */
function paint(canvas, [C, H, W], value) {
  canvas.width = W;
  canvas.height = H;
  const ctx = canvas.getContext("2d");
  const image = ctx.createImageData(W, H);
  const size = H * W;
  for (let p = 0; p < size; p++) {
    for (let c = 0; c < 3; c++) image.data[4 * p + c] = value(C >= 3 ? c * size + p : p);
    image.data[4 * p + 3] = C === 4 ? value(3 * size + p) : 255;
  }
  ctx.putImageData(image, 0, 0);
  return canvas;
}

/** Pictures: `tile` and `rowTile` give a small canvas of a decoded x and of a row. */
class PictureShow {
  constructor(shown, rows) {
    Object.assign(this, { shape: shown.shape, low: shown.low, scale: 255 / (shown.high - shown.low) });
    this.thumbnails = rows.thumbnails;
    this.hasTiles = true;
    this.canvas = element("canvas", { class: "pixels", role: "img" });
  }

  mount(place) {
    place.append(this.canvas);
    place.style.aspectRatio = `${this.shape[2]} / ${this.shape[1]}`;
  }

  update(x) {
    this.x = x;
    this.onto(this.canvas, x);
  }

  onto(canvas, x) {
    return paint(canvas, this.shape, (i) => (x[i] - this.low) * this.scale);
  }

  tile(x) {
    return this.onto(document.createElement("canvas"), x);
  }

  rowTile(row) {
    const { values, shape } = this.thumbnails;
    const size = shape[1] * shape[2] * shape[3];
    return paint(document.createElement("canvas"), shape.slice(1), (i) => values[row * size + i]);
  }

  words(x) {
    const mean = x.reduce((a, b) => a + (b - this.low) * this.scale, 0) / x.length / 255;
    return `mean intensity ${fixed(mean, 2)}`;
  }

  label(text) {
    this.canvas.setAttribute("aria-label", text);
  }

  /** The picture, each pixel as a square of several, as a file. */
  async file() {
    const k = Math.max(1, Math.floor(512 / Math.max(...this.shape.slice(1))));
    const big = element("canvas", { width: this.shape[2] * k, height: this.shape[1] * k });
    const ctx = big.getContext("2d");
    ctx.imageSmoothingEnabled = false;
    ctx.drawImage(this.canvas, 0, 0, big.width, big.height);
    return [await new Promise((done) => big.toBlob(done, "image/png")), "png"];
  }
}

/** Columns of a table, in the units of the data; beside them a line of many columns, or a point among those of a plane. */
class TableShow {
  constructor(shown, rows) {
    Object.assign(this, { columns: shown.columns, kind: shown.kind, values: rows.x.values, hasTiles: shown.kind === "signal" });
    this.drawn = element("canvas", { class: "drawing", role: "img" });
    this.list = element("dl", { class: "columns" });
    this.listed = this.columns.slice(0, 60).map((column) => this.entry(column));
    this.list.append(...this.listed.map(({ line }) => line));
  }

  mount(place) {
    place.classList.add("tabular");
    if (this.kind !== "table") place.append(this.drawn);
    place.append(this.list);
    const left = this.columns.length - this.listed.length;
    if (left > 0) place.append(element("p", { class: "soft" }, `and ${left} columns more; Save row has them all`));
    new ResizeObserver(() => this.x && this.draw()).observe(place);
  }

  entry(column) {
    const value = element("span", { class: "value" });
    const gauge = element("span", { class: "gauge", ariaHidden: "true" });
    const categories = column.categories.length > 0;
    const bars = element("span", { class: categories ? "shares" : "track" });
    if (!categories) bars.append(gauge);
    bars.classList.toggle("filled", column.kind === "binary");
    const line = element("div", {}, element("dt", {}, column.name), element("dd", {}, bars, value));
    return { column, line, value, gauge, bars };
  }

  update(x) {
    this.x = x;
    for (const entry of this.listed) {
      const { column, value, gauge, bars } = entry;
      if (column.categories.length) this.shares(entry, x);
      else {
        const v = x[column.at];
        const [low, high] = column.kind === "binary" ? [0, 1] : [column.low, column.high];
        value.textContent = pretty(v);
        const share = clamp((v - low) / (high - low || 1), 0, 1);
        gauge.style[column.kind === "binary" ? "width" : "left"] = `${100 * share}%`;
        bars.title = column.kind === "binary" ? "probability of 1" : `${pretty(low)} to ${pretty(high)} among the rows`;
      }
    }
    this.draw();
  }

  /** The likeliest categories, each with its probability. */
  shares({ column, value, bars }, x) {
    const p = Array.from(x.slice(column.at, column.at + column.size));
    const order = p.map((_, k) => k);
    if (p.length > 5) order.sort((a, b) => p[b] - p[a]);
    const top = order.slice(0, 5);
    while (bars.children.length < top.length)
      bars.append(element("span", { class: "share" }, element("i"), element("b"), element("em")));
    top.forEach((k, at) => {
      const [bar, name, share] = bars.children[at].children;
      bar.style.width = `${100 * p[k]}%`;
      name.textContent = column.categories[k];
      share.textContent = `${Math.round(100 * p[k])} %`;
    });
    const best = p.indexOf(Math.max(...p));
    value.textContent = "";
    value.setAttribute("aria-label", column.categories[best]);
  }

  draw() {
    if (this.kind === "signal") this.line(this.drawn, this.x, css("--accent"));
    if (this.kind === "plane") this.point(this.drawn);
  }

  /** Columns from left to right, values upwards. */
  line(canvas, x, colour, [width, height] = [canvas.clientWidth || 360, 180], margin = 6) {
    const ctx = sharp(canvas, width, height);
    const low = Math.min(...this.columns.map((c) => c.low));
    const high = Math.max(...this.columns.map((c) => c.high));
    ctx.strokeStyle = colour;
    ctx.lineWidth = 1.5;
    ctx.lineJoin = "round";
    ctx.beginPath();
    x.forEach((v, i) => {
      const across = margin + ((width - 2 * margin) * i) / (x.length - 1);
      ctx.lineTo(across, height - margin - ((height - 2 * margin) * (v - low)) / (high - low || 1));
    });
    ctx.stroke();
    return canvas;
  }

  /** The decoded point among those of the rows. */
  point(canvas) {
    const size = Math.min(canvas.clientWidth || 360, 340);
    const ctx = sharp(canvas, canvas.clientWidth || 360, size);
    const [a, b] = this.columns;
    const reach = 0.6 * Math.max(a.high - a.low, b.high - b.low) || 1;
    const [x0, y0] = [(a.low + a.high) / 2, (b.low + b.high) / 2];
    const k = size / 2 / reach;
    const at = (x, y) => [(canvas.clientWidth || 360) / 2 + (x - x0) * k, size / 2 - (y - y0) * k];
    ctx.fillStyle = css("--second");
    ctx.globalAlpha = 0.45;
    for (let i = 0; i < this.values.length; i += 2) {
      const [x, y] = at(this.values[i], this.values[i + 1]);
      ctx.fillRect(x - 1, y - 1, 2, 2);
    }
    ctx.globalAlpha = 1;
    ctx.fillStyle = css("--accent");
    ctx.strokeStyle = css("--paper");
    ctx.lineWidth = 2;
    ctx.beginPath();
    ctx.arc(...at(this.x[0], this.x[1]), 6, 0, 7);
    ctx.fill();
    ctx.stroke();
  }

  tile(x) {
    return this.line(document.createElement("canvas"), x, css("--accent"), [72, 48], 3);
  }

  row(i) {
    const P = this.columns.length;
    return this.values.slice(i * P, (i + 1) * P);
  }

  /** A value of a row or of a decoded x, as text. */
  text(column, v) {
    return column.categories.length && v >= 0 ? (column.categories[v] ?? "?") : pretty(v);
  }

  decodedText(column, x) {
    if (!column.categories.length) return pretty(x[column.at]);
    const p = Array.from(x.slice(column.at, column.at + column.size));
    return column.categories[p.indexOf(Math.max(...p))];
  }

  words(x) {
    const few = this.columns.slice(0, 4).map((column) => `${column.name} ${this.decodedText(column, x)}`);
    return few.join(", ") + (this.columns.length > 4 ? ` and ${this.columns.length - 4} columns more` : "");
  }

  label(text) {
    this.drawn.setAttribute("aria-label", text);
  }

  async file() {
    const quoted = (s) => (/[",\n]/.test(s) ? `"${s.replaceAll('"', '""')}"` : s);
    const names = this.columns.flatMap((c) =>
      c.categories.length ? c.categories.map((k) => `p(${c.name}=${k})`) : [c.name],
    );
    const text = `${names.map(quoted).join(",")}\n${Array.from(this.x).join(",")}\n`;
    return [new Blob([text], { type: "text/csv" }), "csv"];
  }
}

const showOf = (shown, rows) => (shown.kind === "image" ? new PictureShow(shown, rows) : new TableShow(shown, rows));
