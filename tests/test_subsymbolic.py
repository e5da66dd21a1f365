import jax
import jax.numpy as jnp
import numpy as np
import pytest
from counting import compilations
from hypothesis import given, settings
from hypothesis import strategies as st

from miiii_core.network import subsymbolic

quick = settings(deadline=None, max_examples=15)
WIDTH = 6
FIT = subsymbolic.learn(1.0, 2.0, width=WIDTH, steps=300, n_points=256)
X = np.linspace(-3.0, 3.0, 9)
Y = np.linspace(-2.0, 2.0, 5)


def by_loops(layers, x, y):
    """The network point by point and neuron by neuron, in plain Python."""
    values = [x, y]
    for depth, (weight, bias) in enumerate(layers):
        sums = [sum(w * v for w, v in zip(row, values, strict=True)) + b
                for row, b in zip(weight.tolist(), bias.tolist(), strict=True)]  # fmt: skip
        values = [max(s, 0.0) for s in sums] if depth < len(layers) - 1 else sums
    (result,) = values
    return result


def adam_by_hand(layers, points, values, steps, rate):
    """Losses of a network of one hidden layer under Adam, derivatives written out, in NumPy."""
    (W, c), (V, d) = [(w.astype(float), b.astype(float)) for w, b in layers]
    weights = [W, c, V, d]
    means, squares = [0.0] * 4, [0.0] * 4
    losses = []
    for t in range(steps):
        z = points @ W.T + c
        h = np.maximum(z, 0)
        error = h @ V[0] + d[0] - values
        losses.append((error**2).mean())
        g = 2 * error[:, None] / len(values)
        back = g * V * (z > 0)
        gradients = [back.T @ points, back.sum(0), g.T @ h, g.sum(0)]
        eta = rate * (1 + np.cos(np.pi * t / steps)) / 2
        for i, (w, slope) in enumerate(zip(weights, gradients, strict=True)):
            means[i] = 0.9 * means[i] + 0.1 * slope
            squares[i] = 0.999 * squares[i] + 0.001 * slope**2
            unbiased = means[i] / (1 - 0.9 ** (t + 1)), squares[i] / (1 - 0.999 ** (t + 1))
            w -= eta * unbiased[0] / (np.sqrt(unbiased[1]) + 1e-8)
    return np.array(losses)


def test_the_formula_is_the_papers():
    x, y = np.array([0.0, np.pi]), np.array([0.0, np.pi / 4])
    np.testing.assert_allclose(subsymbolic.formula(x, y, 1.0, 2.0), [1, 0], atol=1e-12)


def test_a_surface_is_what_the_weights_say_at_each_point():
    layers = subsymbolic.layers_of(FIT.network)
    assert [w.shape for w, _ in layers] == [(WIDTH, 2), (WIDTH, WIDTH), (1, WIDTH)]
    expected = [[by_loops(layers, float(x), float(y)) for y in Y] for x in X]
    np.testing.assert_allclose(subsymbolic.surface(FIT.network, X, Y), expected, atol=1e-5)


def test_training_lowers_the_error_and_its_record_is_of_the_weights_it_leaves():
    assert len(FIT.losses) == 300
    assert FIT.losses[-1] < FIT.losses[0] / 4
    fine = np.linspace(-np.pi, np.pi, 41)
    target = subsymbolic.formula(fine[:, None], fine[None, :], 1.0, 2.0)
    found = subsymbolic.surface(FIT.network, fine, fine)
    assert ((found - target) ** 2).mean() < 2 * FIT.losses[-1]


def test_training_is_adam_on_the_mean_squared_error():
    start = subsymbolic.learn(1.0, 2.0, width=3, depth=1, steps=1, n_points=32).network
    points = jax.random.normal(jax.random.key(1), (16, 2))
    values = subsymbolic.formula(points[:, 0], points[:, 1], 1.0, 2.0)
    found = subsymbolic.train(start, points, values, steps=12, learning_rate=0.05).losses
    layers = subsymbolic.layers_of(start)
    expected = adam_by_hand(layers, np.asarray(points), np.asarray(values), 12, 0.05)
    np.testing.assert_allclose(found, expected, rtol=2e-4)


def test_equal_seeds_train_equal_networks_and_the_second_compiles_nothing():
    subsymbolic.learn(
        1.0, 2.0, width=WIDTH, steps=300, n_points=256
    )  # what FIT compiled may be gone
    with compilations() as seen:
        again = subsymbolic.learn(1.0, 2.0, width=WIDTH, steps=300, n_points=256)
    assert not seen
    np.testing.assert_array_equal(again.losses, FIT.losses)
    other = subsymbolic.learn(1.0, 2.0, width=WIDTH, steps=300, n_points=256, seed=1)
    assert (other.losses != FIT.losses).any()


@given(st.permutations(range(WIDTH)), st.sampled_from([0, 1]))
@quick
def test_neurons_in_another_order_compute_the_same(order, layer):
    mixed = subsymbolic.permuted(FIT.network, layer, np.array(order))
    bias = np.asarray(FIT.network.layers[layer].bias)
    np.testing.assert_array_equal(mixed.layers[layer].bias, bias[order])
    found = subsymbolic.surface(mixed, X, Y)
    np.testing.assert_allclose(found, subsymbolic.surface(FIT.network, X, Y), atol=1e-5)


@given(st.lists(st.integers(-8, 8), min_size=WIDTH, max_size=WIDTH), st.sampled_from([0, 1]))
@quick
def test_neurons_scaled_by_powers_of_two_compute_the_same_to_the_bit(powers, layer):
    factors = 2.0 ** np.array(powers)
    scaled = subsymbolic.rescaled(FIT.network, layer, factors)
    weight, _ = subsymbolic.layers_of(scaled)[layer]
    np.testing.assert_array_equal(
        weight, subsymbolic.layers_of(FIT.network)[layer][0] * factors[:, None].astype(np.float32)
    )
    np.testing.assert_array_equal(
        subsymbolic.surface(scaled, X, Y), subsymbolic.surface(FIT.network, X, Y)
    )


@given(st.floats(0.5, 5), st.floats(-2, 2), st.floats(0.2, 2), st.floats(-3, 3))
@quick
def test_a_planted_wave_is_found_with_its_amplitudes(frequency, cos, sin, mean):
    frequencies = np.array([frequency * f for f in (0.5, 0.8, 1.0, 1.3)])
    x = np.linspace(-np.pi, np.pi, 61)
    values = mean + cos * np.cos(frequency * x) + sin * np.sin(frequency * x)
    waves = subsymbolic.waves_in(x, values, frequencies)
    assert waves.share.argmax() == 2
    np.testing.assert_allclose(waves.share[2], 1, atol=1e-9)
    np.testing.assert_allclose([waves.cos[2], waves.sin[2]], [cos, sin], atol=1e-6)


def test_shares_are_those_of_least_squares():
    draw = np.random.default_rng(0)
    x, values = np.sort(draw.normal(size=30)), draw.normal(size=30)
    found = subsymbolic.waves_in(x, values, np.array([0.7, 2.0]))
    for i, frequency in enumerate((0.7, 2.0)):
        columns = np.stack([np.ones(30), np.cos(frequency * x), np.sin(frequency * x)], axis=1)
        best, (error,), *_ = np.linalg.lstsq(columns, values, rcond=None)
        assert found.share[i] == pytest.approx(1 - error / (30 * values.var()))
        assert (found.cos[i], found.sin[i]) == (pytest.approx(best[1]), pytest.approx(best[2]))


def test_a_constant_has_no_wave():
    share = subsymbolic.waves_in(X, np.full(9, 2.0), np.array([1.0])).share
    np.testing.assert_array_equal(share, 0)


NETWORK, POINTS = FIT.network, jnp.zeros((4, 2))
WRONG = {
    "width": (lambda: subsymbolic.learn(1.0, 1.0, width=0, steps=1), r"'width': 0.*at least 1"),
    "depth": (lambda: subsymbolic.learn(1.0, 1.0, width=2, depth=0, steps=1), r"'depth': 0"),
    "square": (
        lambda: subsymbolic.learn(1.0, 1.0, width=2, steps=1, half_width=0.0),
        r"half_width=0.0 spans no square.*above 0",
    ),
    "steps": (lambda: subsymbolic.learn(1.0, 1.0, width=2, steps=0), r"steps=0.*at least 1 step"),
    "rate": (
        lambda: subsymbolic.learn(1.0, 1.0, width=2, steps=1, learning_rate=-1.0),
        r"learning_rate=-1.0 train nothing",
    ),
    "nan": (
        lambda: subsymbolic.train(
            NETWORK, POINTS, jnp.full(4, jnp.nan), steps=1, learning_rate=0.1
        ),
        r"not finite",
    ),
    "layer": (
        lambda: subsymbolic.permuted(NETWORK, 2, np.arange(WIDTH)),
        r"layer=2 is not hidden.*0 to 1",
    ),
    "order": (
        lambda: subsymbolic.permuted(NETWORK, 0, np.zeros(WIDTH, int)),
        r"leaves out or repeats a neuron.*0 to 5 once",
    ),
    "negative": (
        lambda: subsymbolic.rescaled(NETWORK, 0, -np.ones(WIDTH)),
        r"give 6 numbers above 0",
    ),
    "few": (lambda: subsymbolic.rescaled(NETWORK, 0, np.ones(2)), r"give 6 numbers above 0"),
    "frequency": (
        lambda: subsymbolic.waves_in(X, X, np.array([0.0])),
        r"frequencies from 0.*above 0",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_input_is_refused_with_what_is_accepted(name):
    call, message = WRONG[name]
    with pytest.raises(ValueError, match=message):
        call()
