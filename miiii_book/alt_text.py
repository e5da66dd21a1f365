"""Alternative texts of figures that state what was found: glued values, filled in."""

import ast
import re
from collections.abc import Mapping
from typing import Any

import nbformat
from nbformat import NotebookNode

PLACE = re.compile(r"\{(\w+)(?::([^{}]*))?\}")  # as in the role: {share} or {share:.2f}
GLUED = "application/papermill.record/text/plain"  # where `glue(..., display=False)` puts a value


class FigureError(ValueError):
    """A figure lacks its picture, or its alternative text a value that it names."""


def filled(notebook: NotebookNode) -> NotebookNode:
    """Return a copy of an executed notebook whose alternative texts hold the values they name.

    A value is named in braces, with a format if it is to have one, as the role ``glue:text``
    takes it; it may be glued anywhere in the notebook.

    Raises:
        FigureError: for a name that nothing glues, or a format that does not fit its value.
    """
    copy = nbformat.from_dict(notebook)
    values = _glued(copy)
    for cell in copy.cells:
        image = cell.metadata.get("mystnb", {}).get("image", {})
        if "alt" in image:
            image["alt"] = _fill(image["alt"], values)
    return copy


def check_pictures(notebook: NotebookNode) -> None:
    """Refuse an executed notebook in which the cell of a figure has drawn nothing.

    Raises:
        FigureError: naming the first such figure.
    """
    for cell in notebook.cells:
        figure = cell.metadata.get("mystnb", {}).get("figure")
        kinds = [kind for output in cell.get("outputs", ()) for kind in output.get("data", ())]
        if figure and not any(kind.startswith("image/") for kind in kinds):
            raise FigureError(
                f"the cell of {figure['name']} shows {', '.join(kinds) or 'nothing'}; "
                "it must end with a figure"
            )


def _glued(notebook: NotebookNode) -> dict[str, str]:
    """Return what was glued without showing it, as Python writes it, by its name."""
    found = {}
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            name = output.get("metadata", {}).get("scrapbook", {}).get("name")
            if name is not None and GLUED in output.data:
                found[name] = output.data[GLUED]
    return found


def _fill(text: str, values: Mapping[str, str]) -> str:
    def value(place: re.Match[str]) -> str:
        name, form = place.groups(default="")
        if name not in values:
            raise FigureError(f"an alt text names {name!r}, which nothing glues: {text!r}")
        try:
            return format(_read(values[name]), form)
        except ValueError as error:
            raise FigureError(
                f"{place[0]} in an alt text will not do for {values[name]}: {error}"
            ) from error

    return PLACE.sub(value, text)


def _read(written: str) -> Any:
    """Return a value as Python writes it; nan and inf, which are no literals, too."""
    return float(written) if written in ("nan", "inf", "-inf") else ast.literal_eval(written)
