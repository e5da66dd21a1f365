"""The API of `miiii_core`: a page for each module, made while the site is, outside the sidebar.

The pages are written when everything but them has been found, so that the table of contents, which
leaves out what it does not name, does not know of them; they are removed when the site is built.
"""

import re
import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

PACKAGE = "miiii_core"
FOLDER = "api"
# The order in which a reader of the code meets them; others follow by name.
STORY = """config presets tasks model losses optim probes train batch files stored runs
fourier waves shares interventions addition cli""".split()
PAGE = """---
orphan: true
---
# {name}

```{{eval-rst}}
.. automodule:: {package}.{name}
   :members:
```
"""
INDEX = """---
orphan: true
---
# The package, module by module

What anybody needs for an experiment of their own. Each module imports only what stands before it.

{links}
"""
# A display formula, an inline one, code, or a sign that reStructuredText would take for markup.
PARTS = re.compile(r"^( *)\$\$(.+?)\$\$$|\$([^$]+)\$|(`+[^`]+`+)|([|*\\])", re.M | re.S)


def write_pages(app: Sphinx) -> None:
    """Write a page for each module, and one that leads to them."""
    origin = getattr(find_spec(PACKAGE), "origin", None) or ""
    found = {path.stem for path in Path(origin).parent.glob("*.py")} - {"__init__", "__main__"}
    names = [name for name in STORY if name in found] + sorted(found - set(STORY))
    folder = Path(app.srcdir, FOLDER)
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / f"{name}.md").write_text(PAGE.format(name=name, package=PACKAGE))
    links = "\n".join(f"- {{doc}}`{name}`" for name in names)
    (folder / "index.md").write_text(INDEX.format(links=links))


def remove_pages(app: Sphinx, error: Exception | None) -> None:
    """Remove them again, or the next build would find them."""
    shutil.rmtree(Path(app.srcdir, FOLDER), ignore_errors=True)


def translate(app: Sphinx, what: str, name: str, it: Any, options: Any, lines: list[str]) -> None:
    """Turn the formulas of a docstring, which stand between dollars, into reStructuredText."""
    lines[:] = PARTS.sub(_part, "\n".join(lines)).split("\n")


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx; pages that a build has left behind go before any is looked for."""
    remove_pages(app, None)
    app.connect("builder-inited", write_pages)
    app.connect("build-finished", remove_pages)
    app.connect("autodoc-process-docstring", translate)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _part(found: re.Match[str]) -> str:
    indent, display, inline, code, sign = found.groups()
    if display is not None:
        return f"{indent}.. math:: {' '.join(display.split())}\n"
    if inline is not None:
        return f":math:`{' '.join(inline.split())}`"
    return code or f"\\{sign}"
