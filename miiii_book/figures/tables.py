"""Small tables for a notebook: columns in, a table out that a page and a terminal can show."""

import csv
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any
from urllib.parse import quote

from tabulate import tabulate

MISSING = "–"


@dataclass(frozen=True)
class Table:
    """Texts by the name of their column, and the side, left or right, on which each stands."""

    columns: Mapping[str, list[str]]
    sides: list[str]
    values: Mapping[str, list[Any]]  #: The same, as they were given

    def _repr_html_(self) -> str:
        shown = self._as("html").replace("<table>", '<table class="table">', 1)
        data = f"data:text/csv;charset=utf-8,{quote(self.csv())}"
        link = f'<a class="csv" download="table.csv" href="{data}">CSV, in full precision</a>'
        return shown + link

    def csv(self) -> str:
        """Return the values in full precision as comma-separated lines."""
        lines = io.StringIO()
        csv.writer(lines, lineterminator="\n").writerows(
            [self.values, *zip(*self.values.values(), strict=True)]
        )
        return lines.getvalue()

    def __repr__(self) -> str:
        """Return the columns aligned by spaces."""
        return self._as("plain")

    def _as(self, form: str) -> str:
        return tabulate(self.columns, "keys", form, colalign=self.sides, disable_numparse=True)


def table(columns: Mapping[str, Iterable[Any]]) -> Table:
    """Return a table of columns, their values from the top; None and NaN become a dash."""
    values = {name: list(column) for name, column in columns.items()}
    lengths = {name: len(column) for name, column in values.items()}
    if len(set(lengths.values())) != 1:
        raise ValueError(f"columns have lengths {lengths}; give at least one, all of one length")
    texts = {name: list(map(_text, column)) for name, column in values.items()}
    numeric = (all(isinstance(v, Real | None) for v in column) for column in values.values())
    return Table(texts, ["right" if number else "left" for number in numeric], values)


def _text(value: Any) -> str:
    """Return whole numbers in full, others to three digits, the rest as they are."""
    if value is None or value != value:
        return MISSING
    if not isinstance(value, Real):
        return str(value)
    number = float(value)
    return f"{number:,.0f}" if number.is_integer() and abs(number) < 1e15 else f"{number:.3g}"
