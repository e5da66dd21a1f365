"""Arrays in, matplotlib figures out; nothing here saves or shows.

A figure shows itself as the last line of a notebook cell; any array will do: NumPy, JAX, lists.
"""

from .effects import bar_panels, by_prime, dot_rows
from .grids import grid_plots, heat_maps, input_grid, neuron_panel
from .style import panels
from .tables import table
from .training import curves, grokking_figure, progress_figure, ranking, training_maps
from .waves import phase_panels, polar_naturals, wave_chart

__all__ = [ 
    "bar_panels", "by_prime", "dot_rows",
    "grid_plots", "heat_maps", "input_grid", "neuron_panel", "panels", "table",
    "curves", "grokking_figure", "progress_figure", "ranking", "training_maps",
    "phase_panels", "polar_naturals", "wave_chart",
]  # fmt: skip
