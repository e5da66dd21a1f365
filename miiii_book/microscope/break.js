/* Break it: take parts out, and see which tasks notice, beside random parts of the same size. */
miiii.views.break = (ctx) => {
  const [{ make, button, box, line, span, whole, share }, { store }] = [miiii, ctx];
  const [heads, primes] = ["heads", "neurons"].map((name) => make("div", { class: "miiii-row", role: "group", "aria-label": name }));
  const single = make("input", { name: "neuron", inputmode: "numeric", size: 5 });
  const reset = button("Put all back", () => store.set({ off: [] }));
  const others = button("Compare with other random parts", () => store.set({ seed: store.state.seed + 1 }));
  const form = make("form", { class: "miiii-row", submit: (event) => one(event) }, make("label", {}, "neuron ", single),
    make("button", {}, "Take out"), others, reset);
  const [said, legend, told, table, status] = [line("said"), line("legend"), line("told"), box("tasks"), miiii.status(ctx)];
  const pointer = { pointermove: (event) => read(event), click: (event) => read(event, true) };
  const map = miiii.canvas(ctx, { class: "miiii-map", ...pointer }, (width) => width, (...pen) => paint(...pen));
  const hint = "Press a part to take it out: it is set to its mean. Blue: still right; tick: before; grey: range when as many random parts are out.";
  const two = box("two", make("div", {}, table), make("div", {}, map, legend, told));
  const frame = miiii.frame(ctx, "break", "Break it", hint, heads, primes, form, status, said, two);
  let [asked, scores, seen] = ["", null, null];
  const sieve = () => !["nanda", "basis"].includes(ctx.meta.kind);
  const mean = (list) => list.reduce((sum, value) => sum + value, 0) / list.length;

  function one(event) {
    event.preventDefault();
    const [text, most] = [single.value.trim(), ctx.now ? ctx.now.net.m - 1 : 0];
    const wrong = !/^\d{1,9}$/.test(text) || +text > most;
    frame.error(wrong ? `There is no such neuron; give a number from 0 to ${whole(most)}.` : "");
    if (!wrong) store.set({ off: [...new Set([...store.state.off, `neuron-${+text}`])] });
  }
  function toggles() {
    const owner = ctx.meta.kind === "nanda" ? "frequency" : "prime";
    const pressed = (kind) => miiii.parts(ctx.meta).filter((name) => name.startsWith(kind)).map((name) => button(name.split("-")[1],
      () => store.toggle(name), { class: "miiii-toggle", "data-off": name, "aria-pressed": store.state.off.includes(name) }));
    miiii.renew(heads, "heads ", ...pressed("head"));
    miiii.renew(primes, `neurons of ${owner} `, ...pressed(owner));
    reset.disabled = others.disabled = !store.state.off.length;
  }
  /* A row for each task: where it stood, where it stands, and the range of the random draws. */
  function rows() {
    const { before, after, random, sizes, counted, done } = scores;
    const count = (size, kind) => `${size} ${size === 1 ? kind.slice(0, -1) : kind}`;
    const parts = Object.entries(sizes).filter(([, size]) => size).map(([kind, size]) => count(size, kind));
    const what = parts.length ? `Without ${new Intl.ListFormat("en-GB").format(parts)}` : "With everything in place";
    said.classList.remove("pale");
    if (!after) return (said.textContent = `${what}: measuring …`);
    table.classList.remove("pale");
    const mark = (name, from, to = from) => make("i", { class: name, style: `--at:${from};--to:${to}` });
    const row = (q, i) => {
      const drawn = random.map((draw) => draw[i]);
      const [range, control] = drawn.length ? [mark("random", Math.min(...drawn), Math.max(...drawn)), mean(drawn)] : [];
      const data = { "data-modulus": q, "data-before": before[i], "data-accuracy": after[i], "data-random": control ?? false };
      return make("div", { class: "task", ...data }, span("", `mod ${q}`), span("track", mark("now", after[i]), range, mark("was", before[i])),
        make("b", {}, share(after[i])), make("em", {}, drawn.length ? share(control) : ""));
    };
    const head = ["", "", store.state.off.length ? "after" : "accuracy", random.length ? "random" : ""].map((text) => span("", text));
    table.replaceChildren(make("div", { class: "task head" }, head), ...ctx.meta.moduli.map(row));
    const control = random.length ? `; without as many at random ${share(mean(random.map(mean)))}, over ${count(random.length, "draws")}`
      : done && parts.length ? "; as many others are not left to draw from" : "";
    said.textContent = `${what}, ${share(mean(after))} of the answers to ${whole(counted)} unseen numbers are right${control}.`;
    if (done) frame.say(said.textContent);
  }
  /* Every number below p squared at its digits: x0 to the right, x1 upwards. Primes that are called so are faint. */
  function paint(pen, width, _, colour) {
    if (!seen || !ctx.now) return;
    const { trained } = ctx.now.task;
    miiii.paintGrid(pen, width, ctx.meta.p, colour("ground"), (n, x, y, cell) => {
      const [was, is] = [seen.before[n], seen.after[n]];
      if (!was && !is) return;
      const plain = sieve() && (is ? miiii.isPrime(n) && "faint" : "text");
      pen.fillStyle = pen.strokeStyle = colour(plain || (trained(n) ? "memory" : "rule"));
      if (is) pen.fillRect(x, y, cell, cell);
      else pen.strokeRect(x + 0.5, y + 0.5, cell - 1, cell - 1);
    });
  }
  function count() {
    const tally = (test) => whole(seen.after.filter((is, n) => test(is, seen.before[n], n)).length);
    const held = tally((is, was, n) => is && !was && !ctx.now.task.trained(n));
    const [called, passed, lost] = [tally((is) => is), tally((is, was) => is && !was), tally((is, was) => was && !is)];
    const [good, all] = [tally((is, _, n) => is && miiii.isPrime(n)), tally((_, was, n) => miiii.isPrime(n))];
    const colours = [span("memory", "■"), " trained on, ", span("rule", "■"), " never seen."];
    const change = ` Newly called prime: ${passed}, ${held} of them never seen. □ No longer called prime: ${lost}.`;
    legend.replaceChildren(...(sieve()
      ? [`${called} numbers are called prime, ${good} of them rightly; there are ${all} primes.`, store.state.off.length ? change : "", " ",
        span("faint", "▪"), " rightly; wrongly: "]
      : [`All pairs of digits. Answered wrong: ${called}; □ only before: ${lost}. `]), ...colours);
    map.setAttribute("aria-label", legend.textContent);
    map.redraw();
    [map, legend].forEach((each) => each.classList.remove("pale"));
  }
  function read(event, take) {
    if (!seen) return;
    const { p } = ctx.meta;
    const [x0, x1] = [event.offsetX / map.clientWidth, 1 - event.offsetY / map.clientHeight].map((at) => Math.floor(at * p));
    const n = x0 + p * x1;
    if (Math.min(x0, x1) < 0 || Math.max(x0, x1) >= p) return;
    const factor = ctx.meta.moduli.find((q) => n % q === 0 && n !== q);
    const what = n < 2 ? "neither prime nor composite" : factor ? `${factor} × ${whole(n / factor)}` : "a prime";
    const changed = seen.before[n] === seen.after[n] ? "" : ", otherwise than before";
    const said = sieve() ? [`${whole(n)}, ${what}: not called prime`, `${whole(n)}, ${what}: called prime`] : [`${x0} and ${x1}: right`, `${x0} and ${x1}: wrong`];
    told.textContent = said[seen.after[n]] + changed;
    if (take) store.set({ n });
  }
  function draw() {
    if (!ctx.now) return;
    toggles();
    frame.whenSeen(() => {
      const { run, epoch, off, seed } = store.state;
      const [state, question] = [`${run}@${epoch}:${off}`, `${run}@${epoch}:${off}:${seed}`];
      if (question === asked) return;
      const hear = (part) => ((scores = part), rows());
      const draws = off.every((name) => !/^(head|wave)/.test(name)) ? 5 : 3;
      const fresh = !asked.startsWith(`${state}:`);
      asked = question;
      [said, table, ...(fresh ? [map, legend] : [])].forEach((each) => each.classList.add("pale"));
      frame.ask("scores", { off, seed, draws }, hear, hear);
      if (fresh) frame.ask("grid", { off, background: true }, (grid) => ((seen = grid), count()));
    });
  }
  return { ...frame, draw };
};
