"""The microscope: what goes to a page, and what the page computes with it, against JAX."""

import base64
import json
import os
import re
import sys
import time

import jax.numpy as jnp
import numpy as np
import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait
from sphinx.application import Sphinx
from test_browser import or_else, requests
from tiny import TINY

from miiii_book import commands, explore
from miiii_book.rules import fit_formulas
from miiii_core import cli, runs
from miiii_core.interventions import ablate, logits_with
from miiii_core.losses import task_accuracies
from miiii_core.shares import prime_anova
from miiii_core.waves import Waves, interaction, remove
from tools import browser

SHIPPED = browser.ROOT / "book" / "runs"
LOGITS = """
const [epoch, numbers, off, done] = arguments, {lab} = miiii, run = Object.keys(miiii.runs)[0];
(async () => {
  const {net, task, room} = await lab.laid(run, epoch, "");
  const edit = await lab.edit({run, epoch, off}, "", "test");
  done(numbers.map((n) => Array.from(lab.core.forward(net, task, n, edit, room))));
})();
"""
ASK = """
const [job, question, done] = arguments;
const run = Object.keys(miiii.runs)[0];
const state = {run, epoch: miiii.runs[run].epochs.at(-1), base: ""};
miiii.lab.ask(job, "test", {...state, ...question}).then(done);
"""


# What goes to a page


@pytest.mark.parametrize("width", [1, 2])
def test_rounding_stays_within_half_a_step_of_each_row(width):
    weight = np.random.default_rng(0).normal(size=(3, 5, 7)).astype(np.float32)
    weight[1, 2] = 0
    scale, whole = explore.quantised(weight, width)
    assert scale.shape == (3, 5) and whole.dtype.itemsize == width
    assert (np.abs(scale[..., None] * whole - weight) <= 0.501 * scale[..., None]).all()


@pytest.mark.parametrize("width", [1, 2])
def test_a_script_holds_the_rounded_weights(tiny_run, width):
    text = explore.weights_script(tiny_run, tiny_run.epoch, width)
    packed = base64.b64decode(re.search(r'"([^"]{99,})"', text)[1])
    model = explore.rounded(tiny_run.model, width)
    shapes = {name: getattr(model, name).shape for name in explore.STORED}
    rows = [int(np.prod(shape[:-1])) for shape in shapes.values()]
    first = model.W_V[:, :, 0].size
    sought, *scales = np.split(
        np.frombuffer(packed, "<f4", first + sum(rows)), first + np.cumsum([0, *rows[:-1]])
    )
    whole = np.frombuffer(packed, f"<i{width}", offset=4 * (first + sum(rows)))
    sizes = [int(np.prod(shape)) for shape in shapes.values()]
    assert whole.size == sum(sizes)
    for name, scale, values in zip(
        shapes, scales, np.split(whole, np.cumsum(sizes[:-1])), strict=True
    ):
        found = values.reshape(shapes[name]) * scale.reshape(*shapes[name][:-1], 1)
        np.testing.assert_array_equal(found.astype(np.float32), model.weights[name])
    tokens = np.asarray(model.W_E)[:-1] + np.asarray(model.W_pos)[1]
    scores = model.tables()[0][model.p : 2 * model.p]
    np.testing.assert_allclose(tokens @ sought.reshape(len(model.W_V), -1).T, scores, atol=1e-5)


def test_epochs_run_from_the_first_weights_to_the_last_and_are_few(tiny_run):
    every = explore.chosen_epochs(tiny_run)
    assert every == sorted({0, *tiny_run.snapshot_epochs})
    few = explore.chosen_epochs(tiny_run, 3)
    assert len(few) == 3 and few[0] == 0 and few[-1] == tiny_run.epoch and set(few) < set(every)


def test_a_trained_network_takes_one_byte_and_an_untrained_one_two():
    run = runs.load(SHIPPED / "miiii-small")
    assert explore.bytes_needed(run.model, run.task) == 1
    assert explore.bytes_needed(explore.weights_at(run, 0), run.task) == 2


def test_the_split_goes_out_as_it_was_drawn(tiny_run):
    text = explore.meta_script(tiny_run, [tiny_run.epoch])
    known = json.loads(re.fullmatch(r"miiii\.meta\((.*)\);\n", text)[1])
    for name in ("train", "validation"):
        packed = np.frombuffer(base64.b64decode(known[name]), np.uint8)
        rows = np.flatnonzero(np.unpackbits(packed))
        np.testing.assert_array_equal(rows, np.sort(getattr(tiny_run.task, name)))
    assert known["record"]["train"][-1] == pytest.approx(
        tiny_run.metrics.split("accuracy", "train")[-1].mean(), abs=1e-4
    )


def test_the_command_writes_a_page_or_says_why_not(command, tiny_run, tmp_path):
    cli.miiii.add_command(commands.explore)
    code, said, _ = command("explore", tiny_run.folder, "--out", tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert code == 0 and "page.html" in said and page.count("miiii.weights(") > 2
    for run, out, words in (
        ("nowhere", "a.html", ["nowhere"]),
        (tiny_run.folder, ".", [str(tmp_path)]),
        (tiny_run.folder, "no/such/a.html", ["no/such"]),
    ):
        code, _, complaint = command("explore", run, "--out", tmp_path / out)
        assert code in (1, 2) and all(word in complaint for word in words)
        assert not (tmp_path / "a.html").exists()


def test_the_site_loads_views_only_on_pages_that_hold_some(tiny_run, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(browser.ROOT / "book" / "_ext")
    pages = {
        "index": "# Front\n\n```{microscope} ask\n:state: n=5&q=3\n```\n\n"
        "[There](explore.html#off=head-1).\n\n```{toctree}\nplain\nexplore\nbook/explore\n```\n",
        "plain": "# Plain\n\nNo view.\n",
        "explore": "# Another\n",
        "book/explore": "# The microscope\n\n```{microscope} all\n```\n",
    }
    for name, text in pages.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / f"{name}.md").write_text(text)
    (tmp_path / "book" / "runs").mkdir()
    os.symlink(tiny_run.folder, tmp_path / "book" / "runs" / "miiii")
    options = {"extensions": ["myst_parser", "microscope"], "nitpicky": True}
    Sphinx(tmp_path, None, tmp_path / "out", tmp_path / "trees", "html", options,
           status=None, warningiserror=True).build()  # fmt: skip
    sys.modules.pop("microscope")
    front, plain, all_views = (
        (tmp_path / "out" / f"{name}.html").read_text()
        for name in ("index", "plain", "book/explore")
    )
    assert 'data-base="_static/microscope/"' in front
    assert 'data-base="../_static/microscope/"' in all_views
    assert 'href="book/explore.html#n=5&amp;q=3"' in front
    assert "microscope/" in front and "microscope/" not in plain.replace("book/explore", "")
    made = {path.name for path in (tmp_path / "out" / "_static" / "microscope").iterdir()}
    assert {"weights.js", "microscope.css"} < made and len([n for n in made if "-0" in n]) > 2


# What a page computes


@pytest.fixture(scope="module")
def chrome():
    or_else(browser.find_browser)
    with browser.chromium() as chrome:
        chrome.set_script_timeout(120)
        yield chrome


class Shown:
    """A shipped run on a page of its own."""

    def __init__(self, name, folder):
        self.run, self.page = runs.load(SHIPPED / name), folder / f"{name}.html"
        self.page.write_text(explore.page(self.run, 3), "utf-8")

    def model(self, epoch):
        """The network that the page computes with."""
        model = explore.weights_at(self.run, epoch)
        return explore.rounded(model, explore.bytes_needed(model, self.run.task))


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pages")
    return {name: Shown(name, folder) for name in ("miiii-small", "nanda-small")}


@pytest.fixture
def small(chrome, shown):
    """The page of a small run, open and answering, whose console is clean in the end."""
    chrome.get_log("browser"), chrome.get_log("performance")
    browser.show(chrome, shown["miiii-small"].page)
    dial(chrome, 29)
    yield shown["miiii-small"]
    said = [entry["message"] for entry in chrome.get_log("browser")]
    assert not [message for message in said if "favicon" not in message]
    assert not [
        url for url in requests(chrome)[0] if not url.startswith(("file:", "data:", "blob:"))
    ]


def until(chrome, find, seconds=60):
    return WebDriverWait(chrome, seconds, 0.1).until(lambda _: find())


def one(chrome, selector):
    return chrome.find_element(By.CSS_SELECTOR, selector)


def dial(chrome, q):
    found = until(chrome, lambda: chrome.find_elements(By.CSS_SELECTOR, f'[data-prime="{q}"]'))[0]
    until(chrome, lambda: found.get_attribute("data-answer"))
    return {k: float(found.get_attribute(f"data-{k}")) for k in ("answer", "right", "confidence")}


def type_in(chrome, text):
    box = one(chrome, '[data-view="ask"] input[name="n"]')
    event = "arguments[0].dispatchEvent(new Event('input'))"
    chrome.execute_script(f"arguments[0].value = arguments[1]; {event}", box, text)
    return box


def state(chrome):
    return chrome.execute_script("return document.querySelector('.miiii-microscope').store.state")


def choose(chrome, **patch):
    script = "document.querySelector('.miiii-microscope').store.set(arguments[0])"
    chrome.execute_script(script, patch)


@pytest.mark.thorough
@pytest.mark.parametrize("name", ["miiii-small", "nanda-small"])
def test_logits_of_a_page_are_those_of_jax(name, chrome, shown):
    page = shown[name]
    browser.show(chrome, page.page)
    task = page.run.task
    numbers = np.random.default_rng(1).permutation(task.p**2)[:200]
    digits = jnp.asarray(task.digits[numbers])
    for epoch in explore.chosen_epochs(page.run, 3):
        found = np.array(chrome.execute_async_script(LOGITS, epoch, numbers.tolist(), []))
        np.testing.assert_allclose(found, page.model(epoch).activations(digits).logits, atol=1e-3)
        whole = np.asarray(explore.weights_at(page.run, epoch).activations(digits).logits)
        changed = [found[:, own].argmax(1) != whole[:, own].argmax(1) for own in task.columns]
        assert np.sum(changed) <= max(1, 0.001 * np.size(changed))


def head(activations):
    return ablate(activations, "head_out", [1])


def neurons(activations):
    return ablate(activations, "neurons", [5, 17, 400])


HEAD, NEURONS = ["head-2"], ["neuron-5", "neuron-17", "neuron-400"]
WAVES = ["wave-7-2", "wave-13-3", "wave-2-1"]


@pytest.mark.thorough
@pytest.mark.parametrize(
    "off, edit",
    [(HEAD, head), (NEURONS, neurons), (HEAD + NEURONS, lambda a: head(a) | neurons(a)),
     (WAVES, lambda a: {}), (HEAD + WAVES, head)],
)  # fmt: skip
def test_what_is_taken_out_is_what_interventions_take_out(off, edit, chrome, small):
    task, model = small.run.task, small.model(small.run.epoch)
    change = edit(model.activations(task.digits))
    if off[-1] in WAVES:
        stream = np.asarray(model.activations(task.digits, change).resid_post)
        rest = jnp.asarray(remove(stream, Waves.of([(2, 7), (3, 13), (1, 2)])), jnp.float32)
        change = {"resid_post": lambda _: rest}
    wanted = logits_with(model, task, change)
    numbers = np.random.default_rng(2).permutation(task.p**2)[:200]
    found = np.array(chrome.execute_async_script(LOGITS, small.run.epoch, numbers.tolist(), off))
    np.testing.assert_allclose(found, np.asarray(wanted)[numbers], atol=2e-3)
    rows = np.sort(task.validation)
    right = task_accuracies(wanted[rows], jnp.asarray(task.targets[rows]), task.class_sizes)
    question = {"off": off, "draws": 2, "seed": 1}
    scores = chrome.execute_async_script(ASK, "scores", question)
    np.testing.assert_allclose(scores["after"], right.mean(axis=0), atol=1.5 / len(rows))
    assert len(scores["random"]) == 2 and scores["random"][0] != scores["after"]


@pytest.mark.thorough
def test_a_neuron_belongs_to_the_prime_that_python_finds(chrome, small):
    task, model = small.run.task, small.model(small.run.epoch)
    values = model.activations(task.digits).neurons
    wanted = prime_anova(interaction(np.asarray(values)), task.moduli)
    found = chrome.execute_async_script(ASK, "staircase", {})
    shares = np.array(found["shares"]).reshape(-1, len(task.moduli))
    np.testing.assert_allclose(shares[wanted.numbers], wanted.primes, atol=1e-3)
    owner = np.array(found["owner"])[wanted.numbers]
    assert (owner == wanted.primes.argmax(axis=1)).mean() > 0.99
    group = np.flatnonzero(np.array(found["owner"]) == task.moduli.index(13))
    edit = ablate(model.activations(task.digits), "neurons", group.tolist())
    logits = chrome.execute_async_script(LOGITS, small.run.epoch, list(range(50)), ["prime-13"])
    np.testing.assert_allclose(logits, logits_with(model, task, edit, np.arange(50)), atol=2e-3)


@pytest.mark.thorough
def test_the_cosines_of_a_prime_are_those_that_python_fits(chrome, small):
    task, model = small.run.task, small.model(small.run.epoch)
    logits = model.activations(task.digits).logits
    i = task.moduli.index(23)
    formula = fit_formulas(logits, task, task.held_out[::2])[i]
    found = chrome.execute_async_script(ASK, "profile", {"i": i, "off": []})
    np.testing.assert_allclose(found["cos"], formula.cos, atol=1e-3)
    assert found["used"] == formula.used.tolist()
    scored = task.held_out[1::2]
    right = formula.of(scored).argmax(axis=1) == task.targets[scored, i]
    assert found["formula"] == pytest.approx(right.mean(), abs=1e-6)


@pytest.mark.thorough
def test_the_grid_calls_prime_what_no_answer_divides(chrome, small):
    task, model = small.run.task, small.model(small.run.epoch)
    edit = head(model.activations(task.digits))
    found = chrome.execute_async_script(ASK, "grid", {"off": ["head-2"]})
    for name, change in (("before", {}), ("after", edit)):
        logits = np.asarray(logits_with(model, task, change))
        zero = np.stack([logits[:, own].argmax(axis=1) == 0 for own in task.columns], axis=1)
        n = np.arange(task.p**2)
        wanted = (n > 1) & ~(zero & (n[:, None] != task.moduli)).any(axis=1)
        assert (np.array(found[name]) == wanted).mean() > 0.998


@pytest.mark.thorough
def test_the_bars_show_what_the_run_has_recorded(chrome, small):
    record = small.run.metrics.split("accuracy", "validation")[-1]
    chrome.execute_script("arguments[0].scrollIntoView()", one(chrome, '[data-view="break"]'))

    def bars(name):
        script = "const found = [...document.querySelectorAll('[data-modulus]')];"
        script += "return found.map((bar) => bar.dataset[arguments[0]])"
        return [float(value or "nan") for value in chrome.execute_script(script, name)]

    found = until(chrome, lambda: bars("accuracy"))
    np.testing.assert_allclose(found, record, atol=1.5 / len(small.run.task.validation))
    one(chrome, '[data-off="head-1"]').click()
    until(chrome, lambda: bars("random") and np.isfinite(bars("random")).all())
    assert state(chrome)["off"] == ["head-1"] and bars("before") == found
    assert bars("accuracy")[-1] < record[-1] - 0.1


@pytest.mark.thorough
def test_a_number_is_answered_typed_or_stepped_to_and_stands_in_the_address(chrome, small):
    box = type_in(chrome, "850")
    assert dial(chrome, 29)["right"] == 850 % 29 and dial(chrome, 2)["right"] == 0
    box.send_keys(Keys.ARROW_UP)
    assert state(chrome)["n"] == 851 and dial(chrome, 29)["right"] == 851 % 29
    box.clear()
    box.send_keys("2", "1")
    assert state(chrome)["n"] == 21 and dial(chrome, 23)["right"] == 21
    one(chrome, 'input[name="unseen"]').click()
    for button in ("Random", "Next"):
        one(chrome, '[data-view="ask"]').find_element(By.XPATH, f".//button[.='{button}']").click()
        assert state(chrome)["n"] not in set(small.run.task.train.tolist())
    choose(chrome, n=500, q=23, off=["head-2", "wave-23-7"], epoch=0)
    until(chrome, lambda: "wave-23-7" in chrome.current_url)
    chosen, address = state(chrome), chrome.current_url
    chrome.get("about:blank")
    chrome.get(address)
    until(chrome, lambda: dial(chrome, 29)["right"] == 500 % 29)
    assert state(chrome) == chosen
    chrome.execute_script("location.hash = '#n=12'")
    until(chrome, lambda: state(chrome)["n"] == 12 and state(chrome)["off"] == [])
    assert state(chrome)["epoch"] > 0, "an address without an epoch means the trained network"
    chrome.execute_script("location.hash = '#n=99999&q=4&run=constructor&off=wave-999-1,head-1'")
    until(chrome, lambda: state(chrome)["off"] == ["head-1"] and state(chrome)["q"] == 29)
    assert state(chrome)["n"] < 961 and state(chrome)["run"] == "miiii-small"


def touch(chrome, element, *places):
    """Put a finger on an element, move it from place to place, shares of its size, and lift it."""
    chrome.execute_script("arguments[0].scrollIntoView({block: 'center'})", element)
    script = "const {x, y, width, height} = arguments[0].getBoundingClientRect();"
    x, y, width, height = chrome.execute_script(f"{script} return [x, y, width, height]", element)
    for kind, place in zip(("touchStart", *["touchMove"] * len(places)), places, strict=False):
        points = [{"x": x + place[0] * width, "y": y + place[1] * height}]
        browser.command(chrome, "Input.dispatchTouchEvent", type=kind, touchPoints=points)
        time.sleep(0.1)  # no flick, after which Chromium takes the next touch for one that stops it
    browser.command(chrome, "Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])


@pytest.mark.thorough
def test_all_views_answer_to_a_finger(chrome, small):
    browser.command(chrome, "Emulation.setTouchEmulationEnabled", enabled=True)
    browser.show(chrome, small.page, width=390)
    try:
        blank = '[data-view="{}"] [aria-label="not measured yet"]'
        for name in explore.VIEWS:  # views grow as they are measured, and move those below
            view = one(chrome, f'[data-view="{name}"]')
            chrome.execute_script("arguments[0].scrollIntoView()", view)
            sought = (By.CSS_SELECTOR, blank.format(name))
            until(chrome, lambda sought=sought: not chrome.find_elements(*sought))
        touch(chrome, one(chrome, '[data-view="wind"] input'), (0.5, 0.5))
        until(chrome, lambda: abs(state(chrome).get("turn", 0) - 0.25) < 0.02)
        stairs = one(chrome, '[data-view="neurons"] [role="slider"]')
        touch(chrome, stairs, (0.2, 0.5), (0.3, 0.5), (0.6, 0.5))
        until(chrome, lambda: abs(int(stairs.get_attribute("aria-valuenow")) - 307) < 3)
        touch(chrome, one(chrome, '[data-view="break"] .miiii-map'), (5.5 / 31, 1 - 2.5 / 31))
        until(chrome, lambda: state(chrome)["n"] == 5 + 2 * 31)
        touch(chrome, one(chrome, '[data-view="break"] [data-off="prime-13"]'), (0.5, 0.5))
        until(chrome, lambda: state(chrome)["off"] == ["prime-13"])
        touch(chrome, one(chrome, "input[type=range][data-epoch]"), (0.02, 0.5))
        until(chrome, lambda: state(chrome)["epoch"] == 0)
        touch(chrome, one(chrome, '[data-prime="7"] button'), (0.5, 0.5))
        until(chrome, lambda: state(chrome)["q"] == 7)
    finally:
        browser.command(chrome, "Emulation.setTouchEmulationEnabled", enabled=False)


@pytest.mark.thorough
def test_all_views_answer_to_keys_and_keep_the_place_among_buttons(chrome, small):
    def press(key, selector):
        script = "document.querySelector(arguments[0]).focus()"
        until(chrome, lambda: chrome.find_elements(By.CSS_SELECTOR, selector))
        chrome.execute_script(script, selector)
        ActionChains(chrome).send_keys(key).perform()

    press(Keys.HOME, "input[type=range][data-epoch]")
    until(chrome, lambda: state(chrome)["epoch"] == 0)
    press(Keys.END, "input[type=range][data-epoch]")
    for name in ("head-2", "prime-13"):
        press(Keys.SPACE, f'[data-off="{name}"]')
        until(chrome, lambda name=name: name in state(chrome)["off"])
        assert chrome.execute_script("return document.activeElement.dataset.off") == name
    press(Keys.SPACE, '[data-view="waves"] input[data-off]')
    until(chrome, lambda: len(state(chrome)["off"]) == 3)
    stairs = one(chrome, '[data-view="neurons"] [role="slider"]')
    chrome.execute_script("arguments[0].scrollIntoView()", stairs)
    until(chrome, lambda: stairs.get_attribute("aria-valuetext"))
    for key, place in ((Keys.HOME, "0"), (Keys.ARROW_RIGHT, "1"), (Keys.END, "511")):
        press(key, '[role="slider"]')
        until(chrome, lambda place=place: stairs.get_attribute("aria-valuenow") == place)


@pytest.mark.thorough
@pytest.mark.parametrize("text", ["-1", "961", "1e9", "words", "", "1.5", "0x10", "9" * 400])
def test_nonsense_gets_a_sentence_and_the_next_number_an_answer(text, chrome, small):
    before = dial(chrome, 29)
    type_in(chrome, text)
    error = one(chrome, '[data-view="ask"] [role="alert"]')
    assert "960" in error.text and dial(chrome, 29) == before
    choose(chrome, q=3)  # what is chosen elsewhere shows the number that stands
    assert error.text == ""
    type_in(chrome, "17")
    assert dial(chrome, 29)["right"] == 17


@pytest.mark.thorough
@pytest.mark.parametrize("damage", ["altered", "cut", "missing"])
def test_a_damaged_snapshot_gets_a_sentence_and_the_rest_works(damage, chrome, shown, tmp_path):
    page = shown["miiii-small"]
    middle = explore.chosen_epochs(page.run, 3)[1]
    start = f'<script>\nmiiii.weights("miiii-small",{middle},'
    head, rest = page.page.read_text().split(start)
    script, _, tail = rest.partition("</script>")
    other = "B" if script[900] == "A" else "A"
    spoiled = {
        "altered": f"{start}{script[:900]}{other}{script[901:]}</script>",
        "cut": f"{start}{script[:900]}</script>",
        "missing": "",
    }[damage]
    (tmp_path / "page.html").write_text(head + spoiled + tail)
    browser.show(chrome, tmp_path / "page.html")
    before = dial(chrome, 29)
    choose(chrome, epoch=middle)
    error = one(chrome, '[data-view="ask"] [role="alert"]')
    until(chrome, lambda: f"{middle:,}" in error.text)
    choose(chrome, epoch=0)
    until(chrome, lambda: error.text == "" and dial(chrome, 29) != before)
    choose(chrome, epoch=page.run.epoch)
    until(chrome, lambda: dial(chrome, 29) == before)


@pytest.mark.thorough
def test_scripts_beside_a_page_are_loaded_when_asked_for(chrome, shown, tmp_path):
    run = shown["miiii-small"].run
    explore.lay_out(tmp_path / "there", [run], tmp_path / "shelf")
    epochs = explore.chosen_epochs(run)
    (tmp_path / "there" / f"miiii-small-{epochs[1]:08d}.js").unlink()
    tags = "".join(f'<script src="there/{name}.js"></script>' for name in explore.SCRIPTS)
    views = explore.container("ask", "n=100", "there/", "miiii-small absent")
    (tmp_path / "page.html").write_text(f'<!doctype html><meta charset="utf-8">{views}{tags}')
    browser.show(chrome, tmp_path / "page.html")
    assert dial(chrome, 29)["right"] == 100 % 29
    assert chrome.execute_script("return Object.keys(miiii.texts)") == []
    error = one(chrome, '[role="alert"]')
    choose(chrome, epoch=epochs[1])
    until(chrome, lambda: "missing" in error.text)
    choose(chrome, run="absent")
    until(chrome, lambda: "absent" in error.text)
    choose(chrome, run="miiii-small", epoch=epochs[2])
    until(chrome, lambda: error.text == "")
    chrome.get_log("browser")  # which names the files that were not there


@pytest.mark.thorough
def test_a_run_by_hand_works_on_a_phone_without_a_fault(chrome, tmp_path):
    run = runs.train(TINY.replace(p=23, epochs=60), tmp_path / "my run", progress=False)
    (tmp_path / "page.html").write_text(explore.page(run))
    chrome.get_log("browser")
    browser.show(chrome, tmp_path / "page.html", width=390)
    assert dial(chrome, 19)["right"] == state(chrome)["n"] % 19
    for name in explore.VIEWS:
        view = one(chrome, f'[data-view="{name}"]')
        chrome.execute_script("arguments[0].scrollIntoView()", view)
        until(chrome, lambda name=name: one(chrome, f'[data-view="{name}"]').text)
    until(chrome, lambda: chrome.find_elements(By.CSS_SELECTOR, "[data-accuracy]"))
    text = one(chrome, "main").text
    assert not [word for word in ("[object", "undefined", "NaN", "null") if word in text]
    assert chrome.execute_script("return document.scrollingElement.scrollWidth") <= 390
    assert chrome.get_log("browser") == []


@pytest.mark.thorough
def test_memory_stays_after_hundreds_of_actions(chrome, small):
    act = """
    const [times, done] = arguments, store = document.querySelector(".miiii-microscope").store;
    const epochs = miiii.runs["miiii-small"].epochs, off = ["head-1", "neuron-5", "wave-23-7"];
    (async () => {
      for (let i = 0; i < times; i++) {
        if (i % 5 === 0) store.set({epoch: epochs[(i / 5) % epochs.length]});
        else if (i % 5 === 1) store.toggle(off[i % 3]);
        else store.set({n: (i * 37) % 961, q: [23, 29, 7][i % 3]});
        await new Promise((next) => setTimeout(next, 20));
      }
      setTimeout(done, 3000);
    })();
    """
    used = []
    for times in (100, 500):
        chrome.execute_async_script(act, times)
        browser.command(chrome, "HeapProfiler.collectGarbage")
        used.append(browser.command(chrome, "Runtime.getHeapUsage")["usedSize"])
    assert used[1] < used[0] + 10e6
