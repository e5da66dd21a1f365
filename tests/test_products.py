import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import TINY

from miiii_core.config import Config
from miiii_core.network.products import product
from miiii_core.training import train

SHAPES = [(1, 1, 1), (7, 3, 5), (64, 16, 130), (200, 128, 16)]
UNIT = 2.0**-8  # half the distance between neighbours in bfloat16, relative


def operands(shape, seed=0):
    n, d_in, d_out = shape
    noise = np.random.default_rng(seed)
    x, weight, slope = (
        jnp.asarray(noise.normal(size=s), jnp.float32)
        for s in ((n, d_in), (d_in, d_out), (n, d_out))
    )
    return x, weight, slope


def rounded(values):
    return np.asarray(values.astype(jnp.bfloat16), np.float64)


@pytest.mark.parametrize("shape", SHAPES)
def test_float32_is_the_plain_product(shape):
    x, weight, _ = operands(shape)
    np.testing.assert_array_equal(product(x, weight, "float32"), x @ weight)


@pytest.mark.parametrize("shape", SHAPES)
def test_bfloat16_rounds_the_operands_and_nothing_else(shape):
    x, weight, slope = operands(shape)
    value, pull = jax.vjp(lambda x, w: product(x, w, "bfloat16"), x, weight)
    to_x, to_weight = jax.jit(pull)(slope)
    assert value.dtype == to_x.dtype == to_weight.dtype == jnp.float32
    tight = {"rtol": 1e-4, "atol": 1e-4}
    np.testing.assert_allclose(value, rounded(x) @ rounded(weight), **tight)
    np.testing.assert_allclose(to_x, rounded(slope) @ rounded(weight).T, **tight)
    np.testing.assert_allclose(to_weight, rounded(x).T @ rounded(slope), **tight)


def test_bfloat16_stays_within_its_rounding_of_float32():
    x, weight, _ = operands((64, 32, 48))
    exact = np.asarray(x, np.float64) @ np.asarray(weight, np.float64)
    bound = 2.01 * UNIT * (np.abs(x) @ np.abs(weight))
    assert (np.abs(product(x, weight, "bfloat16") - exact) <= bound).all()


def test_many_products_at_once_are_the_single_ones():
    pairs = [operands((9, 4, 6), seed)[:2] for seed in range(3)]
    xs, weights = (jnp.stack(parts) for parts in zip(*pairs, strict=True))
    together = jax.vmap(lambda x, w: product(x, w, "bfloat16"))(xs, weights)
    alone = jnp.stack([product(x, w, "bfloat16") for x, w in pairs])
    np.testing.assert_allclose(together, alone, rtol=1e-5, atol=1e-6)


def gradients(config: Config):
    task = train.task_of(config)
    problem, state = train.Problem.of(config, task), train.initial_state(config, task)
    key = jax.random.fold_in(problem.key, 0)
    return jax.value_and_grad(train.objective)(state.model, problem, key)


def test_a_training_gradient_in_bfloat16_is_near_the_one_in_float32():
    loss, exact = gradients(TINY)
    rough_loss, rough = gradients(TINY.replace(precision="bfloat16"))
    np.testing.assert_allclose(rough_loss, loss, rtol=UNIT)
    for name, gradient in exact.weights.items():
        error = jnp.linalg.norm((rough.weights[name] - gradient).ravel())
        assert error <= 8 * UNIT * jnp.linalg.norm(gradient.ravel()), name


def test_training_in_bfloat16_learns_and_keeps_float32_weights():
    config = TINY.replace(precision="bfloat16", epochs=200, learning_rate=3e-3)
    task = train.task_of(config)
    steps = list(train.fit(config, task, train.initial_state(config, task)))
    first, last = steps[0].metrics["loss"][0], steps[-1].metrics["loss"][0]
    assert last.mean() < 0.5 * first.mean()
    assert all(w.dtype == jnp.float32 for w in steps[-1].state.model.weights.values())
