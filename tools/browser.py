"""A headless Chromium for those who look at the built site: tests, and the PDF."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from selenium.common.exceptions import TimeoutException
from selenium.webdriver import Chrome, ChromeOptions, ChromeService

from miiii_book.chapters import read_pages

ROOT = Path(__file__).parent.parent
SITE = ROOT / "_build" / "html"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# Nothing but the page itself may be fetched, and no profile of the user's is touched.
OPTIONS = """--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --hide-scrollbars
--disable-background-networking --disable-component-update --disable-sync""".split()
# Resolved once MathJax, if the page has it, has set all formulas and all images are there.
SETTLED = """
const done = arguments[arguments.length - 1];
const images = [...document.images].map((image) => image.decode().catch(() => {}));
const formulas = window.MathJax?.startup?.promise;
Promise.all([...images, formulas, document.fonts.ready]).then(done);
"""


class Missing(RuntimeError):
    """The browser, its driver or the site is not there; says what to do."""


def find_browser() -> tuple[str, str]:
    """Return the paths of Chromium and of its driver; raise Missing if either is not there."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    driver = shutil.which("chromedriver")
    if not browser or not driver:
        sought = " or ".join(BROWSERS) if not browser else "chromedriver"
        raise Missing(
            f"no {sought} on the PATH; on Debian and Ubuntu: "
            "apt-get install chromium chromium-driver"
        )
    return browser, driver


def find_pages(root: Path = ROOT) -> dict[str, Path]:
    """Return the built pages by name, in order; Missing if there is no site, or an earlier one."""
    pages = {name: root / "_build" / "html" / f"{name}.html" for name in read_pages(root)}
    if missing := [name for name, path in pages.items() if not path.is_file()]:
        raise Missing(f"not built: {', '.join(missing)}; run make book first")
    return pages


@contextmanager
def chromium() -> Iterator[Chrome]:
    """Open a browser that logs its console and its requests; raise Missing if there is none."""
    browser, driver = find_browser()
    options = ChromeOptions()
    options.binary_location = browser
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        for option in (*OPTIONS, f"--user-data-dir={profile}"):
            options.add_argument(option)
        chrome = Chrome(options, ChromeService(driver))
        chrome.set_page_load_timeout(15)  # now and then it does not notice that a page is there
        try:
            yield chrome
        finally:
            chrome.quit()


def show(chrome: Chrome, page: Path, *, width: int = 1280, dark: bool = False) -> None:
    """Open a page at a width in CSS pixels, by a reader who prefers light or dark, and wait.

    A page narrower than 600 is shown as on a phone.
    """
    size = {"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": width < 600}
    command(chrome, "Emulation.setDeviceMetricsOverride", **size)
    prefer(chrome, dark=dark)
    try:
        chrome.get(page.as_uri())
    except TimeoutException:
        chrome.get(page.as_uri())
    chrome.execute_async_script(SETTLED)


def prefer(chrome: Chrome, *, dark: bool) -> None:
    """Let the reader prefer the dark, or the light."""
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    command(chrome, "Emulation.setEmulatedMedia", features=[scheme])


def command(chrome: Chrome, name: str, **parameters: Any) -> Any:
    """Give the browser a command of its DevTools protocol."""
    return chrome.execute_cdp_cmd(name, parameters)
