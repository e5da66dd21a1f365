"""What a chapter says of itself: values for its prose and alternative texts, and verdicts."""

import functools
import re
from typing import Any

from IPython.core.getipython import get_ipython
from IPython.display import HTML, display
from myst_nb import glue

INJECTED = "# Parameters\n"  # how papermill begins the cell that gives a chapter other parameters
MARK = "other-runs"  # class of the banner
BANNER = f"""<div class="admonition warning {MARK}"><p>The prose of this page speaks of the
runs that come with the book. Here parameters are others, so that numbers and figures may not agree
with its sentences.</p></div>"""
MOST_WORDS = 4  # of a published text: a name, no sentence


def publish(**values: Any) -> None:
    """Let prose and alt texts show numbers and texts by name, as in ``{glue:text}`share:.0%```."""
    _has_other_parameters(id(get_ipython()))
    for name, value in values.items():
        glue(name, _plain(name, value), display=False)


def expects(claim: str, verdict: str) -> None:
    """Fail if the runs that come with the book no longer say of a claim what the prose says.

    On other parameters than the chapter's own nothing fails.
    """
    from .ledger import examine_shipped, find_claim

    statement = find_claim(claim).statement
    if _has_other_parameters(id(get_ipython())):
        return
    if verdict != (found := str(examine_shipped(claim).verdict)):
        raise AssertionError(
            f"the prose takes the claim {claim!r} ({statement}) to be {verdict!r}, but the runs "
            f"that come with the book say {found!r}: rewrite the paragraphs that speak of it, then "
            f'write page.expects("{claim}", "{found}")'
        )


@functools.cache
def _has_other_parameters(shell: int) -> bool:
    """Return whether a notebook has other parameters than its own, after it was shown a banner."""
    cells = shell_now.user_ns["In"] if (shell_now := get_ipython()) else []
    if others := any(cell.startswith(INJECTED) for cell in cells):
        display(HTML(BANNER))
    return others


def _plain(name: str, value: Any) -> Any:
    """Return a value as a number or text of Python's own, whose repr a format can read."""
    if getattr(value, "size", None) == 1:
        value = value.item()
    if isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        if len(re.findall(r"[^\W\d_]{2,}", value)) > MOST_WORDS:
            raise ValueError(f"{name} is the text {value!r}; sentences are written by hand")
        return str(value)
    raise TypeError(f"{name} is of type {type(value).__name__}; publish numbers and texts")
