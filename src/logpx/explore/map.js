// The map of the latent space: points of the rows, what lies behind them, and the z that is being decoded.

const TILES = 18; // decoded pictures across the map
const NEAR = 10; // pixels from a point at which the pointer means it

class LatentMap {
  /** `asked` holds what the page does, move(z), hover(row), jump(row), tiles(zs, done), and the pictures' aspect. */
  constructor(canvas, space, dims, points, asked) {
    Object.assign(this, { canvas, space, dims, points, asked });
    this.still = document.createElement("canvas"); // all that stays while z moves
    this.tool = "decode";
    this.marks = { z: null, a: null, b: null, near: [], hover: -1 };
    this.tiles = null;
    this.behind = false;
    this.standard = false;
    this.pointer = new MapPointer(this);
    new ResizeObserver(() => this.resized()).observe(canvas.parentElement);
  }

  look(view) {
    this.view = view;
    this.tiles = null;
    if (view.kind === "globe") this.vectors = this.points.map((z) => view.vector(z));
    this.placed = this.points.map((z, row) => view.place(z, row));
    this.fit();
  }

  colour(colouring) {
    this.colouring = colouring;
    this.redraw();
  }

  resized() {
    const { clientWidth, clientHeight } = this.canvas.parentElement;
    if (clientWidth === this.width && clientHeight === this.height) return;
    const first = !this.width;
    const grown = clientWidth / (this.width || clientWidth);
    [this.width, this.height] = [clientWidth, clientHeight];
    if (!this.view) return;
    if (first) this.fit();
    else {
      this.fitted *= grown;
      this.aim({ ...this.camera, k: this.camera.k * grown });
    }
  }

  // --- camera: screen = centre + k (world - (x, y)) ---

  fit() {
    if (!this.width) return;
    if (this.view.kind !== "plane") {
      this.fitted = 0.47 * Math.min(this.width, this.height);
      return this.aim({ x: 0, y: 0, k: this.fitted });
    }
    const range = (axis, share) => {
      const sorted = Float64Array.from(this.placed, (p) => p[axis]).sort();
      return [sorted[Math.floor(share * (sorted.length - 1))], sorted[Math.ceil((1 - share) * (sorted.length - 1))]];
    };
    const [[x0, x1], [y0, y1]] = [range(0, 0.0005), this.view.j === null ? [-1.5, 1.5] : range(1, 0.0005)];
    this.fitted = 0.88 * Math.min(this.width / (x1 - x0 || 1), this.height / (y1 - y0 || 1));
    this.aim({ x: (x0 + x1) / 2, y: (y0 + y1) / 2, k: this.fitted });
  }

  aim(camera) {
    this.camera = camera;
    this.redraw();
    this.askForTiles();
  }

  zoom(factor, [px, py] = [this.width / 2, this.height / 2]) {
    const [x, y] = this.world(px, py);
    const k = clamp(this.camera.k * factor, 1e-3, 1e7);
    this.aim({ k, x: x - (px - this.width / 2) / k, y: y + (py - this.height / 2) / k });
  }

  shift(dx, dy) {
    if (this.view.kind === "globe") {
      this.view.turn(dx / this.camera.k, -dy / this.camera.k);
      this.placed = this.vectors.map((v) => applied(this.view.turned, v));
      this.tiles = null;
      this.aim(this.camera);
    } else this.aim({ ...this.camera, x: this.camera.x - dx / this.camera.k, y: this.camera.y + dy / this.camera.k });
  }

  /** Turns a globe so that z is in front. */
  face(z) {
    if (this.view.kind !== "globe" || this.view.place(z)[2] > 0.1) return;
    this.view.face(z);
    this.shift(0, 0);
  }

  screen([x, y]) {
    const { camera, width, height } = this;
    return [width / 2 + (x - camera.x) * camera.k, height / 2 - (y - camera.y) * camera.k];
  }

  world(px, py) {
    const { camera, width, height } = this;
    return [camera.x + (px - width / 2) / camera.k, camera.y - (py - height / 2) / camera.k];
  }

  /** The z under the pointer. */
  under(px, py) {
    return this.view.at(...this.world(px, py), this.marks.z);
  }

  // --- drawing ---

  redraw() {
    this.stale = true;
    this.draw();
  }

  draw() {
    if (this.asking) return;
    this.asking = requestAnimationFrame(() => {
      this.asking = 0;
      if (!this.width || !this.view || !this.camera) return;
      if (this.stale) this.drawStill();
      this.stale = false;
      const ctx = sharp(this.canvas, this.width, this.height);
      ctx.drawImage(this.still, 0, 0, this.width, this.height);
      drawMarks(ctx, this);
    });
  }

  drawStill() {
    const ctx = sharp(this.still, this.width, this.height);
    if (this.behind && this.tiles) this.drawTiles(ctx);
    ({ plane: drawPlane, disk: drawDisk, globe: drawGlobe })[this.view.kind](ctx, this);
    this.drawPoints(ctx);
  }

  drawTiles(ctx) {
    ctx.save();
    ctx.imageSmoothingEnabled = false;
    if (this.view.kind !== "plane") {
      ctx.beginPath();
      ctx.arc(...this.screen([0, 0]), this.camera.k, 0, 7);
      ctx.clip();
    }
    for (const { x, y, size, picture } of this.tiles) {
      const [px, py] = this.screen([x, y]);
      const w = size * this.camera.k;
      const h = w * this.asked.aspect;
      ctx.drawImage(picture, px - w / 2, py - h / 2, w + 0.5, h + 0.5);
    }
    ctx.restore();
  }

  drawPoints(ctx) {
    const { buckets, colours } = this.colouring;
    const paths = colours.map(() => [new Path2D(), new Path2D()]);
    const unknown = [new Path2D(), new Path2D()];
    const zoomed = clamp(Math.sqrt(this.camera.k / this.fitted), 0.8, 2) * clamp(Math.sqrt(this.width / 640), 0.75, 1.1);
    const r = clamp(80 / Math.sqrt(this.points.length), 1.7, 3.75) * zoomed;
    const over = this.behind && this.tiles;
    this.placed.forEach((p, i) => {
      const [x, y] = this.screen(p);
      if (x < -5 || y < -5 || x > this.width + 5 || y > this.height + 5) return;
      const path = (paths[buckets[i]] ?? unknown)[p[2] >= 0 ? 1 : 0];
      path.moveTo(x + r, y);
      path.arc(x, y, r, 0, 2 * Math.PI);
    });
    ctx.strokeStyle = "#fff9";
    ctx.lineWidth = 1.5;
    const fill = ([back, front], colour) => {
      ctx.fillStyle = colour;
      ctx.globalAlpha = 0.12;
      ctx.fill(back);
      ctx.globalAlpha = over ? 1 : 0.78;
      if (over) ctx.stroke(front);
      ctx.fill(front);
    };
    fill(unknown, css("--faint"));
    paths.forEach((pair, k) => fill(pair, colours[k]));
    ctx.globalAlpha = 1;
  }

  // --- what the decoder makes of the map ---

  askForTiles() {
    clearTimeout(this.waiting);
    if (this.behind) this.waiting = setTimeout(() => this.makeTiles(), 120);
  }

  makeTiles() {
    const step = Math.max(this.width, this.height) / TILES;
    const tall = this.asked.aspect * step;
    const cells = [];
    for (let py = tall / 2; py < this.height + tall / 2; py += tall)
      for (let px = step / 2; px < this.width; px += step) {
        const [x, y] = this.world(px, py);
        const inside = this.view.kind === "plane" || Math.hypot(x, y) < 1 + step / this.camera.k;
        if (inside) cells.push({ x, y, size: step / this.camera.k, z: this.view.at(x, y, this.marks.z) });
      }
    this.asked.tiles(
      cells.map((cell) => cell.z),
      (pictures) => {
        this.tiles = cells.map((cell, i) => ({ ...cell, picture: pictures[i] }));
        this.redraw();
      },
    );
  }

  showBehind(on) {
    this.behind = on;
    this.redraw();
    this.askForTiles();
  }

  // --- rows ---

  /** The row whose point the pointer means, -1 if none. */
  rowAt(px, py) {
    let [best, found] = [NEAR ** 2, -1];
    this.placed.forEach((p, i) => {
      const [x, y] = this.screen(p);
      const far = (x - px) ** 2 + (y - py) ** 2;
      if (p[2] >= 0 && far < best) [best, found] = [far, i];
    });
    return found;
  }

  hover(row, point) {
    if (row !== this.marks.hover) {
      this.marks.hover = row;
      this.draw();
    }
    this.asked.hover(row, row >= 0 ? this.screen(this.placed[row]) : point);
  }
}
