"""Arrays in, matplotlib figures out; nothing here saves or shows.

Every function returns a `matplotlib.figure.Figure`. As the last line of a notebook cell it
is shown once; ``figure.savefig(path)`` writes it. Functions of one panel also draw into
``axes``, if given. Any array will do: NumPy, JAX, lists.
"""

from .addition import TimePanel, frequency_stations, phase_panels, progress_figure, share_bars
from .basis import wave_chart
from .circuits import circuit_grid, selectivity_maps
from .effects import by_prime, dose_curves, effect_bars, effect_matrix, ranking
from .grids import (
    attention_maps,
    grid_plot,
    grid_plots,
    heat_map,
    heat_maps,
    input_grid,
    neuron_panel,
    target_grids,
)
from .networks import beyond_training, function_maps, network_graph, wave_shares
from .periods import agreement_panels, polar_naturals, sieve_bars
from .search import choice_panels
from .spectra import (
    filter_response,
    fourier_embedding_figure,
    frequency_map,
    positional_embedding_figure,
    singular_values_figure,
    singular_vectors_figure,
)
from .training import curves, grokking_figure, norm_map, training_map, training_maps
from .variations import answer_spread, learning_order, task_standings
from .waves import seed_dots, wave_lives

__all__ = [
    "TimePanel",
    "agreement_panels",
    "answer_spread",
    "attention_maps",
    "beyond_training",
    "by_prime",
    "choice_panels",
    "circuit_grid",
    "curves",
    "dose_curves",
    "effect_bars",
    "effect_matrix",
    "filter_response",
    "fourier_embedding_figure",
    "frequency_map",
    "frequency_stations",
    "function_maps",
    "grid_plot",
    "grid_plots",
    "grokking_figure",
    "heat_map",
    "heat_maps",
    "input_grid",
    "learning_order",
    "network_graph",
    "neuron_panel",
    "norm_map",
    "phase_panels",
    "polar_naturals",
    "positional_embedding_figure",
    "progress_figure",
    "ranking",
    "seed_dots",
    "selectivity_maps",
    "share_bars",
    "sieve_bars",
    "singular_values_figure",
    "singular_vectors_figure",
    "target_grids",
    "task_standings",
    "training_map",
    "training_maps",
    "wave_chart",
    "wave_lives",
    "wave_shares",
]
