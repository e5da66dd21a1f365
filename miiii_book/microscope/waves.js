/* See how it knows: two digits become two angles, and a few cosines over the classes add up. */
miiii.views.waves = (ctx) => {
  const [{ make, button, box, line, span, whole, share }, { store }] = [miiii, ctx];
  const chooser = make("select", { "aria-label": "prime", change: () => store.set({ q: +chooser.value }) });
  const find = button("Show a number that the network gets wrong and the waves alone get right",
    () => store.set({ n: found.repaired.at(Math.random() * found.repaired.length) }), { hidden: "" });
  const [rows, bars, beside, said, quiet, status] = [box("waves"), box("bars"), box("beside"), line("said"), line("legend"), miiii.status(ctx)];
  const sum = miiii.canvas(ctx, {}, (width) => Math.min(210, 0.45 * width), (...pen) => paint(...pen));
  const hint = "n = x₀ + p x₁. For each frequency x₀ turns the hand by the inner arc and x₁ by the outer. The cosines add up, and the "
    + "highest point is the answer. Untick one to remove it.";
  const head = box("row", make("label", {}, "remainder mod ", chooser), find);
  const two = box("two", make("div", {}, rows, quiet, sum, said), make("div", {}, bars, beside));
  const frame = miiii.frame(ctx, "waves", "See how it knows", hint, head, status, two);
  let [found, asked, stairs] = [null, "", null];

  const yesno = () => ctx.meta.kind === "divisible"; // then classes are yes and no, and waves run over remainders
  const height = (k, r) => found.cos[k - 1] * Math.cos((2 * Math.PI * k * r) / found.q);
  const turn = (c) => (yesno() ? c : now.y - c);
  const total = (c) => found.on.reduce((all, k) => all + height(k, turn(c)), 0);
  let now = {};
  /* What the network says about this number, and where the hands stand. */
  function look() {
    const [{ net, task, room, edit, meta }, { n, q }] = [ctx.now, store.state];
    const [i, classes] = [meta.moduli.indexOf(q), meta.classes[meta.moduli.indexOf(q)]];
    const own = miiii.lab.core.forward(net, task, n, edit, room).slice(task.starts[i], task.starts[i] + classes);
    now = { y: task.residue(n, q), right: task.target(n, i), own, said: miiii.lab.core.best(own, 0, classes), chance: 1 / classes };
    now.sums = Array.from({ length: q }, (_, c) => total(c));
    now.formula = miiii.lab.core.best(now.sums, 0, q);
    now.dots = yesno() ? [] : Array.from(own, (value, c) => value - found.mean[c]);
  }
  function paint(pen, width, high, colour) {
    if (!found || !now.sums) return;
    const { q } = found;
    const most = Math.max(1e-9, ...now.sums.map(Math.abs), ...now.dots.map(Math.abs));
    const x = (c) => 8 + ((width - 16) * c) / Math.max(q - 1, 1);
    const y = (value) => high / 2 - ((high / 2 - 22) * value) / most;
    const mark = x(yesno() ? now.y : now.right);
    [pen.strokeStyle, pen.lineWidth] = [colour("line"), 1];
    pen.strokeRect(8, y(0), width - 16, 0);
    pen.setLineDash([3, 3]);
    pen.strokeRect(mark, 16, 0, high - 32);
    pen.setLineDash([]);
    [pen.strokeStyle, pen.lineWidth] = [colour("rule"), 2];
    pen.beginPath();
    for (let c = 0; c <= q - 1; c += 1 / 8) pen.lineTo(x(c), y(total(c))); // between the classes, too
    pen.stroke();
    pen.fillStyle = colour("text");
    now.dots.forEach((value, c) => pen.fillRect(x(c) - 2, y(value) - 2, 4, 4));
    const align = mark > width - 90 ? "right" : mark < 90 ? "left" : "center";
    pen.write(yesno() ? `remainder ${now.y}` : `right: ${now.right}`, mark, 11, align);
    pen.fillStyle = colour("quiet");
    pen.write(yesno() ? "remainder 0" : "class 0", 8, high - 3);
    pen.write(q - 1, width - 8, high - 3, "right");
  }
  /* One wave: what each digit turns it by, and its cosine over the classes. */
  function row(k) {
    const [{ q, used }, { p, kind }] = [found, ctx.meta];
    const [x0, x1] = [store.state.n % p, Math.floor(store.state.n / p)];
    const [first, both] = [x0, now.y].map((r) => ((k * r) % q) / q);
    const end = both < first ? both + 1 : both;
    const part = (tag, name, at, more) => make(tag, { class: name, style: `--from:${at}turn`, cx: 28, cy: 28, ...more });
    const arc = (name, r, from, to) => part("circle", name, from, { r, pathLength: 1, "stroke-dasharray": `${to - from} 1` });
    const hand = part("line", "hand", both, { x1: 28, y1: 28, x2: 28, y2: 3 });
    const rings = [part("circle", "track", 0, { r: 26 }), arc("first", 14, 0, first), arc("second", 20, first, end)];
    const picture = (name, viewBox, ...parts) => make("svg", { class: name, viewBox, preserveAspectRatio: "none", "aria-hidden": "true" }, parts);
    const dial = picture("dial", "0 0 56 56", rings, hand);
    const most = Math.max(...used.map((each) => Math.abs(found.cos[each - 1])));
    const steps = Math.max(200, 12 * k); // enough to draw each cycle
    const at = (i) => 24 - (22 * height(k, turn((i * (q - 1)) / steps))) / most;
    const points = Array.from({ length: steps + 1 }, (_, i) => `${(200 * i) / steps},${at(i)}`).join(" ");
    const curve = picture("curve", "0 0 200 48", make("polyline", { points }));
    const name = `wave-${q}-${k}`;
    const names = { "data-off": name, "aria-label": `wave ${k}/${q}, ${store.state.off.includes(name) ? "off" : "on"}` };
    const check = make("input", { type: "checkbox", ...names, change: () => store.toggle(name) });
    check.checked = !store.state.off.includes(name);
    const degrees = (turn) => `${Math.round(360 * turn)}°`;
    const second = kind === "nanda" ? x1 : `${x1} × ${p}`;
    const words = span("", `${x0}: ${degrees(first)}`, make("br"), `${second}: ${degrees(end - first)}`);
    return make("div", { class: check.checked ? "wave" : "wave off" }, make("label", {}, check, ` ${k}/${q}`), dial, words, curve);
  }
  function bar(name, value, kind = "rule") {
    const says = make("b", { "data-accuracy": value.toFixed(4) }, share(value));
    return make("div", { class: `bar ${kind}` }, make("span", {}, name), make("i", { style: `--at:${value}` }), says);
  }
  function show() {
    if (!ctx.now || ctx.loading || found?.question !== asked) return; // what is shown stays pale
    frame.section.classList.remove("pale");
    look();
    miiii.renew(rows, found.used.slice(0, 8).map(row));
    const { used, on, q } = found;
    const says = (answer) => (yesno() ? ["no", "yes"][answer] : answer) + (answer === now.right ? " ✓" : " ✗");
    const waves = on.length === 1 ? "one wave" : `${on.length} waves`;
    const formula = yesno() ? "" : `; the ${waves} say${on.length === 1 ? "s" : ""} ${on.length ? says(now.formula) : "nothing"}`;
    const [{ n }, { kind, p }] = [store.state, ctx.meta];
    const question = kind === "nanda" ? `${n % p} + ${Math.floor(n / p)} mod` : `${whole(n)} ${yesno() ? "and" : "mod"}`;
    said.textContent = `Of ${question} ${q}${kind === "basis" ? ", shuffled," : ""} the network says ${says(now.said)}${formula}.`;
    const more = used.length > 8 ? `, of which the ${used.length > 9 ? `${used.length - 8} smallest are` : "smallest is"} not shown above` : "";
    quiet.replaceChildren(yesno() ? "" : "▪ logits of the network ", span("rule", "—— sum of the waves"), more);
    sum.setAttribute("aria-label", said.textContent);
    sum.redraw();
    frame.say(said.textContent);
    const edited = store.state.off.length ? bar("with parts taken out", found.edited, "rule hollow") : "";
    bars.replaceChildren(make("h3", {}, `Right on ${whole(found.scored)} unseen numbers`), bar("the network", found.network), edited,
      bar(`the ${waves} alone, without the network`, found.formula), bar("guessing", now.chance, "chance"));
    find.hidden = !found.repaired.length;
    besides();
  }
  /* Which heads read which digit of this number, and which neurons carry the waves. */
  function besides() {
    const { shares } = ctx.now.room;
    const heads = Array.from({ length: ctx.now.net.heads }, (_, h) => {
      const [x0, x1, rest] = shares.slice(3 * h, 3 * h + 3);
      const [{ n }, { p }, most] = [store.state, ctx.meta, Math.max(x0, x1, rest)];
      const reads = rest === most ? "neither digit" : x0 === most ? `x₀ = ${n % p}` : `x₁ = ${Math.floor(n / p)}`;
      return make("p", { class: "carry" }, `head ${h + 1} reads ${reads} (${miiii.percent(most)} of its attention)`);
    });
    const carry = (stairs ? found.used.slice(0, 6) : []).map((k) => {
      const g = stairs.groups.indexOf(found.q);
      const own = stairs.k.flatMap((each, j) => (each === k && (g < 0 || stairs.owner[j] === g) ? [j] : []));
      own.sort((a, b) => stairs.share[b] - stairs.share[a]);
      const links = own.slice(0, 5).map((j) => button(j, () => store.set({ j }), { class: "miiii-small", "aria-label": `neuron ${j}` }));
      return make("p", { class: "carry" }, `${k}/${found.q}: ${own.length} ${own.length === 1 ? "neuron" : "neurons"} `, links);
    });
    const [above, below] = ["Which digit a head reads", "Neurons that turn at these frequencies"].map((text) => make("h3", {}, text));
    miiii.renew(beside, above, ...heads, ...(stairs ? [below, ...carry] : []));
  }
  function draw() {
    if (!ctx.now) return;
    const { run, epoch, off, q } = store.state;
    chooser.replaceChildren(...ctx.meta.moduli.map((each) => make("option", {}, each)));
    chooser.value = q;
    frame.whenSeen(() => {
      const question = `${run}@${epoch}:${q}:${off}`;
      if (question === asked) return show();
      if (!asked.startsWith(`${run}@${epoch}:`)) stairs = null;
      [asked, find.hidden] = [question, true];
      frame.section.classList.add("pale");
      frame.ask("profile", { i: ctx.meta.moduli.indexOf(q), off }, (profile) => {
        found = { ...profile, question };
        show();
        if (!stairs) frame.ask("staircase", { background: true }, (all) => asked.startsWith(`${run}@${epoch}:`) && ((stairs = all), show()));
      });
    });
  }
  return { ...frame, draw };
};
