"""Grokfast filters as optax transformations, and the update rules that they precede."""

import hashlib
import importlib
from collections.abc import Callable
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jax.tree_util import tree_map_with_path
from jaxtyping import Array, Float, Int, PyTree

from .config import Config, FilterStart, OptimConfig
from .model import weight_type

Number = float | Float[Array, ""]
Rate = Number | Callable[[Array], Array]
# Axes of the inputs of each unit, in the matrices of attention and MLP.
INPUT_AXES = {"W_Q": (1,), "W_K": (1,), "W_V": (1,), "W_O": (0, 1), "W_in": (0,), "W_out": (0,)}
NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)  # odd polynomial, steep at 0 and near 1 from there on


class TracedHyperparameters(eqx.Module):
    """Hyperparameters given as arrays, so that runs which differ in them share one program.

    A constant is compiled in and an array is not. None leaves the configuration's constant in
    place; a run trained alone has constants only. Names are those of `OptimConfig`, and ``keep``
    is the share of the stream that dropout keeps, ``1 - dropout``.
    """

    learning_rate: Float[Array, ""] | None = None
    weight_decay: Float[Array, ""] | None = None
    grokfast_lambda: Float[Array, ""] | None = None
    grokfast_alpha: Float[Array, ""] | None = None
    keep: Float[Array, ""] | None = None

    @classmethod
    def of(cls, config: Config, names: tuple[str, ...]) -> "TracedHyperparameters":
        """Take a configuration's values of some `BATCHABLE` fields as arrays; seeds need none."""
        # The share kept is computed in double precision, as the constant is.
        values = {"keep": 1 - config.model.dropout} if "dropout" in names else {}
        values |= {n: getattr(config.optim, n) for n in names if hasattr(config.optim, n)}
        dtype = weight_type(config.model)
        return cls(**{name: jnp.asarray(value, dtype) for name, value in values.items()})

    def value(self, config: OptimConfig, name: str) -> Number:
        """Return a hyperparameter of the optimiser: the array if there is one, or the constant."""
        array = getattr(self, name)
        return getattr(config, name) if array is None else array


UNTRACED = TracedHyperparameters()


class FilterState(NamedTuple):
    """What a filter remembers."""

    memory: PyTree  #: Exponential mean of the gradients, or the last few of them, in a ring
    steps: Int[Array, ""]  #: Number of gradients that have come


def grokfast_ema(
    lam: Number, alpha: Number = 0.98, start: FilterStart = "zero"
) -> optax.GradientTransformation:
    r"""Amplify the slow part of the gradient, taken as its exponential mean.

    $$e_t = \alpha e_{t-1} + (1 - \alpha) g_t, \qquad g_t \leftarrow g_t + \lambda e_t$$

    From a zero start this is, up to scale, Nesterov momentum: with
    $\lambda = \alpha / (1 - \alpha)$ it equals ``optax.trace(alpha, nesterov=True)``. Unlike
    ``optax.ema`` it adds the mean to the gradient in place of replacing it, and never corrects
    the bias of the zero start.

    Args:
        lam: Weight of the slow gradient, at least 0.
        alpha: Decay of the mean, in [0, 1); its time constant is 1 / (1 - alpha) epochs.
        start: ``"zero"`` starts the mean at 0 (the paper's code), ``"first"`` at the first
            gradient (Lee et al.'s code). That gradient then weighs in for some hundred epochs,
            which with a large `lam` and learning rate can leave most neurons dead.

    Source: Lee et al. (2024), Algorithm 2. Eq. 13 of Syrkis & Sogaard shifts the indices by
    one; their code, and this, do not.
    """

    def init(params: PyTree) -> FilterState:
        return FilterState(jax.tree.map(jnp.zeros_like, params), jnp.zeros((), jnp.int32))

    def update(gradient: PyTree, state: FilterState, _: Any = None) -> tuple[PyTree, FilterState]:
        decay = jnp.where((state.steps == 0) & (start == "first"), 0.0, alpha)
        mean = jax.tree.map(lambda e, g: decay * e + (1 - decay) * g, state.memory, gradient)
        filtered = jax.tree.map(lambda g, e: g + lam * e, gradient, mean)
        return filtered, FilterState(mean, state.steps + 1)

    return optax.GradientTransformation(init, update)


def grokfast_ma(lam: Number, window: int = 100) -> optax.GradientTransformation:
    r"""Amplify the slow part of the gradient, taken as the mean of a window of w gradients.

    $$g_t \leftarrow g_t + \frac{\lambda}{w} \sum_{i=0}^{w-1} g_{t-i}$$

    Nothing is added until w gradients have come, w at least 1. The state holds the last w.

    Source: Lee et al. (2024), Algorithm 1, with their warm-up.
    """

    def init(params: PyTree) -> FilterState:
        recent = jax.tree.map(lambda w: jnp.zeros((window, *w.shape), w.dtype), params)
        return FilterState(recent, jnp.zeros((), jnp.int32))

    def update(gradient: PyTree, state: FilterState, _: Any = None) -> tuple[PyTree, FilterState]:
        slot = state.steps % window
        recent = jax.tree.map(lambda r, g: r.at[slot].set(g), state.memory, gradient)
        weight = jnp.where(state.steps + 1 >= window, lam, 0.0)
        filtered = jax.tree.map(lambda g, r: g + weight * r.mean(axis=0), gradient, recent)
        return filtered, FilterState(recent, state.steps + 1)

    return optax.GradientTransformation(init, update)


def gradient_filter(
    config: OptimConfig, traced: TracedHyperparameters = UNTRACED
) -> optax.GradientTransformation:
    """Return the Grokfast filter that a configuration asks for; the identity for none.

    Where lambda is traced there is a filter, also for runs whose lambda is 0.
    """
    lam, alpha = (traced.value(config, f"grokfast_{name}") for name in ("lambda", "alpha"))
    if config.grokfast == "none" or (isinstance(lam, float) and lam == 0):
        return optax.identity()
    if config.grokfast == "ma":
        return grokfast_ma(lam, config.grokfast_window)
    return grokfast_ema(lam, alpha, config.grokfast_start)


def orthogonalised(matrix: Float[Array, "rows columns"]) -> Float[Array, "rows columns"]:
    r"""Bring all singular values of a matrix close to 1, without computing them.

    Five times $X \leftarrow aX + (bA + cA^2) X$ with $A = XX^T$, from a matrix of norm 1; values
    that were not tiny beside the largest end between 0.7 and 1.2.

    Source: Jordan et al. (2024), Muon.
    """
    flat = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    x, (a, b, c) = flat / (jnp.linalg.norm(flat) + 1e-8), NEWTON_SCHULZ
    for _ in range(5):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x if flat is matrix else x.T


def muon(
    rate: Rate, decay: Number, adamw: optax.GradientTransformation
) -> optax.GradientTransformation:
    """Step along the orthogonalised momentum in attention and MLP, by AdamW elsewhere.

    All heads of a matrix are one matrix. Steps have the size of AdamW's, so that learning rates
    can be compared. Products are plain: a CPU takes longer over those of ``optax.contrib.muon``,
    which are batched.

    Source: Jordan et al. (2024), with the size of steps of Liu et al. (2025), arXiv 2502.16982.
    """

    def turned(path: tuple[Any, ...], momentum: Array) -> Array:
        axes = INPUT_AXES[path[-1].name]
        matrix = jnp.moveaxis(momentum, axes, range(len(axes)))
        flat = matrix.reshape(prod(momentum.shape[axis] for axis in axes), -1)
        size = 0.2 * max(flat.shape) ** 0.5
        step = size * orthogonalised(flat).reshape(matrix.shape)
        return jnp.moveaxis(step, range(len(axes)), axes)

    def kinds(weights: PyTree) -> PyTree:
        return tree_map_with_path(lambda path, _: path[-1].name in INPUT_AXES, weights)

    hidden = optax.chain(
        optax.trace(0.95, nesterov=True),
        optax.stateless(lambda momentum, _: tree_map_with_path(turned, momentum)),
        optax.add_decayed_weights(decay),
        optax.scale_by_learning_rate(rate),
    )
    return optax.partition({True: hidden, False: adamw}, kinds)


def update_rule(config: OptimConfig, rate: Rate, decay: Number) -> optax.GradientTransformation:
    """Return what turns a filtered gradient into an update, as ``config.update`` names it.

    ``module:function`` is a function of somebody else's, such as ``optax:lion``. It is called with
    ``learning_rate``, a number or a function of the epoch, and ``weight_decay``. ValueError if it
    is not found, takes other arguments, or returns something else.

    Source: Loshchilov & Hutter (2019) for AdamW, here with decay on every weight.
    """
    adamw = optax.adamw(rate, config.beta1, config.beta2, config.eps, weight_decay=decay)
    if config.update in ("adamw", "muon"):
        return adamw if config.update == "adamw" else muon(rate, decay, adamw)
    module, _, function = config.update.partition(":")
    try:
        rule = getattr(importlib.import_module(module), function)
        updates = rule(learning_rate=rate, weight_decay=decay)
    except (ImportError, AttributeError, TypeError) as error:
        text = "was not found, or cannot be called with learning_rate and weight_decay"
        raise ValueError(f"update={config.update!r} {text}: {error}") from error
    if not isinstance(updates, optax.GradientTransformation):
        raise ValueError(f"update={config.update!r} gave {updates!r}, and no optax transformation")
    return updates


def rule_digest(config: OptimConfig) -> str:
    """Return the SHA-256 of the file of somebody else's rule; empty if it is ours, or not here."""
    module, _, function = config.update.partition(":")
    try:
        file = importlib.import_module(module).__file__ if function else ""
    except ImportError:
        return ""
    return hashlib.sha256(Path(file).read_bytes()).hexdigest() if file else ""


def optimiser(
    config: OptimConfig, epochs: int, traced: TracedHyperparameters = UNTRACED
) -> optax.GradientTransformation:
    """Chain the filter and the update rule; the state is the pair of theirs.

    The step size rises in a straight line during warm-up, and falls in one during the cooldown,
    the last of all ``epochs``.
    """
    top, decay = (traced.value(config, name) for name in ("learning_rate", "weight_decay"))

    def sized(count: Array) -> Array:
        rise = (count + 1) / max(config.warmup, 1)
        fall = (epochs - count) / max(config.cooldown * epochs, 1)
        return top * jnp.minimum(1, jnp.minimum(rise, fall))

    rate = sized if config.warmup or config.cooldown else top
    return optax.chain(gradient_filter(config, traced), update_rule(config, rate, decay))
