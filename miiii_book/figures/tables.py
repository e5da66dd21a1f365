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
        rows: One text per column in each; names of the columns first.
        numeric: Whether a column holds numbers, which stand to the right.
    """

    rows: tuple[tuple[str, ...], ...]
    numeric: tuple[bool, ...]

    def _repr_html_(self) -> str:
        sides = ["right" if number else "left" for number in self.numeric]
        lines: list[str] = []
        for row in self.rows:
            tag, cells = "td" if lines else "th", zip(sides, map(html.escape, row), strict=True)
            line = "".join(f'<{tag} style="text-align: {s}">{text}</{tag}>' for s, text in cells)
            lines.append(f"<tr>{line}</tr>\n")
        head, body = lines[0].rstrip(), "".join(lines[1:])
        return f'<table class="table">\n<thead>{head}</thead>\n<tbody>{body}</tbody></table>'

    def __repr__(self) -> str:
        """Return the columns aligned by spaces."""
        widths = [max(map(len, column)) for column in zip(*self.rows, strict=True)]
        sides = [">" if number else "<" for number in self.numeric]
        form = "  ".join(f"{{:{s}{w}}}" for s, w in zip(sides, widths, strict=True))
        return "\n".join(form.format(*row).rstrip() for row in self.rows)


def table(columns: Mapping[str, Iterable[Any]]) -> Table:
    """Return a table of columns, their values from the top; None and NaN become a dash."""
    values = {name: list(column) for name, column in columns.items()}
    lengths = {name: len(column) for name, column in values.items()}
    if len(set(lengths.values())) != 1:
        raise ValueError(f"columns have lengths {lengths}; give at least one, all of one length")
    texts = [[name, *map(_text, column)] for name, column in values.items()]
    number = int | float | np.integer | np.floating | None
    numeric = (
        all(isinstance(v, number) and not isinstance(v, bool) for v in column)
        for column in values.values()
    )
    return Table(tuple(zip(*texts, strict=True)), tuple(numeric))


def _text(value: Any) -> str:
    """Return whole numbers in full, others to three digits, the rest as they are."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return MISSING
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    whole = isinstance(value, int) or (value.is_integer() and 1 <= abs(value) < 1e15)
    return f"{value:,.0f}" if whole else f"{value:.3g}"
