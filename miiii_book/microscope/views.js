/* What the views share: elements, canvases, the line of epochs, and how they come onto a page. */
miiii.views = {};

miiii.whole = (n) => Number(n).toLocaleString("en");
miiii.share = (x) => (Number.isFinite(x) ? x.toFixed(3) : "–");
miiii.percent = (x) => `${(100 * x).toFixed(x < 0.0995 ? 1 : 0)} %`;
miiii.isPrime = (n) => {
  for (let d = 2; d * d <= n; d++) if (n % d === 0) return false;
  return n > 1;
};
/* An element: attributes by name, functions as listeners, then children or texts. */
miiii.make = (tag, attributes = {}, ...children) => {
  const svg = ["svg", "circle", "line", "polyline"].includes(tag) && "http://www.w3.org/2000/svg";
  const element = svg ? document.createElementNS(svg, tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value !== false) element.setAttribute(name, value);
  }
  element.append(...children.flat(Infinity).filter((child) => (child ?? "") !== ""));
  return element;
};
miiii.box = (name, ...children) => miiii.make("div", { class: `miiii-${name}` }, children);
miiii.line = (name, ...children) => miiii.make("p", { class: `miiii-${name}` }, children);
miiii.span = (name, ...children) => miiii.make("span", { class: name }, children);
miiii.button = (text, click, attributes = {}) => miiii.make("button", { type: "button", click, ...attributes }, text);
miiii.later = (milliseconds, act) => {
  let timer;
  return (...given) => (clearTimeout(timer), (timer = setTimeout(act, milliseconds, ...given)));
};
/* Renew what holds buttons, and leave the keyboard at the same place among them. */
miiii.renew = (element, ...children) => {
  const places = () => [...element.querySelectorAll("button, input")];
  const at = places().indexOf(document.activeElement);
  element.replaceChildren(...children.flat());
  if (at >= 0) (places()[at] ?? places().at(-1))?.focus({ preventScroll: true });
};
/* A canvas that keeps sharp, and is drawn again in the colours of the theme that the reader takes. */
miiii.canvas = (ctx, attributes, ratio, draw) => {
  const canvas = miiii.make("canvas", { role: "img", "aria-label": "not measured yet", ...attributes });
  canvas.redraw = () => {
    const [width, dots] = [canvas.clientWidth, window.devicePixelRatio || 1];
    const height = ratio(width);
    if (!width) return;
    canvas.style.height = `${height}px`;
    [canvas.width, canvas.height] = [Math.round(width * dots), Math.round(height * dots)];
    const [pen, style] = [canvas.getContext("2d"), getComputedStyle(ctx.root)];
    pen.scale(dots, dots);
    pen.font = `12px ${style.fontFamily}`;
    pen.write = (text, x, y, align = "left") => ((pen.textAlign = align), pen.fillText(text, x, y));
    const colours = {}; // as it is shown, light or dark
    const shown = (name) => ((canvas.style.color = `var(--${name})`), getComputedStyle(canvas).color);
    draw(pen, width, height, (name) => (colours[name] ??= shown(name)));
  };
  new ResizeObserver(canvas.redraw).observe(canvas);
  ctx.onTheme.push(canvas.redraw);
  return canvas;
};
/* A square of all numbers: act is called with each, and with where its cell is. */
miiii.paintGrid = (pen, width, p, ground, act) => {
  const cell = width / p;
  pen.fillStyle = ground;
  pen.fillRect(0, 0, width, width);
  for (let n = 0; n < p * p; n++) act(n, (n % p) * cell, width - (Math.floor(n / p) + 1) * cell, Math.max(cell, 1.5));
};

/* A view: what it shows, what went wrong, how far it is, and what a screen reader hears. It works when it is seen. */
miiii.frame = (ctx, name, title, hint, ...body) => {
  const { make } = miiii;
  const error = make("p", { class: "miiii-error", role: "alert" });
  const live = make("p", { class: "miiii-live", "aria-live": "polite" });
  const busy = make("span", { class: "miiii-busy" });
  const heading = [ctx.single ? "" : make("h2", {}, title), make("p", { class: "miiii-hint" }, hint)];
  const section = make("section", { "data-view": name, "aria-label": title }, heading, error, body, busy, live);
  let [seen, waiting] = [false, null];
  const frame = { section };
  // A text that is set anew is heard anew.
  const tell = (element, text) => element.textContent === text || (element.textContent = text);
  frame.error = (text, loud = true) => (error.setAttribute("role", loud ? "alert" : "note"), tell(error, text || ""));
  frame.say = miiii.later(500, (text) => tell(live, text));
  frame.busy = (share) => (busy.textContent = share === null ? "" : `measuring, ${Math.round(100 * share)} %`);
  frame.whenSeen = (act) => (seen ? act() : (waiting = act));
  new IntersectionObserver(([entry]) => {
    seen = entry.isIntersecting;
    if (seen && waiting) [waiting] = [null, waiting()];
  }, { rootMargin: "200px" }).observe(section);
  /* A question to the worker about the network as it is now. */
  frame.ask = (job, question, done, part = () => {}) => {
    const { run, epoch } = ctx.store.state;
    const hear = (some) => (some.progress === undefined ? part(some) : frame.busy(some.progress));
    const answer = miiii.lab.ask(job, `${ctx.id}:${name}:${job}`, { run, epoch, base: ctx.base, ...question }, hear);
    answer.then(done).catch((problem) => frame.error(problem.message)).then(() => frame.busy(null));
  };
  return frame;
};
/* Epochs: how accuracy came, and a slider over those whose weights are here. */
miiii.epochs = (ctx) => {
  const { make, whole, box, span } = miiii;
  const plot = make("div", { class: "miiii-curve", "aria-hidden": "true" });
  const slider = make("input", { type: "range", min: 0, "aria-label": "epoch", input: () => choose(+slider.value) });
  const play = miiii.button("Play", () => toggle());
  const label = make("output", { class: "miiii-epoch" });
  const change = () => ctx.store.set({ run: chooser.value, epoch: undefined, q: undefined, j: undefined, off: [] });
  const chooser = make("select", { "aria-label": "run", change }, ctx.runs.map((run) => make("option", {}, run)));
  let [timer, drawn] = [null, null];
  const choose = (index) => ctx.meta && ctx.store.set({ epoch: ctx.meta.epochs[index] });
  const toggle = () => {
    timer = timer ? clearInterval(timer) : setInterval(tick, 1100);
    play.textContent = timer ? "Stop" : "Play";
    if (timer && +slider.value === +slider.max) choose(0);
  };
  const tick = () => {
    if (!ctx.loading) choose(Math.min(+slider.value + 1, +slider.max));
    if (+slider.value === +slider.max) toggle();
  };
  /* Snapshots stand at equal distances, as the slider has them. */
  const curve = ({ epochs, record }) => {
    const last = Math.max(epochs.length - 1, 1);
    const points = (values) => record.places.map((x, i) => `${x},${(40 - 38 * values[i]).toFixed(2)}`).join(" ");
    const line = (name, values) => make("polyline", { class: name, points: points(values) });
    const lines = [line("memory", record.train), line("rule", record.validation)];
    const shown = (i) => epochs.length < 7 || i === 0 || (last - i) % 2 === 0;
    const stops = epochs.map((e, i) => make("span", { style: `left:${(100 * i) / last}%` }, shown(i) ? whole(e) : ""));
    const picture = make("svg", { viewBox: "0 0 100 40", preserveAspectRatio: "none" }, lines);
    plot.replaceChildren(picture, box("scale", span("", 1), span("", 0)), box("stops", stops));
  };
  const show = () => {
    const { meta, store } = ctx;
    [chooser.value, chooser.hidden] = [store.state.run, ctx.runs.length < 2];
    if (meta?.name !== store.state.run) return;
    if (drawn !== meta) curve((drawn = meta));
    [slider.max, slider.value] = [meta.epochs.length - 1, Math.max(0, meta.epochs.indexOf(store.state.epoch))];
    slider.dataset.epoch = store.state.epoch;
    label.textContent = `epoch ${whole(store.state.epoch)}`;
    slider.setAttribute("aria-valuetext", label.textContent);
    play.disabled = meta.epochs.length < 2;
  };
  const [seen, unseen] = [span("memory", "- - - on numbers trained on"), span("rule", "—— on unseen ones")];
  const row = box("row", chooser, play, label, span("miiii-legend", "accuracy: ", seen, " ", unseen));
  ctx.onDraw.push(show);
  return box("epochs", row, plot, slider);
};
/* Which network a view looks at, and what is missing from it. */
miiii.status = (ctx, short, note = "") => {
  const { make, button, whole } = miiii;
  const partName = (kind, a, b) =>
    ({ head: `head ${a}`, neuron: `neuron ${a}`, wave: `wave ${b}/${a}` })[kind] ?? `neurons of ${kind} ${a}`;
  const line = make("p", { class: "miiii-status" });
  const show = () => {
    const [{ run, epoch, off }, { epochs }] = [ctx.store.state, ctx.meta ?? { epochs: [] }];
    const arrow = (by, sign, label) => button(sign, () => ctx.store.set({ epoch: epochs[epochs.indexOf(epoch) + by] ?? epoch }),
      { class: "miiii-small", "aria-label": label });
    const chips = off.slice(0, 8).map((name) => button(`${partName(...name.split("-"))} ✕`, () => ctx.store.toggle(name),
      { class: "miiii-chip", title: "put back" }));
    const where = [`${run}, epoch `, arrow(-1, "‹", "earlier epoch"), ` ${whole(epoch ?? 0)} `, arrow(1, "›", "later epoch"), " "];
    const more = off.length > 8 ? ` and ${off.length - 8} more ` : "";
    miiii.renew(line, short ? [] : where, off.length ? ["without ", ...chips, more, note] : short ? [] : "with nothing taken out");
  };
  ctx.onDraw.push(show);
  return line;
};

/* Put the views in the place of a container, with a state of their own or that of the address. */
miiii.mount = (root, id) => {
  const { views, state, base } = root.dataset;
  const [names, runs] = [views === "all" ? Object.keys(miiii.views) : views.split(" "), root.dataset.runs.split(" ")];
  const owns = window === window.top && document.querySelectorAll(".miiii-microscope").length === 1;
  const address = () => (location.hash.includes("=") && owns ? { off: [], epoch: null, ...miiii.address.read(location.hash, runs) } : {});
  const link = root.querySelector("a"); // to the page of all views
  const store = miiii.store({ run: runs[0], ...miiii.address.read(state, runs), ...address() }, (changed) => {
    if (ctx.meta?.name === store.state.run) tidy();
    if (numbers && ["run", "epoch", "off", "view"].some((key) => changed.includes(key))) load([...changed, "epoch"]);
    else draw(changed);
    if (owns) write();
    root.dispatchEvent(new CustomEvent("miiii-state", { detail: store.state, bubbles: true }));
  });
  const ctx = { root, id, base, runs, store, single: names.length === 1, onTheme: [], onDraw: [], meta: null, now: null };
  const frames = names.map((name) => miiii.views[name](ctx));
  const draw = (changed) => {
    if (changed.join() === "turn") return frames[names.indexOf("wind")]?.draw(changed); // many times a second
    if (changed.includes("epoch")) frames.forEach((frame, i) => frame.error(ctx.problem, i === 0));
    [...ctx.onDraw, ...frames.map((frame) => frame.draw)].forEach((show) => show(changed));
  };
  /* What the network does not have, from an address perhaps, gives way to what is shown first. */
  const tidy = () => {
    const [{ p, moduli, epochs, shapes }, { state }] = [ctx.meta, store];
    state.epoch ??= epochs.at(-1);
    if (!(state.n < p * p)) for (state.n = Math.min(7919, p * p - 1); state.n > 2 && !miiii.isPrime(state.n); ) state.n--;
    if (!moduli.includes(state.q)) state.q = moduli.includes(97) ? 97 : moduli.at(-1);
    if (!(state.j < shapes.W_in[1])) delete state.j;
    const known = state.off.length ? miiii.parts(ctx.meta) : [];
    state.off = state.off.filter((name) => known.includes(name));
  };
  let count = 0;
  const load = async (changed) => {
    const mine = ++count;
    ctx.loading = true;
    let [now, problem] = [null, ""];
    try {
      ctx.meta = await miiii.lab.meta(store.state.run, base);
      if (mine !== count) return;
      tidy();
      draw([]);
      const laid = await miiii.lab.laid(store.state.run, store.state.epoch, base);
      now = { ...laid, edit: await miiii.lab.edit(store.state, base, `${id}:edit`, ({ progress }) => frames[0].busy(progress)) };
    } catch (error) {
      problem = error.message;
    }
    if (mine !== count) return;
    frames[0].busy(null);
    Object.assign(ctx, { now, problem, loading: false });
    draw(changed);
    if (store.state.view) root.querySelector(`[data-view="${store.state.view}"]`)?.scrollIntoView();
    delete store.state.view; // once is enough
  };
  const write = miiii.later(200, () => history.replaceState(null, "", `#${miiii.address.write(store.state)}`));
  const numbers = names.some((name) => name !== "wind");
  window.addEventListener("hashchange", () => store.set(address()));
  const repaint = () => ctx.onTheme.forEach((paint) => paint());
  new MutationObserver(repaint).observe(document.documentElement, { attributeFilter: ["data-theme"] });
  for (const kind of ["(prefers-color-scheme: dark)", "print"]) matchMedia(kind).addEventListener("change", repaint);
  root.replaceChildren(...frames.map((frame) => frame.section), ...(link ? [miiii.line("legend", link)] : []));
  root.store = store; // for whoever holds the element
  draw(["turn"]);
  if (numbers) load(["epoch"]);
};
/* When the reader comes near. */
document.addEventListener("DOMContentLoaded", () => {
  document.querySelectorAll(".miiii-microscope").forEach((root, id) => {
    const come = ([entry], watch) => entry.isIntersecting && (watch.disconnect(), miiii.mount(root, id));
    new IntersectionObserver(come, { rootMargin: "400px" }).observe(root);
  });
});
