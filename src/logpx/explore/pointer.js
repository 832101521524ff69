// The pointer on a map: one drags z, shift or the hand moves the map, two fingers pinch, a box zooms in.

class MapPointer {
  constructor(map) {
    this.map = map;
    this.down = new Map(); // where each finger is
    this.doing = null;
    const { canvas } = map;
    const at = (event) => {
      const box = canvas.getBoundingClientRect();
      return [event.clientX - box.left, event.clientY - box.top];
    };
    canvas.addEventListener("pointerdown", (event) => this.pressed(event, at(event)));
    canvas.addEventListener("pointermove", (event) => this.moved(event, at(event)));
    for (const kind of ["pointerup", "pointercancel"]) canvas.addEventListener(kind, (event) => this.lifted(event));
    canvas.addEventListener("pointerleave", () => map.hover(-1));
    canvas.addEventListener("dblclick", (event) => this.chose(at(event)));
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());
    canvas.addEventListener("wheel", (event) => this.turned(event, at(event)), { passive: false });
  }

  pressed(event, point) {
    const { map } = this;
    map.canvas.setPointerCapture(event.pointerId);
    map.canvas.focus({ preventScroll: true });
    this.down.set(event.pointerId, point);
    if (this.down.size > 1) return this.beginPinch();
    const beside = map.view.kind === "globe" && Math.hypot(...map.world(...point)) > 1;
    this.doing = event.shiftKey || event.button > 0 || beside ? "hand" : map.tool;
    this.before = map.marks.z;
    if (this.doing === "box") map.box = { from: point, to: point };
    if (this.doing === "decode") map.asked.move(map.under(...point));
    map.hover(-1);
  }

  /** A second finger: the first one did not mean to move z. */
  beginPinch() {
    if (this.doing === "decode") this.map.asked.move(this.before);
    this.doing = "pinch";
  }

  moved(event, point) {
    const { map } = this;
    const before = this.down.get(event.pointerId);
    if (!before) return map.hover(event.pointerType === "touch" ? -1 : map.rowAt(...point), point);
    if (this.doing === "pinch") this.pinch(event.pointerId, before, point);
    this.down.set(event.pointerId, point);
    if (this.doing === "decode") map.asked.move(map.under(...point));
    if (this.doing === "hand") map.shift(point[0] - before[0], point[1] - before[1]);
    if (this.doing === "box") {
      map.box.to = point;
      map.draw();
    }
  }

  pinch(id, before, point) {
    const other = [...this.down].find(([key]) => key !== id)?.[1];
    if (!other) return;
    const spread = (p) => Math.hypot(p[0] - other[0], p[1] - other[1]) || 1;
    this.map.shift((point[0] - before[0]) / 2, (point[1] - before[1]) / 2);
    this.map.zoom(spread(point) / spread(before), [(point[0] + other[0]) / 2, (point[1] + other[1]) / 2]);
  }

  lifted(event) {
    const { map } = this;
    this.down.delete(event.pointerId);
    if (map.box) this.zoomTo(map.box);
    map.box = null;
    if (!this.down.size) this.doing = null;
    map.draw();
  }

  zoomTo({ from, to }) {
    const { map } = this;
    const [w, h] = [Math.abs(to[0] - from[0]), Math.abs(to[1] - from[1])];
    if (w < 6 || h < 6) return;
    const [x, y] = map.world((from[0] + to[0]) / 2, (from[1] + to[1]) / 2);
    map.aim({ x, y, k: map.camera.k * Math.min(map.width / w, map.height / h) });
  }

  chose(point) {
    const row = this.map.rowAt(...point);
    if (row >= 0) this.map.asked.jump(row);
  }

  /** The wheel zooms once the map has the focus: else the page scrolls past it. */
  turned(event, point) {
    if (document.activeElement !== this.map.canvas && !event.ctrlKey) return;
    event.preventDefault();
    this.map.zoom(Math.exp(-event.deltaY * (event.ctrlKey ? 0.01 : 0.0015)), point);
  }
}
