"""The built site in a browser, from the disk: it loads, fits and speaks.

These tests look at ``_build/html``. Where there is no browser or no site they skip, and say what
to do; with ``MIIII_BROWSER=required`` in the environment they fail instead.
"""

import json
import os
from contextlib import suppress
from pathlib import Path
from urllib.parse import unquote, urlsplit

import numpy as np
import pytest
from check_site import check_site
from selenium.common.exceptions import TimeoutException
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait

from miiii_book.chapters import read_pages
from tools import browser

pytestmark = pytest.mark.thorough
NAMES = read_pages(browser.ROOT)
OWN = ("file", "data", "blob")
AXE = Path(__file__).parent / "axe" / "axe.min.js"
# WCAG 2.2, levels A and AA.
STANDARD = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
# Good practice that is no rule of WCAG: no level of heading is skipped, and there is a title.
HEADINGS = {rule: {"enabled": True} for rule in ("heading-order", "page-has-heading-one")}
MOST_BYTES = 3_000_000  # of a page with all that it loads, as a first visit does
MOST_SECONDS = 2.0  # until something of it is seen
# What axe finds and we leave, by rule and a class of the element: the theme's search button also
# shows its keys; its button for the colours holds a picture of each mode with a title.
EXCEPTIONS = {"label-content-name-mismatch": ("search-button-field", "theme-switch-button")}
# Colours on their way from one to another would be judged as they happen to be.
AT_REST = """
const style = document.createElement("style");
style.textContent = "* { transition: none !important; animation: none !important }";
document.head.append(style);
document.querySelectorAll("details").forEach((details) => (details.open = true));
document.querySelectorAll(".show-code[aria-pressed=false]").forEach((button) => button.click());
dispatchEvent(new Event("resize")); // the theme then looks which boxes scroll, a moment later
"""
# Whether the theme lets a keyboard into each box of code that scrolls.
REACHED = """
return [...document.querySelectorAll("pre")].every(
  (code) => code.scrollWidth <= code.clientWidth || code.tabIndex === 0);
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


@pytest.fixture(scope="module")
def chrome():
    or_else(browser.find_browser)
    with browser.chromium() as chrome:
        yield chrome


@pytest.fixture(scope="module")
def pages():
    return or_else(browser.find_pages)


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


def test_the_links_of_the_built_site_hold_and_its_figures_have_texts(pages):
    assert check_site(browser.SITE) == []


@pytest.mark.parametrize("name", NAMES)
def test_a_page_is_light_and_soon_seen_and_asks_nobody_else(name, chrome, pages):
    browser.command(chrome, "Network.setCacheDisabled", cacheDisabled=True)
    try:
        complaints(chrome), requests(chrome)
        browser.show(chrome, pages[name])
        asked, failed = requests(chrome)
        seconds = [np.inf]
        for _ in range(4):  # other work on the machine, or a lost event, can only slow a page
            if min(seconds) >= MOST_SECONDS:
                with suppress(TimeoutException):
                    chrome.get("about:blank")
                    chrome.get(pages[name].as_uri())
                    seconds.append(chrome.execute_async_script(FIRST_VIEW) / 1000)
    finally:
        browser.command(chrome, "Network.setCacheDisabled", cacheDisabled=False)
    assert complaints(chrome) == [] and failed == [] and min(seconds) < MOST_SECONDS
    assert [address for address in asked if urlsplit(address).scheme not in OWN] == []
    files = {unquote(urlsplit(a).path) for a in asked if urlsplit(a).scheme == "file"}
    weight = sum(Path(file).stat().st_size for file in files)
    assert pages[name].stat().st_size < weight < MOST_BYTES
    assert not any("/vendor/fontawesome/" in file for file in files)


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


def theme(chrome):
    return chrome.find_element(By.TAG_NAME, "html").get_attribute("data-theme")


@pytest.mark.parametrize("name", NAMES)
def test_a_page_is_for_everyone_and_fits_a_phone(name, chrome, pages):
    browser.show(chrome, pages[name], width=390)
    wide = chrome.execute_script("return document.scrollingElement.scrollWidth")
    assert wide <= 390, f"the page is {wide} pixels wide"
    browser.show(chrome, pages[name])
    chrome.execute_script(AT_REST)
    with suppress(TimeoutException):  # or the check below finds them
        WebDriverWait(chrome, 8).until(lambda _: chrome.execute_script(REACHED))
    try:
        assert faults(chrome) == []
        browser.prefer(chrome, dark=True)
        WebDriverWait(chrome, 5).until(lambda _: theme(chrome) == "dark")
        # The dark differs by its colours alone.
        assert faults(chrome, ["color-contrast"], {}) == []
    finally:
        chrome.execute_script("localStorage.clear()")


def test_one_switch_shows_the_code_of_all_pages(chrome, pages):
    def shown():
        found = chrome.find_elements(By.CSS_SELECTOR, ".tag_hide-input .cell_input")
        return {each.is_displayed() for each in found}

    def switch():
        return chrome.find_element(By.CSS_SELECTOR, ".show-code")

    try:
        for name, key in (("book/training", Keys.SPACE), ("book/neurons", Keys.ENTER)):
            browser.show(chrome, pages[name])
            assert shown() == {key == Keys.ENTER}, "the choice is kept from page to page"
            switch().send_keys(key)
            WebDriverWait(chrome, 5).until(lambda _, key=key: shown() == {key == Keys.SPACE})
            assert switch().get_attribute("aria-pressed") == str(key == Keys.SPACE).lower()
    finally:
        chrome.execute_script("localStorage.clear()")


def test_the_check_for_everyone_finds_faults(chrome, tmp_path):
    """Guards the check above: had axe gone blind, it would pass too."""
    body = '<h2>b</h2><h4>d</h4><p style="color:#ccc">pale</p><input>'
    (tmp_path / "page.html").write_text(f"<html><title>x</title>{body}</html>")
    browser.show(chrome, tmp_path / "page.html")
    found = {fault.split(":")[0] for fault in faults(chrome)}
    assert found >= {"color-contrast", "label", *HEADINGS}


def test_the_search_finds_pages_from_the_disk(chrome, pages):
    """It lists pages; their excerpts need a server, as no page may read another from a disk."""
    chrome.get((browser.SITE / "search.html").as_uri() + "?q=Grokfast")
    results = chrome.find_element(By.ID, "search-results")
    WebDriverWait(chrome, 10).until(lambda _: "matching the search query" in results.text)
    found = [link.get_attribute("href") for link in results.find_elements(By.TAG_NAME, "a")]
    pages_found = {urlsplit(link)._replace(query="").geturl() for link in found}
    assert pages["book/training"].as_uri() in pages_found
