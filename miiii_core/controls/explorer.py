"""Choices and the panels that follow them, as one piece of a page."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import numpy as np

from .charts import Lines
from .choices import Choice
from .panels import Panel

HERE = Path(__file__).parent
LIVE = '<strong class="live">Works on this page.</strong>'


@dataclass(frozen=True, kw_only=True)
class Explorer:
    """What `explorer` makes; a notebook shows it through `_repr_html_`.

    Attributes:
        choices: what a reader can choose, first the one whose axis comes first.
        panels: what follows.
        caption: below them.
    """

    choices: tuple[Choice, ...]
    panels: tuple[Panel, ...]
    caption: str

    @property
    def frame(self) -> int:
        """The frame shown at first, in C order over all choices."""
        lengths = tuple(len(choice.names) for choice in self.choices)
        return int(np.ravel_multi_index([choice.start[0] for choice in self.choices], lengths))

    @property
    def said(self) -> str:
        """What is shown at first, in words."""
        chosen = ", ".join(choice.said for choice in self.choices if choice.said)
        shown = "; ".join(words for panel in self.panels for words in self._words(panel))
        return f"{chosen}: {shown}" if chosen else shown

    def _words(self, panel: Panel) -> list[str]:
        """What a panel says at first, of each chosen line or of the frame."""
        shown = self.choices[0].start if isinstance(panel, Lines) else [self.frame]
        return [panel.said[position] for position in shown]

    def _repr_html_(self) -> str:
        """The picture first, then the script that wakes it: so it stands without the script."""
        chosen = self.choices[0].start
        plots = "".join(
            f'<div class="plot">{p.still(self.frame, chosen)}</div>' for p in self.panels
        )
        parts = [[panel.data() for panel in self.panels], [choice.names for choice in self.choices]]
        data = json.dumps(parts, separators=(",", ":"))
        style, script = ((HERE / f"explorer.{kind}").read_text() for kind in ("css", "js"))
        return (
            f"<style>{style}</style>\n"
            '<figure class="miiii-explorer">\n'
            f'<div class="choices" hidden>{"".join(c.html() for c in self.choices)}</div>\n'
            f'<div class="plots">{plots}</div>\n'
            f'<output aria-live="polite">{escape(self.said)}</output>\n'
            f"<figcaption>{LIVE} {escape(self.caption)}</figcaption>\n"
            # In JSON only strings can hold a "<", and there it may be written so.
            f'<script type="application/json">{data.replace("<", chr(92) + "u003c")}</script>\n'
            f"</figure>\n<script>{script}</script>"
        )

    def __repr__(self) -> str:
        """The same in a line, for a terminal."""
        return f"Explorer({self.said})"


def explorer(choices: Sequence[Choice], panels: Sequence[Panel], *, caption: str) -> Explorer:
    """Join choices and panels.

    Args:
        choices: from `slider`, `menu` or `boxes`. Every panel has one frame for each combination
            of their values, the first choice being the first axis; `lines` follow one choice alone.
        panels: from `heat_map`, `bars` or `lines`.
        caption: below them: what is shown, and what to look for.

    Raises:
        ValueError: if there is nothing to choose or show, or the two do not fit.
    """
    if not choices or not panels:
        raise ValueError("an explorer needs at least one choice and one panel")
    lengths = tuple(len(choice.names) for choice in choices)
    for panel in panels:
        if panel.frames != lengths:
            wanted = " × ".join(f"{len(c.names)} ({c.label})" for c in choices)
            raise ValueError(
                f"the panel {panel.title!r} has frames {panel.frames}; the choices ask for {wanted}"
            )
        if any(choice.kind == "boxes" for choice in choices) and not isinstance(panel, Lines):
            raise ValueError(
                f"boxes choose several, and the panel {panel.title!r} shows one; "
                "give it a slider or a menu"
            )
    return Explorer(choices=tuple(choices), panels=tuple(panels), caption=caption)
