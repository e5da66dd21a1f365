r"""The network of the appendix on $\cos(ax) + \sin(by)$: a few neurons, trained on a square."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Float

HALF_WIDTH = np.pi  # of the square that the training points come from


def learn(a: float, b: float, *, width: int, steps: int, seed: int = 0) -> eqx.nn.MLP:
    r"""Return two ReLU layers of `width` neurons after `steps` of Adam on $\cos(ax) + \sin(by)$."""
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

    def step(state: tuple[Any, Any], _: None) -> tuple[tuple[Any, Any], None]:
        updates, moments = adam.update(jax.grad(error)(state[0]), state[1])
        return (optax.apply_updates(state[0], updates), moments), None

    (weights, _), _ = jax.lax.scan(step, (weights, adam.init(weights)), length=steps)
    return eqx.combine(weights, rest)


def surface(network: eqx.nn.MLP, line: np.ndarray) -> Float[np.ndarray, "x y"]:
    """Return the network's answers at each pair of positions on a line."""
    pairs = jnp.asarray(np.stack(np.meshgrid(line, line, indexing="ij"), axis=-1), jnp.float32)
    return np.asarray(jax.vmap(jax.vmap(network))(pairs), float)
