/* What a reader has chosen, in the address and back; and the way to whoever computes.
 *
 * A state is {run, epoch, n, q, j, off, turn, seed, view}; `#n=7919&q=97&off=head-2` sets a part of it. `off` names
 * what is taken out: head-2, neuron-17, prime-97 (all of its neurons), and wave-97-32, the wave k = 32 of n mod 97. */
miiii.address = {
  read(text) {
    const state = {};
    for (const [key, value] of new URLSearchParams(text.replace(/^#/, ""))) {
      if (["epoch", "n", "q", "j", "seed"].includes(key) && /^\d{1,9}$/.test(value)) state[key] = +value;
      if (["run", "view"].includes(key) && /^[\w.-]+$/.test(value)) state[key] = value;
      if (key === "turn" && value >= 0 && value <= 1) state.turn = +value;
      const known = /^(head|neuron|prime|frequency|wave-\d+)-\d+$/;
      if (key === "off") state.off = [...new Set(value.split(","))].filter((name) => known.test(name));
    }
    return state;
  },
  write(state) {
    const given = ["run", "epoch", "n", "q", "j", "off", "turn", "seed"].filter((key) => String(state[key] ?? ""));
    return given.map((key) => `${key}=${state[key]}`).join("&");
  },
};

/* One place for the state of some views; a listener hears which keys changed. */
miiii.store = function (start, listener) {
  const store = {
    state: { off: [], seed: 1, ...start },
    set(patch) {
      const changed = Object.keys(patch).filter((key) => String(patch[key]) !== String(store.state[key]));
      store.state = { ...store.state, ...patch };
      if (changed.length) listener(changed);
    },
    toggle(name) {
      const { off } = store.state;
      store.set({ off: off.includes(name) ? off.filter((each) => each !== name) : [...off, name] });
    },
  };
  return store;
};

/* Weights when they are asked for, networks made of them, and questions to the worker. */
miiii.lab = (() => {
  const KEPT = 3; // networks at a time: each holds some thirty megabytes here and in the worker
  const core = miiii.core();
  const [loading, channels, nets, waiting] = [{}, {}, new Map(), new Map()];
  let [port, asked] = [null, 0];
  const script = (source) => (loading[source] ??= new Promise((done) => {
    const tag = miiii.make("script", { src: source });
    tag.onload = tag.onerror = () => done(tag.remove()); // what has arrived says how it went
    document.head.append(tag);
  }));
  async function meta(run, base) {
    if (!miiii.runs[run] && base) await script(`${base}${run}.js`);
    if (!miiii.runs[run]) throw new Error(`The run ${run} could not be read: its file is missing or damaged.`);
    return miiii.runs[run];
  }
  /* A network and what its data is; of those that were used some are kept. */
  async function laid(run, epoch, base) {
    const key = `${run}@${epoch}`;
    const known = await meta(run, base);
    const said = miiii.whole(epoch);
    if (!known.epochs.includes(epoch)) throw new Error(`There are no weights of epoch ${said}; choose another.`);
    const file = `${base}${run}-${String(epoch).padStart(8, "0")}.js`;
    if (!nets.has(key) && !miiii.texts[key] && base) await script(file);
    if (!nets.has(key)) {
      let net;
      try {
        net = core.network(known, miiii.texts[key]);
      } catch {
        const why = "their script is missing or damaged. Other epochs still work.";
        throw new Error(`The weights of epoch ${said} could not be read: ${why}`);
      }
      if (base) delete miiii.texts[key]; // it is large, and its script can be loaded again
      if (base) delete loading[file];
      nets.set(key, { net, task: core.taskOf(known), meta: known, room: core.roomFor(net) });
      post({ job: "lay", key, net, meta: known });
    }
    const found = nets.get(key);
    nets.delete(key);
    nets.set(key, found); // the last used is the last to go
    for (const old of [...nets.keys()].slice(0, -KEPT)) {
      nets.delete(old);
      post({ job: "drop", key: old });
    }
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
    return worker;
  }
  const post = (message) => (port ??= start()).postMessage(message);
  /* Ask the worker; a later question on a channel takes the place of an earlier one, which is then never answered. */
  async function ask(job, channel, { run, epoch, base, ...question }, part = () => {}) {
    const id = (channels[channel] = ++asked);
    await laid(run, epoch, base);
    if (channels[channel] !== id) return new Promise(() => {});
    for (const [old, one] of waiting) if (one.channel === channel) waiting.delete(old);
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
