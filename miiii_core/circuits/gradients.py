r"""The gradient, wave by wave: how much of it is slow, and what Grokfast adds to it.

The columns of W_U that belong to the task of q are a function of its classes. Their gradient,
Fourier-transformed over the classes, has a part for each wave k/q and for no other task. A
filter that adds a running mean acts on each entry over time, and a transform over classes acts
on entries at one time: so the filter of the part is the part of the filtered gradient.
"""

from collections.abc import Sequence
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..analysis.atoms import waves_of
from ..training.clamp import Clamp, clamped_gradient, follow
from ..training.optim import gradient_filter
from ..training.train import Problem, TrainState

Tensor = np.ndarray | Array


class GradientWaves(NamedTuple):
    """The gradient of W_U through some epochs, wave by wave; all numbers are mean squares.

    Attributes:
        raw: Of the gradient.
        steady: Of what stays the same: the mean over every other epoch times the mean over those
            between, so that what is drawn anew each epoch adds nothing on average.
        added: Of what the filter adds.
        filtered: Of what the optimiser is given.
    """

    raw: Float[np.ndarray, " waves"]
    steady: Float[np.ndarray, " waves"]
    added: Float[np.ndarray, " waves"]
    filtered: Float[np.ndarray, " waves"]

    @property
    def signal_to_noise(self) -> Float[np.ndarray, " waves"]:
        """What stays the same over what changes from epoch to epoch; 0 where nothing does.

        Without a signal it is zero on average, and may be below.
        """
        return _ratio(self.steady, self.raw - self.steady)

    @property
    def gain(self) -> Float[np.ndarray, " waves"]:
        """How many times larger the filter makes the gradient (root mean square)."""
        return np.sqrt(_ratio(self.filtered, self.raw))


def wave_transform(moduli: Sequence[int]) -> Float[np.ndarray, "n_classes both"]:
    r"""Orthonormal columns over the packed classes: cos, then sin, of each wave k/q of its task.

    What a task's columns have in common, which moves no answer, lies outside. For q = 2 the
    sin is zero.
    """
    waves = waves_of(moduli)
    owner = np.repeat(np.array(moduli), moduli)
    label = np.concatenate([np.arange(q) for q in moduli])
    turns = 2 * np.pi * (label[:, None] * waves.k % waves.modulus) / waves.modulus
    size = np.where(waves.modulus == 2, 1, 2) / waves.modulus
    own = (owner[:, None] == waves.modulus) * np.sqrt(size)
    sines = np.where(waves.modulus == 2, 0, np.sin(turns))
    return np.concatenate([np.cos(turns) * own, sines * own], axis=1)


def wave_squares(
    parts: Float[Tensor, "d_model both"],
) -> Float[Array, " waves"]:
    """Square of each wave, cos and sin and all rows together, of a matrix times the transform."""
    squares = (jnp.asarray(parts) ** 2).sum(axis=0)
    return squares.reshape(2, -1).sum(axis=0)


def watch(problem: Problem, clamp: Clamp, state: TrainState, n_epochs: int) -> GradientWaves:
    """Train on for some epochs and look at the gradient of W_U, wave by wave.

    Args:
        problem: Of tasks with one class for each remainder.
        clamp: Waves that are held at zero.
        state: Where to start; it stays as it is.
        n_epochs: How long, at least 2.

    Raises:
        ValueError: for fewer epochs.
    """
    if n_epochs < 2:
        raise ValueError(f"n_epochs={n_epochs} will not do; what stays needs at least 2 epochs")
    transform = jnp.asarray(wave_transform(problem.class_sizes), jnp.float32)
    return GradientWaves(*map(np.asarray, _watch(problem, clamp, state, transform, n_epochs)))


@eqx.filter_jit
def _watch(
    problem: Problem,
    clamp: Clamp,
    state: TrainState,
    transform: Float[Array, "n_classes both"],
    n_epochs: int,
) -> tuple[Array, ...]:
    chosen = gradient_filter(problem.config.optim, problem.swept)

    def part(matrix: Array) -> Array:
        return jnp.matmul(matrix, transform, precision="highest")

    def step(
        carry: tuple[TrainState, Array], turn: Array
    ) -> tuple[tuple[TrainState, Array], Array]:
        now, sums = carry
        gradient = clamped_gradient(problem, clamp, now)[1]
        filtered = chosen.update(gradient, now.opt_state[0])[0]
        raw, given = part(gradient.W_U), part(filtered.W_U)
        squares = jnp.stack([wave_squares(raw), wave_squares(given - raw), wave_squares(given)])
        return (follow(problem, now, gradient), sums.at[turn].add(raw)), squares

    nothing, turns = part(jnp.zeros_like(state.model.W_U)), jnp.arange(n_epochs) % 2
    start = (state, jnp.stack([nothing, nothing]))
    (_, sums), squares = jax.lax.scan(step, start, turns)
    one, other = sums / jnp.bincount(turns, length=2)[:, None, None]
    steady = (wave_squares(one + other) - wave_squares(one - other)) / 4
    raw, added, filtered = squares.mean(axis=0)
    return raw, steady, added, filtered


def _ratio(top: np.ndarray, bottom: np.ndarray) -> Float[np.ndarray, " waves"]:
    return np.divide(top, bottom, out=np.zeros(len(top)), where=bottom > 0)


def odds(values: Float[np.ndarray, " some"], others: Float[np.ndarray, " more"]) -> float:
    """Chance that one of the values exceeds one of the others, ties half; NaN without either."""
    if not len(values) or not len(others):
        return float("nan")
    apart = np.asarray(values)[:, None] - np.asarray(others)[None]
    return float(((apart > 0) + (apart == 0) / 2).mean())
