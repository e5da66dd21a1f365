"""Alternative texts of figures that state what was found: glued values, filled in."""

import ast
import re
from collections.abc import Mapping
from typing import Any

import nbformat
from nbformat import NotebookNode

PLACE = re.compile(r"\{(\w+)(?::([^{}]*))?\}")  # as in the role: {share} or {share:.2f}
GLUED = "application/papermill.record/text/plain"  # where `glue(..., display=False)` puts a value


class AltTextError(ValueError):
    """An alternative text asks for a value that nothing glues, or not in that form."""


def told(notebook: NotebookNode) -> NotebookNode:
    """A copy of an executed notebook in which alternative texts hold the values they name.

    A value is named in braces, with a format if it is to have one, as the role ``glue:text``
    takes it; it may be glued anywhere in the notebook.

    Raises:
        AltTextError: for a name that nothing glues, or a format that does not fit its value.
    """
    copy = nbformat.from_dict(notebook)
    values = glued(copy)
    for cell in copy.cells:
        image = cell.metadata.get("mystnb", {}).get("image", {})
        if "alt" in image:
            image["alt"] = _filled(image["alt"], values)
    return copy


def glued(notebook: NotebookNode) -> dict[str, str]:
    """What an executed notebook glued without showing it, as Python writes it, by its name."""
    found = {}
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            name = output.get("metadata", {}).get("scrapbook", {}).get("name")
            if name is not None and GLUED in output.data:
                found[name] = output.data[GLUED]
    return found


def _filled(text: str, values: Mapping[str, str]) -> str:
    def value(place: re.Match[str]) -> str:
        name, form = place.groups(default="")
        if name not in values:
            raise AltTextError(f"an alt text names {name!r}, which nothing glues: {text!r}")
        try:
            return format(_read(values[name]), form)
        except ValueError as error:
            raise AltTextError(
                f"{place[0]} in an alt text will not do for {values[name]}: {error}"
            ) from error

    return PLACE.sub(value, text)


def _read(written: str) -> Any:
    """A value as Python writes it; nan and inf, which are no literals, too."""
    return float(written) if written in ("nan", "inf", "-inf") else ast.literal_eval(written)
