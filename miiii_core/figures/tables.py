"""Small tables for a notebook: columns in, a table out that a page and a terminal can show."""

import html
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

MISSING = "–"


@dataclass(frozen=True)
class Table:
    """Columns of text; a notebook shows it through `_repr_html_`, a terminal through `repr`.

    Attributes:
        names: of the columns.
        rows: one text per column in each.
        numeric: whether a column holds numbers, which stand to the right.
    """

    names: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numeric: tuple[bool, ...]

    def _repr_html_(self) -> str:
        head = "".join(self._cell("th", i, name) for i, name in enumerate(self.names))
        lines = [
            "".join(self._cell("td", i, text) for i, text in enumerate(row)) for row in self.rows
        ]
        body = "".join(f"<tr>{line}</tr>\n" for line in lines)
        return (
            f'<table class="table">\n<thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody></table>'
        )

    def _cell(self, tag: str, column: int, text: str) -> str:
        side = "right" if self.numeric[column] else "left"
        return f'<{tag} style="text-align: {side}">{html.escape(text)}</{tag}>'

    def __repr__(self) -> str:
        """Columns aligned by spaces."""
        lines = [self.names, *self.rows]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        sides = [">" if number else "<" for number in self.numeric]
        return "\n".join(
            "  ".join(f"{t:{s}{w}}" for t, s, w in zip(line, sides, widths, strict=True)).rstrip()
            for line in lines
        )


def table(columns: Mapping[str, Iterable[Any]], *, digits: int = 3) -> Table:
    """A table of columns.

    Args:
        columns: the values of each, from the top, by its name. A value that is missing (None
            or NaN) is shown as a dash.
        digits: significant digits of numbers that are not whole.

    Raises:
        ValueError: if there are no columns, or not all are of one length.
    """
    values = {name: list(column) for name, column in columns.items()}
    lengths = {name: len(column) for name, column in values.items()}
    if len(set(lengths.values())) != 1:
        raise ValueError(f"columns have lengths {lengths}; give at least one, all of one length")
    texts = [[_text(value, digits) for value in column] for column in values.values()]
    numeric = tuple(_is_numeric(column) for column in values.values())
    return Table(tuple(values), tuple(zip(*texts, strict=True)), numeric)


def _text(value: Any, digits: int) -> str:
    """Whole numbers in full, others to so many significant digits, the rest as they are."""
    if value is None or (isinstance(value, float | np.floating) and np.isnan(value)):
        return MISSING
    if isinstance(value, int | np.integer) and not isinstance(value, bool):
        return f"{value:,}"
    if isinstance(value, float | np.floating):
        return _real(float(value), digits)
    return str(value)


def _real(value: float, digits: int) -> str:
    whole = value.is_integer() and 1 <= abs(value) < 1e15
    return f"{value:,.0f}" if whole else f"{value:.{digits}g}"


def _is_numeric(column: list[Any]) -> bool:
    number = int | float | np.integer | np.floating | None
    return all(isinstance(value, number) and not isinstance(value, bool) for value in column)
