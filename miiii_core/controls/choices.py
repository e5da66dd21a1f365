"""What a reader can choose by, as native inputs: keyboards, touch and screen readers know them."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np

from ..figures.style import line_look
from .drawing import stroke

# JupyterLab would take the arrows of a focused input for its own; this tells it not to.
OWN_KEYS = 'data-lm-suppress-shortcuts="true"'
_BUTTON = f'<button type="button" {OWN_KEYS}'


@dataclass(frozen=True, kw_only=True)
class Choice:
    """One of several values, or some of them.

    Attributes:
        label: what is chosen, with its unit if it has one.
        names: of the values, as they are shown.
        kind: slider, menu or boxes.
        start: positions chosen at first; one, but for boxes.
        play: whether a slider has a button that runs through its values.
    """

    label: str
    names: tuple[str, ...]
    kind: str
    start: tuple[int, ...]
    play: bool = False

    @property
    def said(self) -> str:
        """What is chosen at first, in words; lines that are ticked speak for themselves."""
        return "" if self.kind == "boxes" else f"{self.label} {self.names[self.start[0]]}"

    def html(self) -> str:
        """The input elements, with their labels."""
        inner = {"slider": self._slider, "menu": self._menu, "boxes": self._boxes}[self.kind]()
        label = escape(self.label)
        return (
            f'<div class="choice" role="group" data-kind="{self.kind}" data-label="{label}" '
            f'aria-label="{label}">{inner}</div>'
        )

    def _slider(self) -> str:
        (start,), label = self.start, escape(self.label)
        value = escape(self.names[start])
        play = f'{_BUTTON} class="play" aria-label="play: {label}">Play</button>'
        return (
            f'<label><span class="name">{label} <b class="value">{value}</b></span>'
            f'<input type="range" {OWN_KEYS} min="0" max="{len(self.names) - 1}" step="1" '
            f'value="{start}" aria-label="{label}" aria-valuetext="{value}"></label>'
            f'<span class="buttons">{_BUTTON} data-step="-1" aria-label="previous: {label}">‹'
            f'</button>{_BUTTON} data-step="1" aria-label="next: {label}">›</button>'
            f"{play if self.play else ''}</span>"
        )

    def _menu(self) -> str:
        options = "".join(
            f"<option{' selected' if i in self.start else ''}>{escape(name)}</option>"
            for i, name in enumerate(self.names)
        )
        return f"<label>{escape(self.label)} <select {OWN_KEYS}>{options}</select></label>"

    def _boxes(self) -> str:
        """A box for each value, with the look of its line."""
        return "".join(
            f'<label class="box"><input type="checkbox" {OWN_KEYS}'
            f"{' checked' if i in self.start else ''}>"
            f'<svg viewBox="0 0 28 8" aria-hidden="true"><path d="M0 4H28" '
            f"{stroke(line_look(i))}/></svg>{escape(name)}</label>"
            for i, name in enumerate(self.names)
        )


def slider(
    label: str, values: Sequence[Any] | np.ndarray, *, start: int | None = None, play: bool = False
) -> Choice:
    """One of many values in order, such as epochs or the numbers of neurons.

    Args:
        label: what is chosen, such as "epoch".
        values: numbers or texts, in the order of the frames.
        start: position chosen at first; by default the last if it plays, else the first.
        play: add a button that runs through the values, from the first.
    """
    names = _names(label, values)
    first = (len(names) - 1 if play else 0) if start is None else start
    return Choice(label=label, names=names, kind="slider", start=_within([first], names), play=play)


def menu(label: str, values: Sequence[Any] | np.ndarray, *, start: int = 0) -> Choice:
    """One of a few values, from a list that opens."""
    names = _names(label, values)
    return Choice(label=label, names=names, kind="menu", start=_within([start], names))


def boxes(label: str, values: Sequence[Any] | np.ndarray, *, start: Sequence[int] = (0,)) -> Choice:
    """Any number of values, each with a box to tick; for the lines of a panel."""
    names = _names(label, values)
    return Choice(label=label, names=names, kind="boxes", start=_within(start, names))


def _names(label: str, values: Sequence[Any] | np.ndarray) -> tuple[str, ...]:
    """Values as texts, whole numbers with their thousands parted."""
    number = int | np.integer
    names = tuple(f"{v:,}" if isinstance(v, number) else str(v) for v in values)
    if not names or len(set(names)) < len(names):
        raise ValueError(
            f"{label!r} has the values {list(names)}; give at least one, all different"
        )
    return names


def _within(start: Sequence[int], names: tuple[str, ...]) -> tuple[int, ...]:
    """Positions from the front, each once; negative ones count from the end."""
    count = len(names)
    if not start or any(not -count <= position < count for position in start):
        raise ValueError(f"start is {list(start)}; give positions from 0 to {count - 1}")
    return tuple(dict.fromkeys(position % count for position in start))
