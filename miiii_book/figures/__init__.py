"""Arrays of any kind in, matplotlib figures out, which show themselves in a notebook.

Arguments that several functions share: `label` says what values are, with the unit, `across` what
the horizontal axis is, and `labels` what the vertical and the horizontal one are; `log` asks for a
log scale of the values; `levels` are values to compare with, by name, and drawn as dashed lines;
`controls` are drawn in grey; at most `columns` panels stand in a row; `axes` is where to draw, a
new figure by default. Mappings are by title or name, from the top or the left.
"""

from .effects import bar_panels, by_prime, dot_rows, rows, stacked
from .grids import grid_plots, heat_maps, neuron_panel, phase_panels, polar_naturals
from .style import panels
from .tables import table
from .training import curves, grokking_figure, training_maps

__all__ = [
    "bar_panels", "by_prime", "curves", "dot_rows", "grid_plots", "grokking_figure", "heat_maps",
    "neuron_panel", "panels", "phase_panels", "polar_naturals", "rows", "stacked", "table",
    "training_maps",
]  # fmt: skip
