/* What takes longer than a key press: accuracies, parts taken out and random controls, the whole grid, whose neuron is
 * whose. It runs in a worker made from this function's own source. Long work breathes, so that what was asked later
 * comes sooner; a new question on a channel ends the one before it. */
miiii.measure = function (core, port) {
  "use strict";
  const MOST = 1000; // numbers that accuracies are taken over: all of the validation split
  const FEW = 160; // neurons up to which taking them out is cheaper by what each writes
  const benches = new Map();
  const latest = {};
  let urgent = 0; // questions that somebody looks at the answer of

  const zeros = (n) => new Float32Array(n);
  const range = (size, first = 0) => Array.from({ length: size }, (_, i) => first + i);
  const cosine = (k, r, q) => Math.cos((2 * Math.PI * ((k * r) % q)) / q);
  const isEarly = (edit) => Boolean(edit && (edit.neurons.length || Object.keys(edit.heads).length));
  /* A network laid out for measuring; what is dear is made when it is first asked for. */
  function benchOf(net, meta) {
    const task = core.taskOf(meta);
    const { train, validation, unseen } = task.split;
    const numbers = [validation, unseen, train].find((some) => some.length).slice(0, MOST);
    const streams = { rows: zeros(net.p ** 2 * net.d), there: new Uint8Array(net.p ** 2) };
    const [room, shares, bins] = [core.roomFor(net), core.allShares(net), new Map()];
    return { net, task, numbers, room, streams, shares, bins, readers: [] };
  }
  /* What each token of each head adds to every neuron: with it, and attention known, all neurons of a number cost a
   * few thousand multiplications in place of a quarter of a million. */
  async function ready(bench, breathe) {
    if (bench.reads) return;
    const { p, heads, d, m, moved, W_in, base } = bench.net;
    const tokens = 2 * p + 1;
    const reads = zeros(tokens * heads * m);
    for (let t = 0; t < tokens * heads; t += 16) {
      const rows = Math.min(16, tokens * heads - t);
      core.addProduct(reads.subarray(t * m), moved.subarray(t * d), W_in, rows, d, m);
      await breathe();
    }
    bench.base = zeros(m);
    core.addProduct(bench.base, base, W_in, 1, d, m);
    // How much of each token a head reads, in the mean over all numbers, and so what it then gives.
    const weights = range(heads).map(() => zeros(tokens));
    for (let n = 0; n < p * p; n++) {
      for (let h = 0; h < heads; h++) {
        const at = 3 * (heads * n + h);
        weights[h][n % p] += bench.shares[at] / p ** 2;
        weights[h][p + Math.floor(n / p)] += bench.shares[at + 1] / p ** 2;
        weights[h][2 * p] += bench.shares[at + 2] / p ** 2;
      }
    }
    const means = (table, cols) => weights.map((own, h) => {
      const mean = zeros(cols);
      core.addRows(mean, 0, range(tokens).map((t) => t * heads + h), own, tokens, table, cols);
      return mean;
    });
    [bench.headMeans, bench.headReads, bench.reads] = [means(moved, d), means(reads, m), reads];
  }
  /* Fill the room with the stream after attention, and with the neurons. */
  function begin(bench, n, edit) {
    const { net, room, shares } = bench;
    const own = shares.subarray(3 * net.heads * n);
    room.mid.set(net.base);
    core.addHeads(room.mid, net, n, own, net.moved, net.d, edit && edit.heads, room);
    room.neurons.set(bench.base);
    core.addHeads(room.neurons, net, n, own, bench.reads, net.m, edit && edit.headReads, room);
    core.rectify(net, edit, room);
  }
  /* The stream at the end for some numbers, a row for each; that of the whole network is kept. */
  async function streamsOf(bench, numbers, edit, breathe) {
    const { net, task, room, streams } = bench;
    await ready(bench, breathe);
    const early = isEarly(edit);
    const found = zeros(numbers.length * net.d);
    for (const [i, n] of numbers.entries()) {
      const kept = streams.rows.subarray(n * net.d, (n + 1) * net.d);
      const own = found.subarray(i * net.d, (i + 1) * net.d);
      if (early || !streams.there[n]) {
        begin(bench, n, early ? edit : null);
        core.finish(net, room);
        if (!early) [streams.there[n]] = [1, kept.set(room.post)];
      }
      own.set(early ? room.post : kept);
      if (edit) edit.waves.forEach((wave) => core.removeWave(own, task, n, wave));
      if (i % 32 === 0) await breathe(i / numbers.length);
    }
    return found;
  }
  /* Sums of neurons and stream over all numbers of each remainder: all that a wave can meet. */
  async function binned(bench, moduli, edit, breathe) {
    const { net, task } = bench;
    const found = isEarly(edit) ? new Map() : bench.bins;
    const fresh = moduli.filter((q) => !found.has(q)).map((q) => [q, new Float64Array(q * (net.m + net.d))]);
    for (let n = 0; fresh.length && n < net.p ** 2; n++) {
      begin(bench, n, edit);
      for (const [q, sums] of fresh) addTo(sums, task.residues(q)[n] * (net.m + net.d), bench.room.both);
      if (n % 64 === 0) await breathe(n / net.p ** 2);
    }
    fresh.forEach(([q, sums]) => found.set(q, sums));
    return found;
  }

  function addTo(sums, at, values) {
    for (let i = 0; i < values.length; i++) sums[at + i] += values[i];
  }

  async function meanNeurons(bench, breathe) {
    const { net, task } = bench;
    const [q, width] = [task.moduli[0], net.m + net.d];
    const sums = (await binned(bench, [q], null, breathe)).get(q);
    const mean = (j) => range(q).reduce((sum, r) => sum + sums[r * width + j], 0) / net.p ** 2;
    return (bench.means ??= range(net.m).map(mean));
  }
  /* Least squares of the stream by some waves together, their means removed, over all numbers. */
  async function fitWaves(bench, pairs, edit, breathe) {
    const { net, task } = bench;
    const width = net.m + net.d;
    const bins = await binned(bench, [...new Set(pairs.map(([q]) => q))], edit, breathe);
    // Of each wave the cosine and the sine, which is a cosine a quarter later; of half a cycle one.
    const columns = pairs.flatMap(([q, k], w) => [0, ...(2 * k === q ? [] : [Math.PI / 2])].map((later) => {
      const cycle = range(q).map((r) => Math.cos((2 * Math.PI * ((k * r) % q)) / q - later));
      const mean = task.residues(q).reduce((sum, r) => sum + cycle[r], 0) / net.p ** 2;
      const met = zeros(width);
      for (let i = 0; i < width; i++) {
        for (let r = 0; r < q; r++) met[i] += (cycle[r] - mean) * bins.get(q)[r * width + i];
      }
      const along = met.slice(net.m);
      core.addProduct(along, met, net.W_out, 1, net.m, net.d);
      return { w, later, mean, along, values: Float64Array.from(task.residues(q), (r) => cycle[r] - mean) };
    }));
    const dot = (a, b) => a.reduce((sum, value, i) => sum + value * b[i], 0);
    solve(columns.map((a) => columns.map((b) => dot(a.values, b.values))), columns.map(({ along }) => along));
    return pairs.map(([q, k], w) => {
      const [cos, sin = { along: zeros(net.d), mean: 0 }] = columns.filter((column) => column.w === w);
      return { q, k, cos: cos.along, sin: sin.along, means: [cos.mean, sin.mean] };
    });
  }
  /* Gauss: turns the rows into the solution of matrix·solution = rows. A Gram matrix of waves that differ needs no
   * pivots. */
  function solve(matrix, rows) {
    matrix.forEach((_, i) => {
      matrix.forEach((line, r) => {
        const factor = r === i ? 0 : line[i] / matrix[i][i];
        for (let c = i; factor && c < line.length; c++) line[c] -= factor * matrix[i][c];
        for (let c = 0; factor && c < rows[r].length; c++) rows[r][c] -= factor * rows[i][c];
      });
    });
    rows.forEach((row, i) => row.forEach((value, c) => (row[c] = value / matrix[i][i])));
  }
  /* Parts by the names that an address has: heads, neurons (those of a prime by one name), waves. */
  async function partsOf(bench, off, breathe) {
    const parts = { heads: [], neurons: [], waves: [] };
    for (const [kind, a, b] of off.map((name) => name.split("-"))) {
      if (kind === "head" && a > 0 && a <= bench.net.heads) parts.heads.push(a - 1); // counted from 1, as in the book
      if (kind === "neuron" && a < bench.net.m) parts.neurons.push(+a);
      if (kind === "wave" && b >= 1 && b <= a >> 1) parts.waves.push([+a, +b]);
      if (!["prime", "frequency"].includes(kind)) continue;
      const { owner, groups } = await staircase(bench, breathe);
      owner.forEach((g, j) => groups[g] === +a && parts.neurons.push(j));
    }
    return { ...parts, neurons: [...new Set(parts.neurons)] };
  }
  /* As many parts of each kind, drawn from those that are left; null where so many are not left. */
  function randomParts({ net, task }, { heads, neurons, waves }, random) {
    const draw = (all, taken) => {
      const left = all.filter((one) => !taken.some((each) => String(each) === String(one)));
      const found = taken.map(() => left.splice(Math.floor(random() * left.length), 1)[0]);
      return found.includes(undefined) ? null : found;
    };
    const others = task.moduli.flatMap((q) => range(q >> 1, 1).map((k) => [q, k]));
    const found = [draw(range(net.heads), heads), draw(range(net.m), neurons), draw(others, waves)];
    return found.includes(null) ? null : { heads: found[0], neurons: found[1], waves: found[2] };
  }
  /* Numbers between 0 and 1 that are the same for the same seed (mulberry32). */
  const generator = (seed) => () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
  /* The edit that sets parts to their mean over all numbers, and takes waves out of the stream. */
  async function editOf(bench, parts, breathe) {
    const { heads, neurons, waves } = parts;
    if (!heads.length && !neurons.length && !waves.length) return null;
    await ready(bench, breathe);
    const means = neurons.length ? await meanNeurons(bench, breathe) : [];
    const edit = { heads: {}, headReads: {}, neurons, neuronMeans: neurons.map((j) => means[j]) };
    for (const h of heads) [edit.heads[h], edit.headReads[h]] = [bench.headMeans[h], bench.headReads[h]];
    return { ...edit, waves: waves.length ? await fitWaves(bench, waves, edit, breathe) : [] };
  }
  /* Accuracy of each task; of the whole network, what it did with each number is kept. */
  async function accuracy(bench, edit, breathe) {
    const { net, task, numbers, room } = bench;
    if (!edit && bench.intact) return bench.intact.accuracy;
    const right = zeros(task.classes.length);
    const count = (n, logits) => task.classes.forEach((size, i) => {
      if (core.best(logits, task.starts[i], size) === task.target(n, i)) right[i]++;
    });
    const few = edit && !edit.waves.length && !Object.keys(edit.heads).length && edit.neurons.length <= FEW;
    if (few) await withoutFew(bench, edit, count, breathe);
    const streams = few ? null : await streamsOf(bench, numbers, edit, breathe);
    const [logits, neurons] = few ? [] : [zeros(numbers.length * net.size), zeros(numbers.length * net.m)];
    for (let r = 0; !few && r < numbers.length; r++) {
      const own = logits.subarray(r * net.size, (r + 1) * net.size);
      core.addProduct(own, streams.subarray(r * net.d), net.W_U, 1, net.d, net.size);
      count(numbers[r], own);
      if (!edit) neurons.set(begin(bench, numbers[r], null) ?? room.neurons, r * net.m);
      if (r % 16 === 0) await breathe(r / numbers.length);
    }
    const found = Array.from(right, (times) => times / numbers.length);
    if (!edit) bench.intact = { logits, neurons, accuracy: found };
    return found;
  }
  /* After the ReLU the network is linear: without a neuron the logits lack just what it writes. */
  async function withoutFew(bench, { neurons, neuronMeans }, count, breathe) {
    const { net, numbers } = bench;
    const { active, factors } = bench.room;
    await accuracy(bench, null, breathe);
    const writes = zeros(neurons.length * net.size);
    neurons.forEach((j, i) => {
      core.addProduct(writes.subarray(i * net.size), net.W_out.subarray(j * net.d), net.W_U, 1, net.d, net.size);
    });
    const constant = zeros(net.size);
    core.addRows(constant, 0, range(neurons.length), neuronMeans, neurons.length, writes, net.size);
    for (const [r, n] of numbers.entries()) {
      let some = 0;
      neurons.forEach((j, i) => {
        const value = bench.intact.neurons[r * net.m + j];
        if (value > 0) [active[some], factors[some++]] = [i, -value];
      });
      const changed = bench.intact.logits.slice(r * net.size, (r + 1) * net.size);
      for (let c = 0; c < net.size; c++) changed[c] += constant[c];
      core.addRows(changed, 0, active, factors, some, writes, net.size);
      count(n, changed);
      if (r % 50 === 0) await breathe(r / numbers.length);
    }
  }
  /* Whose neuron is whose: shares of variance that are functions of each n mod q. Means of rows and columns of a
   * neuron's map are taken out first, as no function of one digit knows a remainder. In modular addition there is one
   * prime, and neurons are told apart by their frequency. */
  async function staircase(bench, breathe) {
    if (bench.staircase) return bench.staircase;
    const { net, task } = bench;
    await ready(bench, breathe);
    const addition = task.kind === "nanda";
    const groups = addition ? range(net.p >> 1, 1) : task.moduli;
    const [shares, owner, k] = [zeros(net.m * groups.length), new Array(net.m).fill(-1), new Array(net.m)];
    const found = { groups, shares, owner, k, phase: zeros(net.m), share: zeros(net.m), on: zeros(net.m) };
    for (let j = 0; j < net.m; j++) {
      portrait(bench, j, found, addition);
      if (j % 4 === 0) await breathe(j / net.m);
    }
    return (bench.staircase = found);
  }
  /* A neuron before the ReLU at every number, from what each token of each head adds to it. */
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
      values[n] = sum;
    }
    return values;
  }

  function portrait(bench, j, found, addition) {
    const { net, task } = bench;
    const [p, count, groups, map] = [net.p, net.p ** 2, found.groups, mapOf(bench, j)];
    const [rows, columns] = [new Float64Array(p), new Float64Array(p)];
    let [total, variance, on, means] = [0, 0, 0, null];
    for (let n = 0, x1 = 0; x1 < p; x1++) {
      for (let x0 = 0; x0 < p; x0++, n++) {
        const value = Math.max(map[n], 0);
        if (value > 0) on++;
        rows[x0] += value / p;
        columns[x1] += value / p;
        total += value / count;
      }
    }
    for (let n = 0, x1 = 0; x1 < p; x1++) {
      for (let x0 = 0; x0 < p; x0++, n++) {
        const both = Math.max(map[n], 0) + total - rows[x0] - columns[x1];
        variance += (addition ? Math.max(map[n], 0) - total : both) ** 2 / count;
        map[n] = both;
      }
    }
    found.on[j] = on / count;
    for (let g = 0; g < groups.length && variance > 1e-12; g++) {
      const q = addition ? p : groups[g];
      if (!addition || g === 0) means = meansOf(map, q, task);
      let share = 0; // of a neuron that adds numbers: of each digit alone, and of their sum
      if (addition) for (const each of [means.of, rows, columns]) share += energyOf(each, g + 1).energy / variance;
      else for (let r = 0; r < q; r++) share += (means.counts[r] * means.of[r] ** 2) / count / variance;
      found.shares[j * groups.length + g] = share;
      if (share <= found.share[j]) continue;
      const waves = (addition ? [g + 1] : range(q >> 1, 1)).map((k) => ({ k, ...energyOf(means.of, k) }));
      const { k, phase } = waves.reduce((a, b) => (b.energy > a.energy ? b : a));
      [found.share[j], found.owner[j], found.k[j], found.phase[j]] = [share, g, k, phase];
    }
  }

  function meansOf(map, q, task) {
    const [means, residues] = [new Float64Array(q), task.residues(q)];
    for (let n = 0; n < map.length; n++) means[residues[n]] += map[n];
    const counts = (task.counts[q] ??= residues.reduce((sums, r) => (sums[r]++, sums), new Float64Array(q)));
    return { of: means.map((sum, r) => sum / (counts[r] || 1)), counts };
  }
  /* The mean square of values over remainders along their wave k, and where it has its crest. */
  function energyOf(values, k) {
    const q = values.length;
    let [a, b] = [0, 0];
    for (let r = 0; r < q; r++) {
      a += (values[r] * cosine(k, r, q)) / q;
      b += (values[r] * Math.sin((2 * Math.PI * ((k * r) % q)) / q)) / q;
    }
    return { energy: (2 * k === q ? 1 : 2) * (a * a + b * b), phase: Math.atan2(b, a) };
  }
  /* Logits of one task alone, from streams. */
  function read({ net, task, readers }, i, streams, count) {
    const [start, size] = [task.starts[i], task.classes[i]];
    readers[i] ??= zeros(net.d * size).map((_, at) => net.W_U[Math.floor(at / size) * net.size + start + (at % size)]);
    const logits = zeros(count * size);
    core.addProduct(logits, streams, readers[i], count, net.d, size);
    return logits;
  }
  /* Of every number: 1 if it is called prime, as no prime but itself is said to divide it; for tasks that are no
   * sieve, 1 if any answer is wrong. Most numbers need the first few tasks only. */
  async function grid(bench, edit, breathe) {
    const { net, task } = bench;
    const found = new Uint8Array(net.p ** 2);
    const sieve = !["nanda", "basis"].includes(task.kind);
    const streams = await streamsOf(bench, range(found.length), edit, (done = 0) => breathe(0.7 * done));
    for (let n = 0; n < found.length; n++) {
      let hit = sieve && n < 2;
      for (let i = 0; i < task.classes.length && !hit; i++) {
        if (sieve && task.moduli[i] === n) continue;
        const logits = read(bench, i, streams.subarray(n * net.d, (n + 1) * net.d), 1);
        const answer = core.best(logits, 0, logits.length);
        hit = sieve ? answer === Number(task.kind === "divisible") : answer !== task.target(n, i);
      }
      found[n] = Number(hit !== sieve);
      if (n % 32 === 0) await breathe(0.7 + (0.3 * n) / found.length);
    }
    return found;
  }
  /* The formula of one task's answers, Σ a_k cos(2πk(n − c)/q): fitted on half of the unseen numbers and scored on the
   * others, beside the network, whole and with parts taken out. For yes or no it is Σ a_k cos(2πkn/q), what yes has
   * above no. */
  async function profile(bench, i, edit, off, breathe) {
    const { task } = bench;
    const [q, size, two] = [task.moduli[i], task.classes[i], task.kind === "divisible"];
    const unseen = task.split.unseen.length > 1 ? task.split.unseen : task.split.train;
    const [fitted, scored] = [0, 1].map((odd) => unseen.filter((_, r) => r % 2 === odd));
    const logitsOf = async (numbers, change, from) => {
      const streams = await streamsOf(bench, numbers, change, (done = 0) => breathe(from + 0.3 * done));
      return read(bench, i, streams, numbers.length);
    };
    const logits = await logitsOf(fitted, null, 0);
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
    let held = 0;
    const used = range(q >> 1, 1).sort((a, b) => cos[b - 1] ** 2 - cos[a - 1] ** 2).filter((k) => {
      held += cos[k - 1] ** 2; // the largest that hold nineteen twentieths
      return held - cos[k - 1] ** 2 < 0.95 * whole;
    });
    const on = used.filter((k) => !off.includes(`wave-${q}-${k}`));
    const wave = range(q).map((r) => on.reduce((sum, k) => sum + cos[k - 1] * cosine(k, r, q), 0));
    const guess = (y) => (two ? Number(wave[y] + mean[1] > mean[0]) : core.best(range(q).map((c) => wave[(y - c + q) % q]), 0, q));
    const guesses = range(q).map(guess);
    const right = (all) => scored.map((n, r) => core.best(all, r * size, size) === task.target(n, i));
    const share = (list) => list.filter(Boolean).length / list.length;
    const network = right(await logitsOf(scored, null, 0.3));
    const edited = edit ? right(await logitsOf(scored, edit, 0.6)) : network;
    const formula = scored.map((n) => on.length > 0 && guesses[task.residue(n, q)] === task.target(n, i));
    const repaired = scored.filter((_, r) => !network[r] && formula[r]).slice(0, 400);
    const shares = { network: share(network), edited: share(edited), formula: share(formula) };
    return { q, cos, used, on, mean, repaired, scored: scored.length, ...shares };
  }

  const JOBS = {
    edit: async (bench, { off }, breathe) => ({ edit: await editOf(bench, await partsOf(bench, off, breathe), breathe) }),
    async scores(bench, { off, draws, seed }, breathe, say) {
      const before = await accuracy(bench, null, breathe);
      const parts = await partsOf(bench, off, breathe);
      const sizes = Object.fromEntries(Object.entries(parts).map(([kind, list]) => [kind, list.length]));
      say({ before, sizes, random: [] });
      const edit = await editOf(bench, parts, breathe);
      const found = { before, sizes, after: await accuracy(bench, edit, breathe), random: [] };
      say(found);
      const next = generator(seed);
      for (let draw = 0; edit && draw < draws; draw++) {
        const others = randomParts(bench, parts, next);
        if (!others) break;
        found.random.push(await accuracy(bench, await editOf(bench, others, breathe), breathe));
        say(found);
      }
      return { ...found, done: true };
    },
    async grid(bench, { off }, breathe) {
      bench.grid ??= await grid(bench, null, breathe);
      const edit = await editOf(bench, await partsOf(bench, off, breathe), breathe);
      return { before: bench.grid, after: edit ? await grid(bench, edit, breathe) : bench.grid };
    },
    staircase: (bench, _, breathe) => staircase(bench, breathe),
    async neuron(bench, { j }, breathe) {
      const { W_out, W_U, d, size } = bench.net;
      const writes = zeros(size);
      await ready(bench, breathe);
      core.addProduct(writes, W_out.subarray(j * d), W_U, 1, d, size);
      return { values: mapOf(bench, j), writes };
    },
    async profile(bench, { i, off }, breathe) {
      return profile(bench, i, await editOf(bench, await partsOf(bench, off, breathe), breathe), off, breathe);
    },
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
