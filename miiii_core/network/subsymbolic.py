r"""A formula as a network: $\cos(ax) + \sin(by)$, learned by a few neurons.

In a program each symbol of a formula stands somewhere. Here is a perceptron that computes the
same function, ways to change its weights that leave the function alone, and a way to read the
formula off the function.
"""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int

Tensor = np.ndarray | Array
Layers = list[tuple[np.ndarray, np.ndarray]]


class Fit(NamedTuple):
    """A trained network, and the mean squared error before each of its training steps."""

    network: eqx.nn.MLP
    losses: Float[np.ndarray, " steps"]


class Waves(NamedTuple):
    """What one wave of each frequency explains: its two amplitudes, and its share of variance."""

    frequency: Float[np.ndarray, " waves"]
    cos: Float[np.ndarray, " waves"]
    sin: Float[np.ndarray, " waves"]
    share: Float[np.ndarray, " waves"]


def formula(x: Any, y: Any, a: float, b: float) -> Any:
    r"""$\cos(ax) + \sin(by)$, element by element; a and b in radians per unit.

    Source: Syrkis & Sogaard (2024), the example of their introduction.
    """
    xp = x.__array_namespace__()
    return xp.cos(a * x) + xp.sin(b * y)


def learn(
    a: float,
    b: float,
    *,
    width: int,
    depth: int = 2,
    steps: int,
    half_width: float = np.pi,
    n_points: int = 2048,
    learning_rate: float = 1e-2,
    seed: int = 0,
) -> Fit:
    """Train a new network on the formula, at random points of a square around the origin.

    Args:
        a: frequency in x, radians per unit.
        b: frequency in y, radians per unit.
        width: neurons in each hidden layer.
        depth: hidden layers, each followed by a ReLU.
        steps: full-batch steps of Adam.
        half_width: x and y are drawn evenly from -half_width to half_width.
        n_points: how many points are drawn.
        learning_rate: at the start; it falls to 0 along half a cosine.
        seed: of the points and of the first weights.

    Raises:
        ValueError: for a size below 1, or a half-width that is not above 0.
    """
    sizes = {"width": width, "depth": depth, "n_points": n_points}
    if small := {name: size for name, size in sizes.items() if size < 1}:
        raise ValueError(f"{small} will not do; give at least 1 of each of {', '.join(sizes)}")
    if not half_width > 0:
        raise ValueError(f"half_width={half_width} spans no square; give a number above 0")
    point_key, weight_key = jax.random.split(jax.random.key(seed))
    points = half_width * jax.random.uniform(point_key, (n_points, 2), minval=-1.0)
    values = formula(points[:, 0], points[:, 1], a, b)
    network = eqx.nn.MLP(2, "scalar", width, depth, key=weight_key)
    return train(network, points, values, steps=steps, learning_rate=learning_rate)


def train(
    network: eqx.nn.MLP,
    points: Float[Array, "n 2"],
    values: Float[Array, " n"],
    *,
    steps: int,
    learning_rate: float,
) -> Fit:
    """Lower the mean squared error by Adam on all points at once, in one compiled loop.

    Raises:
        ValueError: for no steps, a learning rate that is not above 0, or values that are not
            finite.
    """
    if steps < 1 or not learning_rate > 0:
        raise ValueError(
            f"steps={steps} at learning_rate={learning_rate} train nothing; give at least 1 step "
            "and a learning rate above 0"
        )
    if not np.isfinite(values).all():
        raise ValueError("some of the values to learn are not finite; give finite numbers only")
    trained, losses = _train(network, points, values, steps, jnp.float32(learning_rate))
    return Fit(trained, np.asarray(losses))


@eqx.filter_jit
def _train(
    network: eqx.nn.MLP, points: Array, values: Array, steps: int, learning_rate: Array
) -> tuple[eqx.nn.MLP, Array]:
    weights, rest = eqx.partition(network, eqx.is_array)
    # Without the decay the last steps would still rattle the fit at the size of the rate.
    optimiser = optax.adam(optax.cosine_decay_schedule(learning_rate, steps))

    def error(weights: Any) -> Array:
        found = jax.vmap(eqx.combine(weights, rest))(points)
        return jnp.mean((found - values) ** 2)

    def step(carry: tuple[Any, Any], _: None) -> tuple[tuple[Any, Any], Array]:
        weights, state = carry
        loss, gradient = jax.value_and_grad(error)(weights)
        updates, state = optimiser.update(gradient, state)
        return (optax.apply_updates(weights, updates), state), loss

    start = (weights, optimiser.init(weights))
    (weights, _), losses = jax.lax.scan(step, start, None, length=steps)
    return eqx.combine(weights, rest), losses


def surface(
    network: eqx.nn.MLP, x: Float[np.ndarray, " nx"], y: Float[np.ndarray, " ny"]
) -> Float[np.ndarray, "nx ny"]:
    """The network's function at every pair of positions, indexed [x, y]."""
    points = np.stack(np.meshgrid(x, y, indexing="ij"), axis=-1).reshape(-1, 2)
    values = _evaluate(network, jnp.asarray(points, jnp.float32))
    return np.asarray(values, float).reshape(len(x), len(y))


@eqx.filter_jit
def _evaluate(network: eqx.nn.MLP, points: Array) -> Array:
    return jax.vmap(network)(points)


def layers_of(network: eqx.nn.MLP) -> Layers:
    """Weight (out, in) and bias (out,) of every layer, from the input on."""
    return [(np.asarray(layer.weight), np.asarray(layer.bias)) for layer in network.layers]


def permuted(network: eqx.nn.MLP, layer: int, order: Int[Tensor, " width"]) -> eqx.nn.MLP:
    """The same function with the neurons of a hidden layer in another order.

    Raises:
        ValueError: for a layer that is not hidden, or an order that leaves a neuron out.
    """
    weight, bias, after = _around(network, layer)
    if sorted(order.tolist()) != list(range(len(bias))):
        raise ValueError(
            f"order {order.tolist()} leaves out or repeats a neuron; give each of "
            f"0 to {len(bias) - 1} once"
        )
    return _with(network, layer, weight[order], bias[order], after[:, order])


def rescaled(network: eqx.nn.MLP, layer: int, factors: Float[Tensor, " width"]) -> eqx.nn.MLP:
    r"""The same function with each neuron of a hidden layer scaled on its way in and back out.

    For $c > 0$, $\mathrm{ReLU}(c z) = c\,\mathrm{ReLU}(z)$: what comes in is multiplied by a
    neuron's factor, what goes out divided by it.

    Raises:
        ValueError: for a layer that is not hidden, or factors that are not one number above 0
            for each neuron.
    """
    weight, bias, after = _around(network, layer)
    c = jnp.asarray(factors, weight.dtype)
    if c.shape != bias.shape or not bool((c > 0).all() and jnp.isfinite(c).all()):
        raise ValueError(
            f"factors {factors.tolist()} will not do; give {len(bias)} numbers above 0, one for "
            "each neuron: only these pass through a ReLU"
        )
    return _with(network, layer, weight * c[:, None], bias * c, after / c[None])


def _around(network: eqx.nn.MLP, layer: int) -> tuple[Any, Any, Any]:
    """Weight and bias into a hidden layer, and the weight out of it."""
    if not 0 <= layer < network.depth:
        raise ValueError(
            f"layer={layer} is not hidden; this network has hidden layers 0 to {network.depth - 1}"
        )
    before, after = network.layers[layer : layer + 2]
    return before.weight, before.bias, after.weight


def _with(network: eqx.nn.MLP, layer: int, weight: Any, bias: Any, after: Any) -> eqx.nn.MLP:
    """A copy with other weights around one hidden layer."""
    return eqx.tree_at(
        lambda n: (n.layers[layer].weight, n.layers[layer].bias, n.layers[layer + 1].weight),
        network,
        (weight, bias, after),
    )


def waves_in(
    positions: Float[np.ndarray, " n"],
    values: Float[np.ndarray, " n"],
    frequencies: Float[np.ndarray, " waves"],
) -> Waves:
    r"""Fit $m + c \cos(\omega x) + s \sin(\omega x)$ by least squares, for each frequency alone.

    Unlike a Fourier transform it asks for frequencies that need not fit into the range.

    Args:
        positions: x of each value, at least 4.
        values: the function there; one that is constant is explained by none (share 0).
        frequencies: ω above 0, radians per unit.

    Raises:
        ValueError: for fewer positions, or a frequency that is not above 0.
    """
    if len(positions) < 4 or not (frequencies > 0).all():
        raise ValueError(
            f"{len(positions)} positions and frequencies from {frequencies.min():g} will not do; "
            "give at least 4 positions, and frequencies above 0"
        )
    angles = frequencies[:, None] * positions
    design = np.stack([np.ones_like(angles), np.cos(angles), np.sin(angles)], axis=-1)
    coefficients = np.linalg.pinv(design) @ values
    residual = values - np.einsum("fnc,fc->fn", design, coefficients)
    total = ((values - values.mean()) ** 2).sum()
    share = 1 - (residual**2).sum(axis=1) / total if total > 0 else np.zeros(len(frequencies))
    return Waves(frequencies, coefficients[:, 1], coefficients[:, 2], share)
