// The decoder in the page: onnxruntime-web, compiled from bytes that the page carries; one decode at a time, latest wins.

/** The bytes of an embedded element. */
async function unpack(id) {
  const bytes = Uint8Array.from(atob(document.getElementById(id).textContent), (c) => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** The packed arrays, by name: {values, shape}. */
async function unpackRows(arrays) {
  const block = (await unpack("rows")).buffer;
  const kinds = { f4: Float32Array, u1: Uint8Array };
  return Object.fromEntries(
    Object.entries(arrays).map(([name, { at, kind, shape }]) => {
      const n = shape.reduce((a, b) => a * b, 1);
      return [name, { values: new kinds[kind](block, at, n), shape }];
    }),
  );
}

const nextTask = () => new Promise((done) => setTimeout(done));

class Decoder {
  static async open(dim) {
    const [wasm, code, model] = await Promise.all(["wasm", "ort", "model"].map(unpack));
    const address = URL.createObjectURL(new Blob([code], { type: "text/javascript" }));
    const ort = await import(address);
    URL.revokeObjectURL(address);
    ort.env.wasm.numThreads = 1;
    ort.env.wasm.wasmBinary = wasm.buffer;
    const session = await ort.InferenceSession.create(model, { executionProviders: ["wasm"] });
    return new Decoder(ort, session, dim);
  }

  constructor(ort, session, dim) {
    Object.assign(this, { ort, session, dim, context: null, now: null, jobs: new Map(), busy: false, cost: 2 });
  }

  /** Decodes z before anything else; only the latest z asked for is decoded. */
  first(z, done) {
    this.now = { z, done };
    this.work();
  }

  /** Decodes many when there is time; a later job of the same name replaces an earlier one. */
  later(name, zs, done) {
    this.jobs.set(name, { zs, done, made: [] });
    this.work();
  }

  drop(name) {
    this.jobs.delete(name);
  }

  async work() {
    if (this.busy) return;
    this.busy = true;
    try {
      while (this.now || this.jobs.size) {
        if (this.now) await this.one();
        else {
          await nextTask();
          if (!this.now && this.jobs.size) await this.piece();
        }
      }
    } finally {
      this.busy = false;
    }
  }

  async one() {
    const { z, done } = this.now;
    this.now = null;
    const [x] = await this.run([z]);
    done(x, z);
  }

  /** A piece of the first job, no longer than half a frame. */
  async piece() {
    const [name, job] = this.jobs.entries().next().value;
    const n = clamp(Math.floor(8 / this.cost), 1, 64);
    const zs = job.zs.slice(job.made.length, job.made.length + n);
    job.made.push(...(await this.run(zs)));
    if (this.jobs.get(name) !== job) return;
    if (job.made.length >= job.zs.length) {
      this.jobs.delete(name);
      job.done(job.made);
    }
  }

  /** x of each z: an array of Float32Array. */
  async run(zs) {
    const n = zs.length;
    const began = performance.now();
    const z = new this.ort.Tensor("float32", Float32Array.from(zs.flat()), [n, this.dim]);
    const feeds = { z };
    if (this.context) {
      const c = Float32Array.from(Array.from({ length: n }, () => this.context).flat());
      feeds.context = new this.ort.Tensor("float32", c, [n, this.context.length]);
    }
    const { x } = await this.session.run(feeds);
    this.cost = 0.8 * this.cost + (0.2 * (performance.now() - began)) / n;
    const size = x.data.length / n;
    return Array.from({ length: n }, (_, i) => x.data.slice(i * size, (i + 1) * size));
  }
}
