/* See how it knows: two digits become two angles, and a few cosines over the classes add up. */
miiii.views.waves = (ctx) => {
  const { make, button, box, line, span, whole, share } = miiii;
  const { store } = ctx;
  const chooser = make("select", { "aria-label": "prime", change: () => store.set({ q: +chooser.value }) });
  const find = button("A number that the waves repair", () => store.set({ n: found.repaired[Math.floor(Math.random() * found.repaired.length)] }));
  const [rows, bars, beside, said, quiet, status] = [box("waves"), box("bars"), box("beside"), line("said"), line("legend"), miiii.status(ctx)];
  const sum = miiii.canvas(ctx, {}, (width) => Math.min(210, 0.45 * width), (...pen) => paint(...pen));
  const hint = "Each digit turns a hand, the inner ring by x₀ and the outer by x₁. Switch a wave off, or trust the few waves alone.";
  const head = box("row", make("label", {}, "remainder mod ", chooser), find);
  const two = box("two", make("div", {}, rows, quiet, sum, said), make("div", {}, bars, beside));
  const frame = miiii.frame(ctx, "waves", "See how it knows", hint, head, status, two);
  let [found, asked, stairs] = [null, "", null];

  const yesno = () => ctx.meta.kind === "divisible"; // then classes are yes and no, and waves run over remainders
  const height = (k, r) => found.cos[k - 1] * Math.cos((2 * Math.PI * k * r) / found.q);
  const total = (c) => found.on.reduce((all, k) => all + height(k, yesno() ? c : now.y - c), 0);
  let now = {};
  /* What the network says about this number, and where the hands stand. */
  function look() {
    const { net, task, room, edit, meta } = ctx.now;
    const { n, q } = store.state;
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
    pen.textAlign = mark > width - 90 ? "right" : mark < 90 ? "left" : "center";
    pen.fillText(yesno() ? `remainder ${now.y}` : `right: ${now.right}`, mark, 11);
    [pen.fillStyle, pen.textAlign] = [colour("quiet"), "left"];
    pen.fillText(yesno() ? "remainder 0" : "class 0", 8, high - 3);
    pen.textAlign = "right";
    pen.fillText(q - 1, width - 8, high - 3);
  }
  /* One wave: what each digit turns it by, and its cosine over the classes. */
  function row(k) {
    const { q, used } = found;
    const { p, kind } = ctx.meta;
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
    const points = Array.from({ length: 201 }, (_, i) => `${i},${24 - (22 * height(k, now.y - (i * (q - 1)) / 200)) / most}`).join(" ");
    const curve = picture("curve", "0 0 200 48", make("polyline", { points }));
    const name = `wave-${q}-${k}`;
    const check = make("input", { type: "checkbox", "data-off": name, change: () => store.toggle(name) });
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
    if (!ctx.now || found?.q !== store.state.q) return;
    frame.section.classList.remove("pale");
    look();
    miiii.renew(rows, found.used.slice(0, 8).map(row));
    const { used, on, q } = found;
    const says = (answer) => (yesno() ? ["no", "yes"][answer] : answer) + (answer === now.right ? " ✓" : " ✗");
    const cosines = on.length === 1 ? "cosine" : `${on.length} cosines`;
    const formula = yesno() ? "" : `; the ${cosines} say${on.length === 1 ? "s" : ""} ${on.length ? says(now.formula) : "nothing"}`;
    said.textContent = `Of ${whole(store.state.n)} ${yesno() ? "and" : "mod"} ${q} the network says ${says(now.said)}${formula}.`;
    const more = used.length > 8 ? `, of which the ${used.length > 9 ? `${used.length - 8} smallest are` : "smallest is"} not shown above` : "";
    quiet.replaceChildren(yesno() ? "" : "▪ logits of the network ", span("rule", "—— sum of its cosines"), more);
    sum.setAttribute("aria-label", said.textContent);
    sum.redraw();
    frame.say(said.textContent);
    const edited = store.state.off.length ? bar("with parts taken out", found.edited, "rule hollow") : "";
    bars.replaceChildren(make("h3", {}, `Right on ${whole(found.scored)} unseen numbers`), bar("the network", found.network), edited,
      bar(`its ${cosines} alone`, found.formula), bar("guessing", now.chance, "chance"));
    find.hidden = !found.repaired.length;
    besides();
  }
  /* Which heads read which digit of this number, and which neurons carry the waves. */
  function besides() {
    const { shares } = ctx.now.room;
    const heads = Array.from({ length: ctx.now.net.heads }, (_, h) => {
      const [x0, x1, rest] = shares.slice(3 * h, 3 * h + 3);
      const { n, p } = { n: store.state.n, p: ctx.meta.p };
      const reads = rest > Math.max(x0, x1) ? "neither" : x0 >= x1 ? `${n % p}, the units` : `${Math.floor(n / p)}, the ${p}s`;
      return make("p", { class: "carry" }, `head ${h + 1} reads ${reads} (${share(Math.max(x0, x1, rest))})`);
    });
    const carry = (stairs ? found.used.slice(0, 6) : []).map((k) => {
      const g = stairs.groups.indexOf(found.q);
      const own = stairs.k.flatMap((each, j) => (each === k && (g < 0 || stairs.owner[j] === g) ? [j] : []));
      own.sort((a, b) => stairs.share[b] - stairs.share[a]);
      const links = own.slice(0, 5).map((j) => button(j, () => store.set({ j }), { class: "miiii-small", "aria-label": `neuron ${j}` }));
      return make("p", { class: "carry" }, `${k}/${found.q}: ${own.length} neurons `, links);
    });
    beside.replaceChildren(make("h3", {}, "Which digit a head reads"), ...heads, stairs ? make("h3", {}, "Who carries these waves") : "", ...carry);
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
      asked = question;
      frame.section.classList.add("pale");
      frame.ask("profile", { i: ctx.meta.moduli.indexOf(q), off }, (profile) => {
        found = profile;
        show();
        if (!stairs) frame.ask("staircase", { background: true }, (all) => ((stairs = all), show()));
      });
    });
  }
  return { ...frame, draw };
};
