"""Print how long the microscope takes in Chromium: ``python -m benchmarks.microscope``."""

import os
import sys
import tempfile
import time
from pathlib import Path

from miiii_book import explore
from miiii_core import runs
from tools import browser

# Each number typed, from the event to the dials: what a frame of 16 ms must hold.
TYPE = """
const box = document.querySelector('input[name="n"]'), times = [];
for (let n = 100; n < 160; n++) {
  const began = performance.now();
  box.value = n;
  box.dispatchEvent(new Event("input"));
  times.push(performance.now() - began);
}
return times.sort((a, b) => a - b)[30];
"""
ASK = """
const [job, question, done] = arguments, [run] = Object.keys(miiii.runs);
const began = performance.now(), state = {run, epoch: miiii.runs[run].epochs.at(-1), base: ""};
miiii.lab.ask(job, "bench", {...state, ...question}).then(() => done(performance.now() - began));
"""
JOBS: dict[str, tuple[str, dict[str, object]]] = {
    "accuracy, whole": ("scores", {"off": []}),
    "whose neuron is whose": ("staircase", {}),
    "a head": ("scores", {"off": ["head-1"]}),
    "a neuron": ("scores", {"off": ["neuron-5"]}),
    "neurons of a prime": ("scores", {"off": ["prime-97"]}),
    "a wave": ("scores", {"off": ["wave-97-32"]}),
    "waves of a prime": ("profile", {"i": 24, "off": []}),
    "the grid, twice": ("grid", {"off": ["prime-97"]}),
}


def main(name: str) -> None:
    """Measure the page of a preset's run, under the load that there is."""
    with tempfile.TemporaryDirectory() as folder, browser.chromium() as chrome:
        page = Path(folder, "page.html")
        page.write_text(explore.page(runs.cached(name), most=2), "utf-8")
        began = time.perf_counter()
        chrome.get(page.as_uri())
        while not chrome.execute_script("return document.querySelector('[data-answer]')"):
            time.sleep(0.01)
        print(f"{name}, load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
        print(f"{'until it answers':24}{1e3 * (time.perf_counter() - began):8.0f} ms")
        print(f"{'an answer to a key':24}{chrome.execute_script(TYPE):8.1f} ms")
        chrome.set_script_timeout(600)
        for said, (job, question) in JOBS.items():
            took = chrome.execute_async_script(ASK, job, {"draws": 0, "seed": 1, **question})
            print(f"{said:24}{took:8.0f} ms")


if __name__ == "__main__":
    main(*(sys.argv[1:] or ["miiii"]))
