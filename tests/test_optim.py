from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import oracles as oracle
import pytest

from miiii_core.config import Config, OptimConfig
from miiii_core.optim import (
    UNTRACED,
    TracedHyperparameters,
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


@pytest.mark.parametrize(
    "transformation",
    [
        grokfast_ema(0.0, start="first"),
        grokfast_ma(0.0, 3),
        gradient_filter(OptimConfig(grokfast="none")),
        gradient_filter(OptimConfig(grokfast_lambda=0.0)),
        gradient_filter(OptimConfig(grokfast="ma", grokfast_lambda=0.0)),
    ],
)
def test_without_weight_the_filter_is_the_identity(transformation):
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
    return (
        Problem.of(TINY, task),
        initial_state(TINY, task).model,
        eqx.filter_jit(jax.grad(objective)),
    )


@pytest.mark.parametrize("chosen", FILTERS)
def test_fifty_steps_of_training_are_the_algorithm_by_hand(tiny, chosen):
    problem, model, slope = tiny
    # A larger eps: where a gradient is all rounding, Adam's direction would be too.
    config = OptimConfig(learning_rate=3e-3, eps=1e-3, grokfast_alpha=0.8, **FILTERS[chosen])
    transformation = optimiser(config)
    update, state = jax.jit(transformation.update), transformation.init(model)
    adamw = partial(
        oracle.AdamW,
        learning_rate=config.learning_rate,
        weight_decay=config.weight_decay,
        beta1=config.beta1,
        beta2=config.beta2,
        eps=config.eps,
        slow=slow_by_hand(config),
    )
    first, structure = jax.tree.flatten(model)
    by_hand = [adamw(weight) for weight in first]
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


TRACED = Config().replace(
    dropout=0.15, learning_rate=0.03, weight_decay=0.7, grokfast_lambda=1.7, grokfast_alpha=0.83
)


def test_a_traced_hyperparameter_is_an_array_and_the_others_stay_constants():
    traced = TracedHyperparameters.of(TRACED, ("seed", "weight_decay", "dropout"))
    assert len(jax.tree.leaves(traced)) == 2 and jax.tree.leaves(UNTRACED) == []
    assert traced.value(TRACED.optim, "weight_decay") == jnp.float32(0.7)
    assert traced.keep == jnp.float32(0.85)
    assert traced.value(TRACED.optim, "learning_rate") == 0.03


def test_a_traced_lambda_of_zero_filters_nothing():
    config = TRACED.replace(grokfast_lambda=0.0)
    traced = TracedHyperparameters.of(config, ("grokfast_lambda",))
    gradient = jnp.array([0.3, -2.0])
    chosen = gradient_filter(config.optim, traced)
    filtered, state = chosen.update(gradient, chosen.init(gradient))
    np.testing.assert_array_equal(filtered, gradient)
    np.testing.assert_allclose(state.memory, 0.17 * gradient, rtol=1e-5)
    assert gradient_filter(config.optim).init(gradient) == ()
