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
        names: Names of the columns.
        rows: One text per column in each.
        numeric: Whether a column holds numbers, which stand to the right.
    """

    names: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numeric: tuple[bool, ...]

    def _repr_html_(self) -> str:
        sides = ["right" if number else "left" for number in self.numeric]

        def line(tag: str, texts: tuple[str, ...]) -> str:
            cells = zip(sides, map(html.escape, texts), strict=True)
            return "".join(f'<{tag} style="text-align: {s}">{t}</{tag}>' for s, t in cells)

        head = f"<thead><tr>{line('th', self.names)}</tr></thead>"
        body = "".join(f"<tr>{line('td', row)}</tr>\n" for row in self.rows)
        return f'<table class="table">\n{head}\n<tbody>{body}</tbody></table>'

    def __repr__(self) -> str:
        """Return the columns aligned by spaces."""
        lines = [self.names, *self.rows]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        form = "  ".join(
            f"{{:{'>' if number else '<'}{width}}}"
            for number, width in zip(self.numeric, widths, strict=True)
        )
        return "\n".join(form.format(*line).rstrip() for line in lines)


def table(columns: Mapping[str, Iterable[Any]], *, digits: int = 3) -> Table:
    """Return a table of columns.

    Args:
        columns: Values of each column from the top, by its name; None and NaN become a dash.
        digits: Significant digits of numbers that are not whole.

    Raises:
        ValueError: If there are no columns, or not all are of one length.
    """
    values = {name: list(column) for name, column in columns.items()}
    lengths = {name: len(column) for name, column in values.items()}
    if len(set(lengths.values())) != 1:
        raise ValueError(f"columns have lengths {lengths}; give at least one, all of one length")
    texts = [[_text(value, digits) for value in column] for column in values.values()]
    number = int | float | np.integer | np.floating | None
    numeric = [
        all(isinstance(value, number) and not isinstance(value, bool) for value in column)
        for column in values.values()
    ]
    return Table(tuple(values), tuple(zip(*texts, strict=True)), tuple(numeric))


def _text(value: Any, digits: int) -> str:
    """Return whole numbers in full, others to so many digits, the rest as they are."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return MISSING
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    whole = isinstance(value, int) or (value.is_integer() and 1 <= abs(value) < 1e15)
    return f"{value:,.0f}" if whole else f"{value:.{digits}g}"
