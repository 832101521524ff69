// Spaces of constant curvature, as logpx.maths.manifolds has them, for one point at a time in float64.
// Points are plain arrays; tangent vectors have their components in the orthonormal frame that parallel transport
// brings from the origin, so that their length is a distance.

const dot = (a, b) => a.reduce((sum, x, i) => sum + x * b[i], 0);
const norm2 = (a) => dot(a, a);
const scaled = (a, t) => a.map((x) => t * x);
const plus = (a, b) => a.map((x, i) => x + b[i]);
const minus = (a, b) => a.map((x, i) => x - b[i]);
const clamp = (x, low, high) => Math.min(Math.max(x, low), high);

/** tan(t)/t of curvature kappa at length t: tanh below zero, 1 at zero. */
function tanRatio(t, kappa) {
  const s = Math.sqrt(Math.abs(kappa)) * t;
  if (s < 1e-6) return 1 + (kappa * t * t) / 3;
  return (kappa < 0 ? Math.tanh(s) : Math.tan(s)) / s;
}

/** Half a distance from sin_k^2 and cos_k^2 of it. */
function half(s2, c2, kappa) {
  if (kappa === 0) return Math.sqrt(s2);
  const root = Math.sqrt(Math.abs(kappa));
  const s = root * Math.sqrt(s2);
  return (kappa < 0 ? Math.asinh(s) : Math.atan2(s, Math.sqrt(Math.max(c2, 0)))) / root;
}

/** w, of length sin_k(r), stretched to length r. */
function straightened(w, r) {
  const length = Math.sqrt(norm2(w));
  return length < 1e-300 ? w : scaled(w, r / length);
}

/** The space of logpx.distributions.Space: flat, stereographic or ambient coordinates z[start .. start + dim). */
class Space {
  constructor({ start, n, kappa, coordinates }) {
    Object.assign(this, { start, n, kappa, coordinates });
    this.ambient = coordinates === "ambient";
    this.flat = coordinates === "flat";
    this.dim = n + (this.ambient ? 1 : 0);
    this.radius = kappa === 0 ? Infinity : Math.abs(kappa) ** -0.5;
  }

  of(z) {
    return Array.from(z.slice(this.start, this.start + this.dim));
  }

  origin() {
    const zero = new Array(this.dim).fill(0);
    if (this.ambient) zero[0] = this.radius;
    return zero;
  }

  /** exp_m(v), the point at distance |v| from m in the direction v. */
  move(m, v) {
    if (this.flat) return plus(m, v);
    return this.ambient ? this.ambientMove(m, v) : this.gyroMove(m, v);
  }

  /** log_m(z), the inverse of move. */
  towards(m, z) {
    if (this.flat) return minus(z, m);
    return this.ambient ? this.ambientTowards(m, z) : this.gyroTowards(m, z);
  }

  distance(a, b) {
    if (this.flat) return Math.sqrt(norm2(minus(a, b)));
    const { s2, c2 } = this.ambient ? this.ambientHalves(a, b) : this.gyroHalves(a, b);
    return 2 * half(s2, c2, this.kappa);
  }

  /** The point at fraction t of the shortest way from a to b. */
  geodesic(a, b, t) {
    return this.move(a, scaled(this.towards(a, b), t));
  }

  /** The point at a signed distance from m along the i-th direction of its frame. */
  walk(m, i, length) {
    const v = new Array(this.n).fill(0);
    v[i] = length;
    return this.move(m, v);
  }

  // --- stereographic coordinates: the ball below zero, the sphere seen from its pole above ---

  stretch(x) {
    return Math.max(1 + this.kappa * norm2(x), 4 * Number.EPSILON);
  }

  gyroHalves(x, y) {
    const k = this.kappa;
    const ab = this.stretch(x) * this.stretch(y);
    const d2 = norm2(minus(y, x));
    const den = k < 0 ? ab - k * d2 : 1 + 2 * k * dot(x, y) + k * k * norm2(x) * norm2(y);
    return { s2: d2 / ab, c2: den / ab, ab, d2 };
  }

  gyroTowards(m, z) {
    const { s2, c2, ab, d2 } = this.gyroHalves(m, z);
    const d = minus(z, m);
    const a = this.stretch(m);
    const w = d.map((x, i) => (2 * (a * x + this.kappa * d2 * m[i])) / ab);
    return straightened(w, 2 * half(s2, c2, this.kappa));
  }

  gyroMove(m, v) {
    const k = this.kappa;
    const y = scaled(v, 0.5 * tanRatio(0.5 * Math.sqrt(norm2(v)), k));
    const a = this.stretch(m);
    const kxy = k * dot(m, y);
    const y2 = norm2(y);
    const pole = Math.max(1 + 2 * -kxy + k * k * norm2(m) * y2, Number.EPSILON ** 2);
    return this.held(m.map((x, i) => ((1 - 2 * kxy - k * y2) * x + a * y[i]) / pole));
  }

  /** x, or the point on its ray that is just within the ball. */
  held(x) {
    if (this.kappa >= 0) return x;
    const far = Math.sqrt(-this.kappa * norm2(x));
    const limit = 1 - 1e-9;
    return far > limit ? scaled(x, limit / far) : x;
  }

  // --- ambient coordinates: hyperboloid below zero, sphere above ---

  height(m) {
    const h = m[0] / this.radius;
    if (h >= 0) return 1 + h;
    return Math.max((this.kappa * norm2(m.slice(1))) / (1 - h), Number.EPSILON ** 2);
  }

  ambientHalves(x, y) {
    const k = this.kappa;
    if (k > 0) return { s2: norm2(minus(y, x)) / 4, c2: (k * norm2(plus(y, x))) / 4 };
    const [hx, hy] = [x, y].map((p) => Math.max(1 + p[0] / this.radius, 1));
    const d = minus(scaled(y.slice(1), 1 / hy), scaled(x.slice(1), 1 / hx));
    const s2 = (norm2(d) * hx * hy) / 4;
    return { s2, c2: 1 - k * s2 };
  }

  ambientTowards(m, z) {
    const { s2, c2 } = this.ambientHalves(m, z);
    const d = minus(z, m);
    const along = (d[0] / this.radius - 2 * this.kappa * s2) / this.height(m);
    const w = d.slice(1).map((x, i) => x - along * m[i + 1]);
    const r = 2 * half(s2, c2, this.kappa);
    const v = straightened(w, r);
    if (Math.sqrt(norm2(v)) >= 0.5 * r) return v;
    return v.map((_, i) => (i === 0 ? r : 0)); // the antipode, to which all directions lead
  }

  ambientMove(m, v) {
    const k = this.kappa;
    const along = k * dot(m.slice(1), v);
    const h = this.height(m);
    const tangent = [-along * this.radius, ...v.map((x, i) => x - (along / h) * m[i + 1])];
    const r = Math.sqrt(norm2(v));
    const s = r / this.radius;
    const cos = k < 0 ? Math.cosh(s) : Math.cos(s);
    const sin = s < 1e-8 ? 1 : (k < 0 ? Math.sinh(s) : Math.sin(s)) / s;
    return this.onto(m.map((x, i) => cos * x + sin * tangent[i]));
  }

  /** The point of the space at x, or that nearest along the ray through it. */
  onto(x) {
    if (this.flat) return x;
    if (!this.ambient) return this.held(x);
    if (this.kappa > 0) return scaled(x, this.radius / Math.sqrt(norm2(x)));
    return [Math.hypot(this.radius, ...x.slice(1)), ...x.slice(1)];
  }

  // --- charts ---

  /** A point of a hyperbolic space in the ball of radius 1. */
  toDisk(z) {
    const y = this.ambient ? scaled(z.slice(1), 1 / this.height(z)) : z;
    return scaled(y, 1 / this.radius);
  }

  fromDisk(u) {
    const y = scaled(u, this.radius);
    return this.ambient ? this.lifted(y) : this.held(y);
  }

  /** A point of a space of positive curvature on the unit sphere of one dimension more; the origin is (1, 0, ...). */
  toSphere(z) {
    return scaled(this.ambient ? z : this.lifted(z), 1 / this.radius);
  }

  fromSphere(u) {
    const x = scaled(u, this.radius);
    return this.ambient ? x : scaled(x.slice(1), 1 / this.height(x));
  }

  /** Ambient coordinates of a stereographic point. */
  lifted(y) {
    const a = this.stretch(y);
    return [(this.radius * (2 - a)) / a, ...scaled(y, 2 / a)];
  }
}

/** The product of the spaces that z is made of; every method takes and gives whole latents (D). */
class Product {
  constructor(spaces) {
    this.spaces = spaces.map((s) => new Space(s));
    this.n = this.spaces.reduce((sum, s) => sum + s.n, 0);
    this.flat = this.spaces.every((s) => s.flat);
    this.directions = this.spaces.flatMap((space) => Array.from({ length: space.n }, (_, i) => ({ space, i })));
  }

  /** z by distance and direction from the origin of each part, (n): of flat parts the numbers themselves. */
  chart(z) {
    return this.spaces.flatMap((s) => s.towards(s.origin(), s.of(z)));
  }

  fromChart(u) {
    let at = 0;
    return this.spaces.flatMap((s) => s.move(s.origin(), u.slice(at, (at += s.n))));
  }

  onto(z) {
    return this.spaces.flatMap((s) => s.onto(s.of(z)));
  }

  geodesic(a, b, t) {
    return this.spaces.flatMap((s) => s.geodesic(s.of(a), s.of(b), t));
  }

  distance(a, b) {
    if (!this.flat) return Math.hypot(...this.spaces.map((s) => s.distance(s.of(a), s.of(b))));
    let sum = 0;
    for (let i = 0; i < a.length; i++) sum += (a[i] - b[i]) ** 2; // of thousands of rows at each frame
    return Math.sqrt(sum);
  }

  /** z with the part of `space` replaced. */
  put(space, part, z) {
    const made = Array.from(z);
    part.forEach((x, i) => (made[space.start + i] = x));
    return made;
  }

  /** The walk of samples.traverse: z moved along direction d by a signed distance. */
  walk(z, d, length) {
    const { space, i } = this.directions[d];
    return this.put(space, space.walk(space.of(z), i, length), z);
  }
}
