/* Wind the numbers: n at n steps around the centre, as far out as it is large. Near a step of k/q of a turn spirals
 * become rays, one for each remainder. It takes no network. */
miiii.views.wind = (ctx) => {
  const [{ make, button, box, line, whole }, { store }] = [miiii, ctx];
  const MOST = 1500;
  const slider = make("input", { type: "range", max: 0.5, step: 0.0001, "aria-label": "turn of a step", input: () => set(+slider.value) });
  const play = button("Wind", () => wind());
  const [label, said] = [make("span", { class: "miiii-epoch" }), line("said")];
  const stop = (text, turn) => button(text, () => set(turn), { class: "miiii-small" });
  const fractions = ["1/2", "1/3", "1/4", "2/5", "2/7", "2/11", "3/13"].map((text) => stop(text, text[0] / text.slice(2)));
  const dial = miiii.canvas(ctx, { class: "miiii-dial" }, (width) => width, (...pen) => paint(...pen));
  const hint = "Change how far each number turns the hand. At fractions with a small denominator the arms snap into rays.";
  const row = box("row", play, label, fractions, stop("1 radian", 0.5 / Math.PI));
  const frame = miiii.frame(ctx, "wind", "Wind the numbers", hint, row, slider, dial, said);
  const primes = Array.from({ length: MOST }, (_, n) => miiii.isPrime(n));
  let timer = null;
  const set = (turn) => store.set({ turn: +turn.toFixed(6) });
  const turned = () => store.state.turn ?? 0.5 / Math.PI;
  function wind() {
    const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
    const [by, pause] = still ? [0.01, 1000] : [0.0004, 40]; // whoever wants no motion gets steps
    timer = timer ? clearInterval(timer) : setInterval(() => set((turned() + by) % 0.5), pause);
    play.textContent = timer ? "Stop" : "Wind";
  }
  /* The fraction with the smallest denominator that is all but there. */
  function nearest(turn) {
    for (let q = 1; q < 60; q++) if (Math.abs(turn - Math.round(turn * q) / q) < 0.0004 / Math.sqrt(q)) return [Math.round(turn * q), q];
    return [];
  }
  function paint(pen, width, _, colour) {
    const [half, size] = [width / 2, Math.max(1.1, width / 330)];
    for (const kind of [false, true]) {
      pen.fillStyle = colour(kind ? "rule" : "faint");
      for (let n = 0; n < MOST; n++) {
        if (primes[n] !== kind) continue;
        const [angle, radius] = [2 * Math.PI * n * turned(), (half - 4) * Math.sqrt(n / MOST)];
        pen.beginPath();
        pen.arc(half + radius * Math.sin(angle), half - radius * Math.cos(angle), kind ? 1.3 * size : size, 0, 2 * Math.PI);
        pen.fill();
      }
    }
  }
  function draw(changed) {
    if (!changed.includes("turn")) return;
    slider.value = turned();
    const [k, q] = nearest(turned());
    label.textContent = `${turned().toFixed(4)} of a turn`;
    slider.setAttribute("aria-valuetext", label.textContent);
    const rays = q > 1 ? `${k}/${q} of a turn: ${q} rays, one for each remainder mod ${q}` : "Whole turns: a single ray";
    const where = q > 1 ? `keep to the rays whose remainder shares no divisor with ${q}` : "are anywhere on it";
    const free = `The first ${whole(MOST)} numbers; primes are the larger dots.`;
    said.textContent = q ? `${rays}. Primes, the larger dots, ${where}.` : free;
    dial.setAttribute("aria-label", `${label.textContent}. ${said.textContent}`);
    frame.say(said.textContent);
    dial.redraw();
  }
  return { ...frame, draw };
};
