/* What takes longer than a key press, in a worker made from this function's own source. Long work breathes, so that
 * what was asked later comes sooner; a new question on a channel ends the one before it. */
miiii.measure = function (core, port) {
  "use strict";
  const MOST = 1000; // numbers of the validation split that accuracies are taken over
  const [benches, latest] = [new Map(), {}];
  let urgent = 0; // questions that somebody looks at the answer of

  const zeros = (n) => new Float32Array(n);
  const range = (size, first = 0) => Array.from({ length: size }, (_, i) => first + i);
  /* The cosine of a wave, or its sine, which is a cosine a quarter later. */
  const cosine = (k, r, q, later = 0) => Math.cos((2 * Math.PI * ((k * r) % q)) / q - later);
  const isEarly = ({ heads, neurons }) => neurons.length > 0 || Object.keys(heads).length > 0;
  /* A network laid out for measuring; what is dear is made when it is first asked for. */
  function benchOf(net, meta) {
    const task = core.taskOf(meta);
    const numbers = task.split.validation.filter((_, r, all) => r % Math.ceil(all.length / MOST) === 0);
    const streams = zeros(net.p ** 2 * net.d).fill(NaN);
    const [ones, shares] = [zeros(net.p ** 2).fill(1), zeros(net.p ** 2 * 3 * net.heads)];
    for (let n = 0; n < net.p ** 2; n++) core.attend(net, n, shares.subarray(3 * net.heads * n));
    const kept = { bins: new Map(), readers: [], writes: [], means: [] };
    return { net, task, numbers, ones, streams, shares, room: core.roomFor(net), ...kept };
  }
  /* What each token of each head adds to every neuron: a number then costs a twentieth of the multiplications. */
  async function ready(bench, breathe) {
    if (bench.reads) return;
    const { p, heads, d, m, moved, W_in, base } = bench.net;
    const [tokens, shares] = [range(2 * p + 1), bench.shares];
    const reads = zeros(tokens.length * heads * m);
    for (let t = 0; t < tokens.length * heads; t++) {
      core.addProduct(reads.subarray(t * m), moved.subarray(t * d), W_in, 1, d, m);
      if (t % 16 === 0) await breathe();
    }
    // How much of each token a head reads, in the mean over all numbers, and so what it then gives.
    bench.headMeans = range(heads).map((h) => {
      const [weights, mean] = [zeros(tokens.length), zeros(d)];
      for (let n = 0, at = 3 * h; n < p ** 2; n++, at += 3 * heads) {
        weights[n % p] += shares[at] / p ** 2;
        weights[p + Math.floor(n / p)] += shares[at + 1] / p ** 2;
        weights[2 * p] += shares[at + 2] / p ** 2;
      }
      core.addRows(mean, 0, tokens.map((t) => t * heads + h), weights, tokens.length, moved, d);
      return mean;
    });
    bench.headReads = bench.headMeans.map((mean) => core.product(mean, W_in, m));
    [bench.base, bench.reads] = [core.product(base, W_in, m), reads];
  }
  /* Fill the room with the stream after attention, and with the neurons. */
  function begin(bench, n, edit) {
    const { net, room, shares } = bench;
    const own = shares.subarray(3 * net.heads * n);
    room.mid.set(net.base);
    core.addHeads(room.mid, net, n, own, net.moved, net.d, edit.heads, room);
    room.neurons.set(bench.base);
    core.addHeads(room.neurons, net, n, own, bench.reads, net.m, edit.headReads, room);
    core.rectify(net, edit, room);
  }
  /* The stream at the end, until the next is asked for; those of the whole network are kept. */
  function streamOf(bench, n, edit) {
    const { net, task, room, streams } = bench;
    const kept = streams.subarray(n * net.d, (n + 1) * net.d);
    if (isEarly(edit) || Number.isNaN(kept[0])) {
      begin(bench, n, edit);
      core.finish(net, room);
      if (!isEarly(edit)) kept.set(room.post);
    } else room.post.set(kept);
    core.removeWaves(room.post, task, n, edit.waves);
    return room.post;
  }
  /* Sums of neurons and stream over all numbers of each remainder: all that a wave can meet. */
  async function binned(bench, moduli, edit, breathe) {
    const { net, task, room: { both } } = bench;
    const found = isEarly(edit) ? new Map() : bench.bins;
    const fresh = moduli.filter((q) => !found.has(q)).map((q) => [q, zeros(q * both.length)]);
    for (let n = 0; fresh.length && n < net.p ** 2; n++) {
      begin(bench, n, edit);
      for (const [q, sums] of fresh) {
        const at = task.residues(q)[n] * both.length;
        for (let i = 0; i < both.length; i++) sums[at + i] += both[i];
      }
      if (n % 64 === 0) await breathe(n / net.p ** 2);
    }
    fresh.forEach(([q, sums]) => found.set(q, sums));
    return found;
  }
  /* Least squares of the stream by some waves together, their means removed, over all numbers. */
  async function fitWaves(bench, pairs, edit, breathe) {
    const { net, task } = bench;
    const bins = await binned(bench, [...new Set(pairs.map(([q]) => q))], edit, breathe);
    // Of each wave the cosine and the sine; half a cycle has but one.
    const columns = pairs.flatMap(([q, k], w) => (2 * k === q ? [0] : [0, Math.PI / 2]).map((later) => {
      const cycle = range(q).map((r) => cosine(k, r, q, later));
      const mean = task.counts(q).reduce((sum, size, r) => sum + size * cycle[r], 0) / net.p ** 2;
      const values = Float32Array.from(cycle, (value) => value - mean);
      const met = core.product(values, bins.get(q), net.m + net.d);
      const along = core.product(met, net.W_out, net.d).map((value, i) => value + met[net.m + i]);
      return { w, mean, along, values: Float64Array.from(task.residues(q), (r) => values[r]) };
    }));
    const dot = (a, b) => a.reduce((sum, value, i) => sum + value * b[i], 0);
    const lines = columns.map((a) => [...columns.map((b) => dot(a.values, b.values)), ...a.along]);
    solved(lines).forEach((along, i) => (columns[i].along = along));
    return pairs.map(([q, k], w) => {
      const [cos, sin = { along: zeros(net.d), mean: 0 }] = columns.filter((column) => column.w === w);
      return { q, k, cos: cos.along, sin: sin.along, means: [cos.mean, sin.mean] };
    });
  }
  /* Gauss, on a matrix with the right sides after it; a Gram matrix of waves that differ needs no pivots. */
  function solved(lines) {
    lines.forEach((pivot, i) => lines.forEach((line, r) => {
      const factor = r === i ? 0 : line[i] / pivot[i];
      for (let c = i; factor && c < line.length; c++) line[c] -= factor * pivot[c];
    }));
    return lines.map((line, i) => Float32Array.from(line.slice(lines.length), (value) => value / line[i]));
  }
  /* Parts by the names that an address has: heads, neurons (those of a prime by one name), waves. */
  async function partsOf(bench, off, breathe) {
    const parts = { heads: [], neurons: [], waves: [] };
    for (const [kind, a, b] of off.map((name) => name.split("-"))) {
      if (kind === "head" && a > 0 && a <= bench.net.heads) parts.heads.push(a - 1); // counted from 1, as in the book
      if (kind === "neuron" && a < bench.net.m) parts.neurons.push(+a);
      if (kind === "wave" && b >= 1 && b <= a >> 1) parts.waves.push([+a, +b]);
      if (!["prime", "frequency"].includes(kind)) continue;
      const { owner, groups } = await staircase(bench, null, breathe);
      owner.forEach((g, j) => groups[g] === +a && parts.neurons.push(j));
    }
    return { ...parts, neurons: [...new Set(parts.neurons)] };
  }
  /* As many parts of each kind, drawn from those that are left; null where so many are not left. */
  function randomParts({ net, task }, { heads, neurons, waves }, random) {
    const draw = (all, taken) => {
      const left = all.filter((one) => !taken.some((each) => String(each) === String(one)));
      return taken.map(() => left.splice(Math.floor(random() * left.length), 1)[0]);
    };
    const others = task.moduli.flatMap((q) => range(q >> 1, 1).map((k) => [q, k]));
    const found = { heads: draw(range(net.heads), heads), neurons: draw(range(net.m), neurons), waves: draw(others, waves) };
    return Object.values(found).flat().includes(undefined) ? null : found;
  }
  /* The edit that sets parts to their mean over all numbers, and takes waves out of the stream. */
  async function editOf(bench, { heads, neurons, waves }, breathe) {
    await ready(bench, breathe);
    if (!heads.length && !neurons.length && !waves.length) return core.WHOLE;
    const meanOf = (j) => (bench.means[j] ??= mapOf(bench, j).reduce((sum, value) => sum + value, 0) / bench.net.p ** 2);
    const edit = { heads: {}, headReads: {}, neurons, neuronMeans: neurons.map(meanOf), waves: [] };
    for (const h of heads) [edit.heads[h], edit.headReads[h]] = [bench.headMeans[h], bench.headReads[h]];
    return { ...edit, waves: waves.length ? await fitWaves(bench, waves, edit, breathe) : [] };
  }
  const editBy = async (bench, off, breathe) => editOf(bench, await partsOf(bench, off, breathe), breathe);
  /* What a neuron adds to the logits where it is at 1. */
  const writesOf = ({ net, writes }, j) => (writes[j] ??= core.product(net.W_out.subarray(j * net.d), net.W_U, net.size));
  /* Neurons and logits of all numbers that are counted, with heads taken out; those of the whole network are kept. */
  async function outputsOf(bench, { heads, headReads }, breathe) {
    const { net, numbers, room } = bench;
    const edit = { ...core.WHOLE, heads, headReads };
    if (!isEarly(edit) && bench.outputs) return bench.outputs;
    await ready(bench, breathe);
    const found = { neurons: zeros(numbers.length * net.m), logits: zeros(numbers.length * net.size) };
    for (const [r, n] of numbers.entries()) {
      core.addProduct(found.logits.subarray(r * net.size), streamOf(bench, n, edit), net.W_U, 1, net.d, net.size);
      begin(bench, n, edit);
      found.neurons.set(room.neurons, r * net.m);
      if (r % 16 === 0) await breathe(r / numbers.length);
    }
    return isEarly(edit) ? found : (bench.outputs = found);
  }
  /* Accuracy of each task. After the ReLU all is linear: the logits lack what neurons and waves write, less means. */
  async function accuracy(bench, edit, breathe) {
    const { net, task, numbers } = bench;
    const { neurons, logits } = await outputsOf(bench, edit, breathe);
    const means = zeros(net.d);
    core.addRows(means, 0, edit.neurons, edit.neuronMeans, edit.neurons.length, net.W_out, net.d);
    const along = [...edit.waves.flatMap(({ cos, sin }) => [cos, sin]), means].map((row) => core.product(row, net.W_U, net.size));
    const rows = [...edit.neurons.map((j) => writesOf(bench, j)), ...along];
    const table = zeros(rows.length * net.size);
    rows.forEach((row, i) => table.set(row, i * net.size));
    const [active, factors] = [new Int32Array(rows.length), zeros(rows.length)];
    const [right, changed] = [zeros(task.classes.length), zeros(net.size)];
    for (const [r, n] of numbers.entries()) {
      let count = 0;
      const add = (i, factor) => ([active[count], factors[count++]] = [i, factor]);
      edit.neurons.forEach((j, i) => neurons[r * net.m + j] > 0 && add(i, -neurons[r * net.m + j]));
      const swings = edit.waves.flatMap((wave) => core.swing(task, n, wave));
      [...swings, -1].forEach((swing, i) => add(edit.neurons.length + i, -swing));
      changed.set(logits.subarray(r * net.size, (r + 1) * net.size));
      core.addRows(changed, 0, active, factors, count, table, net.size);
      task.classes.forEach((size, i) => (right[i] += core.best(changed, task.starts[i], size) === task.target(n, i)));
      if (r % 50 === 0) await breathe(r / numbers.length);
    }
    return Array.from(right, (times) => times / numbers.length);
  }
  /* Whose neuron is whose: shares of variance that are functions of each n mod q, without the means of rows and
   * columns, as no function of one digit knows a remainder. In modular addition neurons differ by frequency. */
  async function staircase(bench, _, breathe) {
    if (bench.staircase) return bench.staircase;
    const { net, task } = bench;
    await ready(bench, breathe);
    const addition = task.kind === "nanda";
    const groups = addition ? range(net.p >> 1, 1) : task.moduli;
    const [shares, owner, k] = [zeros(net.m * groups.length), new Array(net.m).fill(-1), new Array(net.m)];
    const found = { groups, shares, owner, k, phase: zeros(net.m), share: zeros(net.m), on: zeros(net.m) };
    for (let j = 0; j < net.m; j++) {
      portrait(bench, j, found, addition);
      writesOf(bench, j); // kept, so that a neuron is taken out at once later
      if (j % 4 === 0) await breathe(j / net.m);
    }
    return (bench.staircase = found);
  }
  /* A neuron at every number, from what each token of each head adds to it. */
  function mapOf({ net, shares, reads, base }, j) {
    const { p, heads, m } = net;
    const column = zeros((2 * p + 1) * heads).map((_, t) => reads[t * m + j]);
    const values = zeros(p * p);
    for (let n = 0; n < p * p; n++) {
      const x0 = (n % p) * heads, x1 = (p + Math.floor(n / p)) * heads, end = 2 * p * heads;
      let [sum, s] = [base[j], 3 * heads * n];
      for (let h = 0; h < heads; h++, s += 3) {
        sum += shares[s] * column[x0 + h] + shares[s + 1] * column[x1 + h] + shares[s + 2] * column[end + h];
      }
      values[n] = Math.max(sum, 0);
    }
    return values;
  }
  function portrait(bench, j, found, addition) {
    const { task, ones, net: { p } } = bench;
    const [all, groups, map] = [p * p, found.groups, mapOf(bench, j)];
    const part = ones.subarray(0, p).map((one) => one / p);
    const [rows, columns, both] = [core.product(part, map, p), core.product(map, part, 1, p), zeros(all + p)];
    const total = rows.reduce((sum, value) => sum + value, 0) / p;
    let variance = 0;
    for (let n = 0, x1 = 0; x1 < p; x1++) {
      for (let x0 = 0; x0 < p; x0++, n++) {
        const value = map[n] + total - rows[x0] - columns[x1];
        variance += (addition ? map[n] - total : value) ** 2 / all;
        both[addition ? x1 * p + ((x0 + x1) % p) : n] = value;
      }
    }
    [found.on[j], bench.means[j]] = [map.filter((value) => value > 0).length / all, total];
    if (variance < 1e-12) return;
    // In rows of q numbers, a column holds what leaves one remainder.
    const sumsOf = (q) => core.product(ones, both.subarray(0, q * Math.ceil(all / q)), q);
    const meansOf = (q) => sumsOf(q).map((sum, r) => sum / (task.counts(q)[r] || 1));
    const means = addition ? [meansOf(p)] : groups.map(meansOf);
    const shareOf = (q, g) => {
      // Of a neuron that adds numbers: of each digit alone, and of their sum.
      if (addition) return [means[0], rows, columns].reduce((sum, each) => sum + energyOf(each, q).energy, 0);
      return means[g].reduce((sum, mean, r) => sum + (task.counts(q)[r] * mean ** 2) / all, 0);
    };
    const shares = groups.map((q, g) => shareOf(q, g) / variance);
    found.shares.set(shares, j * groups.length);
    const g = core.best(shares, 0, shares.length);
    const own = addition ? [groups[g]] : range(groups[g] >> 1, 1);
    const waves = own.map((k) => ({ k, ...energyOf(means[addition ? 0 : g], k) }));
    const { k, phase } = waves.reduce((a, b) => (b.energy > a.energy ? b : a));
    [found.share[j], found.owner[j], found.k[j], found.phase[j]] = [shares[g], g, k, phase];
  }
  /* The mean square of values over remainders along their wave k, and where it has its crest. */
  function energyOf(values, k) {
    const q = values.length;
    const along = (later) => values.reduce((sum, value, r) => sum + (value * cosine(k, r, q, later)) / q, 0);
    const [a, b] = [along(0), along(Math.PI / 2)];
    return { energy: (2 * k === q ? 1 : 2) * (a * a + b * b), phase: Math.atan2(b, a) };
  }
  /* Logits of one task alone. */
  function read({ net, task, readers }, i, stream) {
    const [start, size] = [task.starts[i], task.classes[i]];
    readers[i] ??= zeros(net.d * size).map((_, at) => net.W_U[Math.floor(at / size) * net.size + start + (at % size)]);
    return core.product(stream, readers[i], size);
  }
  /* 1 for each number that is called prime, as no other prime is said to divide it; without a sieve, for any wrong answer. */
  async function grid(bench, edit, breathe) {
    const { net, task } = bench;
    const [found, sieve] = [new Uint8Array(net.p ** 2), !["nanda", "basis"].includes(task.kind)];
    for (let n = 0; n < found.length; n++) {
      const stream = streamOf(bench, n, edit);
      const hits = (q, i) => {
        if (sieve && q === n) return false;
        const answer = core.best(read(bench, i, stream), 0, task.classes[i]);
        return sieve ? answer === Number(task.kind === "divisible") : answer !== task.target(n, i);
      };
      found[n] = Number(((sieve && n < 2) || task.moduli.some(hits)) !== sieve);
      if (n % 32 === 0) await breathe(n / found.length);
    }
    return found;
  }
  /* The formula of one task's answers, Σ a_k cos(2πk(n − c)/q), fitted on half of the unseen numbers and scored on the
   * others, beside the network. For yes or no it is Σ a_k cos(2πkn/q), what yes has above no. */
  async function profile(bench, i, edit, off, breathe) {
    const { task } = bench;
    const [q, size, two] = [task.moduli[i], task.classes[i], task.kind === "divisible"];
    const unseen = task.split.unseen.length > 1 ? task.split.unseen : task.split.train;
    const [fitted, scored] = [0, 1].map((odd) => unseen.filter((_, r) => r % 2 === odd));
    const logitsOf = async (numbers, change, from) => {
      const logits = zeros(numbers.length * size);
      for (const [r, n] of numbers.entries()) {
        logits.set(read(bench, i, streamOf(bench, n, change)), r * size);
        if (r % 32 === 0) await breathe(from + (0.3 * r) / numbers.length);
      }
      return logits;
    };
    const logits = await logitsOf(fitted, core.WHOLE, 0);
    const mean = zeros(size);
    logits.forEach((value, at) => (mean[at % size] += value / fitted.length));
    const folded = new Float64Array(q);
    logits.forEach((value, at) => {
      const [y, c] = [task.residue(fitted[Math.floor(at / size)], q), at % size];
      const part = ((two && c === 0 ? -1 : 1) * (value - mean[c])) / fitted.length;
      folded[two ? y : (y - c + q) % q] += two ? part : part / q;
    });
    const strength = (k) => (2 * k === q ? 1 : 2) * folded.reduce((sum, value, r) => sum + value * cosine(k, r, q), 0);
    const cos = range(q >> 1, 1).map(strength);
    const whole = cos.reduce((sum, a) => sum + a * a, 0);
    const sorted = range(q >> 1, 1).sort((a, b) => cos[b - 1] ** 2 - cos[a - 1] ** 2);
    let rest = whole; // the largest are used, until nineteen twentieths are held
    const used = sorted.filter((k) => (rest -= cos[k - 1] ** 2) + cos[k - 1] ** 2 > 0.05 * whole);
    const on = used.filter((k) => !off.includes(`wave-${q}-${k}`));
    const wave = range(q).map((r) => on.reduce((sum, k) => sum + cos[k - 1] * cosine(k, r, q), 0));
    const turned = (y) => range(q).map((c) => wave[(y - c + q) % q]);
    const guesses = range(q).map((y) => (two ? Number(wave[y] + mean[1] > mean[0]) : core.best(turned(y), 0, q)));
    const right = (all) => scored.map((n, r) => core.best(all, r * size, size) === task.target(n, i));
    const network = right(await logitsOf(scored, core.WHOLE, 0.3));
    const edited = edit === core.WHOLE ? network : right(await logitsOf(scored, edit, 0.6));
    const formula = scored.map((n) => on.length > 0 && guesses[task.residue(n, q)] === task.target(n, i));
    const repaired = scored.filter((_, r) => !network[r] && formula[r]).slice(0, 400);
    const [all, left, waves] = [network, edited, formula].map((list) => list.filter(Boolean).length / list.length);
    return { q, cos, used, on, mean, repaired, scored: scored.length, network: all, edited: left, formula: waves };
  }
  const JOBS = {
    edit: (bench, { off }, breathe) => editBy(bench, off, breathe),
    async scores(bench, { off, draws, seed }, breathe, say) {
      const before = (bench.before ??= await accuracy(bench, core.WHOLE, breathe));
      const parts = await partsOf(bench, off, breathe);
      const sizes = Object.fromEntries(Object.entries(parts).map(([kind, list]) => [kind, list.length]));
      const known = { before, sizes, counted: bench.numbers.length, random: [] };
      say(known);
      const edit = await editOf(bench, parts, breathe);
      const found = { ...known, after: await accuracy(bench, edit, breathe) };
      let state = 1 + ((seed * 69621) % 2147483646); // Lehmer's numbers: the same for the same seed
      const next = () => (state = (state * 48271) % 2147483647) / 2147483647;
      for (let draw = 0; edit !== core.WHOLE && draw < draws; draw++) {
        say(found);
        const others = randomParts(bench, parts, next);
        if (!others) break;
        found.random.push(await accuracy(bench, await editOf(bench, others, breathe), breathe));
      }
      return { ...found, done: true };
    },
    async grid(bench, { off }, breathe) {
      const edit = await editBy(bench, off, breathe);
      const before = (bench.grid ??= await grid(bench, core.WHOLE, breathe));
      return { before, after: edit === core.WHOLE ? before : await grid(bench, edit, breathe) };
    },
    staircase,
    neuron: async (bench, { j }, breathe) => (await ready(bench, breathe), { values: mapOf(bench, j), writes: writesOf(bench, j) }),
    profile: async (bench, { i, off }, breathe) => profile(bench, i, await editBy(bench, off, breathe), off, breathe),
  };
  port.onmessage = async ({ data }) => {
    const { id, job, key, channel, background } = data;
    if (job === "lay") return benches.set(key, benchOf(data.net, data.meta));
    if (job === "drop") return benches.delete(key);
    latest[channel] = id;
    const over = {};
    const say = (part) => port.postMessage({ id, part });
    let [last, told] = [performance.now(), performance.now()];
    const breathe = async (progress) => {
      const now = performance.now();
      if (now - last < 40) return;
      if (progress !== undefined && now - told > 150) told = (say({ progress }), now);
      do await new Promise((done) => setTimeout(done, background && urgent ? 30 : 0));
      while (background && urgent && latest[channel] === id);
      if (latest[channel] !== id) throw over;
      last = performance.now();
    };
    if (!background) urgent++;
    try {
      port.postMessage({ id, done: await JOBS[job](benches.get(key), data, breathe, say) });
    } catch (error) {
      if (error !== over) port.postMessage({ id, error: String(error && error.message) });
    } finally {
      if (!background) urgent--;
    }
  };
};
