import numpy as np
import pytest

from miiii_core import chance
from miiii_core.shares import Anova, centred_power, grid_purity

P, MODULI = 11, (2, 3, 5, 7)
N, X = np.arange(P * P), np.arange(P)


def test_shuffling_keeps_values_and_rank_of_each_unit():
    n_mod_7 = np.cos(2 * np.pi * N / 7)[:, None].repeat(3, axis=1)
    mixed = chance.digits_shuffled(n_mod_7, np.random.default_rng(0))
    for unit in range(3):
        assert np.sort(mixed[:, unit]) == pytest.approx(np.sort(n_mod_7[:, unit]))
        assert np.linalg.matrix_rank(mixed[:, unit].reshape(P, P), tol=1e-9) == 2
    assert not np.allclose(mixed[:, 0], mixed[:, 1])


def test_levels_are_quantiles_of_chance_by_sorting():
    generator = np.random.default_rng(0)
    primes, waves = generator.random((1001, 4)), generator.random((1001, 5))
    found = chance.levels(Anova(np.arange(1001), np.ones(1001), primes, waves))
    beyond = chance.FALSE_FINDS / 4
    for column, level in zip(primes.T, found.primes, strict=True):
        assert (column > level).mean() == pytest.approx(beyond, abs=1e-3)
    assert (waves > found.waves).mean() == pytest.approx(chance.FALSE_FINDS / 5, abs=1e-3)


def test_random_order_keeps_the_values_and_loses_the_period():
    first, second = np.cos(2 * np.pi * 2 * X / P + 0.3), np.cos(2 * np.pi * 5 * X / P)
    neuron = (first[:, None] + 3 * first[:, None] * second[None, :])[None]
    mixed = chance.in_random_order(neuron, np.random.default_rng(0))
    np.testing.assert_array_equal(np.sort(mixed, axis=None), np.sort(neuron, axis=None))
    assert grid_purity(centred_power(neuron)).whole[0] == pytest.approx(1)
    assert grid_purity(centred_power(mixed)).whole[0] < 0.9


def test_even_perfect_neurons_do_not_fill_a_block():
    neurons = chance.perfect_neurons([3, 5], P, np.random.default_rng(0))
    assert neurons.shape == (2 + 4, P, P) and (neurons >= 0).all()
    # max(0, cos a + cos b) repeats when a digit moves by q steps, as far as the grid goes.
    np.testing.assert_allclose(neurons[:2, 3:], neurons[:2, :-3], atol=1e-12)
    np.testing.assert_allclose(neurons[2:, :, 5:], neurons[2:, :, :-5], atol=1e-12)
    assert (grid_purity(centred_power(neurons)).whole < 0.99).all()


def test_units_that_do_not_vary_are_refused():
    with pytest.raises(ValueError, match="no unit varies"):
        chance.chance(np.ones((P * P, 2)), MODULI, np.random.default_rng(0))
    with pytest.raises(ValueError, match="no units"):
        chance.levels(Anova(*[np.zeros((0, 4))] * 4))
