import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import oracles as oracle
import pytest

from miiii_core.config import Config, OptimConfig
from miiii_core.optim import (
    gradient_filter,
    grokfast_ema,
    grokfast_ma,
    optimiser,
)
from miiii_core.train import Problem, initial_state, objective, task_of

GRADIENTS = np.random.default_rng(1).normal(size=(12, 5)).astype(np.float32)


def filtered_by(transformation, gradients=GRADIENTS):
    state, found = transformation.init(jnp.asarray(gradients[0])), []
    for gradient in gradients:
        out, state = transformation.update(jnp.asarray(gradient), state)
        found.append(out)
    return np.array(found)


@pytest.mark.parametrize("alpha", [0.0, 0.5, 0.98])
def test_from_zero_the_filter_is_nesterov_momentum(alpha):
    found = filtered_by(grokfast_ema(alpha / (1 - alpha), alpha))
    expected = filtered_by(optax.trace(alpha, nesterov=True))
    np.testing.assert_allclose(found, expected, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("start", ["zero", "first"])
@pytest.mark.parametrize("lam", [0.5, 2.0])
def test_the_exponential_filter_is_its_loop(start, lam):
    expected = oracle.ema_filter(GRADIENTS, lam, 0.9, start)
    found = filtered_by(grokfast_ema(lam, 0.9, start))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("window", [1, 3, 12, 13])
def test_the_windowed_filter_is_its_loop_and_waits_until_full(window):
    found = filtered_by(grokfast_ma(0.7, window))
    expected = oracle.window_filter(GRADIENTS, 0.7, window)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(found[: window - 1], GRADIENTS[: window - 1])


def test_without_weight_the_filter_is_the_identity():
    configs = [{"grokfast": "none"}, {"grokfast_lambda": 0.0}]
    configs += [{"grokfast": "ma", "grokfast_lambda": 0.0}]
    chosen = [gradient_filter(OptimConfig(**values)) for values in configs]
    for transformation in (grokfast_ema(0.0, start="first"), grokfast_ma(0.0, 3), *chosen):
        np.testing.assert_array_equal(filtered_by(transformation), GRADIENTS)


FILTERS = {
    "zero": {"grokfast": "ema", "grokfast_start": "zero"},
    "first": {"grokfast": "ema", "grokfast_start": "first"},
    "ma": {"grokfast": "ma", "grokfast_window": 7},
    "none": {"grokfast": "none"},
}


def slow_by_hand(config):
    lam = config.grokfast_lambda
    if config.grokfast == "none":
        return lambda gradients: gradients[-1:]
    if config.grokfast == "ma":
        return lambda gradients: oracle.window_filter(gradients, lam, config.grokfast_window)
    alpha, start = config.grokfast_alpha, config.grokfast_start
    return lambda gradients: oracle.ema_filter(gradients, lam, alpha, start)


TINY = Config().replace(p=5, d_model=8, n_heads=2, mlp_ratio=2, dropout=0.1)


@pytest.fixture(scope="module")
def tiny():
    task = task_of(TINY)
    slope = eqx.filter_jit(jax.grad(objective))
    return Problem.of(TINY, task), initial_state(TINY, task).model, slope


@pytest.mark.parametrize("chosen", FILTERS)
def test_fifty_steps_of_training_are_the_algorithm_by_hand(tiny, chosen):
    problem, model, slope = tiny
    # A larger eps: where a gradient is all rounding, Adam's direction would be too.
    config = OptimConfig(learning_rate=3e-3, eps=1e-3, grokfast_alpha=0.8, **FILTERS[chosen])
    transformation = optimiser(config)
    update, state = jax.jit(transformation.update), transformation.init(model)
    names = ("learning_rate", "weight_decay", "beta1", "beta2", "eps")
    values = {name: getattr(config, name) for name in names} | {"slow": slow_by_hand(config)}
    first, structure = jax.tree.flatten(model)
    by_hand = [oracle.AdamW(weight, **values) for weight in first]
    for epoch in range(50):
        key = jax.random.fold_in(problem.key, epoch)
        updates, state = update(slope(model, problem, key), state, model)
        model = optax.apply_updates(model, updates)
        # Each goes its own way: the gradient by hand is taken at the weights by hand.
        there = [jnp.asarray(one.weight, jnp.float32) for one in by_hand]
        gradient = slope(jax.tree.unflatten(structure, there), problem, key)
        for one, g in zip(by_hand, jax.tree.leaves(gradient), strict=True):
            one.step(g)
    for one, weight, start in zip(by_hand, jax.tree.leaves(model), first, strict=True):
        np.testing.assert_allclose(weight, one.weight, rtol=2e-5, atol=2e-5)
        assert np.abs(one.weight - start).max() > 1e-2
