"""Arrays in, matplotlib figures out; nothing here saves or shows.

Every function returns a `matplotlib.figure.Figure` that shows itself as the last line of a
notebook cell; ``figure.savefig(path)`` writes it. What is drawn comes as a mapping of names to
arrays: NumPy, JAX, lists.
"""

from .effects import bar_panels, by_prime, dot_rows, network_graph, share_bars
from .grids import folded, grid_plots, heat_maps, input_grid, neuron_panel
from .style import panels
from .tables import table
from .training import curves, grokking_figure, progress_figure, ranking, training_maps
from .waves import phase_panels, polar_naturals, wave_chart

__all__ = [
    "bar_panels",
    "by_prime",
    "curves",
    "dot_rows",
    "folded",
    "grid_plots",
    "grokking_figure",
    "heat_maps",
    "input_grid",
    "network_graph",
    "neuron_panel",
    "panels",
    "phase_panels",
    "polar_naturals",
    "progress_figure",
    "ranking",
    "share_bars",
    "table",
    "training_maps",
    "wave_chart",
]
