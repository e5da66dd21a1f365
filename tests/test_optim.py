import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import oracles as oracle
import pytest

from miiii_book import entrants
from miiii_core.config import Config, OptimConfig
from miiii_core.optim import (
    INPUT_AXES,
    gradient_filter,
    grokfast_ema,
    grokfast_ma,
    muon,
    optimiser,
    orthogonalised,
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
def test_thirty_steps_of_training_are_the_algorithm_by_hand(tiny, chosen):
    problem, model, slope = tiny
    # A larger eps: where a gradient is all rounding, Adam's direction would be too.
    config = OptimConfig(learning_rate=3e-3, eps=1e-3, grokfast_alpha=0.8, **FILTERS[chosen])
    transformation = optimiser(config, 8)
    update, state = jax.jit(transformation.update), transformation.init(model)
    names = ("learning_rate", "weight_decay", "beta1", "beta2", "eps")
    values = {name: getattr(config, name) for name in names} | {"slow": slow_by_hand(config)}
    first, structure = jax.tree.flatten(model)
    by_hand = [oracle.AdamW(weight, **values) for weight in first]
    for epoch in range(30):
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


def drawn(model, seed, size=1.0):
    noise = np.random.default_rng(seed)
    return jax.tree.map(lambda w: jnp.asarray(size * noise.normal(size=w.shape), w.dtype), model)


@pytest.mark.parametrize("shape", [(8, 32), (32, 8), (16, 16)])
def test_orthogonalised_keeps_singular_vectors_and_levels_the_values(shape):
    matrix = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    left, values, right = np.linalg.svd(matrix, full_matrices=False)
    found = left.T @ np.asarray(orthogonalised(jnp.asarray(matrix))) @ right.T
    assert values.max() > 2 * values.min()
    assert 0.65 < np.diag(found).min() and np.diag(found).max() < 1.25
    np.testing.assert_allclose(found, np.diag(np.diag(found)), atol=1e-3)


def test_muon_is_that_of_optax_inside_the_block_and_adamw_outside(tiny):
    _, model, _ = tiny
    adamw = optax.adamw(1e-2, 0.9, 0.98, weight_decay=0.1)
    axes = {
        name: optax.contrib.MuonDimensionNumbers(own, tuple({0, 1, 2} - set(own)))
        if name[-1] in "QKVO"
        else optax.contrib.MuonDimensionNumbers(0, 1)
        for name, own in INPUT_AXES.items()
    }

    def named(weights):
        return jax.tree_util.tree_map_with_path(lambda path, _: axes.get(path[-1].name), weights)

    theirs = optax.contrib.muon(
        1e-2, weight_decay=0.1, consistent_rms=0.2, muon_weight_dimension_numbers=named
    )
    ours, plain = muon(1e-2, 0.1, adamw), adamw
    states = [each.init(model) for each in (ours, theirs, plain)]
    for seed in range(120):  # optax corrects the bias of a young momentum, which fades
        gradient = jax.tree.map(lambda w, g: w + g, model, drawn(model, seed))
        (own, other, usual), states = zip(
            *(
                jax.jit(t.update)(gradient, state, model)
                for t, state in zip((ours, theirs, plain), states, strict=True)
            ),
            strict=True,
        )
    for name, update in own.weights.items():
        expected = (other if name in INPUT_AXES else usual).weights[name]
        np.testing.assert_allclose(update, expected, atol=2e-3 * float(jnp.abs(expected).max()))


def test_orthogonal_gradient_has_no_part_along_the_weights_and_the_norm_it_had(tiny):
    _, model, _ = tiny
    gradient, turning = drawn(model, 1), entrants.orthogonal_gradient()
    found, _ = turning.update(gradient, turning.init(model), model)
    for name, w in model.weights.items():
        g, turned = np.asarray(gradient.weights[name]), np.asarray(found.weights[name])
        rest = g - (np.vdot(w, g) / np.vdot(w, w)) * w
        expected = rest * np.linalg.norm(g) / np.linalg.norm(rest)
        np.testing.assert_allclose(turned, expected, rtol=1e-4, atol=1e-5)
    zero = jax.tree.map(jnp.zeros_like, model)
    for one in jax.tree.leaves(turning.update(zero, turning.init(model), zero)[0]):
        assert not one.any()


def test_equal_columns_gives_each_column_a_norm_of_one(tiny):
    _, model, _ = tiny
    gradient, levelling = drawn(model, 2, 1e-12), entrants.equal_columns()
    found, _ = levelling.update(gradient, levelling.init(model), model)
    for name, g in gradient.weights.items():
        expected = np.asarray(g, float) / np.linalg.norm(
            np.asarray(g, float), axis=-2, keepdims=True
        )
        np.testing.assert_allclose(found.weights[name], expected, rtol=1e-4, atol=1e-6)


def test_clipped_units_end_within_the_norm_and_others_are_left_alone(tiny):
    _, model, _ = tiny
    updates, clipping = drawn(model, 3), entrants.clip_units(2.0)
    found, _ = clipping.update(updates, clipping.init(model), model)
    for name, w in model.weights.items():
        free, after = np.asarray(w + updates.weights[name]), np.asarray(w + found.weights[name])
        if name not in INPUT_AXES:
            np.testing.assert_array_equal(found.weights[name], updates.weights[name])
            continue
        before, norm = (
            np.sqrt((each**2).sum(axis=INPUT_AXES[name], keepdims=True)) for each in (free, after)
        )
        np.testing.assert_allclose(norm, np.minimum(before, 2), rtol=1e-5)
        np.testing.assert_allclose(after, free * np.minimum(1, 2 / before), rtol=1e-4, atol=1e-5)


def test_the_step_size_rises_and_falls_in_straight_lines(tiny):
    _, model, _ = tiny
    gradient, sizes = drawn(model, 4), []
    for changes in ({}, {"warmup": 4}, {"cooldown": 0.5}, {"warmup": 2, "cooldown": 0.25}):
        rule = optimiser(OptimConfig(grokfast="none", **changes), 8)
        state = rule.init(model)
        for _ in range(8):
            update, state = rule.update(gradient, state, model)
            sizes.append(float(jnp.abs(update.W_U).max()))
    constant, *shapes = np.array(sizes).reshape(4, 8)
    expected = [
        [0.25, 0.5, 0.75, 1, 1, 1, 1, 1],
        [1, 1, 1, 1, 1, 0.75, 0.5, 0.25],
        [0.5, 1, 1, 1, 1, 1, 1, 0.5],
    ]
    np.testing.assert_allclose(shapes / constant, expected, rtol=1e-5)


def test_a_rule_of_ones_own_is_called_with_rate_and_decay_behind_the_filter(tiny):
    _, model, _ = tiny
    config = OptimConfig(update="test_optim:plain", learning_rate=0.5, weight_decay=0.25)
    gradient, rule = drawn(model, 5), optimiser(config, 8)
    found, _ = rule.update(gradient, rule.init(model), model)
    for update, g, w in zip(*map(jax.tree.leaves, (found, gradient, model)), strict=True):
        np.testing.assert_allclose(update, -0.5 * (1.01 * g + 0.25 * w), rtol=1e-4, atol=1e-6)
    for name, why in (
        ("no_such_module:plain", "not found"), ("test_optim:no_such_rule", "not found"),
        ("optax:__version__", "cannot be called with learning_rate and weight_decay: .*callable"),
        ("math:floor", "cannot be called"), ("builtins:dict", "no optax transformation"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=why):
            optimiser(OptimConfig(update=name), 8)


def plain(learning_rate, weight_decay):
    return optax.chain(optax.add_decayed_weights(weight_decay), optax.scale(-learning_rate))
