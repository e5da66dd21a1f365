"""What the prose of a chapter stands on: values that it shows, and verdicts that it relies on."""

from typing import Any

from IPython.core.getipython import get_ipython
from IPython.display import HTML, display
from myst_nb import glue

INJECTED = "# Parameters\n"  # how papermill begins the cell that gives a chapter other parameters
MARK = "other-runs"  # class of the banner
BANNER = (
    "The prose of this page speaks of the runs that come with the book. Here they are others, so "
    "that numbers and figures may not agree with its sentences."
)
_told: set[int] = set()  # notebooks that have shown the banner


def publish(**values: Any) -> None:
    """Let the text show values by name, as in ``{glue:text}`share:.0%```, and alt texts as well.

    Args:
        values: Numbers, texts, and arrays of one number.
    """
    for name, value in values.items():
        glue(name, _plain(name, value), display=False)


def expects(claim: str, verdict: str) -> None:
    """Fail if the runs that come with the book no longer say of a claim what the prose says.

    On other parameters than the chapter's own nothing fails: a banner says, once, that the prose
    speaks of other runs.

    Args:
        claim: Key of the claim, such as ``filter``.
        verdict: The verdict, or its first word: reproduced, partly, not.

    Raises:
        AssertionError: if the verdict is another one.
        ValueError: for a claim that the ledger does not have.
    """
    from .ledger import examine_shipped, find_claim

    statement = find_claim(claim).statement
    if has_other_parameters():
        shell = id(get_ipython())
        if shell not in _told:
            display(HTML(f'<div class="admonition warning {MARK}"><p>{BANNER}</p></div>'))
        _told.add(shell)
        return
    found = str(examine_shipped(claim).verdict)
    if verdict not in (found, found.split()[0]):
        raise AssertionError(
            f"the prose takes the claim {claim!r} ({statement}) to be {verdict!r}, but the runs "
            f"that come with the book say {found!r}: rewrite the paragraphs that speak of it, then "
            f'write page.expects("{claim}", "{found}")'
        )


def has_other_parameters() -> bool:
    """Return whether papermill gave the notebook that runs this parameters of its own."""
    shell = get_ipython()
    cells = shell.user_ns.get("In", []) if shell else []
    return any(str(cell).startswith(INJECTED) for cell in cells)


def _plain(name: str, value: Any) -> Any:
    """Return a value as a number or text of Python's own, whose repr a format can read."""
    if getattr(value, "size", None) == 1 and hasattr(value, "item"):
        value = value.item()
    if isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return str(value)
    raise TypeError(f"{name} is of type {type(value).__name__}; publish numbers and texts")
