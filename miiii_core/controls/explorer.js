// Wakes the explorers of a page: what they show follows what a reader chooses. Each explorer
// brings this script along, so it may run many times; every explorer is woken once.
(() => {
  "use strict";

  // Levels from base64 of a zlib stream of their steps along rows of a length: see packing.py.
  async function unpacked(text, row) {
    const packed = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
    const levels = new Uint8Array(await new Response(stream).arrayBuffer());
    for (let i = 0; i < levels.length; i++) if (i % row) levels[i] += levels[i - 1];
    return levels;
  }

  // For each kind of panel: takes its element and its data, returns what shows a frame of it.
  const kinds = {
    async HeatMap(plot, data) {
      const levels = await unpacked(data.levels, data.columns);
      const colours = await unpacked(data.colours, 3);
      const canvas = overlay(plot, plot.querySelector("image.cells"), data);
      const context = canvas.getContext("2d");
      const pixels = context.createImageData(data.columns, data.rows);
      const [low, high] = [plot.querySelector(".low"), plot.querySelector(".high")];
      const size = data.rows * data.columns;
      return (frame) => {
        for (let cell = 0; cell < size; cell++) {
          const colour = 3 * levels[frame * size + cell];
          pixels.data.set(colours.subarray(colour, colour + 3), 4 * cell);
          pixels.data[4 * cell + 3] = 255;
        }
        context.putImageData(pixels, 0, 0);
        [low.textContent, high.textContent] = data.ends[frame];
      };
    },

    async Bars(plot, data) {
      const levels = await unpacked(data.levels, data.bars);
      const drawn = plot.querySelectorAll("rect.bar");
      return (frame) => drawn.forEach((bar, index) => {
        const height = (data.height * levels[frame * data.bars + index]) / 255;
        bar.setAttribute("height", height);
        bar.setAttribute("y", data.top + data.height - height);
      });
    },

    async Lines(plot) {
      const drawn = [...plot.querySelectorAll(".line")];
      return (_, chosen) => {
        drawn.forEach((line, index) => line.classList.toggle("chosen", chosen.includes(index)));
        chosen.forEach((index) => drawn[index].parentNode.insertBefore(
          drawn[index], plot.querySelector(".axis")));
      };
    },
  };

  // A canvas in the place of an image of the SVG: it can be redrawn without a flicker.
  function overlay(plot, image, data) {
    const canvas = document.createElement("canvas");
    const { width, height } = plot.querySelector("svg").viewBox.baseVal;
    const part = (name, whole) => `${(100 * image.getAttribute(name)) / whole}%`;
    Object.assign(canvas, { width: data.columns, height: data.rows });
    canvas.setAttribute("aria-hidden", "true"); // the SVG below it says what is shown
    Object.assign(canvas.style, {
      left: part("x", width), top: part("y", height),
      width: part("width", width), height: part("height", height),
    });
    plot.append(canvas);
    return canvas;
  }

  // For each kind of choice: takes its element, what to call on a change and the names of its
  // values, returns a function that says which positions are chosen, and that in words.
  const inputs = {
    menu(choice, changed, names) {
      const list = choice.querySelector("select");
      list.addEventListener("change", changed);
      return () => [[list.selectedIndex], `${choice.dataset.label} ${names[list.selectedIndex]}`];
    },

    boxes(choice, changed) {
      const boxes = [...choice.querySelectorAll("input")];
      boxes.forEach((box) => box.addEventListener("change", changed));
      return () => {
        const on = boxes.flatMap((box, index) => (box.checked ? [index] : []));
        return [on, on.length ? "" : `${choice.dataset.label}: none chosen`];
      };
    },

    slider(choice, changed, names) {
      const range = choice.querySelector("input");
      const move = (position) => { range.value = position; show(); };
      const show = () => {
        range.setAttribute("aria-valuetext", names[range.value]);
        choice.querySelector(".value").textContent = names[range.value];
        changed();
      };
      range.addEventListener("input", show);
      choice.querySelectorAll("[data-step]").forEach((button) =>
        button.addEventListener("click", () => move(+range.value + +button.dataset.step)));
      const play = choice.querySelector(".play");
      if (play) player(play, range, move);
      return () => [[+range.value], `${choice.dataset.label} ${names[range.value]}`];
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
  }

  async function wake(explorer) {
    explorer.dataset.awake = "";
    const [panels, names] = JSON.parse(
      explorer.querySelector('script[type="application/json"]').textContent);
    const plots = explorer.querySelectorAll(".plot");
    const shows = await Promise.all(
      panels.map((data, index) => kinds[data.kind](plots[index], data)));
    const output = explorer.querySelector("output");
    const choices = [...explorer.querySelectorAll(".choice")];
    const asks = choices.map((choice, index) =>
      inputs[choice.dataset.kind](choice, refresh, names[index]));

    function refresh() {
      const chosen = asks.map((ask) => ask());
      const frame = chosen.reduce(
        (before, [[position]], index) => before * names[index].length + position, 0);
      shows.forEach((show) => show(frame, chosen[0][0]));
      const said = panels.flatMap((data) =>
        (data.kind === "Lines" ? chosen[0][0] : [frame]).map((index) => data.said[index]));
      const what = chosen.map(([, words]) => words).filter(Boolean);
      output.textContent = [what.join(", "), said.join("; ")].filter(Boolean).join(": ");
    }

    refresh();
    explorer.querySelector(".choices").hidden = false;
  }

  document.querySelectorAll(".miiii-explorer:not([data-awake])").forEach(wake);
})();
