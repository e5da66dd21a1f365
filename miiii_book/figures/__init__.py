"""Arrays in, matplotlib figures out; nothing here saves or shows.

A figure shows itself as the last line of a notebook cell; any array will do: NumPy, JAX, lists.

Arguments that several functions share: `label` says what values are, with the unit, `across` what
the horizontal axis is, and `labels` what the vertical and the horizontal one are; `log` asks for a
log scale of the values; `levels` are values to compare with, by name, and drawn as dashed lines;
`controls` are drawn in grey; at most `columns` panels stand in a row; `axes` is where to draw, a
new figure by default.
"""

from .effects import bar_panels, by_prime, dot_rows, outcomes, pairs, spans, stacked
from .grids import grid_plots, heat_maps, neuron_panel, phase_panels, polar_naturals
from .style import panels
from .tables import table
from .training import curves, grokking_figure, training_maps

__all__ = [
    "bar_panels", "by_prime", "curves", "dot_rows", "grid_plots", "grokking_figure", "heat_maps",
    "neuron_panel", "outcomes", "pairs", "panels", "phase_panels", "polar_naturals", "spans",
    "stacked", "table", "training_maps",
]  # fmt: skip
