"""The built site, from the disk: its links hold; in a browser it loads, fits, speaks and moves.

They look at ``_build/html``. Where there is no browser or no site they skip, and say what to do;
with ``MIIII_BROWSER=required`` in the environment they fail instead.
"""

import json
import os
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.select import Select
from selenium.webdriver.support.wait import WebDriverWait

from miiii_core.publishing.chapters import read_pages
from tools import browser
from tools.check_site import check_site

NAMES = read_pages(browser.ROOT)
OWN = ("file", "data", "blob")
AXE = Path(__file__).parent / "axe" / "axe.min.js"
# WCAG 2.2, levels A and AA.
STANDARD = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
# Good practice that is no rule of WCAG: no level of heading is skipped, and there is a title.
HEADINGS = {rule: {"enabled": True} for rule in ("heading-order", "page-has-heading-one")}
# Of a page with all that it loads, styles, scripts and fonts of the theme and formulas included,
# as a first visit does.
MOST_BYTES = 3_000_000
MOST_SECONDS = 2.0  # until something of it is seen
# What axe finds and we leave, by rule and a class of the element.
EXCEPTIONS = {
    # The theme's search button, named Search, also shows its keys; its button for the colours,
    # named Color mode, holds a picture of each mode with a title.
    "label-content-name-mismatch": ("search-button-field", "theme-switch-button"),
}
# Colours on their way from one to another would be judged as they happen to be.
AT_REST = """
const style = document.createElement("style");
style.textContent = "* { transition: none !important; animation: none !important }";
document.head.append(style);
document.querySelectorAll("details").forEach((details) => (details.open = true));
"""
# When the first text or image was painted, in milliseconds since the page was asked for.
FIRST_VIEW = """
const done = arguments[0];
new PerformanceObserver((list) => {
  const [first] = list.getEntriesByName("first-contentful-paint");
  if (first) done(first.startTime);
}).observe({type: "paint", buffered: true});
"""


def or_else(find):
    """What a function finds; without it, skip, or fail where a browser is required."""
    try:
        return find()
    except browser.Missing as missing:
        if os.environ.get("MIIII_BROWSER") == "required":
            pytest.fail(str(missing))
        pytest.skip(str(missing))


def missing():
    raise browser.Missing("no browser; install one")


def test_what_is_missing_skips_and_fails_where_it_is_required(monkeypatch):
    monkeypatch.delenv("MIIII_BROWSER", raising=False)
    with pytest.raises(pytest.skip.Exception, match="install one"):
        or_else(missing)
    monkeypatch.setenv("MIIII_BROWSER", "required")
    with pytest.raises(pytest.fail.Exception, match="install one"):
        or_else(missing)


@pytest.fixture(scope="module")
def pages():
    or_else(browser.find_browser)
    return or_else(browser.find_pages)


@pytest.fixture(scope="module")
def chrome(pages):
    with browser.chromium() as chrome:
        yield chrome


@pytest.fixture
def show(chrome, pages):
    def shown(name, **look):
        browser.show(chrome, pages[name], **look)
        return chrome

    return shown


def test_the_links_of_the_built_site_hold_and_its_figures_have_texts():
    or_else(browser.find_pages)
    assert check_site(browser.SITE) == []


def complaints(chrome):
    """What the console holds that is an error, since it was last asked."""
    return [said["message"] for said in chrome.get_log("browser") if said["level"] == "SEVERE"]


def requests(chrome):
    """Addresses that pages asked for, and those that failed, since last time."""
    asked, failed = {}, []
    for entry in chrome.get_log("performance"):
        event = json.loads(entry["message"])["message"]
        if event["method"] == "Network.requestWillBeSent":
            asked[event["params"]["requestId"]] = event["params"]["request"]["url"]
        elif event["method"] == "Network.loadingFailed" and not event["params"].get("canceled"):
            failed.append(event["params"]["requestId"])
    # The browser's own first page is none of ours.
    asked = {key: url for key, url in asked.items() if not url.startswith("chrome")}
    return list(asked.values()), [asked[request] for request in failed if request in asked]


@pytest.mark.parametrize("name", NAMES)
def test_a_page_loads_without_errors_and_asks_nobody_else(name, show, chrome):
    complaints(chrome), requests(chrome)
    show(name)
    assert complaints(chrome) == []
    asked, failed = requests(chrome)
    assert any(address.endswith(".html") for address in asked), "no request was seen at all"
    assert failed == []
    assert [address for address in asked if urlsplit(address).scheme not in OWN] == []


def weight(addresses):
    """Bytes of the files at addresses on the disk, each once."""
    files = {unquote(urlsplit(a).path) for a in addresses if urlsplit(a).scheme == "file"}
    return sum(Path(file).stat().st_size for file in files)


def seconds_to_first_view(chrome, page):
    """From asking for a page on the disk to its first text or image, with nothing cached.

    The quickest of three loads, or the first that is quick enough: other work on the machine can
    only slow a page.
    """
    taken = []
    while len(taken) < 3 and min(taken, default=MOST_SECONDS) >= MOST_SECONDS:
        chrome.get("about:blank")
        chrome.get(page.as_uri())
        taken.append(chrome.execute_async_script(FIRST_VIEW) / 1000)
    return min(taken)


@pytest.mark.parametrize("name", NAMES)
def test_a_page_is_light_and_soon_seen(name, chrome, pages):
    browser.resize(chrome, 1280, 844)
    browser.command(chrome, "Network.setCacheDisabled", cacheDisabled=True)
    try:
        seconds = seconds_to_first_view(chrome, pages[name])
        requests(chrome)
        browser.show(chrome, pages[name])
        asked, _ = requests(chrome)
    finally:
        browser.command(chrome, "Network.setCacheDisabled", cacheDisabled=False)
    assert seconds < MOST_SECONDS
    assert pages[name].stat().st_size < weight(asked) < MOST_BYTES
    assert [address for address in asked if "/vendor/fontawesome/" in address] == [], (
        "an icon of the theme is not among ours: add it to tools/icons.py"
    )


def test_the_check_for_the_first_view_finds_a_slow_page(chrome, tmp_path, monkeypatch):
    """Guards the check above: a script that blocks keeps the page from being seen."""
    monkeypatch.setitem(globals(), "MOST_SECONDS", 0.2)
    page = tmp_path / "page.html"
    wait = "<script>const end = Date.now() + 300; while (Date.now() < end);</script>"
    page.write_text(f"<html><title>x</title>{wait}<p>late</p></html>")
    assert seconds_to_first_view(chrome, page) > 0.3


def test_icons_are_drawn_by_the_fonts_of_the_book(show):
    chrome = show("book/index")
    loaded = chrome.execute_script(
        "return [...document.fonts].filter((f) => f.status == 'loaded').map((f) => f.family)"
    )
    assert any("Font Awesome 6 Free" in family for family in loaded)


@pytest.mark.parametrize("name", NAMES)
def test_a_page_fits_a_phone(name, show):
    chrome = show(name, width=390)
    wide = chrome.execute_script("return document.scrollingElement.scrollWidth")
    assert wide <= 390, f"the page is {wide} pixels wide"


def theme(chrome):
    return chrome.find_element(By.TAG_NAME, "html").get_attribute("data-theme")


def faults(chrome, only=STANDARD, also=HEADINGS):
    """What axe finds against some rules, a line for each element, less the exceptions."""
    chrome.execute_script(AXE.read_text())
    found = chrome.execute_async_script(
        "const [runOnly, rules, done] = arguments;"
        "axe.run({runOnly, rules, resultTypes: ['violations']}).then(done)", only, also,
    )  # fmt: skip
    return [
        f"{violation['id']}: {node['target']}: {node['failureSummary']}"
        for violation in found["violations"]
        for node in violation["nodes"]
        if not any(name in node["html"] for name in EXCEPTIONS.get(violation["id"], ()))
    ]


@pytest.mark.parametrize("name", NAMES)
def test_a_page_is_for_everyone(name, show):
    chrome = show(name)
    chrome.execute_script(AT_REST)
    assert faults(chrome) == []
    browser.prefer(chrome, dark=True)
    WebDriverWait(chrome, 5).until(lambda _: theme(chrome) == "dark")
    # The dark differs by its colours alone.
    assert faults(chrome, ["color-contrast"], {}) == []


def test_the_check_for_everyone_finds_faults(chrome, tmp_path):
    """Guards the check above: had axe gone blind, it would pass too."""
    page = tmp_path / "page.html"
    body = '<h2>b</h2><h4>d</h4><p style="color:#ccc">pale</p><input>'
    page.write_text(f"<html><title>x</title>{body}</html>")
    browser.show(chrome, page)
    found = {fault.split(":")[0] for fault in faults(chrome)}
    assert found >= {"color-contrast", "label", *HEADINGS}


def explorers(chrome):
    return chrome.find_elements(By.CSS_SELECTOR, ".miiii-explorer")


def picture(explorer):
    """All that an explorer shows: the SVG, and the pixels of its canvases."""
    return explorer.parent.execute_script(
        "return [...arguments[0].querySelectorAll('.plot svg')].map((s) => s.outerHTML).concat("
        "[...arguments[0].querySelectorAll('canvas')].map((c) => c.toDataURL()))", explorer,
    )  # fmt: skip


def said(explorer):
    return explorer.find_element(By.CSS_SELECTOR, "output").text


def changes(explorer, act):
    """Whether an act changes both what is seen and what is said."""
    before = picture(explorer), said(explorer)
    act()
    return picture(explorer) != before[0] and said(explorer) != before[1]


def test_the_book_has_controls_of_every_kind(pages):
    text = "".join(page.read_text() for page in pages.values())
    choices = [f'data-kind="{kind}"' for kind in ("slider", "menu", "boxes")]
    panels = [f'"kind":"{kind}"' for kind in ("HeatMap", "Bars", "Lines")]
    assert [kind for kind in choices + panels if kind not in text] == []


@pytest.mark.parametrize("width", [1280, 390], ids=["desk", "phone"])
@pytest.mark.parametrize("name", NAMES)
def test_every_control_moves(name, width, show, pages):
    if "miiii-explorer" not in pages[name].read_text():
        return
    chrome = show(name, width=width)
    for explorer in explorers(chrome):
        # In the middle, so that no header lies over it.
        chrome.execute_script("arguments[0].scrollIntoView({block: 'center'})", explorer)
        for choice in explorer.find_elements(By.CSS_SELECTOR, ".choice"):
            MOVES[choice.get_attribute("data-kind")](explorer, choice)


def move_slider(explorer, choice):
    slider = choice.find_element(By.CSS_SELECTOR, "input")
    last = int(slider.get_attribute("max"))
    slider.send_keys(Keys.HOME)
    assert changes(explorer, lambda: slider.send_keys(Keys.END)), "by the keyboard"
    assert choice.find_element(By.CSS_SELECTOR, ".value").text in said(explorer)
    assert slider.get_attribute("aria-valuetext") in said(explorer)
    assert changes(explorer, lambda: press_at(slider, 0.3)), "by the pointer"
    assert 0 < int(slider.get_property("value")) < last
    slider.send_keys(Keys.HOME)
    step = choice.find_element(By.CSS_SELECTOR, "[data-step='1']")
    for _ in range(3):
        step.click()
    assert slider.get_property("value") == str(min(3, last)), "by its button"
    for play in choice.find_elements(By.CSS_SELECTOR, ".play"):
        play.click()
        WebDriverWait(explorer.parent, 5).until(lambda _: slider.get_property("value") > "4")
        assert play.text == "Pause"
        play.click()
        assert play.text == "Play"
    slider.send_keys(Keys.END)


def in_the_middle(element):
    """An element, scrolled to where no bar of the page lies over it."""
    element.parent.execute_script("arguments[0].scrollIntoView({block: 'center'})", element)
    return element


def press_at(slider, share):
    """Click on a slider at a share of its length."""
    off = (share - 0.5) * slider.size["width"]
    ActionChains(slider.parent).move_to_element_with_offset(slider, int(off), 0).click().perform()


def move_menu(explorer, choice):
    menu = Select(choice.find_element(By.CSS_SELECTOR, "select"))
    last = len(menu.options) - 1
    assert changes(explorer, lambda: menu.select_by_index(last))
    assert changes(explorer, lambda: menu._el.send_keys(Keys.HOME)), "by the keyboard"


def move_boxes(explorer, choice):
    boxes = choice.find_elements(By.CSS_SELECTOR, "input")
    for box in boxes:
        if box.is_selected():
            in_the_middle(box).click()
    assert explorer.find_elements(By.CSS_SELECTOR, ".line.chosen") == []
    assert "none chosen" in said(explorer)
    for number, box in enumerate(boxes[:3], start=1):
        assert changes(explorer, lambda box=box: box.send_keys(Keys.SPACE)), "by the keyboard"
        assert len(explorer.find_elements(By.CSS_SELECTOR, ".line.chosen")) == number


MOVES = {"slider": move_slider, "menu": move_menu, "boxes": move_boxes}


def test_without_scripts_there_is_a_picture_and_no_dead_control(show, chrome):
    browser.command(chrome, "Emulation.setScriptExecutionDisabled", value=True)
    try:
        chrome.get(or_else(browser.find_pages)["book/attention"].as_uri())
        assert len(explorers(chrome)) >= 1
        for explorer in explorers(chrome):
            assert explorer.find_element(By.CSS_SELECTOR, "svg").is_displayed()
            assert not explorer.find_element(By.CSS_SELECTOR, ".choices").is_displayed()
            assert "epoch" in said(explorer)
    finally:
        browser.command(chrome, "Emulation.setScriptExecutionDisabled", value=False)


def test_the_search_finds_pages_from_the_disk(chrome, pages):
    """It lists pages; their excerpts need a server, as no page may read another from a disk."""
    chrome.get((browser.SITE / "search.html").as_uri() + "?q=Grokfast")
    results = chrome.find_element(By.ID, "search-results")
    WebDriverWait(chrome, 10).until(lambda _: "matching the search query" in results.text)
    found = [link.get_attribute("href") for link in results.find_elements(By.TAG_NAME, "a")]
    assert pages["book/training"].as_uri() in {
        urlsplit(link)._replace(query="").geturl() for link in found
    }


def test_the_theme_switches_between_light_and_dark(show):
    chrome = show("book/index")
    shade = "return getComputedStyle(document.body).backgroundColor"
    button = next(
        b for b in chrome.find_elements(By.CSS_SELECTOR, ".theme-switch-button") if b.is_displayed()
    )
    seen = set()
    for _ in range(3):
        button.click()
        seen.add((theme(chrome), chrome.execute_script(shade)))
    assert {name for name, _ in seen} == {"light", "dark"} and len(seen) == 2
