"""What weights and filters are made of: singular values, Fourier components, frequencies."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize, PowerNorm
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from ..analysis.spectral import ranks_for
from . import style
from .grids import draw_image, draw_squares
from .style import checked, checked_epochs, drawn, line_look, log_time, panel, panels
from .training import log_time_mesh

MOST_SQUARES = 64


@drawn
def singular_values_figure(spectra: Mapping[str, ArrayLike]) -> Figure:
    """Singular values of several matrices, the ranks of 50 % and 90 % of σ² marked (Fig. 8).

    Args:
        spectra: singular values (rank,), largest first, by the name of their matrix.
    """
    _some(spectra, "spectra")
    ranks = {name: len(checked(values, name, "rank")) for name, values in spectra.items()}
    alike = len(set(ranks.values())) == 1  # matrices of different bases have axes of their own
    figure, axes = panels(len(spectra), 1, 0.5 + 1.7 * len(spectra), sharex=alike)
    for index, (name, values) in enumerate(spectra.items()):
        sigma = np.asarray(values, float)
        row = axes[index, 0]
        row.bar(np.arange(1, len(sigma) + 1), sigma, width=0.85, color=style.COLOURS[0])
        cumulative = np.cumsum(sigma**2) / (sigma**2).sum()
        for share, dash in ((0.5, "--"), (0.9, ":")):
            rank = int(ranks_for(cumulative, share))
            label = f"{100 * share:.0f} %: rank {rank}"
            row.axvline(rank + 0.5, color=style.COLOURS[1], linestyle=dash, label=label)
        row.set_title(style.symbols(name), loc="left")
        row.set(ylabel="singular value", xlim=(0.2, len(sigma) + 0.8))
        row.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2)  # above, clear of the bars
    axes[-1, 0].set_xlabel("rank (largest first)")
    return figure


@drawn
def singular_vectors_figure(
    vectors: ArrayLike, *, title: str = "", axes: Axes | None = None
) -> Figure:
    """Left singular vectors over the tokens, a row each (Figs. 9, 10).

    In the paper's manner up to 64 tokens; beyond, squares would be specks, and colours serve.

    Args:
        vectors: (token, rank), columns the vectors, most significant first.
        title: above the grid.
        axes: where to draw; a new figure by default.
    """
    columns = checked(vectors, "vectors", "token", "rank")
    tokens, rank = columns.shape
    many = tokens > MOST_SQUARES
    figure, axes = panel(axes, 1.0 + (0.25 * rank if many else (style.WIDTH - 0.9) * rank / tokens))
    if many:
        largest = float(np.abs(columns).max())
        image = draw_image(axes, columns.T, Normalize(-largest, largest), signed=True)
        axes.set_aspect("auto")
        figure.colorbar(image, ax=axes, label="entry")
    else:
        draw_squares(axes, columns.T)
    names = [str(i + 1) for i in range(rank)]
    # A row of squares is one token high; below about a sixth of an inch, labels would touch.
    most = int(rank if many else max(2, rank * (style.WIDTH - 0.9) / tokens / 0.17))
    style.thinned_ticks(axes.yaxis, names, min(rank, most))
    axes.set(title=style.symbols(title), xlabel="token (digit)", ylabel="vector")
    return figure


@drawn
def fourier_embedding_figure(coefficients: Mapping[str, ArrayLike]) -> Figure:
    """Embeddings in the real Fourier basis: norm per component over the signed map, Figs. 11-13.

    Args:
        coefficients: F·W_E, axes (Fourier component, embedding dimension), by the model's name.
    """
    _some(coefficients, "coefficients")
    count = len(coefficients)
    ratios = [0.5, 1.0] * count
    figure, axes = panels(2 * count, 1, 0.5 + 3.3 * count, height_ratios=ratios)
    for index, (name, values) in enumerate(coefficients.items()):
        matrix = checked(values, name, "component", "d_model")
        norms, image = axes[2 * index, 0], axes[2 * index + 1, 0]
        p = len(matrix)
        norms.bar(range(p), np.linalg.norm(matrix, axis=1), width=0.9, color=style.COLOURS[0])
        norms.set(title=style.symbols(name), ylabel="norm", xlim=(-0.5, p - 0.5), xticks=[])
        largest = float(np.abs(matrix).max()) or 1.0
        signed = Normalize(-largest, largest)
        drawn_image = image.imshow(
            matrix.T, cmap=style.DIVERGING, norm=signed, aspect="auto", interpolation="nearest"
        )
        image.set(ylabel="embedding dim.", xlim=(-0.5, p - 0.5))
        frequency_ticks(image, p)
        figure.colorbar(drawn_image, ax=[norms, image], label="coefficient", aspect=25)
    axes[-1, 0].set_xlabel("frequency $k$ (cycles per $p$ digits): cos, sin side by side")
    return figure


def frequency_ticks(axes: Axes, p: int) -> None:
    """Name Fourier components by frequency, each tick between its cos and its sin."""
    largest = (p - 1) // 2
    step = next(s for s in (1, 2, 5, 10, 20, 50, 100, largest) if largest / s <= 12)
    named = np.arange(step, largest + 1, step)
    axes.set_xticks([0, *(2 * named - 0.5)], ["0", *map(str, named)])


@drawn
def positional_embedding_figure(
    embeddings: Mapping[str, ArrayLike], *, per_line: int = 64
) -> Figure:
    """Embeddings of the positions of x0 and x1, one above the other (Fig. 7).

    Args:
        embeddings: (position, d_model) by title; the first two positions, x0 and x1, are drawn.
            Put what correlates in the title.
        per_line: dimensions in one line; what is left goes on below.
    """
    _some(embeddings, "embeddings")
    tables = {name: checked(t, name, "position", "d_model") for name, t in embeddings.items()}
    if min(len(table) for table in tables.values()) < 2:
        raise ValueError("embeddings need at least two positions, x0 and x1")
    lines = [-(-table.shape[1] // per_line) for table in tables.values()]
    heights = [0.6 + 0.3 * n for n in lines]
    figure, axes = panels(len(tables), 1, sum(heights) + 0.3, height_ratios=heights)
    for row, (name, table), count in zip(axes[:, 0], tables.items(), lines, strict=True):
        width = min(per_line, table.shape[1])
        folded = np.zeros((3 * count - 1, width))
        for index in range(count):
            part = table[:2, index * per_line : (index + 1) * per_line]
            folded[3 * index : 3 * index + 2, : part.shape[1]] = part
        draw_squares(row, folded)
        row.set_yticks(np.arange(count) * 3 + 0.5, [f"{i * per_line}" for i in range(count)])
        row.set(title=style.symbols(name), ylabel="first dim.")
    axes[-1, 0].set_xlabel("embedding dimension in its line; upper row $x_0$, lower $x_1$")
    return figure


@drawn
def frequency_map(
    epochs: ArrayLike,
    power: ArrayLike,
    counts: Mapping[str, ArrayLike],
    *,
    first: int = 0,
    label: str = "share of variance",
    levels: Mapping[str, float] | None = None,
) -> Figure:
    """Frequencies through log-time (top), and how many are active by each rule: Fig. 16.

    Args:
        epochs: increasing; records before epoch 1 are left out.
        power: (epoch, frequency), colours by its square root so that weak ones show.
        counts: number of active frequencies (epoch,) by the name of its rule.
        first: the frequency of the first column of power, in cycles per p.
        label: what power measures.
        levels: counts to compare with, by name: level lines, dashed.
    """
    ticks, kept = checked_epochs(epochs)
    energies = checked(power, "power", len(kept), "frequency")[kept]
    figure, axes = panels(2, 1, 5.6, sharex=True, height_ratios=(1.5, 1.0))
    top, bottom = axes[:, 0]
    edges = first + np.arange(energies.shape[1] + 1) - 0.5
    norm = PowerNorm(0.5, 0, float(np.nanmax(energies)) or 1.0)
    mesh = log_time_mesh(top, ticks, energies, edges, norm)
    top.set_ylabel("frequency $k$\n(cycles per $p$ digits)")
    figure.colorbar(mesh, ax=top, label=label)
    for index, (rule, values) in enumerate(counts.items()):
        count = checked(values, rule, len(kept))[kept]
        bottom.plot(ticks, count, label=rule, **line_look(index))
    style.level_lines(bottom, levels or {})
    bottom.set(ylabel="active frequencies", ylim=(0, None))
    bottom.set_xlim(ticks[0], ticks[-1])
    if counts or levels:
        bottom.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
    log_time(bottom)
    return figure


@drawn
def filter_response(
    frequencies: ArrayLike, gains: Mapping[str, ArrayLike], *, axes: Axes | None = None
) -> Figure:
    """How much a gradient filter amplifies each frequency of the gradient through time.

    Args:
        frequencies: above 0, in cycles per epoch (at most 1/2).
        gains: |H(f)| (frequency,) by the name of the filter; 1 leaves a gradient as it is.
        axes: where to draw; a new figure by default.
    """
    f = checked(frequencies, "frequencies", "frequency")
    if (f <= 0).any():
        raise ValueError(f"frequencies start at {f.min():g}; the log axis needs all above 0")
    figure, axes = panel(axes, 3.6)
    for index, (name, gain) in enumerate(gains.items()):
        axes.plot(f, checked(gain, name, len(f)), label=name, **line_look(index))
    axes.set_xscale("log")
    axes.axhline(1, color=style.FAINT, linewidth=1)
    axes.set(xlabel="frequency (cycles per epoch, log scale)", ylabel="gain", ylim=(0, None))
    axes.legend(loc="best")
    return figure


def _some(mapping: Mapping[str, ArrayLike], name: str) -> None:
    """Refuse a mapping with nothing to draw."""
    if not mapping:
        raise ValueError(f"{name} is empty; give at least one {{name: array}}")
