r"""The appendix on $\cos(ax) + \sin(by)$ as a network of a few neurons."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

HALF_WIDTH = np.pi  # of the square that the training points come from


def learn(a: float, b: float, *, width: int, steps: int, seed: int = 0) -> tuple[eqx.nn.MLP, Any]:
    r"""Train two ReLU layers of `width` neurons by Adam on $\cos(ax) + \sin(by)$.

    Returns:
        The network, and its mean squared error at each step.
    """
    if width < 1 or steps < 1:
        raise ValueError(f"width={width} and steps={steps} train nothing; give 1 or more of each")
    point_key, weight_key = jax.random.split(jax.random.key(seed))
    points = HALF_WIDTH * jax.random.uniform(point_key, (2048, 2), minval=-1.0)
    values = jnp.cos(a * points[:, 0]) + jnp.sin(b * points[:, 1])
    network = eqx.nn.MLP(2, "scalar", width, 2, key=weight_key)
    weights, rest = eqx.partition(network, eqx.is_array)
    # Without the decay the last steps would still rattle the fit at the size of the rate.
    adam = optax.adam(optax.cosine_decay_schedule(1e-2, steps))

    def error(weights: Any) -> Any:
        return jnp.mean((jax.vmap(eqx.combine(weights, rest))(points) - values) ** 2)

    def step(carry: tuple[Any, Any], _: None) -> tuple[tuple[Any, Any], Any]:
        loss, gradient = jax.value_and_grad(error)(carry[0])
        updates, state = adam.update(gradient, carry[1])
        return (optax.apply_updates(carry[0], updates), state), loss

    (weights, _), losses = jax.lax.scan(step, (weights, adam.init(weights)), length=steps)
    return eqx.combine(weights, rest), np.asarray(losses)


def surface(network: eqx.nn.MLP, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the network's function at every pair of positions, axes (x, y)."""
    points = jnp.asarray(np.stack(np.meshgrid(x, y, indexing="ij"), axis=-1), jnp.float32)
    return np.asarray(jax.vmap(jax.vmap(network))(points), float)


def disguised(network: eqx.nn.MLP, layer: int, order: np.ndarray, c: np.ndarray) -> eqx.nn.MLP:
    """Return the same function with the neurons of a hidden layer in another order and scale.

    As ReLU(cz) = c ReLU(z), each has a factor c > 0 on the way in, and 1/c on the way out.
    """

    def places(of: eqx.nn.MLP) -> tuple[Any, ...]:
        return of.layers[layer].weight, of.layers[layer].bias, of.layers[layer + 1].weight

    weight, bias, after = map(np.asarray, places(network))
    changed = weight[order] * c[:, None], bias[order] * c, after[:, order] / c
    return eqx.tree_at(places, network, tuple(map(jnp.float32, changed)))


def single_waves(x: np.ndarray, values: np.ndarray, omega: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return cos and sin amplitude and share of variance of the best wave at each frequency."""
    angles = omega[:, None] * x
    design = np.stack([np.ones_like(angles), np.cos(angles), np.sin(angles)], axis=-1)
    found = np.linalg.pinv(design) @ values
    left = ((values - np.einsum("fnc,fc->fn", design, found)) ** 2).mean(axis=1)
    return found[:, 1], found[:, 2], 1 - left / values.var()
