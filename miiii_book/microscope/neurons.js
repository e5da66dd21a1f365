/* Meet the neurons: whose is whose, and what a single one looks at, votes for and is good for. */
miiii.views.neurons = (ctx) => {
  const [{ make, box, line, percent }, { store }] = [miiii, ctx];
  const events = { keydown: (event) => step(event), click: (event) => touch(event), pointermove: (event) => event.buttons && touch(event) };
  const slider = { class: "miiii-stairs", role: "slider", tabindex: 0, "aria-label": "neuron", "aria-valuenow": 0, ...events };
  const stairs = miiii.canvas(ctx, slider, (width) => Math.max(200, 0.3 * width), (...pen) => climb(...pen));
  const map = miiii.canvas(ctx, { class: "miiii-map" }, (width) => width, (...pen) => portrait(...pen));
  const votes = miiii.canvas(ctx, {}, (width) => Math.min(170, 0.5 * width), (...pen) => vote(...pen));
  const [said, breaks, legend, status] = [line("said"), line("said"), line("legend"), miiii.status(ctx, false, " (shown here: the whole network)")];
  const out = miiii.button("Take it out", () => store.toggle(`neuron-${store.state.j}`), { disabled: "" });
  const hint = "All neurons, ordered by the prime or the frequency that is theirs. Touch one, or step with the arrow keys.";
  const left = make("div", {}, map, line("legend", "Where it is on: x₀ to the right, x₁ upwards."));
  const two = box("two", left, make("div", {}, said, votes, breaks, out));
  const frame = miiii.frame(ctx, "neurons", "Meet the neurons", hint, status, stairs, legend, two);
  let [found, asked, shown, order, values, weights] = [null, "", "", [], null, null];

  const pick = (at) => order.length && store.set({ j: order[Math.max(0, Math.min(order.length - 1, at))] });
  function step(event) {
    const by = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, PageUp: 32, PageDown: -32, Home: -1e9, End: 1e9 }[event.key];
    if (by) (event.preventDefault(), pick(order.indexOf(store.state.j) + by));
  }
  const touch = (event) => pick(Math.floor((event.offsetX / stairs.clientWidth) * order.length));
  function climb(pen, width, height, colour) {
    if (!found) return;
    const groups = found.groups.map((_, g) => g).filter((g) => found.owner.includes(g));
    const [cell, line, floor] = [width / order.length, (height - 14) / groups.length, height - 14];
    pen.fillStyle = colour("ground");
    pen.fillRect(0, 0, width, floor);
    pen.fillStyle = colour("rule");
    order.forEach((j, x) => groups.forEach((g, y) => {
      const value = found.shares[j * found.groups.length + g];
      pen.globalAlpha = value < 0.03 ? 0 : Math.min(1, value * 1.6);
      pen.fillRect(x * cell, floor - (y + 1) * line, Math.max(cell, 1), line);
    }));
    [pen.globalAlpha, pen.fillStyle] = [1, colour("text")];
    const every = Math.ceil(13 / line);
    groups.forEach((g, y) => {
      const own = order.flatMap((j, x) => (found.owner[j] === g ? [x * cell] : []));
      const left = own[0] > width / 2;
      const [x, align] = left ? [own[0] - 4, "right"] : [own.at(-1) + cell + 4, "left"];
      if (y % every === 0) pen.write(found.groups[g], x, floor - (y + 0.5) * line + 4, align);
    });
    const x = (order.indexOf(store.state.j) + 0.5) * cell;
    [[x, floor], [x - 6, height], [x + 6, height]].forEach((corner, i) => (i ? pen.lineTo(...corner) : pen.moveTo(...corner)));
    pen.fill();
  }
  function portrait(pen, width, _, colour) {
    if (!values || !ctx.now) return;
    const most = values.reduce((a, b) => Math.max(a, b), 1e-9);
    miiii.paintGrid(pen, width, ctx.meta.p, colour("ground"), (n, x, y, cell) => {
      if (values[n] <= 0) return;
      [pen.globalAlpha, pen.fillStyle] = [values[n] / most, colour("text")];
      pen.fillRect(x, y, cell, cell);
    });
  }
  function vote(pen, width, height, colour) {
    if (!weights) return;
    const [most, step, middle] = [Math.max(1e-9, ...weights.map(Math.abs)), width / weights.length, height / 2];
    pen.fillStyle = colour("rule");
    weights.forEach((value, c) => pen.fillRect(c * step, middle, Math.max(1, step - 1), (-(middle - 16) * value) / most));
    pen.fillStyle = colour("quiet");
    pen.write("its votes, by class", 0, 11);
    pen.write("0", 0, height - 2);
    pen.write(weights.length - 1, width, height - 2, "right");
  }
  function show() {
    const { net, meta, task } = ctx.now;
    if (!(store.state.j < net.m)) store.state.j = order.reduce((a, b) => (found.share[b] > found.share[a] ? b : a));
    const { j } = store.state;
    const [addition, g] = [meta.kind === "nanda", found.owner[j]];
    const [kind, i] = [addition ? "frequency" : "prime", addition ? 0 : Math.max(0, g)];
    const [q, k, p, on] = [meta.moduli[i], found.k[j], meta.p, percent(found.on[j])];
    const rate = (times) => `${Math.min(times % q, q - (times % q))}/${q}`;
    const [owns, phase] = [percent(found.share[j]), `${Math.round((found.phase[j] * 180) / Math.PI)}°`];
    const belongs = addition ? `frequency ${found.groups[g]}, to which ${owns} of what it does is owed`
      : `prime ${q}: ${owns} of what it does with both digits is a function of n mod ${q}`;
    const turns = `${rate(k)} of a cycle a step of x₀ and by ${rate(addition ? k : k * p)} a step of x₁, crest at ${phase}`;
    const does = g < 0 ? "does nothing with both digits together" : `belongs to ${belongs}. It turns by ${turns}`;
    said.textContent = `Neuron ${j} ${found.on[j] === 0 ? "is dead: it is on for no number" : `${does}; it is on for ${on} of the numbers`}.`;
    const depends = addition ? "turns at that frequency" : "depends on n mod that prime";
    legend.textContent = `A column for each neuron, a row for each ${kind}: the stronger the colour, the more of the neuron's activity ${depends}.`;
    map.setAttribute("aria-label", `Where neuron ${j} is on, over both digits`);
    votes.setAttribute("aria-label", `What neuron ${j} adds to each class of mod ${q}`);
    const aria = { valuemin: 0, valuemax: net.m - 1, valuenow: order.indexOf(j), valuetext: said.textContent };
    Object.entries(aria).forEach(([name, value]) => stairs.setAttribute(`aria-${name}`, value));
    out.textContent = store.state.off.includes(`neuron-${j}`) ? "Put it back" : "Take it out";
    out.dataset.off = `neuron-${j}`;
    out.disabled = store.state.off.includes(`${kind}-${found.groups[g]}`); // out with its group
    votes.hidden = g < 0;
    stairs.redraw();
    if (shown === `${asked}:${j}`) return;
    shown = `${asked}:${j}`;
    breaks.textContent = found.on[j] ? "Measuring without it …" : "It is on for no number, so nothing changes without it.";
    frame.ask("neuron", { j }, (neuron) => {
      [values, weights] = [neuron.values, neuron.writes.slice(task.starts[i], task.starts[i] + meta.classes[i])];
      [map, votes].forEach((canvas) => canvas.redraw());
      if (found?.on[j]) without(j, shown);
    });
  }
  const without = miiii.later(250, (j, asked) => frame.ask("scores", { off: [`neuron-${j}`], seed: 1, draws: 0 }, ({ before, after }) => {
    if (asked !== shown) return;
    const lost = ctx.meta.moduli.map((q, i) => [before[i] - after[i], q]).filter(([less]) => less > 0.0005).sort((a, b) => b[0] - a[0]);
    const [[less, q] = [], [next] = []] = lost;
    const points = (less) => (100 * less).toFixed(1);
    const fall = `${lost.length - 1 || "no"} other ${lost.length === 2 ? "task falls" : "tasks fall"}`;
    const others = next ? `${fall}, by at most ${points(next)}` : fall;
    breaks.textContent = lost.length ? `Without it, accuracy mod ${q} falls by ${points(less)} points; ${others}.`
      : "Without it no task loses more than 0.05 points.";
  }));
  function draw() {
    if (!ctx.now) return;
    frame.whenSeen(() => {
      const question = `${store.state.run}@${store.state.epoch}`;
      if (question === asked) return found && show();
      [asked, shown, found, out.disabled, frame.section.className] = [question, "", null, true, "pale"];
      frame.ask("staircase", {}, (all) => {
        [found, frame.section.className] = [all, ""];
        const rank = (j) => (all.owner[j] < 0 ? 1e6 : all.owner[j]) - all.share[j] / 2;
        order = Array.from(all.owner, (_, j) => j).sort((a, b) => rank(a) - rank(b));
        show();
      });
    });
  }
  return { ...frame, draw };
};
