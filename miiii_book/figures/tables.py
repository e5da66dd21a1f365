"""Small tables for a notebook: columns in, a table out that a page and a terminal can show."""

import csv
import io
from collections.abc import Iterable, Mapping
from numbers import Real
from typing import Any
from urllib.parse import quote

from tabulate import tabulate

from miiii_core.losses import NEVER

from ..symbols import set_symbols

RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


class Table(dict[str, list[Any]]):
    """Values by the name of their column."""

    def _repr_html_(self) -> str:
        shown = self._as("unsafehtml").replace("<table>", '<table class="table">', 1)
        data = f"data:text/csv;charset=utf-8,{quote(self.csv())}"
        link = f'<a class="csv" download="table.csv" href="{data}">CSV, in full precision</a>'
        return shown + link

    def csv(self) -> str:
        """Return the values in full precision as comma-separated lines."""
        lines, rows = io.StringIO(), zip(*self.values(), strict=True)
        csv.writer(lines, lineterminator="\n").writerows([self, *rows])
        return lines.getvalue()

    def __repr__(self) -> str:
        """Return the columns aligned by spaces."""
        return self._as("plain")

    def _as(self, form: str) -> str:
        said = set_symbols if form == "unsafehtml" else str
        texts = {said(n): [said(_text(v)) for v in column] for n, column in self.items()}
        numeric = (all(isinstance(v, Real | None) for v in c) for c in self.values())
        sides = ["right" if number else "left" for number in numeric]
        return tabulate(texts, "keys", form, colalign=sides, disable_numparse=True)


def table(columns: Mapping[str, Iterable[Any]]) -> Table:
    """Return a table of columns, their values from the top; None and NaN become a dash."""
    values = Table({name: list(column) for name, column in columns.items()})
    lengths = {name: len(column) for name, column in values.items()}
    if len(set(lengths.values())) != 1:
        raise ValueError(f"columns have lengths {lengths}; give at least one, all of one length")
    return values


def _text(value: Any) -> str:
    """Return whole numbers in full, others to three digits, `NEVER` in words, the rest as it is."""
    if value is None or value != value:
        return "–"
    if not isinstance(value, Real):
        return str(value)
    number = float(value)
    if number == NEVER:
        return "never"
    if number.is_integer() and abs(number) < 1e15:
        return f"{number:,.0f}"
    digits, _, exponent = f"{number:.3g}".partition("e")
    return digits + (f"·10{str(int(exponent)).translate(RAISED)}" if exponent else "")
