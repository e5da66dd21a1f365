/* The network itself: its weights out of a script, and its forward pass on typed arrays.
 * Scripts that hold numbers call `miiii.meta(...)` and `miiii.weights(...)`, from files beside the page or from inside
 * it. Nothing is fetched: a page on a disk may load scripts, but read no file. */
"use strict";
var miiii = window.miiii || {};

miiii.runs = {}; // what is known of each run, by its name
miiii.texts = {}; // weights as they came, by "run@epoch"
miiii.meta = (meta) => (miiii.runs[meta.name] = meta);
miiii.weights = (run, epoch, sum, text) => (miiii.texts[`${run}@${epoch}`] = { sum, text });

/* Everything that computes: a function without a world around it, as its source is half of the worker's, too. */
miiii.core = function () {
  /* Adler-32, as zlib has it: finds a script that was cut short or altered. */
  function checksum(text) {
    let [a, b] = [1, 0];
    for (let i = 0; i < text.length; i++) {
      a = (a + text.charCodeAt(i)) % 65521;
      b = (b + a) % 65521;
    }
    return b * 65536 + a;
  }

  const bytesOf = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const bit = (bytes, n) => (bytes[n >> 3] >> (7 - (n & 7))) & 1;
  /* out[at...] += Σ factors[i]·(row rows[i] of b), eight rows at a time. What it reads and writes is in single
   * precision only: arrays of two kinds in one loop would cost several times as much. */
  function addRows(out, at, rows, factors, count, b, cols) {
    let i = 0;
    for (; i + 8 <= count; i += 8) {
      const f0 = factors[i], f1 = factors[i + 1], f2 = factors[i + 2], f3 = factors[i + 3];
      const f4 = factors[i + 4], f5 = factors[i + 5], f6 = factors[i + 6], f7 = factors[i + 7];
      const b0 = rows[i] * cols, b1 = rows[i + 1] * cols, b2 = rows[i + 2] * cols, b3 = rows[i + 3] * cols;
      const b4 = rows[i + 4] * cols, b5 = rows[i + 5] * cols, b6 = rows[i + 6] * cols, b7 = rows[i + 7] * cols;
      for (let c = 0; c < cols; c++) {
        const first = f0 * b[b0 + c] + f1 * b[b1 + c] + f2 * b[b2 + c] + f3 * b[b3 + c];
        out[at + c] += first + (f4 * b[b4 + c] + f5 * b[b5 + c] + f6 * b[b6 + c] + f7 * b[b7 + c]);
      }
    }
    for (; i < count; i++) {
      const f = factors[i], from = rows[i] * cols;
      for (let c = 0; c < cols; c++) out[at + c] += f * b[from + c];
    }
  }
  /* out += a·b, row-major. */
  const every = Int32Array.from({ length: 65536 }, (_, i) => i);
  function addProduct(out, a, b, rows, inner, cols) {
    for (let r = 0; r < rows; r++) addRows(out, r * cols, every, a.subarray(r * inner), inner, b, cols);
  }
  function product(a, b, cols, rows = 1) {
    const out = new Float32Array(rows * cols);
    addProduct(out, a, b, rows, b.length / cols, cols);
    return out;
  }
  /* What the data is: sizes, splits, and the right answer to everything. */
  function taskOf(meta) {
    const { p, kind, moduli, classes } = meta;
    const [train, validation] = [bytesOf(meta.train), bytesOf(meta.validation)];
    const given = meta.targets && new Uint16Array(bytesOf(meta.targets).buffer);
    const numbers = Array.from({ length: p * p }, (_, n) => n);
    const trained = (n) => bit(train, n) === 1;
    const split = { train: numbers.filter(trained), unseen: numbers.filter((n) => !trained(n)) };
    split.validation = numbers.filter((n) => bit(validation, n));
    // What a wave is a wave of: n mod q, but for modular addition the sum of both digits.
    const residue = kind === "nanda" ? (n) => ((n % p) + Math.floor(n / p)) % p : (n, q) => n % q;
    const [tables, sizes] = [{}, {}]; // asked for a billion times: looked up
    const residues = (q) => (tables[q] ??= Uint16Array.from(numbers, (n) => residue(n, q)));
    const counts = (q) => (sizes[q] ??= residues(q).reduce((all, r) => (all[r]++, all), new Float64Array(q)));
    const target = (n, i) => {
      if (given) return given[n * moduli.length + i];
      return kind === "divisible" ? Number(n % moduli[i] === 0) : residue(n, moduli[i]);
    };
    let size = 0;
    const starts = classes.map((own) => (size += own) - own);
    return { p, kind, moduli, classes, starts, size, split, residue, residues, counts, target, trained };
  }
  /* What each head looks for, then the matrices: the scale of every row, and whole numbers of one or two bytes. */
  function decode({ shapes }, { sum, text }) {
    if (checksum(text) !== sum) throw new Error("its checksum is another");
    const bytes = bytesOf(text);
    const count = (shape) => shape.reduce((product, size) => product * size, 1);
    const total = Object.values(shapes).reduce((all, shape) => all + count(shape), 0);
    const rows = Object.values(shapes).reduce((all, shape) => all + count(shape.slice(0, -1)), 0);
    const first = shapes.W_V[0] * shapes.W_V[1];
    const [sought, scales] = [[0, first], [4 * first, rows]].map(([from, size]) => new Float32Array(bytes.buffer, from, size));
    const from = 4 * (first + rows);
    const whole = new (bytes.length === from + total ? Int8Array : Int16Array)(bytes.buffer, from);
    const weights = { sought };
    let [at, row] = [0, 0];
    for (const [name, shape] of Object.entries(shapes)) {
      const values = (weights[name] = new Float32Array(count(shape)));
      for (let i = 0; i < values.length; row++) {
        for (const end = i + shape.at(-1); i < end; i++) values[i] = whole[at++] * scales[row];
      }
    }
    return weights;
  }
  /* Only the last token is read, with one query for all inputs: it attends to 2p + 1 tokens, of x0, of x1, and itself. */
  function network(meta, stored) {
    const w = decode(meta, stored);
    const [heads, d, e] = meta.shapes.W_V;
    const [p, m, size, count] = [meta.p, meta.shapes.W_in[1], meta.shapes.W_U[1], 2 * meta.p + 1];
    const tokens = new Float32Array(count * d);
    for (let t = 0; t < count; t++) {
      const [place, digit] = t < p ? [0, t] : t < 2 * p ? [1, t - p] : [2, p];
      for (let i = 0; i < d; i++) tokens[t * d + i] = w.W_E[digit * d + i] + w.W_pos[place * d + i];
    }
    const [scores, moved] = [heads, heads * d].map((n) => new Float32Array(count * n));
    for (let h = 0; h < heads; h++) {
      const part = (name) => w[name].subarray(h * d * e, (h + 1) * d * e);
      const met = product(tokens, w.sought.subarray(h * d, (h + 1) * d), 1, count);
      const out = product(product(tokens, part("W_V"), e, count), part("W_O"), d, count);
      for (let t = 0; t < count; t++) {
        scores[t * heads + h] = met[t];
        moved.set(out.subarray(t * d, (t + 1) * d), (t * heads + h) * d);
      }
    }
    return { p, d, m, heads, size, base: tokens.slice(2 * p * d), scores, moved, W_in: w.W_in, W_out: w.W_out, W_U: w.W_U };
  }
  /* What a pass through the network writes to; neurons and stream also as one array. */
  function roomFor({ d, m, heads, size }) {
    const [shares, both, post, logits, factors] = [3 * heads, m + d, d, size, m + 3 * heads].map((n) => new Float32Array(n));
    const [neurons, mid, active] = [both.subarray(0, m), both.subarray(m), new Int32Array(m + 3 * heads)];
    return { shares, both, neurons, mid, post, logits, active, factors };
  }
  /* The softmax of each head over x0, x1 and the read-out token; at 3h stand head h's shares. */
  function attend({ p, heads, scores }, n, shares) {
    const t0 = (n % p) * heads, t1 = (p + Math.floor(n / p)) * heads, t2 = 2 * p * heads;
    for (let h = 0; h < heads; h++) {
      const top = Math.max(scores[t0 + h], scores[t1 + h], scores[t2 + h]);
      const powers = [t0, t1, t2].map((t) => Math.exp(scores[t + h] - top));
      const sum = powers[0] + powers[1] + powers[2];
      powers.forEach((power, place) => (shares[3 * h + place] = power / sum));
    }
  }
  /* A table of tokens, heads and columns, met by what each head attends to; a head that is out gives its mean. */
  function addHeads(out, { p, heads }, n, shares, table, cols, means, { active, factors }) {
    let count = 0;
    for (let h = 0; h < heads; h++) {
      const mean = means[h];
      for (let place = 0; place < 3 && !mean; place++) {
        const share = shares[3 * h + place];
        if (share < 1e-8) continue; // adds nothing that single precision would keep
        active[count] = (place === 0 ? n % p : place === 1 ? p + Math.floor(n / p) : 2 * p) * heads + h;
        factors[count++] = share;
      }
      for (let i = 0; mean && i < cols; i++) out[i] += mean[i];
    }
    addRows(out, 0, active, factors, count, table, cols);
  }
  /* The ReLU, and means in the place of neurons that are taken out. */
  function rectify(net, edit, { neurons }) {
    for (let j = 0; j < net.m; j++) if (neurons[j] < 0) neurons[j] = 0;
    edit.neurons.forEach((j, i) => (neurons[j] = edit.neuronMeans[i]));
  }
  /* From the neurons to the stream at the end. */
  function finish(net, { mid, neurons, post, active, factors }) {
    let count = 0;
    for (let j = 0; j < net.m; j++) {
      if (neurons[j] === 0) continue; // about half are off
      active[count] = j;
      factors[count++] = neurons[j];
    }
    post.set(mid);
    addRows(post, 0, active, factors, count, net.W_out, net.d);
  }
  /* The cosine and the sine of a wave of n mod q, less their means. */
  function swing(task, n, { q, k, means }) {
    const angle = (2 * Math.PI * ((k * task.residue(n, q)) % q)) / q;
    return [Math.cos(angle) - means[0], Math.sin(angle) - means[1]];
  }
  function removeWaves(post, task, n, waves) {
    for (const wave of waves) {
      const [a, b] = swing(task, n, wave);
      for (let i = 0; i < post.length; i++) post[i] -= a * wave.cos[i] + b * wave.sin[i];
    }
  }
  /* What is taken out, and what stands there instead; waves are [{q, k, cos, sin, means}...]. */
  const WHOLE = { heads: {}, headReads: {}, neurons: [], neuronMeans: [], waves: [] };
  /* One number through the network. */
  function forward(net, task, n, edit, room) {
    attend(net, n, room.shares);
    room.mid.set(net.base);
    addHeads(room.mid, net, n, room.shares, net.moved, net.d, edit.heads, room);
    room.neurons.fill(0);
    addProduct(room.neurons, room.mid, net.W_in, 1, net.d, net.m);
    rectify(net, edit, room);
    finish(net, room);
    removeWaves(room.post, task, n, edit.waves);
    room.logits.fill(0);
    addProduct(room.logits, room.post, net.W_U, 1, net.d, net.size);
    return room.logits;
  }
  /* The class of the largest logit; of equal ones the first. */
  function best(logits, start, size) {
    let found = 0;
    for (let c = 1; c < size; c++) if (logits[start + c] > logits[start + found]) found = c;
    return found;
  }
  /* What each task answers, and how sure: the softmax of its own logits. */
  function answers({ classes, starts }, logits) {
    return classes.map((size, i) => {
      const answer = best(logits, starts[i], size);
      let sum = 0;
      for (let c = 0; c < size; c++) sum += Math.exp(logits[starts[i] + c] - logits[starts[i] + answer]);
      return { answer, confidence: 1 / sum };
    });
  }
  return {
    WHOLE, addRows, addProduct, product, taskOf, network, roomFor, attend, addHeads, rectify, finish,
    swing, removeWaves, forward, best, answers,
  };
};
