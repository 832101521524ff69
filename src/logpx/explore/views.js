// How the latent space is laid into a plane: two directions of a flat space, the Poincaré disk, or a globe.
// A view says where z lies (`place`, in units of its own) and which z lies there (`at`, null where there is none).

const WEAKLY_CURVED = 1; // in radii: as in the report, nearer points are drawn by distance and direction from 0

/** Two directions of the chart; the others stay. */
class PlaneView {
  constructor(space, i, j, dims) {
    Object.assign(this, { kind: "plane", space, i, j, axes: [dims[i], j === null ? null : dims[j]] });
  }

  place(z, row) {
    const u = this.space.chart(z);
    return [u[this.i], this.j === null ? scatter(row) : u[this.j], 1];
  }

  at(x, y, z) {
    const u = this.space.chart(z);
    u[this.i] = x;
    if (this.j !== null) u[this.j] = y;
    return this.space.fromChart(u);
  }
}

/** A height for the row of a space of one dimension, where height says nothing. */
const scatter = (row) => (row === undefined ? 0 : ((row * 0.6180339887) % 1) * 1.6 - 0.8);

/** A hyperbolic plane in the Poincaré disk. */
class DiskView {
  constructor(space, part) {
    Object.assign(this, { kind: "disk", space, part, axes: [null, null] });
  }

  place(z) {
    const [x, y] = this.part.toDisk(this.part.of(z));
    return [x, y, 1];
  }

  at(x, y, z) {
    const far = Math.hypot(x, y);
    const shrink = far > 0.999 ? 0.999 / far : 1;
    return this.space.put(this.part, this.part.fromDisk([x * shrink, y * shrink]), z);
  }
}

/** A sphere seen from far away; `turned` holds the rotation that dragging makes. */
class GlobeView {
  constructor(space, part) {
    Object.assign(this, { kind: "globe", space, part, axes: [null, null], turned: identity() });
  }

  vector(z) {
    const [a, b, c] = this.part.toSphere(this.part.of(z));
    return [b, c, a]; // to the right, up, towards the reader: the origin of the space faces the reader
  }

  place(z) {
    return applied(this.turned, this.vector(z));
  }

  at(x, y, z) {
    const far = Math.hypot(x, y);
    if (far > 1) [x, y] = [x / far, y / far];
    const [b, c, a] = applied(transposed(this.turned), [x, y, Math.sqrt(Math.max(0, 1 - x * x - y * y))]);
    return this.space.put(this.part, this.part.fromSphere([a, b, c]), z);
  }

  turn(dx, dy) {
    this.turned = multiplied(rotation(1, dx), multiplied(rotation(0, -dy), this.turned));
  }

  /** Turns z to the front. */
  face(z) {
    const [x, y, depth] = this.place(z);
    this.turn(-Math.atan2(x, depth), 0);
    const [, y2, depth2] = this.place(z);
    this.turn(0, -Math.atan2(y2, depth2));
  }
}

const identity = () => [1, 0, 0, 0, 1, 0, 0, 0, 1];
const transposed = (m) => [0, 3, 6, 1, 4, 7, 2, 5, 8].map((i) => m[i]);
const applied = (m, v) => [0, 3, 6].map((r) => m[r] * v[0] + m[r + 1] * v[1] + m[r + 2] * v[2]);
const multiplied = (a, b) => transposed([0, 1, 2].flatMap((c) => applied(a, [b[c], b[c + 3], b[c + 6]])));

/** A rotation about the axis 0 (to the right) or 1 (up). */
function rotation(axis, angle) {
  const [c, s] = [Math.cos(angle), Math.sin(angle)];
  return axis === 0 ? [1, 0, 0, 0, c, -s, 0, s, c] : [c, 0, s, 0, 1, 0, -s, 0, c];
}

/** The maps that a latent space offers, each {name, note, make(i, j)}; `chosen` says whether its axes may be chosen. */
function offered(space, dims, points) {
  const found = [];
  const several = space.spaces.length > 1;
  space.spaces.forEach((part, k) => {
    if (part.n !== 2 || part.flat) return;
    const origin = part.origin();
    const far = points.map((z) => part.distance(origin, part.of(z))).sort((a, b) => a - b);
    if (far[Math.floor(0.999 * (far.length - 1))] < WEAKLY_CURVED * part.radius) return;
    const name = several ? `Part ${k + 1}: ` : "";
    if (part.kappa < 0)
      found.push({
        name: `${name}Poincaré disk`,
        note: `The hyperbolic plane in the Poincaré disk, curvature ${pretty(part.kappa)}: its rim is infinitely far, and what looks small there is not.`,
        make: () => new DiskView(space, part),
      });
    else
      found.push({
        name: `${name}globe`,
        note: `The sphere, curvature ${pretty(part.kappa)}, seen from far away; turn it with the hand tool, or by dragging beside it. Faint: the far side.`,
        make: () => new GlobeView(space, part),
      });
  });
  if (found.length && !several) return found;
  const held = dims.length > 2 ? " The other directions keep their values while z is dragged; the points are a projection." : "";
  const curved = !space.flat;
  const what = curved ? "Two directions of the latent space, by distance and direction from its origin." : "";
  const line = dims.length === 1 ? "One latent: height in this map says nothing." : "";
  found.push({
    name: dims.length > 2 ? "two directions" : "plane",
    note: (what + held + line).trim(),
    chosen: dims.length > 2,
    make: (i, j) => new PlaneView(space, i, dims.length === 1 ? null : j, dims),
  });
  return found;
}
