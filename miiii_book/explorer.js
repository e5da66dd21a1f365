// Wakes the explorers of a page: what they show follows what a reader chooses. Each explorer
// brings this script along, so it may run many times; every explorer is woken once.
(() => {
  "use strict";

  // Levels from base64 of a zlib stream of their steps along rows of a length: see explorer.py.
  async function unpacked(text, row) {
    const packed = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
    const levels = new Uint8Array(await new Response(stream).arrayBuffer());
    for (let i = 0; i < levels.length; i++) if (i % row) levels[i] += levels[i - 1];
    return levels;
  }

  // An element of a page or of a drawing, with attributes and with what it holds.
  function made(tag, attributes = {}, ...content) {
    const element = ["svg", "rect", "polyline", "path"].includes(tag)
      ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
    set(element, attributes);
    element.append(...content);
    return element;
  }

  function set(element, attributes) {
    Object.entries(attributes).forEach(([name, value]) => element.setAttribute(name, value));
  }

  const dashes = { "-": "none", "--": "7 4", "-.": "8 3 2 3", ":": "2 3" };
  const stroke = ([colour, dash]) => ({ stroke: colour, "stroke-dasharray": dashes[dash] });
  // What is drawn over a picture is hidden: the picture below it says what is shown.
  const hidden = { "aria-hidden": "true" };

  function drawing(place, viewBox, kind, count) {
    const shapes = Array.from({ length: count }, () => made(kind));
    place.append(made("svg", { viewBox, preserveAspectRatio: "none", ...hidden }, ...shapes));
    return shapes;
  }

  // For each kind of panel: takes the place over its axes and its data, returns what shows frames
  // or lines of these numbers.
  const kinds = {
    async heat_map(place, { shape: [rows, columns], levels, colours }) {
      const all = await unpacked(levels, columns);
      const canvas = made("canvas", { width: columns, height: rows, ...hidden });
      place.append(canvas);
      const context = canvas.getContext("2d");
      const pixels = context.createImageData(columns, rows);
      return ([frame]) => {
        for (let cell = 0; cell < rows * columns; cell++) {
          pixels.data.set(colours[all[frame * rows * columns + cell]], 4 * cell);
          pixels.data[4 * cell + 3] = 255;
        }
        context.putImageData(pixels, 0, 0);
      };
    },

    async bars(place, { shape: [count], levels }) {
      const all = await unpacked(levels, count);
      const drawn = drawing(place, `0 0 ${count} 255`, "rect", count);
      return ([frame]) => drawn.forEach((bar, index) => {
        const height = all[frame * count + index];
        set(bar, { x: index + 0.075, width: 0.85, y: 255 - height, height });
      });
    },

    async lines(place, { points, looks }) {
      const drawn = drawing(place, "0 0 1 1", "polyline", points.length);
      drawn.forEach((line, index) =>
        set(line, { points: points[index].join(" "), ...stroke(looks[index]) }));
      return (chosen) => {
        drawn.forEach((line, index) => line.classList.toggle("chosen", chosen.includes(index)));
        chosen.forEach((index) => drawn[index].parentNode.append(drawn[index])); // on top
      };
    },
  };

  // JupyterLab would take the arrows of a focused input for its own; this tells it not to.
  const ours = { "data-lm-suppress-shortcuts": "true" };

  // For each kind of choice: takes its element, its data, what to call on a change and the panels,
  // adds native inputs, and returns a function that says which positions are chosen, and that in
  // words.
  const inputs = {
    menu(place, { label, names, start }, changed) {
      const list = made("select", ours, ...names.map((name) => made("option", {}, name)));
      list.selectedIndex = start[0];
      list.addEventListener("change", changed);
      place.append(made("label", {}, `${label} `, list));
      return () => [[list.selectedIndex], `${label} ${names[list.selectedIndex]}`];
    },

    boxes(place, { label, names, start }, changed, panels) {
      const boxes = names.map((name, index) => {
        const box = made("input", { type: "checkbox", ...ours });
        box.checked = start.includes(index);
        box.addEventListener("change", changed);
        const line = made("path", { d: "M0 4H28", ...stroke(panels[0].looks[index]) });
        const look = made("svg", { viewBox: "0 0 28 8", ...hidden }, line);
        place.append(made("label", { class: "box" }, box, look, name));
        return box;
      });
      return () => {
        const on = boxes.flatMap((box, index) => (box.checked ? [index] : []));
        return [on, on.length ? "" : `${label}: none chosen`];
      };
    },

    slider(place, { label, names, start, play }, changed) {
      const value = made("b", { class: "value" });
      const range = made("input", {
        type: "range", min: 0, max: names.length - 1, "aria-label": label, ...ours });
      const tell = () => {
        range.setAttribute("aria-valuetext", names[range.value]);
        value.textContent = names[range.value];
      };
      const show = () => { tell(); changed(); };
      const move = (position) => { range.value = position; show(); };
      const button = (text, what, more = {}) => made("button", {
        type: "button", "aria-label": `${what}: ${label}`, ...more, ...ours }, text);
      range.value = start[0];
      tell();
      range.addEventListener("input", show);
      const steps = [["‹", "previous", -1], ["›", "next", 1]].map(([text, what, step]) => {
        const one = button(text, what, { "data-step": step });
        one.addEventListener("click", () => move(+range.value + step));
        return one;
      });
      const buttons = made("span", { class: "buttons" }, ...steps);
      if (play) buttons.append(player(button("Play", "play", { class: "play" }), range, move));
      const name = made("span", { class: "name" }, `${label} `, value);
      place.append(made("label", {}, name, range), buttons);
      return () => [[+range.value], `${label} ${names[range.value]}`];
    },
  };

  // Runs a slider to its end, from the start if it is there already; any other move stops it.
  function player(button, range, move) {
    let timer = null;
    const stop = () => {
      clearInterval(timer);
      timer = null;
      button.textContent = "Play";
    };
    const step = () => {
      if (!range.isConnected || range.value === range.max) stop();
      else move(+range.value + 1);
    };
    button.addEventListener("click", () => {
      if (timer !== null) return stop();
      if (range.value === range.max) move(0);
      button.textContent = "Pause";
      timer = setInterval(step, 150);
    });
    range.addEventListener("pointerdown", stop);
    range.addEventListener("keydown", stop);
    return button;
  }

  async function wake(explorer) {
    explorer.dataset.awake = "";
    const [panels, choices] = JSON.parse(
      explorer.querySelector('script[type="application/json"]').textContent);
    const places = explorer.querySelectorAll(".data");
    const shows = await Promise.all(
      panels.map((panel, index) => kinds[panel.kind](places[index], panel)));
    const [output, bar] = ["output", ".choices"].map((part) => explorer.querySelector(part));
    const asks = choices.map((choice) => {
      const group = { class: "choice", role: "group", "aria-label": choice.label };
      const place = bar.appendChild(made("div", { ...group, "data-kind": choice.kind }));
      return inputs[choice.kind](place, choice, refresh, panels);
    });

    function refresh() {
      const chosen = asks.map((ask) => ask());
      const frame = chosen.reduce(
        (before, [[position]], index) => before * choices[index].names.length + position, 0);
      const said = panels.flatMap(({ kind, said }, index) => {
        const shown = kind === "lines" ? chosen[0][0] : [frame];
        shows[index](shown);
        return shown.map((number) => said[number]);
      });
      const what = chosen.map(([, words]) => words).filter(Boolean);
      output.textContent = [what.join(", "), said.join("; ")].filter(Boolean).join(": ");
    }

    refresh();
    bar.hidden = false;
  }

  document.querySelectorAll(".miiii-explorer:not([data-awake])").forEach(wake);
})();
