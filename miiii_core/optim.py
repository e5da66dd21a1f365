"""Grokfast filters as optax transformations, and the update rules that they precede."""

import importlib
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, PyTree
from optax.contrib import MuonDimensionNumbers as Axes

from .config import Config, FilterStart, OptimConfig
from .model import weight_type

Number = float | Float[Array, ""]
Rate = Number | Callable[[Array], Array]
# The matrices inside the block, and which of their axes are read and which are written.
HIDDEN = {
    "W_Q": Axes(1, (0, 2)), "W_K": Axes(1, (0, 2)), "W_V": Axes(1, (0, 2)),
    "W_O": Axes((0, 1), 2), "W_in": Axes(0, 1), "W_out": Axes(0, 1),
}  # fmt: skip


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
    r"""Amplify the slow part of the gradient, taken as the mean of the last w gradients.

    $$g_t \leftarrow g_t + \frac{\lambda}{w} \sum_{i=0}^{w-1} g_{t-i}$$

    Nothing is added until the window is full. The state holds w copies of the gradient.

    Args:
        lam: Weight of the slow gradient, at least 0.
        window: Number w of gradients in the mean, at least 1.

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


def update_rule(config: OptimConfig, rate: Rate, decay: Number) -> optax.GradientTransformation:
    """Return what turns a filtered gradient into an update, as ``config.update`` names it.

    ``module:function`` is a function of somebody else's, which is called with the learning rate,
    a number or a function of the epoch, and the weight decay. ValueError if it is not found.

    Source: Loshchilov & Hutter (2019) for AdamW, with decay on every weight; Jordan et al. (2024)
    for Muon, of attention and MLP, with updates of AdamW's size (Liu et al., 2025), and AdamW for
    embeddings and W_U.
    """
    if config.update == "adamw":
        return optax.adamw(rate, config.beta1, config.beta2, config.eps, weight_decay=decay)
    if config.update == "muon":
        return optax.contrib.muon(
            rate, weight_decay=decay, consistent_rms=0.2, adam_b1=config.beta1,
            adam_b2=config.beta2, adam_weight_decay=decay, muon_weight_dimension_numbers=_axes,
        )  # fmt: skip
    module, _, function = config.update.partition(":")
    try:
        return getattr(importlib.import_module(module), function)(rate, decay)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"update={config.update!r} was not found: {error}") from error


def optimiser(
    config: OptimConfig, traced: TracedHyperparameters = UNTRACED
) -> optax.GradientTransformation:
    """Chain the filter and the update rule; the state is the pair of theirs."""
    top, decay = (traced.value(config, name) for name in ("learning_rate", "weight_decay"))

    def rising(count: Array) -> Array:
        return top * jnp.minimum(1, (count + 1) / config.warmup)

    rule = update_rule(config, rising if config.warmup else top, decay)
    return optax.chain(gradient_filter(config, traced), rule)


def _axes(weights: PyTree) -> PyTree:
    """Return a tree of the weights' structure with `HIDDEN` in it, None elsewhere."""
    return jax.tree_util.tree_map_with_path(lambda path, _: HIDDEN.get(path[-1].name), weights)
