"""Update rules that promise to make networks grok sooner, as entrants of the race.

The trainer calls each by its name, such as ``miiii_book.entrants:orthogonal``, as it would yours.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array

from miiii_core.optim import INPUT_AXES, Number, Rate

TINY = 1e-30
adamw = partial(optax.adamw, b1=0.9, b2=0.98)


def orthogonal(learning_rate: Rate, weight_decay: Number) -> optax.GradientTransformation:
    """Return AdamW behind `orthogonal_gradient`."""
    return optax.chain(orthogonal_gradient(), adamw(learning_rate, weight_decay=weight_decay))


def egalitarian(learning_rate: Rate, weight_decay: Number) -> optax.GradientTransformation:
    """Return gradient descent with `equal_columns`, and decay on every weight."""
    steps = optax.add_decayed_weights(weight_decay), optax.scale_by_learning_rate(learning_rate)
    return optax.chain(equal_columns(), *steps)


def clipped(
    learning_rate: Rate, weight_decay: Number, max_norm: float = 2.0
) -> optax.GradientTransformation:
    """Return AdamW before `clip_units`."""
    return optax.chain(adamw(learning_rate, weight_decay=weight_decay), clip_units(max_norm))


clipped_at_1, clipped_at_4 = partial(clipped, max_norm=1.0), partial(clipped, max_norm=4.0)


def orthogonal_gradient() -> optax.GradientTransformation:
    r"""Take out of each matrix's gradient the part along its weights, and keep the norm.

    $$g \leftarrow \lVert g \rVert\, \frac{g_\perp}{\lVert g_\perp \rVert}, \qquad
    g_\perp = g - \frac{w \cdot g}{w \cdot w} w$$

    A network that is right everywhere lowers its loss by scaling its weights up; this forbids it.

    Source: Prieto et al. (2025), arXiv 2501.04697, with the norm restored as in their code.
    """

    def turned(gradient: Array, weight: Array) -> Array:
        along = jnp.vdot(weight, gradient) / (jnp.vdot(weight, weight) + TINY)
        rest = gradient - along * weight
        return rest * (_norm(gradient) / (_norm(rest) + TINY))

    return optax.stateless(lambda gradient, weights: jax.tree.map(turned, gradient, weights))


def equal_columns() -> optax.GradientTransformation:
    """Give every column of each matrix's gradient, which is one unit's inputs, the norm 1.

    Source: Pasand & Dohmatob (2025), arXiv 2510.04930, the cheap variant in their code. There it
    is used in the first layer alone.
    """
    return optax.stateless_with_tree_map(lambda g, _: g / (_norm(g, -2) + TINY))


def clip_units(max_norm: float) -> optax.GradientTransformation:
    """Shorten updates so that no unit's incoming weights have a norm above ``max_norm``.

    Units are those of attention and MLP; embeddings and W_U are left as they are.

    Source: Clip to Grok (2026), https://github.com/NiftyliuS/cliptogrok. There all weights begin
    at that norm; here they begin as the configuration says.
    """

    def clipped(path: tuple[Any, ...], update: Array, weight: Array) -> Array:
        axes = INPUT_AXES.get(path[-1].name)
        if axes is None:
            return update
        norm = _norm(weight + update, axes)
        return (weight + update) * jnp.minimum(1, max_norm / (norm + TINY)) - weight

    return optax.stateless(
        lambda updates, weights: jax.tree_util.tree_map_with_path(clipped, updates, weights)
    )


def _norm(values: Array, axis: Any = None) -> Array:
    return jnp.sqrt(jnp.sum(values**2, axis=axis, keepdims=True))
