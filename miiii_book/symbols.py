"""Names of tasks, matrices and digits as the symbols they are, in HTML."""

import html
import re

NAMES = re.compile(r"\b(?:([TW])_(\w+)|(x)([01]))\b")


def set_symbols(text: str) -> str:
    """Return a text as HTML: T_miiii and W_E in italics with an index, x0 and x1 likewise."""
    return NAMES.sub(lambda m: f"<i>{m[1] or m[3]}</i><sub>{m[2] or m[4]}</sub>", html.escape(text))
