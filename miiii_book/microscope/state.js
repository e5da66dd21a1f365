/* What a reader has chosen, in the address and back; and the way to whoever computes.
 * A state is {run, epoch, n, q, j, off, turn, seed, view}; `#n=7919&q=97&off=head-2` sets a part of it. `off` names
 * what is taken out: head-2, neuron-17, prime-97 (all of its neurons), and wave-97-32, the wave k = 32 of n mod 97. */
miiii.address = {
  read(text, runs = []) {
    const state = {};
    for (const [key, value] of new URLSearchParams(text.replace(/^#/, ""))) {
      if (["epoch", "n", "q", "j", "seed"].includes(key) && /^\d{1,9}$/.test(value)) state[key] = +value;
      if (key === "run" ? runs.includes(value) : key === "view" && /^\w+$/.test(value)) state[key] = value;
      // A step of t turns winds as one of 1 - t does, the other way round.
      if (key === "turn" && /^([01]|0?\.\d{1,9})$/.test(value)) state.turn = +Math.min(value, 1 - value).toFixed(6);
      if (key === "off") state.off = [...new Set(value.split(","))].filter(Boolean);
    }
    return state;
  },
  write: (state) => ["run", "epoch", "n", "q", "j", "off", "turn", "seed"].filter((key) => String(state[key] ?? ""))
    .map((key) => `${key}=${state[key]}`).join("&"),
};

/* All that may be taken out of a network, by name. */
miiii.parts = ({ kind, p, moduli, shapes }) => {
  const names = (name, first, count) => Array.from({ length: count }, (_, i) => `${name}-${first + i}`);
  const groups = kind === "nanda" ? names("frequency", 1, p >> 1) : moduli.map((q) => `prime-${q}`);
  const waves = moduli.flatMap((q) => names(`wave-${q}`, 1, q >> 1));
  return [...names("head", 1, shapes.W_V[0]), ...names("neuron", 0, shapes.W_in[1]), ...groups, ...waves];
};

/* One place for the state of some views; a listener hears which keys changed. */
miiii.store = (start, listener) => ({
  state: { off: [], seed: 1, ...start },
  set(patch) {
    const changed = Object.keys(patch).filter((key) => String(patch[key]) !== String(this.state[key]));
    this.state = { ...this.state, ...patch };
    if (changed.length) listener(changed);
  },
  toggle(name) {
    const { off } = this.state;
    this.set({ off: off.includes(name) ? off.filter((each) => each !== name) : [...off, name] });
  },
});

/* Weights when they are asked for, networks made of them, and questions to the worker. */
miiii.lab = (() => {
  const KEPT = 3; // networks at a time: each holds some thirty megabytes here and in the worker
  const core = miiii.core();
  const [loading, channels, nets, waiting] = [{}, {}, new Map(), new Map()];
  let [port, asked] = [null, 0];
  const script = (source) => (loading[source] ??= new Promise((done) => {
    const tag = miiii.make("script", { src: source });
    // What has arrived says how it went; what has not may be asked for again.
    tag.onload = tag.onerror = () => done(tag.remove(), delete loading[source]);
    document.head.append(tag);
  }));
  async function meta(run, base) {
    if (!miiii.runs[run] && base) await script(`${base}${run}.js`);
    if (!miiii.runs[run]) throw new Error(`The run ${run} could not be read: its file is missing or damaged.`);
    return miiii.runs[run];
  }
  /* A network and what its data is; of those that were used some are kept. */
  async function laid(run, epoch, base) {
    const [key, known] = [`${run}@${epoch}`, await meta(run, base)];
    const said = miiii.whole(epoch);
    if (!known.epochs.includes(epoch)) throw new Error(`There are no weights of epoch ${said}; choose another.`);
    const missing = base && !nets.has(key) && !miiii.texts[key];
    if (missing) await script(`${base}${run}-${String(epoch).padStart(8, "0")}.js`);
    if (!nets.has(key)) {
      let net;
      const text = miiii.texts[key];
      if (base) delete miiii.texts[key]; // it is large, and its script can be loaded again
      try {
        net = core.network(known, text);
      } catch {
        const why = "their script is missing or damaged. Other epochs still work.";
        throw new Error(`The weights of epoch ${said} could not be read: ${why}`);
      }
      nets.set(key, { net, task: core.taskOf(known), meta: known, room: core.roomFor(net) });
      post({ job: "lay", key, net, meta: known });
    }
    const found = nets.get(key);
    nets.delete(key);
    nets.set(key, found); // the last used is the last to go
    [...nets.keys()].slice(0, -KEPT).forEach((old) => nets.delete(old) && post({ job: "drop", key: old }));
    return found;
  }
  /* The worker is made of the source of two functions: a page on a disk may not load one from a file. */
  function start() {
    const source = `(${miiii.measure})((${miiii.core})(), self)`;
    const worker = new Worker(URL.createObjectURL(new Blob([source], { type: "text/javascript" })));
    worker.onmessage = ({ data: { id, part, done, error } }) => {
      const one = waiting.get(id);
      if (part) return one?.part(part);
      waiting.delete(id);
      if (error) one?.fail(new Error(error));
      else one?.done(done);
    };
    worker.onerror = () => {
      waiting.forEach((one) => one.fail(new Error("Measuring has stopped, and this view lacks what it shows. Load the page again.")));
      [waiting, nets].forEach((all) => all.clear());
      port = worker.terminate(); // the next question starts another
    };
    return worker;
  }
  const post = (message) => (port ??= start()).postMessage(message);
  /* Ask the worker; a later question on a channel takes the place of an earlier one, which is then never answered. */
  async function ask(job, channel, { run, epoch, base, ...question }, part = () => {}) {
    const id = (channels[channel] = ++asked);
    for (const [old, one] of waiting) if (one.channel === channel) waiting.delete(old);
    await laid(run, epoch, base);
    if (channels[channel] !== id) return new Promise(() => {});
    return new Promise((done, fail) => {
      waiting.set(id, { channel, done, fail, part });
      post({ id, job, channel, key: `${run}@${epoch}`, ...question });
    });
  }
  /* What is taken out as an edit of the forward pass, with the means that stand there instead. */
  const edit = async ({ run, epoch, off }, base, channel, part) =>
    off.length ? ask("edit", channel, { run, epoch, base, off }, part) : core.WHOLE;

  return { core, meta, laid, ask, edit };
})();
