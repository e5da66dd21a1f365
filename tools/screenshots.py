"""Take pictures of every page of the site: in light, in the dark, and as on a phone.

python -m tools.screenshots FOLDER [PAGE ...]
"""

import base64
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from selenium.webdriver import Chrome

from .browser import Missing, chromium, command, find_pages, resize, show

LOOKS: dict[str, dict[str, Any]] = {
    "light": {"width": 1280},
    "dark": {"width": 1280, "dark": True},
    "phone": {"width": 390},
    "phone-dark": {"width": 390, "dark": True},
}
TALLEST = 8000  # pixels of one picture; Chromium cannot paint much more at once


def main() -> int:
    """Write ``page.look.png`` for each page, and ``page.look-2.png`` ... where it is long."""
    if len(sys.argv) < 2:
        print(__doc__.strip(), file=sys.stderr)
        return 2
    folder, chosen = Path(sys.argv[1]), sys.argv[2:]
    try:
        pages = find_pages()
        names = [Path(name).name for name in pages]
        if unknown := set(chosen) - set(names):
            raise Missing(f"no page {', '.join(unknown)}; pages are {', '.join(names)}")
        folder.mkdir(parents=True, exist_ok=True)
        with chromium() as chrome:
            for page in pages.values():
                if not chosen or page.stem in chosen:
                    _take_all(chrome, page, folder)
    except Missing as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _take_all(chrome: Chrome, page: Path, folder: Path) -> None:
    for look, options in LOOKS.items():
        show(chrome, page, **options)
        for number, picture in enumerate(_pictures(chrome, options["width"]), start=1):
            part = f"-{number}" if number > 1 else ""
            (folder / f"{page.stem}.{look}{part}.png").write_bytes(picture)


def _pictures(chrome: Chrome, width: int) -> Iterator[bytes]:
    """The page from top to bottom, in as many pictures as it takes."""
    height = int(command(chrome, "Page.getLayoutMetrics")["cssContentSize"]["height"])
    resize(chrome, width, height)
    for top in range(0, height, TALLEST):
        part = {"x": 0, "y": top, "width": width, "height": min(TALLEST, height - top), "scale": 1}
        taken = command(chrome, "Page.captureScreenshot", format="png", clip=part)
        yield base64.b64decode(taken["data"])


if __name__ == "__main__":
    sys.exit(main())
