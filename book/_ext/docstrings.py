"""Docstrings as autodoc reads them: formulas between dollars become reStructuredText."""

import re
from typing import Any

# A display formula, an inline one, code, or a sign that reStructuredText would take for markup.
PARTS = re.compile(r"^( *)\$\$(.+?)\$\$$|\$([^$]+)\$|(`+[^`]+`+)|([|*\\])", re.M | re.S)


def setup(app: Any) -> dict[str, bool]:
    """Have every docstring translated."""
    app.connect("autodoc-process-docstring", _translate)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _translate(app: Any, what: str, name: str, it: Any, options: Any, lines: list[str]) -> None:
    lines[:] = PARTS.sub(_part, "\n".join(lines)).split("\n")


def _part(found: re.Match[str]) -> str:
    indent, display, inline, code, sign = found.groups()
    if display is not None:
        return f"{indent}.. math:: {' '.join(display.split())}\n"
    if inline is not None:
        return f":math:`{' '.join(inline.split())}`"
    return code or f"\\{sign}"
