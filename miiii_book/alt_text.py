"""Figures of executed chapters: each has a picture, and a text that states what was found."""

import ast
import re
from typing import Any

from nbformat import NotebookNode

PLACE = re.compile(r"\{(\w+)(?::([^{}]*))?\}")  # as in the role: {share} or {share:.2f}
GLUED = "application/papermill.record/text/plain"  # where `glue(..., display=False)` puts a value


class FigureError(ValueError):
    """A figure lacks its picture, or its alternative text a value that it names."""


def fill(notebook: NotebookNode) -> None:
    """Put glued values into the alternative texts of an executed notebook.

    A text names a value in braces, with a format if it is to have one, as the role ``glue:text``
    takes it; the value may be glued anywhere in the notebook.

    Raises:
        FigureError: for a name that nothing glues, or a format that does not fit its value.
    """
    values = {
        output.metadata["scrapbook"]["name"]: output.data[GLUED]
        for cell in notebook.cells
        for output in cell.get("outputs", ())
        if "scrapbook" in output.get("metadata", {}) and GLUED in output.data
    }

    def value(place: re.Match[str]) -> str:
        name, form = place.groups(default="")
        if name not in values:
            raise FigureError(f"the alt text {place.string!r} names {name!r}, which nothing glues")
        try:
            return format(_read(values[name]), form)
        except ValueError as error:
            raise FigureError(
                f"{place[0]} in an alt text will not do for {values[name]}: {error}"
            ) from error

    for cell in notebook.cells:
        image = cell.metadata.get("mystnb", {}).get("image", {})
        if "alt" in image:
            image["alt"] = PLACE.sub(value, image["alt"])


def check_pictures(notebook: NotebookNode) -> None:
    """Raise a FigureError if the cell of a figure has drawn nothing."""
    for cell in notebook.cells:
        figure = cell.metadata.get("mystnb", {}).get("figure")
        kinds = [kind for output in cell.get("outputs", ()) for kind in output.get("data", ())]
        if figure and not any(kind.startswith("image/") for kind in kinds):
            shown = ", ".join(kinds) or "nothing"
            raise FigureError(f"{figure['name']} shows {shown}; its cell must end with a figure")


def _read(written: str) -> Any:
    """Return a value as Python writes it; nan and inf, which are no literals, too."""
    return float(written) if written in ("nan", "inf", "-inf") else ast.literal_eval(written)
