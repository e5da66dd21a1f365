/* Ask it: one number, and a dial for each prime with what the network answers. */
miiii.views.ask = (ctx) => {
  const [{ make, button, box, line, span, whole, percent }, { store }] = [miiii, ctx];
  const input = make("input", {
    name: "n", inputmode: "numeric", autocomplete: "off", "aria-label": "number", input: () => typed(), keydown: (event) => step(event),
  });
  const [unseen, primes] = ["unseen", "primes"].map((name) => make("input", { type: "checkbox", name }));
  const row = box("row", make("label", { class: "miiii-number" }, "n = ", input),
    button("Random", () => go(() => Math.floor(Math.random() * ctx.meta.p ** 2))), button("Next", () => go((n) => n + 1)),
    make("label", {}, "Random and Next: ", unseen, " only unseen"), make("label", {}, primes, " only primes"));
  const [said, dials] = [line("said"), make("ol", { class: "miiii-dials" })];
  const hint = "Each dial is a clock with an hour for each answer, q of them for mod q, and 0 at the top. The hand is the network's "
    + "answer, the tick the right one, the ring its confidence: orange if it was trained on this number, blue if not, grey if it is wrong.";
  const frame = miiii.frame(ctx, "ask", "Ask it", hint, row, miiii.epochs(ctx), said, miiii.status(ctx, true), dials);
  let [shown, drawn] = [[], null];

  const wanted = (n) => !(unseen.checked && ctx.now.task.trained(n)) && !(primes.checked && !miiii.isPrime(n));
  function go(next, by = 1) {
    if (!ctx.now) return;
    const all = ctx.meta.p ** 2;
    let n = (next(store.state.n) + all) % all;
    for (let tries = 0; tries < all && !wanted(n); tries++) n = (n + by + all) % all;
    input.value = n;
    typed();
  }
  function step(event) {
    const by = { ArrowUp: 1, ArrowDown: -1 }[event.key];
    if (by) (event.preventDefault(), go((n) => n + by, by));
  }
  /* What is wrong with the box, if anything; an answer to another question is pale. */
  function fault(text) {
    frame.error(text || ctx.problem);
    input.setAttribute("aria-invalid", Boolean(text));
    [said, dials].forEach((each) => each.classList.toggle("pale", Boolean(text || ctx.problem || ctx.loading)));
  }
  /* A sentence for everything that is no number below p squared. */
  function typed() {
    if (!ctx.meta) return;
    const [text, most] = [input.value.trim(), ctx.meta.p ** 2 - 1];
    const digits = text.replace(/(\d)[, ](?=\d{3}\b)/g, "$1");
    const wrong = !/^\d+$/.test(digits) || +digits > most;
    const range = `Give a whole number from 0 to ${whole(most)}; the network reads two digits in base ${ctx.meta.p}.`;
    fault(wrong ? `${text ? `${text.slice(0, 24)} is none of its numbers. ` : ""}${range}` : "");
    if (!wrong) store.set({ n: +digits });
  }
  /* The hand stands at the answer, the ring says how sure, a mark at the rim where it should be. */
  function dial(q, size) {
    const [cx, cy] = [36, 36];
    const svg = make("svg", { viewBox: "0 0 72 72", "aria-hidden": "true" }, make("circle", { class: "track", cx, cy, r: 30 }),
      make("circle", { class: "ring", cx, cy, r: 30 }), make("line", { class: "mark", x1: cx, y1: 0, x2: cx, y2: 10 }),
      make("line", { class: "hand", x1: cx, y1: cy, x2: cx, y2: 11 }));
    const [answer, sure] = [make("b"), span("sure")];
    const name = { nanda: `x₀ + x₁ mod ${q}`, divisible: `by ${q}?` }[ctx.meta.kind] ?? `mod ${q}`;
    const press = button([span("of", name), svg, answer, sure], () => store.set({ q }));
    const item = make("li", { "data-prime": q }, press);
    const word = (c) => (ctx.meta.kind === "divisible" ? ["no", "yes"][c] : c);
    const show = ({ answer: given, confidence }, right, trained) => {
      const good = given === right;
      Object.assign(item.dataset, { answer: given, right, confidence: confidence.toFixed(4), good, trained });
      press.setAttribute("aria-pressed", ctx.meta.moduli.length > 1 && q === store.state.q);
      svg.setAttribute("style", `--answer: ${given / size}turn; --right: ${right / size}turn; --sure: ${confidence}`);
      answer.textContent = `${word(given)} ${good ? "✓" : "✗"}`;
      sure.textContent = good ? percent(confidence) : `right: ${word(right)}`;
      press.title = `${word(given)}, ${good ? "right" : `where ${word(right)} is right`}, with a confidence of ${percent(confidence)}`;
    };
    return { item, show };
  }
  /* All remainders together are a sieve: what no prime divides is prime. */
  function sieve(n, { kind, moduli }, found) {
    if (["nanda", "basis"].includes(kind) || n < 2) return "";
    const divisors = moduli.filter((q, i) => q !== n && found[i].answer === Number(kind === "divisible"));
    const few = divisors.slice(0, 4).join(", ") + (divisors.length > 4 ? " and others" : "");
    return ` It takes ${whole(n)} for a ${few ? `multiple of ${few}` : "prime, as it finds no smaller prime that divides it"}.`;
  }
  function draw() {
    const { n } = store.state;
    fault("");
    if (n !== undefined && (+input.value !== n || input.value.trim() === "")) input.value = n;
    if (ctx.problem) said.replaceChildren();
    if (!ctx.now) return;
    const { net, task, meta, room, edit } = ctx.now;
    if (drawn !== meta) {
      [drawn, shown] = [meta, meta.moduli.map((q, i) => dial(q, meta.classes[i]))];
      dials.replaceChildren(...shown.map(({ item }) => item));
    }
    const found = miiii.lab.core.answers(task, miiii.lab.core.forward(net, task, n, edit, room));
    shown.forEach(({ show }, i) => show(found[i], task.target(n, i), task.trained(n)));
    const right = found.filter(({ answer }, i) => answer === task.target(n, i)).length;
    const digits = `${whole(n)} = ${n % meta.p} + ${Math.floor(n / meta.p)} × ${meta.p}, `;
    const known = task.trained(n) ? span("memory", "● trained on") : span("rule", "○ never seen in training");
    const rest = `. ${right} of ${found.length} ${found.length > 1 ? "answers are" : "answer is"} right.${sieve(n, meta, found)}`;
    said.replaceChildren(digits, known, rest);
    frame.say(digits + known.textContent.slice(2) + rest);
  }
  return { ...frame, draw };
};
