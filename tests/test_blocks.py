import numpy as np
import pytest

from miiii_core.analysis.blocks import (
    best_block,
    centred_power,
    in_random_order,
    one_digit_share,
    perfect_neurons,
    varying,
)

P = 11
X = np.arange(P)


def wave(k, phase):
    return np.cos(2 * np.pi * k * X / P + phase)


def product(k0, k1):
    """Waves of both digits and their product, at frequencies of the p-DFT."""
    first, second = wave(k0, 0.3), wave(k1, 1.1)
    return 2 + first[:, None] + 0.5 * second[None, :] + 3 * first[:, None] * second[None, :]


def test_a_product_of_two_waves_fills_its_block():
    power = centred_power(np.stack([product(2, 5), product(4, 4)]))
    np.testing.assert_allclose(best_block(power), 1, rtol=1e-12)
    assert (power[:, 0, 0] == 0).all()


def test_of_two_products_the_stronger_is_the_best_block():
    a, b = (np.outer(wave(k, 0.0), wave(k, 0.0)) for k in (1, 3))
    power = centred_power((2 * a + b)[None])
    np.testing.assert_allclose(best_block(power), 4 / 5, rtol=1e-12)


def test_sums_of_one_digit_have_no_product():
    both = (wave(2, 0.1)[:, None] + wave(3, 0.2)[None, :])[None]
    np.testing.assert_allclose(one_digit_share(centred_power(both)), 1, rtol=1e-12)
    alone = np.outer(wave(2, 0.1), wave(3, 0.2))[None]
    np.testing.assert_allclose(one_digit_share(centred_power(alone)), 0, atol=1e-12)


def test_constant_neurons_are_left_out():
    neurons = np.stack([np.full((P, P), 0.7), product(1, 2), np.zeros((P, P))])
    found = varying(neurons)
    assert found.numbers.tolist() == [1]
    assert found.grids.shape == found.power.shape[:1] + (P, P)


def test_random_order_keeps_the_values_and_loses_the_period():
    neuron = product(2, 5)[None]
    mixed = in_random_order(neuron, np.random.default_rng(0))
    np.testing.assert_array_equal(np.sort(mixed, axis=None), np.sort(neuron, axis=None))
    assert best_block(centred_power(mixed))[0] < 0.9
    assert np.linalg.matrix_rank(mixed[0]) == np.linalg.matrix_rank(neuron[0])


def test_a_perfect_neuron_sees_its_residue_only_through_both_digits():
    neurons = perfect_neurons([3, 5], P, np.random.default_rng(0))
    assert neurons.shape == (2 + 4, P, P)
    assert (neurons >= 0).all()
    # max(0, cos a + cos b) repeats when a digit moves by q steps, as far as the grid goes.
    np.testing.assert_allclose(neurons[:2, 3:], neurons[:2, :-3], atol=1e-12)
    np.testing.assert_allclose(neurons[2:, :, 5:], neurons[2:, :, :-5], atol=1e-12)


def test_even_perfect_neurons_do_not_fill_a_block():
    shares = best_block(centred_power(perfect_neurons([3, 7], P, np.random.default_rng(0))))
    assert (shares < 0.99).all()


@pytest.mark.parametrize("moduli", [[], [3, 1]])
def test_moduli_that_tell_nothing_apart_are_refused(moduli):
    with pytest.raises(ValueError, match="at least 2"):
        perfect_neurons(moduli, P, np.random.default_rng(0))
